"""The one who writes: batches in, durable revisions out.

There is one write transaction at a time. `Committer` is the blocking half; `Writer` is a thread around it with a queue
in and a wake-up of the waiting trio task out, in order. A small batch that finds the thread idle, on a disk that has
been quick lately, is written by whoever asks: the way to a thread and back takes as long as the commit, and nobody may
look at the state before it is done anyway. All who ask are one trio thread, so both never write at the same time.

After a commit that failed nobody knows what is on the disk: a second try would be acknowledged by a kernel that has
already forgotten the first one's pages. So the committer refuses everything from then on and the engine has to exit; a
restart reads what is true. Only what is refused *before* writing (a full map, too little room on the disk) may be
tried again.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import lmdb
import msgspec
import outcome
import trio

from engine.model.resources import size_text
from engine.store.environment import Environment
from engine.store.errors import CommitFailed, StoreDamage, StoreFull
from engine.store.files import free_bytes
from engine.store.records import Batch
from engine.store.transaction import Edit

T = TypeVar("T")
Job = Callable[[Edit], T]

SMALL_BYTES = 32 * 2**10
QUICK_S = 0.001
_AGAIN_EVERY = 64
"""After so many commits by the thread one is tried at once again, in case the disk has become quick."""
_COMMIT_ROOM_BYTES = 2**20
"""Beside its records a commit copies the pages on the way to them, in every table."""


class SpaceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When the engine is to take no new work: below so much free disk, or above so much of the map."""

    disk_free_min_bytes: int = 256 * 2**20
    map_used_max: float = 0.95


class Space(msgspec.Struct, frozen=True):
    """What room there is. `why` is a sentence when it is too little, else empty."""

    why: str = ""

    @property
    def low(self) -> bool:
        return bool(self.why)


def space(environment: Environment, limits: SpaceLimits) -> Space:
    """Look at the disk and at the map. Cheap enough for once a second."""
    free = free_bytes(environment.folder)
    total = environment.map_bytes
    used = environment.file_bytes
    if used > limits.map_used_max * total:  # much of the file may be free for use again
        used = environment.used_bytes()
    why = ""
    if free < limits.disk_free_min_bytes:
        why = f"the disk of {environment.folder} has {size_text(free)} left"
    elif used > limits.map_used_max * total:
        why = f"the state fills {used / total:.0%} of its map of {size_text(total)}"
    return Space(why)


class Committer:
    """Writes in the thread that calls it. `revision` is the newest one that is on the disk."""

    def __init__(self, environment: Environment, revision: int) -> None:
        self._environment = environment
        self._folder: Path = environment.folder
        self.revision = revision
        self.failed: str = ""

    def commit(self, batch: Batch) -> int:
        """Returns the batch's revision when it is durable. Raises StoreFull (nothing was written), CommitFailed."""
        if batch.revision <= self.revision:
            raise self._fail(f"revision {batch.revision} comes after {self.revision}")
        try:
            self._transact(lambda edit: edit.write(batch), _COMMIT_ROOM_BYTES + 2 * batch.size_bytes)
        except StoreDamage as error:
            raise self._fail(error.sentence) from error
        self.revision = batch.revision
        return batch.revision

    def run(self, job: Job[T]) -> T:
        """Another piece of work in a transaction of its own, such as a step of retention.

        Raises as `commit`, and StoreDamage when the job met a damaged record: then it changed nothing.
        """
        return self._transact(job, _COMMIT_ROOM_BYTES)

    def _transact(self, job: Job[T], room_bytes: int) -> T:
        if self.failed:
            raise CommitFailed(f"an earlier commit failed: {self.failed}", "restart the engine")
        try:
            free = free_bytes(self._folder)
            if free < room_bytes:
                sentence = f"the disk of {self._folder} is full: {size_text(free)} left, {size_text(room_bytes)} wanted"
                raise StoreFull(sentence, "free some space, then restart the engine")
            with self._environment.edit() as edit:
                return job(edit)
        except (StoreFull, StoreDamage):
            raise
        except lmdb.MapFullError as error:
            raise StoreFull("the map of the state is full", "`orchctl gc` removes what may go") from error
        except Exception as error:
            raise self._fail(str(error) or type(error).__name__) from error

    def _fail(self, why: str) -> CommitFailed:
        self.failed = why
        hint = "the engine has to exit; nothing of the batch was answered, and a restart reads what is on the disk"
        return CommitFailed(f"the state could not be written: {why}", hint)


class Writer:
    """The committer's thread, for a trio program: `async with Writer(environment, revision) as writer`."""

    def __init__(self, environment: Environment, revision: int) -> None:
        self._committer = Committer(environment, revision)
        self._queue: SimpleQueue[tuple[Callable[[], object] | None, trio.lowlevel.Task]] = SimpleQueue()
        self._asked = 0
        """What was given to the thread and is not done."""
        self._took_s = 0.0
        self._by_thread = 0
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._wake: Callable[..., None] | None = None

    @property
    def revision(self) -> int:
        """The newest revision that is on the disk."""
        return self._committer.revision

    async def commit(self, batch: Batch) -> int:
        """Wait until the batch is durable; its revision. Cannot be cancelled: a written batch must be known as such.

        Raises StoreFull (nothing was written), CommitFailed.
        """
        if self._asked or batch.size_bytes > SMALL_BYTES or not self._disk_is_quick():
            return cast("int", await self._ask(lambda: self._committer.commit(batch)))
        began_s = time.perf_counter()
        revision = self._committer.commit(batch)
        self._took_s = (self._took_s + time.perf_counter() - began_s) / 2
        return revision

    def _disk_is_quick(self) -> bool:
        if self._took_s < QUICK_S:
            return True
        self._by_thread += 1
        return self._by_thread % _AGAIN_EVERY == 0

    async def run(self, job: Job[T]) -> T:
        """Do a job in a transaction of its own, after all batches before it. Raises as `commit`."""
        return cast("T", await self._ask(lambda: self._committer.run(job)))

    async def __aenter__(self) -> "Writer":
        self._wake = cast("Any", trio.lowlevel.current_trio_token()).run_sync_soon
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """What was queued is still written."""
        await self._ask(None)
        self._thread.join()

    async def _ask(self, work: Callable[[], object] | None) -> object:
        self._asked += 1
        self._queue.put((work, trio.lowlevel.current_task()))
        try:
            return await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        finally:
            self._asked -= 1

    def _work(self) -> None:
        wake = self._wake
        assert wake is not None
        while True:
            work, task = self._queue.get()
            wake(trio.lowlevel.reschedule, task, outcome.capture(work) if work else outcome.Value(None))
            if work is None:
                return
