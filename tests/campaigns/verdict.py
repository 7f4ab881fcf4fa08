"""How a campaign ends: what must hold whatever it was about, and what is said of it."""

import sys
from collections.abc import Sequence

from tests.support.home import Home

_TOLD_MAX = 20


def leaks(place: Home) -> list[str]:
    """What is still claimed although nothing runs."""
    host = place.rows("resources")[0]
    leaked = host["cpus_claimed"] or host["running"] or host["holders"]
    return [f"claimed although nothing runs: {host}"] if leaked else []


def tell(summary: str, found: Sequence[str]) -> int:
    """Print the summary, and the first of what is wrong. Returns the exit code."""
    sys.stdout.write("".join(f"{line}\n" for line in (summary, *found[:_TOLD_MAX])))
    return 1 if found else 0
