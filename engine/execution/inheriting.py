"""What the launcher before this one left: attempts with an intent and without an end. The keeper has ended their
processes before this one started, so they are lost, but for rows of blocks that had ended, or had not begun.
"""

import time

from engine.execution.attempt import Outcome
from engine.execution.block import Block
from engine.execution.places import Places
from engine.execution.spool import Exit, Spool


def inherited(places: Places, spool: Spool) -> tuple[list[Exit], list[Block]]:
    """The ends that are known thereby, and the blocks whose rows are to be told one by one."""
    why = "the host was started again" if spool.other_boot else "its launcher died"
    now = time.time_ns()
    ends: list[Exit] = []
    blocks: list[Block] = []
    for number, rows in spool.open.items():
        lost: Outcome = {"kind": "lost", "why": why}
        block = None if spool.other_boot else _block(places, number, rows, lost)
        if block is not None and (not block.lone or not block.begun):
            blocks.append(block)
        elif block is not None:
            ends.append(block.news()[0][1])
            block.remove()
        else:
            ends.append({"a": number, "at": now, "o": lost})
    return ends, blocks


def _block(places: Places, number: int, rows: int, lost: Outcome) -> Block | None:
    """What an earlier launcher left of a block; the row that ran when it died is lost, those behind never ran. No row
    begins before there is a page."""
    try:
        block = Block(places, number)
    except OSError:
        try:
            block = Block(places, number, rows) if rows > 1 else None
        except OSError:
            block = None
    if block is None:
        return None
    if block.running >= 0:
        block.end_running(lost, 0)
    block.give_back("its launcher died before it began")
    return block
