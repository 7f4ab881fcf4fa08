"""backfill and backfills: runs for partitions of the past."""

from collections.abc import Callable, Mapping, Sequence

from engine.protocol.messages import ListBackfills, ListPartitions, StartBackfill
from engine.protocol.rows import BackfillRow, PartitionRow
from orchctl.client.session import Session, new_request_id
from orchctl.commands.kit import SUCCEEDED, Command, Parser, Place, Words, key_value, nothing_more, one_of, whole
from orchctl.commands.listing import list_rows
from orchctl.commands.output import Output
from orchctl.text import count_text, counts_text, inert, instant_text

_ACTIVE_MAX = 100
_PARTITIONS_MAX = 5_000


def _arguments(parser: Parser) -> None:
    parser.add_argument("workflow", metavar="WORKFLOW", help="the name of a workflow that was added")
    parser.add_argument(
        "--from", dest="since", metavar="DATE", required=True, help="the first day, or an instant: 2026-11-01"
    )
    parser.add_argument("--to", dest="until", metavar="DATE", required=True, help="the last day, or an instant")
    parser.add_argument(
        "--schedule", metavar="N", type=whole(1, 1_000), default=0,
        help="partitions of its Nth schedule only, as `orchctl schedules` lists them",
    )  # fmt: skip
    parser.add_argument(
        "--order", metavar="ORDER", default="oldest", type=one_of("oldest", "newest"),
        help="which go first: oldest (default) or newest",
    )  # fmt: skip
    parser.add_argument(
        "--max-active", metavar="N", type=whole(1, _ACTIVE_MAX), default=1,
        help="at most N of its runs unfinished at a time (default 1)",
    )  # fmt: skip
    parser.add_argument(
        "--reprocess", metavar="WHICH", default="none", type=one_of("none", "failed", "all"),
        help="of the partitions that have had a run: none (default), failed (or cancelled), or all",
    )  # fmt: skip
    parser.add_argument(
        "--max", dest="most", metavar="N", type=whole(1, _PARTITIONS_MAX), default=1_000,
        help="refuse more than N partitions (default 1000)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="list what would run, and why others are left out")
    parser.add_argument(
        "-p", "--param", metavar="NAME=VALUE", action="append", default=[], type=key_value,
        help="a parameter, the same for all its runs",
    )  # fmt: skip
    parser.add_argument("--note", metavar="TEXT", default="", help="a remark that is kept with it and its runs")


def backfill(words: Words, place: Place) -> int:
    with place.session(read_only=words.dry_run) as session:
        if words.dry_run:
            return _dry_run(session, words, place.out)
        request = StartBackfill(
            request_id=new_request_id(), workflow=words.workflow, since=words.since, until=words.until,
            schedule=words.schedule, order=words.order, reprocess=words.reprocess, most=words.most,
            max_active=words.max_active, params=dict(words.param), note=words.note,
        )  # fmt: skip
        body = session.act(request)
    if place.out.json:
        place.out.row(body)
        return SUCCEEDED
    name, left_out = inert(body.get("backfill")), int(body.get("left_out") or 0)
    more = f", {left_out} left out" if left_out else ""
    place.out.line(f"{name} {inert(body.get('workflow'))}: {_partitions(int(body.get('partitions') or 0))}{more}")
    place.out.remark(f"`orchctl backfills` shows how far it is; pause, resume and cancel take {name} too")
    return SUCCEEDED


def _partitions(count: int) -> str:
    return count_text(count, "partition")


def _dry_run(session: Session, words: Words, out: Output) -> int:
    question = ListPartitions(
        workflow=words.workflow, since=words.since, until=words.until, schedule=words.schedule, order=words.order,
        reprocess=words.reprocess, most=words.most,
    )  # fmt: skip
    maps = session.rows(question).rows
    list_rows(out, maps, PartitionRow, _PARTITIONS)
    runs = sum(bool(row["runs"]) for row in maps)
    out.remark(f"{_partitions(runs)} would run, {len(maps) - runs} are left out; nothing was done")
    return SUCCEEDED


_PARTITIONS: Mapping[str, Callable[[PartitionRow], object]] = {
    "PARTITION": lambda row: row.partition,
    "DUE": lambda row: instant_text(row.due_at),
    "": lambda row: ("would run", "running") if row.runs else ("left out", "skipped"),
    "LAST RUN": lambda row: row.run,
    "WHY": lambda row: row.why,
}


def backfills(words: Words, place: Place) -> int:
    with place.session(read_only=True) as session:
        maps = session.rows(ListBackfills()).rows
    none = "no backfills; `orchctl backfill WORKFLOW --from DATE --to DATE` makes one"
    return list_rows(place.out, maps, BackfillRow, _BACKFILLS, none=none)


def _some(names: Sequence[str], most: int = 3) -> str:
    more = f" +{len(names) - most}" if len(names) > most else ""
    return " ".join(names[:most]) + more


_BACKFILLS: Mapping[str, Callable[[BackfillRow], object]] = {
    "BACKFILL": lambda row: row.backfill,
    "WORKFLOW": lambda row: row.workflow,
    "STATUS": lambda row: (row.status, "succeeded" if row.status == "done" else row.status),
    "FROM": lambda row: instant_text(row.since),
    "TO": lambda row: instant_text(row.until),
    "ENDED": lambda row: counts_text(row.ended),
    "RUNNING": lambda row: _some(row.active),
    "TO COME": lambda row: row.pending or "",
    "LEFT OUT": lambda row: row.left_out or "",
    "BY": lambda row: row.actor,
    "NOTE": lambda row: row.note,
}

COMMANDS = {
    "backfill": Command(
        backfill,
        _arguments,
        (
            "orchctl backfill orders --from 2026-11-01 --to 2026-11-20 --dry-run",
            "orchctl backfill orders --from 2026-11-01 --to 2026-11-20 --max-active 4",
            "orchctl backfill orders --from 2026-11-01 --to 2026-11-20 --reprocess failed",
        ),
        "A run for each instant between the two dates (in the schedule's zone, both included) at which the workflow's "
        "schedules were due, made as earlier ones end. They yield to fresh runs. Exit code 3 if none is left to run.",
    ),
    "backfills": Command(backfills, nothing_more, ("orchctl backfills", "orchctl backfills --json")),
}
