"""Workflows from other systems' files. Conversions are pure; the verbs of `orchctl import` read and write."""
