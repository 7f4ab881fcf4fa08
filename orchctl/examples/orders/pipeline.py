"""The Python tasks of the example: a module beside the workflow file, found without being installed."""

import csv
from pathlib import Path
from typing import Any


def clean(source: str, shard: int, shards: int) -> dict[str, Any]:
    """Keep the valid orders of one shard and add them up. Its return value is the row's result."""
    kept = refused = cents = 0
    with Path(source).open(encoding="utf-8", newline="") as lines:
        for order, amount in csv.reader(lines):
            if int(order) % shards != shard:
                continue
            if int(amount) < 0:
                refused += 1
            else:
                kept, cents = kept + 1, cents + int(amount)
    print(f"shard {shard}: {kept} kept, {refused} refused")
    return {"kept": kept, "refused": refused, "cents": cents}


def total(shards: list[dict[str, int]], day: str) -> dict[str, Any]:
    """Add the shards up."""
    sums = {name: sum(shard[name] for shard in shards) for name in ("kept", "refused", "cents")}
    print(f"{day}: {sums['kept']} orders, {sums['cents'] / 100:.2f}")
    return {"day": day, **sums}
