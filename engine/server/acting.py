"""Carrying out requests that act: checked, handed to the machine as events, answered after the commit.

The request id that a client chose is kept apart by user, so that nobody gets the answer to another's request, and may
not be used again for another request. What never reaches the machine is written to the audit here.
"""

import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from engine.core.changes import AuditEntry
from engine.core.effects import Answer
from engine.core.events import (
    Actor,
    Ask,
    BackfillRequested,
    External,
    RunRequested,
    WorkflowAdded,
    WorkflowPauseRequested,
)
from engine.model.errors import Conflict, EngineError, Forbidden, NotFound, ValueFault
from engine.model.workflow import DEFINITION_BYTES_MAX
from engine.protocol.messages import (
    AddWorkflow,
    Backup,
    CollectGarbage,
    Request,
    StartBackfill,
    StopEngine,
    Submit,
    VerifyAudit,
)  # fmt: skip
from engine.server.access import Role
from engine.server.backfilling import known_runs, scope_of
from engine.server.look import Look
from engine.server.ports import Installed, World
from engine.server.requests import (
    Acting,
    check_note,
    check_params,
    check_request_id,
    check_submit,
    event_of,
    role_for,
    verb_and_target,
)
from engine.server.tickets import Tickets
from engine.server.uploads import Uploads

_IDS_KEPT = 10_000
_AUDIT_BURST = 200
_AUDIT_PER_S = 20.0
_FOLDER_MAX = 4096
_encoder = msgspec.msgpack.Encoder()

Body = dict[str, Any]


class Refused(EngineError):  # the name of what it becomes on the wire
    """The machine's refusal, with its own code."""

    def __init__(self, code: str, sentence: str, hint: str) -> None:
        super().__init__(sentence, hint)
        self.code = code


class Caller:
    """Who acts, and what they have uploaded."""

    def __init__(self, actor: Actor, role: Role, uploads: Uploads) -> None:
        self.actor = actor
        self.role = role
        self.uploads = uploads


