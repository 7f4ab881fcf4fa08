"""The workflow folders: files that appear or change are compiled and added, without anybody asking.

A folder is looked over every two seconds; a file counts as changed when its size or time of change differs, and is
read when it has stayed the same for one look, so that a half-written file is not compiled. Compiling happens in a child
under the keeper. A file with faults leaves the last good version in place, and its fault is shown with the workflow.

Of two files that define one workflow the first counts, also over a restart; the second is refused until the first is
gone or defines something else.
"""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import trio

from engine.daemon.log import encodable, say
from engine.model.errors import EngineError
from engine.planning.plan import Plan

LOOK_S = 2.0
FILES_MAX = 5_000
SUFFIXES = (".yaml", ".yml", ".py")

Stamp = tuple[int, int]


class Folders:
    """Watches folders. `compiled` makes a file's plan known or raises EngineError; `add` makes it the one that counts.

    `defines` says which workflows came from which files before the engine started.
    """

    def __init__(
        self, folders: Iterable[Path], compiled: Callable[[Path], Awaitable[Plan]], add: Callable[[Plan], None],
        defines: Mapping[Path, str],
    ) -> None:  # fmt: skip
        self._folders = tuple(folders)
        self._compiled = compiled
        self._add = add
        self._seen: dict[Path, Stamp] = {}
        self._done: dict[Path, Stamp] = {}
        self._defines = dict(defines)
        """By file: the workflow that came from it. A file that went is taken out."""
        self._second: dict[Path, str] = {}
        """By file: the workflow that it defines too, and may not."""
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
        self._forget(now)
        for path, stamp in now.items():
            if self._seen.get(path) == stamp and self._done.get(path) != stamp:
                self._done[path] = stamp
                fault = encodable(await self._take(path))
                if fault:
                    self.faults[encodable(path)] = fault
                    say("definition refused", file=path, fault=fault)
                else:
                    self.faults.pop(encodable(path), None)
        self._seen = now

    def _forget(self, now: Mapping[Path, Stamp]) -> None:
        """Let go of files that went, and let those try again that were second to one that is first no longer."""
        for path in self._done.keys() - now.keys():
            del self._done[path]
            self.faults.pop(encodable(path), None)
        for path in self._defines.keys() - now.keys():
            del self._defines[path]
        for path, workflow in list(self._second.items()):
            if path not in now or self._first(workflow, path) is None:
                del self._second[path]
                self._done.pop(path, None)

    async def _take(self, path: Path) -> str:
        """Compile and add one file. Returns its fault ("" for none)."""
        try:
            plan = await self._compiled(path)
        except EngineError as error:
            return error.sentence
        workflow = plan.workflow.name
        first = self._first(workflow, path)
        if first is not None:
            self._second[path] = workflow
            return (
                f"{path}: {first} defines the workflow {workflow} already, and counts: rename one, or remove its file"
            )
        self._defines[path] = workflow
        self._add(plan)
        return ""

    def _first(self, workflow: str, path: Path) -> Path | None:
        """Another file that the workflow came from."""
        return next((other for other, name in self._defines.items() if name == workflow and other != path), None)

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
