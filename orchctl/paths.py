"""Where one engine's things are. One folder, the *home*, holds state, sockets, logs and configuration, so
that two engines never meet and a backup knows what to take. `ORCHCTL_HOME` names it; without, it lies in the
user's state folder.

A Unix socket's address holds at most 107 bytes. A longer path is reached through a descriptor of its folder.
`pathlib` is imported when a Path is first asked for: it is a tenth of the time that a verb needs to start.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS_BYTES_MAX = 107


class Home:
    """The folder of one engine and the names within it. Nothing is made or read here; all paths are absolute."""

    def __init__(self, root: "str | os.PathLike[str]") -> None:
        self.folder = os.path.abspath(root)

    def __str__(self) -> str:
        return self.folder

    @property
    def root(self) -> "Path":
        from pathlib import Path

        return Path(self.folder)

    @property
    def config(self) -> "Path":
        return self.root / "config.toml"

    @property
    def state(self) -> "Path":
        return self.root / "state"

    @property
    def logs(self) -> "Path":
        return self.root / "logs"

    @property
    def run_dir(self) -> "Path":
        return self.root / "run"

    @property
    def socket(self) -> "Path":
        return self.run_dir / "engine.sock"

    @property
    def engine_log(self) -> "Path":
        return self.root / "engine.log"

    @property
    def lock(self) -> "Path":
        return self.root / "engine.lock"

    @property
    def workflows(self) -> "Path":
        return self.root / "workflows"

    @property
    def socket_text(self) -> str:
        """As `socket`, for those who are in a hurry."""
        return os.path.join(self.folder, "run", "engine.sock")

    def make(self) -> None:
        """Make the folder, private to the user. Raises OSError."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)


def find_home(option: str | None = None) -> Home:
    """The home that `--home`, else `ORCHCTL_HOME`, else `XDG_STATE_HOME`, else the user's home folder says.

    Raises ValueFault for a user who has none.
    """
    chosen = option or os.environ.get("ORCHCTL_HOME")
    if chosen:
        return Home(os.path.expanduser(chosen))
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the XDG rules say to ignore a relative one
        state = os.path.expanduser("~/.local/state")
        if not os.path.isabs(state):
            from engine.model.errors import ValueFault

            raise ValueFault("this user has no home folder", "name a folder for the engine: set ORCHCTL_HOME")
    return Home(os.path.join(state, "orchctl"))


@contextmanager
def socket_address(path: "str | os.PathLike[str]") -> Generator[str]:
    """An address for the socket at `path`, valid within the `with`. Raises OSError when its folder is not there."""
    name = os.fspath(path)
    if len(os.fsencode(name)) <= ADDRESS_BYTES_MAX:
        yield name
        return
    parent, last = os.path.split(name)
    folder = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{last}"
    finally:
        os.close(folder)
