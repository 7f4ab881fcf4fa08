"""What the launcher before this one left: attempts with an intent and without an end. The keeper has ended their
processes before this one started, so they are lost, but for rows of blocks that had ended, or had not begun.
"""

import time
from collections.abc import Callable

from engine.execution.attempt import Outcome
from engine.execution.block import Block, left_behind
from engine.execution.places import Places
from engine.execution.spool import Exit, Spool


def inherited(places: Places, spool: Spool, forget: Callable[[int], None]) -> tuple[list[Exit], list[Block]]:
    """The ends that are known thereby, and the blocks whose rows are to be told one by one. What was measured of them
    is forgotten."""
    why = "the host was started again" if spool.other_boot else "its launcher died"
    now = time.time_ns()
    ends: list[Exit] = []
    blocks: list[Block] = []
    for number, rows in spool.open.items():
        forget(number)
        lost: Outcome = {"kind": "lost", "why": why}
        block = None if spool.other_boot else left_behind(places, number, rows, lost)
        if block is not None and (not block.lone or not block.begun):
            blocks.append(block)
        elif block is not None:
            ends.append(block.news()[0][1])
            block.remove()
        else:
            ends.append({"a": number, "at": now, "o": lost})
    return ends, blocks
