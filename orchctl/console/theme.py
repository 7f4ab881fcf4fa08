"""How things look: a glyph and a style for every state, in Unicode or in ASCII, and the names of styles.

Colours come from the sixteen that every terminal has, so that the terminal's own theme, sixteen-colour terminals and
NO_COLOR work; and nothing is said by colour alone: a glyph or a word always stands beside it. The glyphs are one
column wide in the usual terminals.
"""

import msgspec

GLYPHS = {
    "succeeded": ("✓", "+"),
    "failed": ("✗", "x"),
    "upstream_failed": ("⊘", "^"),
    "cancelled": ("⊗", "/"),
    "skipped": ("↷", "-"),
    "running": ("▶", ">"),
    "paused": ("‖", "="),
    "cancelling": ("◼", "#"),
    "stopping": ("◼", "#"),
    "suspended": ("‖", "="),
    "queued": ("◷", "."),
    "ready": ("◷", ","),
    "waiting": ("·", "."),
    "backing_off": ("↻", "~"),
    "ordered": ("◷", ","),
    "exited": ("✓", "+"),
    "lost": ("?", "?"),
    "unknown": ("?", "?"),
}
STATUS_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "upstream_failed": "red",
    "lost": "red",
    "cancelled": "magenta",
    "running": "cyan",
    "paused": "yellow",
    "cancelling": "yellow",
    "stopping": "yellow",
    "suspended": "yellow",
    "backing_off": "yellow",
    "queued": "blue",
    "ready": "blue",
    "ordered": "blue",
    "skipped": "dim",
    "waiting": "dim",
}


class Signs(msgspec.Struct, frozen=True):
    """The drawing characters of one glyph set."""

    ascii_only: bool = False

    def status(self, status: str) -> str:
        """One column for a status; a status that we do not know is a question mark."""
        return GLYPHS.get(status, ("?", "?"))[self.ascii_only]

    @property
    def opened(self) -> str:
        return "-" if self.ascii_only else "▾"

    @property
    def closed(self) -> str:
        return "+" if self.ascii_only else "▸"

    @property
    def times(self) -> str:
        return "x" if self.ascii_only else "×"

    @property
    def more(self) -> str:
        return "..." if self.ascii_only else "…"

    @property
    def dot(self) -> str:
        return "*" if self.ascii_only else "●"

    @property
    def hollow(self) -> str:
        return "o" if self.ascii_only else "○"

    @property
    def dotted(self) -> str:
        return "." if self.ascii_only else "·"

    @property
    def rule(self) -> str:
        return "-" if self.ascii_only else "─"

    @property
    def upright(self) -> str:
        return "|" if self.ascii_only else "│"

    @property
    def cursor(self) -> str:
        return ">" if self.ascii_only else "▌"

    @property
    def mark(self) -> str:
        return "*" if self.ascii_only else "◆"

    @property
    def bar_ends(self) -> tuple[str, str]:
        return ("[", "]") if self.ascii_only else ("▕", "▏")

    @property
    def crumb(self) -> str:
        return ">" if self.ascii_only else "›"

    def block(self, status: str) -> str:
        """The cell of a progress bar that stands for rows of a status."""
        if status in ("failed", "upstream_failed", "cancelled"):
            return self.status(status)
        full, half, empty = ("#", "=", ".") if self.ascii_only else ("█", "▒", "░")
        if status in ("succeeded", "skipped"):
            return full
        return half if status in ("running", "backing_off") else empty


def status_style(status: str) -> str:
    """The name of the style of a status."""
    return STATUS_STYLES.get(status, "plain")
