"""What widgets tell their screens."""

from textual.message import Message


class LogMoved(Message):
    """The log view shows another piece, or knows more: its status line may differ."""
