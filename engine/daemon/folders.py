"""The workflow folders: files that appear or change are compiled and added, without anybody asking.

A folder is looked over every two seconds; a file counts as changed when its size or time of change differs, and is
read when it has stayed the same for one look, so that a half-written file is not compiled. Compiling happens in a child
under the keeper. A file with faults leaves the last good version in place, and its fault is shown with the workflow.
"""

import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import trio

from engine.daemon.log import encodable, say

LOOK_S = 2.0
FILES_MAX = 5_000
SUFFIXES = (".yaml", ".yml", ".py")

Stamp = tuple[int, int]


class Folders:
    """Watches folders. `add(path)` compiles and adds one file, and returns its fault ("" for none)."""

    def __init__(self, folders: Iterable[Path], add: Callable[[Path], Awaitable[str]]) -> None:
        self._folders = tuple(folders)
        self._add = add
        self._seen: dict[Path, Stamp] = {}
        self._done: dict[Path, Stamp] = {}
        self.faults: dict[str, str] = {}
        """By file: why its newest text was not taken. Both can be encoded, whatever bytes the file's name has."""

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.look()
            await trio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look over all folders; files that have settled since the last one are added."""
        now = self._stamps()
        for path, stamp in now.items():
            if self._seen.get(path) == stamp and self._done.get(path) != stamp:
                self._done[path] = stamp
                fault = encodable(await self._add(path))
                if fault:
                    self.faults[encodable(path)] = fault
                    say("definition refused", file=path, fault=fault)
                else:
                    self.faults.pop(encodable(path), None)
        for path in self._done.keys() - now.keys():
            del self._done[path]
            self.faults.pop(encodable(path), None)
        self._seen = now

    def _stamps(self) -> dict[Path, Stamp]:
        found: dict[Path, Stamp] = {}
        for folder in self._folders:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if len(found) >= FILES_MAX:
                            break
                        if entry.name.endswith(SUFFIXES) and not entry.name.startswith((".", "_")) and entry.is_file():
                            state = entry.stat()
                            found[Path(entry.path)] = (state.st_mtime_ns, state.st_size)
            except OSError:
                continue  # the folder does not exist (any more), or a file went while we looked
        return found
