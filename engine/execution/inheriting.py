"""What the launcher before this one left: attempts with an intent and without an end. The keeper has ended their
processes before this one started, so they are lost, but for rows of blocks that had ended, or had not begun.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from engine.execution.attempt import Outcome
from engine.execution.block import Block, left_behind, remove_page
from engine.execution.places import Places
from engine.execution.spool import Exit, Spool


class Inheritance(NamedTuple):
    """The ends that are known, the blocks whose rows are to be told one by one, and those whose end is among `ends`."""

    ends: list[Exit]
    kept: list[Block]
    spent: list[Block]


def inherited(places: Places, spool: Spool, forget: Callable[[int], None]) -> Inheritance:
    """What was measured of them is forgotten. Pages that nobody needs any more are removed."""
    why = "the host was started again" if spool.other_boot else "its launcher died"
    now = time.time_ns()
    found = Inheritance([], [], [])
    for number in spool.exits:  # the launcher was killed before it could remove them
        remove_page(places, number)
    for number, rows in spool.open.items():
        forget(number)
        lost: Outcome = {"kind": "lost", "why": why}
        block = None if spool.other_boot else left_behind(places, number, rows, lost)
        if block is not None and (not block.lone or not block.begun):
            found.kept.append(block)
        elif block is not None:
            found.ends.append(block.news()[0][1])
            found.spent.append(block)
        else:
            found.ends.append({"a": number, "at": now, "o": lost})
    return found
