"""The host as lines: what there is of each resource, what is claimed and really used, and how that went while the
console was open; who holds it, what waits for it, and who shares it. Pure functions of rows and a width.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from engine.protocol.rows import QueueRow, ResourcesRow
from orchctl.console.drawing import Line, column, duration, fitted, gauge, instant_s, time_of
from orchctl.console.runlines import folded, reason_text, row_name
from orchctl.console.theme import Signs
from orchctl.console.timelines import levels_of
from orchctl.text import inert, size_text

SAMPLES_KEPT = 600
SAMPLE_S = 1.0


class Sample(msgspec.Struct, frozen=True):
    """Shares of the capacity, 0 to 1: what was claimed, and what was really used (None: not known)."""

    cpu_claimed: float
    cpu_used: float | None
    memory_claimed: float
    memory_used: float | None


class Use:
    """How the host was used while this console has been open, at most a sample a second."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SAMPLES_KEPT)
        self._taken_s = 0.0

    def take(self, row: ResourcesRow, now_s: float) -> None:
        """Keep a sample, if the last one is old enough."""
        if now_s - self._taken_s < SAMPLE_S:
            return
        self._taken_s = now_s
        cpus, memory = max(row.cpus, 0.001), max(row.memory, 1)
        used = None if row.cpus_used is None else row.cpus_used / cpus
        resident = None if row.memory_used is None else row.memory_used / memory
        self.samples.append(Sample(row.cpus_claimed / cpus, used, row.memory_claimed / memory, resident))


def _curve(samples: Sequence[float | None], width: int, signs: Signs) -> str:
    """The newest samples, the newest at the right."""
    levels = levels_of(signs)
    shown = [value for value in samples if value is not None][-width:]
    return "".join(levels[min(len(levels) - 1, max(0, round(value * (len(levels) - 1))))] for value in shown)


def host_lines(row: ResourcesRow, use: Use, width: int, signs: Signs, now_s: float) -> list[Line]:
    """A line for each resource that there is, each that the host is short of, and one for the reservation."""
    lines = [*_basic(row, use, width, signs), *_pressed(row, width), *_named(row, width)]
    held = row.reservation
    if held is not None:
        since = instant_s(cast("str | None", held.get("since")))
        text = f" {inert(held.get('run'))} {inert(held.get('row'))} is next"
        text += "" if since is None else f", has waited {duration(max(0.0, now_s - since))}"
        due = cast("str | None", held.get("due"))
        text += f", may start {time_of(due)}" if due else ""
        lines.append(fitted([(" reserved", "dim"), (text, "yellow")], width))
    return lines


def _basic(row: ResourcesRow, use: Use, width: int, signs: Signs) -> Iterator[Line]:
    samples = list(use.samples)
    used = "" if row.cpus_used is None else f"{row.cpus_used:.1f} used"
    real = [sample.cpu_used if sample.cpu_used is not None else sample.cpu_claimed for sample in samples]
    yield _resource("cpu", row.cpus_claimed, row.cpus, f"{row.cpus_claimed:g}/{row.cpus:g}", used, real, width, signs)
    used = "" if row.memory_used is None else f"{size_text(row.memory_used)} used"
    real = [sample.memory_used if sample.memory_used is not None else sample.memory_claimed for sample in samples]
    said = f"{size_text(row.memory_claimed)}/{size_text(row.memory)}"
    yield _resource("memory", row.memory_claimed, row.memory, said, used, real, width, signs)
    if row.scratch:
        free = "" if row.scratch_free is None else f"{size_text(row.scratch_free)} free"
        said = f"{size_text(row.scratch_claimed)}/{size_text(row.scratch)}"
        yield _resource("scratch", row.scratch_claimed, row.scratch, said, free, (), width, signs)
    if row.gpus:
        taken = sum(row.gpus.values())
        each = "  ".join(f"{inert(uuid)[:12]} {share:.0%}" for uuid, share in row.gpus.items())
        yield _resource("gpu", taken, len(row.gpus), f"{taken:g}/{len(row.gpus)}", each, (), width, signs)
    if row.cores_bound:
        said = f"{row.cores_bound}/{row.cores}"
        yield _resource("pinned", row.cores_bound, row.cores, said, "cores", (), width, signs)


def _resource(
    name: str, claimed: float, capacity: float, said: str, used: str, samples: Sequence[float | None], width: int,
    signs: Signs,
) -> Line:  # fmt: skip
    cells = 16 if width >= 78 else 8
    line: Line = [(f" {column(name, 8)}", "dim"), *gauge(claimed, capacity, cells, signs)]
    line += [(f" {column(said, 20)}", "plain"), (f" {column(used, 14)}", "plain")]
    room = width - 1 - sum(len(text) for text, _ in line)
    if samples and room > 4:
        line.append((" " + _curve(samples, room - 1, signs), "cyan"))
    return fitted(line, width)


def _pressed(row: ResourcesRow, width: int) -> Iterator[Line]:
    pieces = [piece for sentence in row.pressure for piece in folded(inert(sentence), max(20, width - 11))]
    for number, piece in enumerate(pieces):
        head = f" {inert(row.admission)}" if number == 0 else ""
        yield fitted([(column(head, 10), "yellow"), (piece, "yellow")], width)


def _named(row: ResourcesRow, width: int) -> Iterator[Line]:
    if row.pools:
        pools = "  ".join(
            f"{inert(name)} {pool.get('claimed', 0)}/{pool.get('slots', 0)}" for name, pool in row.pools.items()
        )
        yield fitted([(" pools    ", "dim"), (pools, "plain")], width)
    if row.mutexes:
        mutexes = "  ".join(f"{inert(name)} by {inert(holder)}" for name, holder in row.mutexes.items())
        yield fitted([(" mutexes  ", "dim"), (mutexes, "plain")], width)