class Acts:
    """One for all sessions. `pruned` is called when records were removed from the history."""

    def __init__(self, look: Look, world: World, tickets: Tickets, pruned: Callable[[], None]) -> None:
        self._look = look
        self._world = world
        self._tickets = tickets
        self._pruned = pruned
        self._digests: dict[str, bytes] = {}
        self._lines = float(_AUDIT_BURST)
        self._lines_at_s = time.monotonic()

    def allow(self, caller: Caller, request: Request) -> None:
        """Raises Forbidden for a request that the caller's role does not reach to."""
        needed = role_for(request)
        if caller.role < needed:
            verb, target = verb_and_target(request)
            error = Forbidden(f"{verb} needs the role {needed.text}, yours is {caller.role.text}")
            self.audit(AuditEntry(caller.actor, verb, target, error.code))
            raise error

    async def do(self, caller: Caller, request: Request) -> Body:
        """Carry it out; what became of it. Raises EngineError, and then nothing was changed."""
        verb, target = verb_and_target(request)
        try:
            return await self._do(caller, request)
        except Refused:  # the machine has written it down itself
            raise
        except EngineError as error:
            self.audit(AuditEntry(caller.actor, verb, target, error.code, error.sentence[:200]))
            raise

    def audit(self, entry: AuditEntry) -> None:
        """Write a refusal down, unless somebody makes them by the thousand."""
        now_s = time.monotonic()
        self._lines = min(_AUDIT_BURST, self._lines + (now_s - self._lines_at_s) * _AUDIT_PER_S)
        self._lines_at_s = now_s
        if self._lines >= 1:
            self._lines -= 1
            self._world.audit(entry)

    async def _do(self, caller: Caller, request: Request) -> Body:
        if isinstance(request, Submit):
            return await self._submit(caller, request)
        if isinstance(request, AddWorkflow):
            return await self._add(caller, request)
        if isinstance(request, StartBackfill):
            return await self._backfill(caller, request)
        if isinstance(request, Acting):
            event_of(request, Ask())  # what makes no sense is refused before its id counts as used
            request_id = self._request_id(caller, request)
            return await self._ask(lambda ticket: event_of(request, Ask(ticket, request_id, caller.actor)))
        if isinstance(request, Backup):
            return await self._backup(caller, request)
        if isinstance(request, CollectGarbage):
            body = await self._world.collect_garbage(dry_run=request.dry_run)
            if not request.dry_run:
                self._pruned()
            self._accepted(caller, "gc", "dry run" if request.dry_run else "")
            return body
        if isinstance(request, VerifyAudit):  # it only looks, so it leaves no line
            return await self._world.verify_audit()
        if isinstance(request, StopEngine):
            self._accepted(caller, "stop", "kill" if request.kill else "drain" if request.drain else "")
            self._world.stop(kill=request.kill, drain=request.drain)
            return {}
        raise ValueFault(f"{type(request).__name__} is no act")

    async def _submit(self, caller: Caller, request: Submit) -> Body:
        check_submit(request)
        request_id = self._request_id(caller, request)
        if request.workflow:
            entry = self._look.state.workflows.get(request.workflow)
            if entry is None:
                raise NotFound(
                    f"there is no workflow {request.workflow!r}",
                    "`orchctl workflows` lists them, `orchctl add FILE` adds one",
                )
            installed = Installed(entry.name, entry.version)
        else:
            installed = await self._install(caller, request.definition, request.upload)
        return await self._ask(
            lambda ticket: RunRequested(
                ask=Ask(ticket, request_id, caller.actor), workflow=installed.workflow, version=installed.version,
                params=request.params, trigger="manual", note=request.note,
            )
        )  # fmt: skip

    async def _backfill(self, caller: Caller, request: StartBackfill) -> Body:
        check_note(request.note)
        check_params(request.params)
        entry, workflow, scope = scope_of(self._look, request)
        known = dict(known_runs(self._look, workflow, scope))
        request_id = self._request_id(caller, request)
        return await self._ask(
            lambda ticket: BackfillRequested(
                Ask(ticket, request_id, caller.actor), entry.name, entry.version, scope, request.max_active,
                request.params, known, request.note,
            )
        )  # fmt: skip

    async def _add(self, caller: Caller, request: AddWorkflow) -> Body:
        if bool(request.definition) == bool(request.upload):
            raise ValueFault("a definition is sent along or was uploaded: exactly one of the two")
        request_id = self._request_id(caller, request)
        installed = await self._install(caller, request.definition, request.upload)
        body = await self._ask(
            lambda ticket: WorkflowAdded(Ask(ticket, request_id, caller.actor), installed.workflow, installed.version)
        )
        if request.paused:
            try:
                await self._ask(
                    lambda ticket: WorkflowPauseRequested(
                        Ask(ticket, "", caller.actor), installed.workflow, paused=True
                    )
                )
            except Refused as refused:
                if refused.code != Conflict.code:  # it is paused already: as was asked for
                    raise
        return body

    async def _install(self, caller: Caller, definition: bytes, upload: str) -> Installed:
        data = definition or caller.uploads.take(upload, time.monotonic())
        if len(data) > DEFINITION_BYTES_MAX:
            raise ValueFault(f"a definition has at most {DEFINITION_BYTES_MAX} bytes")
        return await self._world.install_workflow(data)

    async def _backup(self, caller: Caller, request: Backup) -> Body:
        folder = request.folder
        if not folder.startswith("/") or "\0" in folder or len(folder) > _FOLDER_MAX:
            raise ValueFault("a backup goes into a new folder: give its absolute path")
        body = await self._world.backup(folder)
        self._accepted(caller, "backup", folder)
        return body

    def _accepted(self, caller: Caller, verb: str, target: str) -> None:
        self._world.audit(AuditEntry(caller.actor, verb, target, "accepted"))

    async def _ask(self, event_for: Callable[[int], External]) -> Body:
        """Hand the event to the machine and wait until what it decided is on disk. Raises Refused."""
        ticket = self._tickets.issue()
        try:
            await self._world.submit(event_for(ticket))
        except BaseException:
            self._tickets.drop(ticket)
            raise
        given: Answer = await self._tickets.wait(ticket)
        if given.refusal is not None:
            raise Refused(given.refusal.code, given.refusal.sentence, given.refusal.hint)
        return given.body or {}

    def _request_id(self, caller: Caller, request: Acting | StartBackfill | Submit | AddWorkflow) -> str:
        """The id under which the machine remembers the request. Raises Conflict where it was used for another."""
        check_request_id(request.request_id)
        bare = replace(request, id=0)
        if isinstance(bare, Submit | AddWorkflow):
            bare = replace(bare, upload="")  # a repeat uploads again, under another name
        digest = _digest(bare)
        key = f"{caller.actor.uid}:{request.request_id}"
        known = self._digests.pop(key, digest)
        self._digests[key] = known
        if len(self._digests) > _IDS_KEPT:
            del self._digests[next(iter(self._digests))]
        if known != digest:
            raise Conflict("this request_id was used for another request", "choose a new one for each request")
        return key


def _digest(request: Request) -> bytes:
    return blake2b(_encoder.encode(request), digest_size=16).digest()
