"""What a console remembers for the next one: how its screens were left, and the filters that were typed. It is a
convenience: a file that is missing, broken or not to be written is nothing to speak of.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

KEPT = 50


class Memory(msgspec.Struct):
    """`shape` is how the first pane of a run shows its tasks: graph, outline, or whichever fits. `details` None: where
    there is room. The newest filter is the last.
    """

    filters: list[str] = []
    searches: list[str] = []
    overview_newest: bool = False
    shape: str = ""
    details: bool | None = None
    wrap: bool = True
    colours: bool = False
    theme: str = ""

    def remember_filter(self, text: str) -> None:
        self.filters = _newest(self.filters, text)

    def remember_search(self, text: str) -> None:
        self.searches = _newest(self.searches, text)


def _newest(known: list[str], text: str) -> list[str]:
    return [*(other for other in known if other != text), text][-KEPT:] if text else known


def recall(path: Path) -> Memory:
    """What the file holds; the defaults where it holds nothing that makes sense."""
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(path.read_bytes(), type=Memory)
    return Memory()


def keep(path: Path, memory: Memory) -> None:
    """Replace the file in one step."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        fresh.write_bytes(msgspec.json.encode(memory))
        fresh.chmod(0o600)
        fresh.replace(path)