# --- tables ---------------------------------------------------------------------------------------------------------


def also_text(claim: dict[str, Any]) -> str:
    """What is claimed beside CPU and memory: `disk:1 gpu 2 lock scratch 1.0 GiB pin core alone`."""
    parts = [f"{inert(name)}:{inert(slots)}" for name, slots in _map(claim.get("pools")).items()]
    gpu = claim.get("gpu") or sum(_map(claim.get("gpus")).values())
    parts += [f"gpu {gpu:g}"] if gpu else []
    parts += [inert(name) for name in cast("list[Any]", claim.get("mutexes") or [])]
    parts += [f"scratch {size_text(claim['scratch'])}"] if claim.get("scratch") else []
    cpus = cast("list[Any]", claim.get("cpus") or [])
    parts += [f"on cpu {','.join(map(inert, cpus))}"] if cpus else []
    parts += [f"pin {inert(claim['pin'])}"] if claim.get("pin") else []
    parts += ["alone"] if claim.get("exclusive") else []
    parts += [f"gave back cpu {claim['released']:g}"] if claim.get("released") else []
    parts += [inert(claim["still"])] if claim.get("still") else []
    return " ".join(parts)


def _map(value: Any) -> dict[Any, Any]:
    return cast("dict[Any, Any]", value) if isinstance(value, dict) else {}


def _name_columns(width: int) -> int:
    return max(14, min(40, width - 60))


def holders_heading(width: int) -> Line:
    head = f"  {column('HOLDS', _name_columns(width))}{column('OWNER', 12)}{column('FOR', 8)}"
    return fitted([(f"{head}{column('CPU', 6)}{column('MEMORY', 10)}{column('REALLY', 10)}ALSO", "heading")], width)


def holder_line(holder: dict[str, Any], width: int, now_s: float) -> Line:
    """One live attempt: what it holds, since when, and how much memory it really has."""
    since = instant_s(cast("str | None", holder.get("since")))
    held = "" if since is None else duration(max(0.0, now_s - since))
    name = f"{inert(holder.get('run'))} {inert(holder.get('row'))}"
    memory, rss = cast("float | None", holder.get("memory")), cast("float | None", holder.get("rss"))
    over = bool(memory and rss and rss > memory)
    return fitted(
        [
            (" ", "plain"), (column(name, _name_columns(width) - 1) + " ", "strong"),
            (column(inert(holder.get("owner") or ""), 11) + " ", "plain"), (column(held, 7) + " ", "dim"),
            (column(f"{holder.get('cpu', 0):g}", 6), "plain"),
            (column(size_text(memory) if memory else "", 10), "plain"),
            (column(size_text(rss) if rss else "", 10), "yellow" if over else "plain"), (also_text(holder), "dim"),
        ],
        width,
    )  # fmt: skip


def queue_heading(width: int) -> Line:
    head = f"  {column('RANK', 8)}{column('WAITS', _name_columns(width))}{column('OWNER', 12)}{column('ASKS', 14)}"
    return fitted([(f"{head}WHY", "heading")], width)


def queue_line(row: QueueRow, width: int, signs: Signs) -> Line:
    """A stretch of rows that wait: their place, what each asks for, and why it does not start."""
    name = f"{row.run} {row_name(row.task, row.index)}"
    many = f" {signs.times}{row.rows:,}" if row.rows > 1 else ""
    room = _name_columns(width) - 1 - len(many)
    asks = f"cpu {row.claim.get('cpu', 0):g} {also_text(row.claim)}"
    memory = row.claim.get("memory")
    asks += f" {size_text(memory)}" if memory else ""
    why = "; ".join(map(reason_text, row.reasons[:2])) or "x says why"
    return fitted(
        [
            (" ", "plain"), (column("" if row.rank is None else f"{row.rank:,}", 8), "dim"),
            (column(name, max(6, room)).rstrip() + many, "strong"),
            (" " * max(1, _name_columns(width) - len(column(name, max(6, room)).rstrip() + many)), "plain"),
            (column(row.owner, 11) + " ", "plain"), (column(asks, 13) + " ", "plain"),
            (f"{'reserved, ' if row.reserved else ''}{why}", "yellow" if row.reserved else "dim"),
        ],
        width,
    )  # fmt: skip


def queue_about(row: QueueRow, width: int) -> list[Line]:
    """All of why it does not start, which the table has no room for."""
    text = "; ".join(map(reason_text, row.reasons)) or "x says why"
    pieces = folded(f"{row_name(row.task, row.index)}: {text}", max(20, width - 2))
    return [[(f" {piece}", "plain")] for piece in pieces]


def owners_about(width: int) -> list[Line]:
    text = "USED: CPU-share hours, decaying; of two who wait, the one who has used less for its weight goes first"
    return [[(f" {piece}", "dim")] for piece in folded(text, max(20, width - 2))]


def owners_heading(width: int) -> Line:
    text = f"  {column('OWNER', 24)}{column('WEIGHT', 8)}{column('HOLDS NOW', 30)}USED"
    return fitted([(text, "heading")], width)


def owner_line(owner: dict[str, Any], width: int, signs: Signs) -> Line:
    """One of those who share the host: the part that is theirs now, and what counts against them in the queue."""
    share = float(owner.get("share") or 0)
    return fitted(
        [
            (" ", "plain"), (column(inert(owner.get("owner")), 23) + " ", "strong"),
            (column(f"{owner.get('weight', 1):g}", 8), "plain"), *gauge(share, 1.0, 16, signs),
            (column(f" {share:.0%}", 12), "plain"), (f"{float(owner.get('used') or 0) / 3600:.2f}", "plain"),
        ],
        width,
    )  # fmt: skip
