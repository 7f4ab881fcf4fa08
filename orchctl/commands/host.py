"""resources: what the host has, what attempts claim, and who holds it."""

from typing import Any, cast

from engine.protocol.messages import GetResources
from engine.protocol.rows import ResourcesRow
from orchctl.commands.kit import SUCCEEDED, Command, Place, Words, nothing_more
from orchctl.text import gpu_use_text, inert, instant_text, levels_text, seconds_text, size_text

_HOLDERS_SHOWN = 30


def resources(words: Words, place: Place) -> int:
    out = place.out
    with place.session(read_only=True) as session:
        row, as_sent = session.one(GetResources(), ResourcesRow)
    if out.json:
        out.row(as_sent)
        return SUCCEEDED
    used = "" if row.cpus_used is None else f"{row.cpus_used:.1f} used"
    others = "" if row.cpus_others is None else f"{', ' if used else ''}{row.cpus_others:.1f} by others"
    available = "" if row.memory_available is None else f"{size_text(row.memory_available)} available"
    rows = [
        ("cpu", f"{row.cpus:g}", f"{row.cpus_claimed:g}", used + others),
        ("memory", size_text(row.memory), size_text(row.memory_claimed), available),
    ]
    if row.scratch:
        free = "" if row.scratch_free is None else f"{size_text(row.scratch_free)} free"
        rows.append(("scratch", size_text(row.scratch), size_text(row.scratch_claimed), free))
    rows += [
        (f"gpu {inert(uuid)}", "1", f"{share:g}", gpu_use_text(row.gpus_used.get(uuid, {})))
        for uuid, share in row.gpus.items()
    ]
    if row.cores_bound:
        rows.append(("cores bound", str(row.cores), str(row.cores_bound), ""))
    for name, pool in row.pools.items():
        rows.append((f"pool {inert(name)}", str(pool.get("slots", 0)), str(pool.get("claimed", 0)), ""))
    rows += [(f"mutex {inert(name)}", "1", "1", inert(holder)) for name, holder in row.mutexes.items()]
    out.table(("RESOURCE", "CAPACITY", "CLAIMED", "REALLY"), rows, right="CAPACITY CLAIMED")
    load = "" if row.load is None else f", load {row.load:.1f}"
    out.line(f"{row.running} running, {row.ready} ready{load}")
    if row.pressure:
        out.line(out.paint(f"admission is {inert(row.admission)}", "warning"))
        out.lines(f"  {inert(sentence)}" for sentence in row.pressure)
    if row.reservation:
        due = row.reservation.get("due")
        when = f", may start {instant_text(cast(str, due))}" if due else ""
        out.line(f"room is set aside for {inert(row.reservation.get('run'))} {inert(row.reservation.get('row'))}{when}")
    if len(row.owners) > 1:
        out.line()
        out.table(("OWNER", "WEIGHT", "HOLDS", "USED"), map(_owner, row.owners), right="WEIGHT HOLDS USED")
    if row.holders:
        out.line()
        out.table(("RUN", "TASK", "CPU", "MEMORY", "POOLS", "RSS", "ALSO"), map(_holder, row.holders[:_HOLDERS_SHOWN]))
    return SUCCEEDED


def _owner(owner: dict[str, Any]) -> list[str]:
    share, used = float(owner.get("share") or 0), float(owner.get("used") or 0)
    return [inert(owner.get("owner")), f"{owner.get('weight', 1):g}", f"{share:.0%}", seconds_text(used)]


def _holder(holder: dict[str, Any]) -> list[str]:
    pools = cast(dict[str, Any], holder.get("pools") or {})
    return [
        inert(holder.get("run")),
        inert(holder.get("row")),
        inert(holder.get("cpu")),
        size_text(cast(float | None, holder.get("memory"))),
        " ".join(f"{inert(name)}:{inert(slots)}" for name, slots in pools.items()),
        size_text(cast(float | None, holder.get("rss"))),
        " ".join(_also(holder)),
    ]


def _also(holder: dict[str, Any]) -> list[str]:
    """GPUs, mutexes, scratch disk, CPUs of its own, what it gave back, and how its quotas are enforced."""
    gpus = cast(dict[str, float], holder.get("gpus") or {})
    parts = [f"{inert(uuid)}:{share:g}" for uuid, share in gpus.items()]
    parts += [inert(name) for name in cast(list[Any], holder.get("mutexes") or [])]
    if holder.get("scratch"):
        parts.append(f"scratch {size_text(cast(float, holder['scratch']))}")
    cpus = cast(list[Any], holder.get("cpus") or [])
    if cpus:
        parts.append(f"cpus {','.join(map(inert, cpus))}")
    parts += ["alone"] if holder.get("exclusive") else []
    parts += [f"gave back cpu {inert(holder['released'])}"] if holder.get("released") else []
    parts += [inert(holder["still"])] if holder.get("still") else []
    enforced = cast(dict[str, Any], holder.get("enforced") or {})
    return [*parts, f"quotas: {levels_text(enforced)}"] if enforced else parts


COMMANDS = {"resources": Command(resources, nothing_more, ("orchctl resources", "orchctl resources --json"))}
