"""An engine for the console's tests: the wire for real, on a real socket, over a world that a test writes down.

Views are answered from the world and kept current as the engine does it: a snapshot, then deltas of the rows that
differ, with the order where rows came, went or moved. Acts are kept for the test to look at.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.protocol.filters import parse_filter, select
from engine.protocol.framing import FrameBuffer, decode_request, frame
from engine.protocol.messages import (
    PROTOCOL,
    Act,
    ActOnBackfill,
    AnyRequest,
    ChangeSettings,
    Definition,
    Delta,
    Done,
    ExplainRun,
    GetEngine,
    GetResources,
    GetRun,
    GetStats,
    GetTask,
    GetWorkflow,
    Gone,
    Hello,
    ListAttempts,
    ListAudit,
    ListBackfills,
    ListEvents,
    ListGrid,
    ListGroups,
    ListLanes,
    ListPartitions,
    ListQueue,
    ListRuns,
    ListSchedules,
    ListTasks,
    ListWorkflows,
    LogChunk,
    PauseWorkflow,
    ReadLog,
    Refused,
    Reply,
    Request,
    Rows,
    Snapshot,
    StartBackfill,
    Submit,
    Subscribe,
    Unsubscribe,
    Welcome,
    key_of,
)
from engine.protocol.rows import (
    AttemptRow,
    AuditRow,
    BackfillRow,
    EngineRow,
    EventRow,
    GridRow,
    GroupRow,
    LaneRow,
    PartitionRow,
    QueueRow,
    ReasonRow,
    ResourcesRow,
    Row,
    RunRow,
    ScheduleRow,
    SpecRow,
    StatsRow,
    TaskRow,
    WorkflowRow,
)

Map = dict[str, Any]
RequestT = TypeVar("RequestT", bound=Request)
_ATTENTION = ("failed", "upstream_failed", "running", "backing_off", "ready", "waiting")


def engine_row(**changes: Any) -> EngineRow:
    base = EngineRow(
        pid=1, state="serving", revision=1, version="0.1.0", protocol=PROTOCOL, instance="i", epoch=1,
        started_at="2026-11-23T00:00:00Z", home="/home", socket="/home/run/engine.sock", runs={"running": 1},
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


class World:
    """What the engine knows. Tests change it and call `ConsoleEngine.publish`."""

    def __init__(self) -> None:
        self.engine = engine_row()
        self.resources = ResourcesRow(
            cpus=32, cpus_claimed=12, cpus_used=9.5, memory=64 * 2**30, memory_claimed=8 * 2**30,
            memory_available=48 * 2**30, memory_used=16 * 2**30, load=7.2,
            pools={"warehouse": {"slots": 4, "claimed": 3}}, running=12, ready=40,
        )  # fmt: skip
        self.runs: list[RunRow] = []
        self.groups: dict[int, list[GroupRow]] = {}
        self.tasks: dict[int, list[TaskRow]] = {}
        self.attempts: list[AttemptRow] = []
        self.specs: dict[str, SpecRow] = {}
        self.queue: list[QueueRow] = []
        self.reasons: list[ReasonRow] = []
        self.events: list[EventRow] = []
        self.lanes: list[LaneRow] = []
        self.grid: list[GridRow] = []
        self.stats: list[StatsRow] = []
        self.workflows: list[WorkflowRow] = []
        self.schedules: list[ScheduleRow] = []
        self.backfills: list[BackfillRow] = []
        self.partitions: list[PartitionRow] = []
        self.audit: list[AuditRow] = []
        self.definitions: dict[str, Definition] = {}
        self.logs: dict[str, bytes] = {}
        self.final_logs: set[str] = set()
        self.sentences: dict[str, str] = {}
        self.role = "admin"


class _Client:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.views: dict[int, tuple[Any, dict[str, Map], list[str], int]] = {}


class ConsoleEngine:
    """Serves a world at a socket. `requests` holds all that came; `answer_act` is what the next acts are told."""

    def __init__(self, home: Path, world: World) -> None:
        self._path = home / "run" / "engine.sock"
        self.world = world
        self.requests: list[AnyRequest] = []
        self.answer_act: Reply | None = None
        self.revision = 1
        self.silent = False
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self._server = await asyncio.start_unix_server(self._serve, f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)

    async def stop(self) -> None:
        """End like an engine that was killed: the connections break, the socket stays as a file."""
        assert self._server is not None
        self._server.close()
        for client in list(self._clients):
            client.writer.close()
            with contextlib.suppress(OSError):
                await client.writer.wait_closed()
        await self._server.wait_closed()
        self._server = None

    @property
    def acts(self) -> list[Act]:
        return self.asked(Act)

    def asked(self, kind: type[RequestT]) -> list[RequestT]:
        """All requests of a kind that came."""
        return [request for request in self.requests if isinstance(request, kind)]

    @property
    def subscriptions(self) -> list[Any]:
        return [view for client in self._clients for view, *_ in client.views.values()]

    # --- the wire -------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer)
        self._clients.add(client)
        buffer = FrameBuffer()
        try:
            while data := await reader.read(65536):
                for body in buffer.feed(data):
                    request = decode_request(body)
                    self.requests.append(request)
                    if not self.silent:
                        self._answer(client, request)
        except OSError:
            pass
        finally:
            self._clients.discard(client)
            writer.close()

    def _answer(self, client: _Client, request: AnyRequest) -> None:
        match request:
            case Hello():
                reply: Reply = Welcome(protocol=PROTOCOL, engine=self.world.engine, role=self.world.role)
            case Subscribe():
                rows, total = self.rows(request.view)
                known = {key_of(row): row for row in rows}
                client.views[request.id] = (request.view, known, list(known), self.revision)
                reply = Snapshot(revision=self.revision, rows=rows, total=total)
            case Unsubscribe():
                client.views.pop(request.subscription, None)
                return
            case Act() | PauseWorkflow() | ActOnBackfill():
                reply = self.answer_act or Done(body={"changed": 1, "refused": []})
            case StartBackfill():
                runs = sum(row.runs for row in self.world.partitions)
                body = {"backfill": "b2", "workflow": request.workflow, "partitions": runs,
                        "left_out": len(self.world.partitions) - runs}  # fmt: skip
                reply = self.answer_act or Done(body=body)
            case ChangeSettings():
                reply = self.answer_act or Done(body={"changed": 1, "was": dict.fromkeys(request.settings)})
            case Submit():
                reply = self.answer_act or Done(body={"run": "r13"})
            case GetWorkflow():
                reply = self.world.definitions.get(request.workflow) or Refused(
                    code="not_found", sentence=f"there is no workflow {request.workflow}"
                )
            case ReadLog():
                reply = self._log(request)
            case ListEvents():
                start = int(request.cursor or 0)
                page = self.world.events[start : start + request.limit]
                more = start + request.limit < len(self.world.events)
                cursor = str(start + request.limit) if more else ""
                reply = Rows(revision=self.revision, rows=[_map(row) for row in page], cursor=cursor)
            case _:
                rows, total = self.rows(request)
                reply = Rows(revision=self.revision, rows=rows, total=total)
        self.send(client, msgspec.structs.replace(reply, id=request.id))

    def send(self, client: _Client, reply: Reply) -> None:
        client.writer.write(frame(reply))

    def _log(self, request: ReadLog) -> Reply:
        key = request.task if request.index < 0 else f"{request.task}[{request.index}]"
        data = self.world.logs.get(key)
        if data is None:
            return Refused(code="not_found", sentence=f"{key} has no log")
        start = max(0, len(data) + request.offset) if request.offset < 0 else request.offset
        piece = data[start : start + request.limit]
        return LogChunk(
            data=piece, offset=start, size=len(data), number=request.number or 1, final=key in self.world.final_logs,
            sentence=self.world.sentences.get(key, ""),
        )  # fmt: skip

    # --- views ----------------------------------------------------------------------------------------------------

    def rows(self, view: Any) -> tuple[list[Map], int]:
        """The rows of a view and how many match."""
        world = self.world
        found: list[Row]
        match view:
            case GetEngine():
                found = [world.engine]
            case GetResources():
                found = [world.resources]
            case ListRuns():
                found = [
                    row for row in world.runs
                    if view.workflow in ("", row.workflow) and not 0 < view.before <= int(row.run[1:])
                ][: view.limit]  # fmt: skip
            case ListWorkflows():
                found = list(world.workflows)
            case ListSchedules():
                found = list(world.schedules)
            case ListBackfills():
                found = list(world.backfills)
            case ListPartitions():
                found = list(world.partitions)
            case ListAudit():
                found = [row for row in world.audit if not view.before or row.revision < view.before][: view.limit]
            case GetStats():
                found = [row for row in world.stats if row.task == view.task]
            case GetRun():
                found = [row for row in world.runs if row.run == f"r{view.run}"]
            case ListGroups():
                return _window(view, self._named(view, world.groups.get(view.run, [])))
            case ListLanes():
                if view.task:
                    return _window(
                        view, [row for row in world.lanes if row.task == view.task and row.index is not None]
                    )
                return _window(view, self._named(view, [row for row in world.lanes if row.index is None]))
            case ListGrid():
                return _window(view, self._named(view, world.grid))
            case ListTasks():
                return self._task_rows(view)
            case ListAttempts():
                found = [row for row in world.attempts if (row.task, row.index) == (view.task, _index(view.index))]
            case GetTask():
                found = [world.specs.get(view.task, SpecRow(task=view.task, kind="command", lines=["true"]))]
            case ListQueue():
                return _window(view, world.queue)
            case ExplainRun():
                found = [row for row in world.reasons if view.task in ("", row.task)]
            case _:
                raise AssertionError(f"no answer to {view}")
        return [_map(row) for row in found], len(found)

    def _named(self, view: Any, rows: Sequence[Any]) -> list[Any]:
        """Those of the rows whose task the view's filter means, as the engine understands it."""
        groups = self.world.groups.get(view.run, [])
        names = [group.task for group in groups]
        place = {name: at for at, name in enumerate(names)}
        ups = [[place[need] for need in group.needs] for group in groups]
        downs = (
            [[at for at, above in enumerate(ups) if task in above] for task in range(len(names))] if view.text else []
        )
        words = parse_filter(view.text)
        found = select(words, names, range(len(names)), ups.__getitem__, downs.__getitem__, lambda: None)
        statuses = set(getattr(view, "statuses", ()))
        wanted = {names[at] for at in found if not statuses or statuses & groups[at].tasks.keys()}
        return [row for row in rows if row.task in wanted or row.task not in place]

    def _task_rows(self, view: ListTasks) -> tuple[list[Map], int]:
        named = {row.task for row in self._named(view, self.world.tasks.get(view.run, []))} if view.text else None
        found = [
            row
            for row in self.world.tasks.get(view.run, [])
            if view.task in ("", row.task)
            and (view.index is None or view.index == (-1 if row.index is None else row.index))
            and (named is None or row.task in named)
            and (not view.statuses or row.status in view.statuses)
        ]
        if view.sort == "attention":
            rank = {status: at for at, status in enumerate(_ATTENTION)}
            found.sort(key=lambda row: rank.get(row.status, len(rank)))
        return [_map(row) for row in found[view.offset : view.offset + view.limit]], len(found)

    def publish(self, *, skip: int = 0) -> None:
        """The world has changed: send deltas. `skip` revisions are lost on the way, as if a delta had been dropped."""
        before, self.revision = self.revision, self.revision + 1
        for client in self._clients:
            for number, (view, known, order, _) in list(client.views.items()):
                rows, total = self.rows(view)
                if not rows and known and isinstance(view, GetRun):
                    del client.views[number]
                    self.send(client, Gone(id=number, why="the run was removed"))
                    continue
                fresh = {key_of(row): row for row in rows}
                changed = [row for key, row in fresh.items() if known.get(key) != row]
                moved = list(fresh) != order
                client.views[number] = (view, fresh, list(fresh), self.revision)
                if changed or moved or skip:
                    self.send(
                        client,
                        Delta(
                            id=number, since=before + skip, revision=self.revision, rows=changed,
                            order=list(fresh) if moved else None, total=total,
                        ),
                    )  # fmt: skip
                else:
                    self.send(client, Delta(id=number, since=before, revision=self.revision, rows=[], total=total))


def _index(index: int) -> int | None:
    return None if index < 0 else index


def _window(view: Any, rows: Sequence[Row]) -> tuple[list[Map], int]:
    return [_map(row) for row in rows[view.offset : view.offset + view.limit]], len(rows)


def _map(row: Row) -> Map:
    return msgspec.to_builtins(row)
