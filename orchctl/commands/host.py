"""resources: what the host has, what attempts claim, and who holds it."""

from typing import Any, cast

from engine.protocol.messages import GetResources
from engine.protocol.rows import ResourcesRow
from orchctl.commands.kit import SUCCEEDED, Command, Place, Words, nothing_more
from orchctl.text import inert, size_text

_HOLDERS_SHOWN = 30


def resources(words: Words, place: Place) -> int:
    out = place.out
    with place.session(read_only=True) as session:
        row, as_sent = session.one(GetResources(), ResourcesRow)
    if out.json:
        out.row(as_sent)
        return SUCCEEDED
    used = "" if row.cpus_used is None else f"{row.cpus_used:.1f}"
    available = "" if row.memory_available is None else f"{size_text(row.memory_available)} available"
    rows = [
        ("cpu", f"{row.cpus:g}", f"{row.cpus_claimed:g}", f"{used} used" if used else ""),
        ("memory", size_text(row.memory), size_text(row.memory_claimed), available),
    ]
    for name, pool in row.pools.items():
        rows.append((f"pool {inert(name)}", str(pool.get("slots", 0)), str(pool.get("claimed", 0)), ""))
    out.table(("RESOURCE", "CAPACITY", "CLAIMED", "REALLY"), rows, right="CAPACITY CLAIMED")
    load = "" if row.load is None else f", load {row.load:.1f}"
    out.line(f"{row.running} running, {row.ready} ready{load}")
    if row.holders:
        out.line()
        out.table(("RUN", "TASK", "CPU", "MEMORY", "POOLS", "RSS"), map(_holder, row.holders[:_HOLDERS_SHOWN]))
    return SUCCEEDED


def _holder(holder: dict[str, Any]) -> list[str]:
    pools = cast(dict[str, Any], holder.get("pools") or {})
    return [
        inert(holder.get("run")),
        inert(holder.get("row")),
        inert(holder.get("cpu")),
        size_text(cast(float | None, holder.get("memory"))),
        " ".join(f"{inert(name)}:{inert(slots)}" for name, slots in pools.items()),
        size_text(cast(float | None, holder.get("rss"))),
    ]


COMMANDS = {"resources": Command(resources, nothing_more, ("orchctl resources", "orchctl resources --json"))}
