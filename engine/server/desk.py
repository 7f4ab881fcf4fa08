"""Answers to questions: looks at a settled state, loads a finished run first where one is needed, reads logs aside."""

from collections.abc import Callable
from typing import TypeVar

import trio

from engine.model.errors import Unavailable
from engine.protocol.framing import frame
from engine.protocol.messages import FRAME_BYTES_MAX, Definition, GetWorkflow, ListSamples, ReadLog, Request
from engine.server.gate import Gate
from engine.server.logs import new_limiter, place_of_log, read_log
from engine.server.look import Look, RunNeeded, no_run
from engine.server.packing import rows_frame
from engine.server.queries import answer, definition_of
from engine.server.samples import path_of_samples, read_samples

T = TypeVar("T")
_LOADS_MAX = 5
_TEXT_BYTES_MAX = FRAME_BYTES_MAX - 64 * 2**10


class Desk:
    """One for all sessions. `clients` tells how many there are."""

    def __init__(self, look: Look, gate: Gate, clients: Callable[[], int]) -> None:
        self.look = look
        self.gate = gate
        self.clients = clients
        self._log_readers = new_limiter()
        self._loading = trio.Lock()

    async def see(self, evaluate: Callable[[], T]) -> T:
        """What `evaluate` gives on a settled state; runs that it needs are loaded. Raises what it raises."""
        for _ in range(_LOADS_MAX):
            try:
                return await self.gate.look(evaluate)
            except RunNeeded as needed:
                await self.load(needed.run)
        raise Unavailable("the run changes too fast to be looked at", "try again in a moment")

    async def load(self, number: int) -> None:
        """Put a run that is not in memory on the shelf, one at a time. Raises NotFound."""
        look = self.look
        async with self._loading:
            if number in look.state.runs or look.shelf.get(number) is not None:
                return
            look.shelf.begin(number)
            try:
                run = await trio.to_thread.run_sync(look.history.load_run, number)
            except BaseException:
                look.shelf.drop(number)
                raise
            if run is None:
                look.shelf.drop(number)
                raise no_run(number)
            look.shelf.put(number, run)

    async def answer(self, question: Request) -> bytes:
        """The frame that answers a question. Raises EngineError."""
        look = self.look
        if isinstance(question, ReadLog):
            place = await self.see(lambda: place_of_log(look, question))
            return frame(await read_log(look.logs, place, question, self._log_readers))
        if isinstance(question, ListSamples):
            path = await self.see(lambda: path_of_samples(look, question))
            page = await read_samples(look.logs, path, self._log_readers)
            return rows_frame(question.id, look.revision, page)
        if isinstance(question, GetWorkflow):
            return await self.see(lambda: self._definition(question))
        return await self.see(lambda: rows_frame(question.id, look.revision, answer(look, question, self.clients())))

    def _definition(self, question: GetWorkflow) -> bytes:
        workflow, version, file, text = definition_of(self.look, question)
        encoded = text.encode()
        shown = text if len(encoded) <= _TEXT_BYTES_MAX else encoded[:_TEXT_BYTES_MAX].decode(errors="ignore")
        return frame(
            Definition(
                id=question.id, workflow=workflow, version=version, file=file, text=shown,
                truncated=len(shown) < len(text),
            )
        )  # fmt: skip
