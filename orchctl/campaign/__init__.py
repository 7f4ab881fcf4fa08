"""Campaigns: what trials measured, summed up and compared."""
