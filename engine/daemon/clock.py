"""The only reader of the clock.

Engine time begins at the wall clock (or where the last life of the engine ended, if that is later) and goes on with the
host's boot-time clock, so it never goes back, does not jump when somebody sets the clock, and counts a suspended host.
Delays and stamps use it; schedules follow the wall clock.
"""

import time
from pathlib import Path


class EngineClock:
    """`last_ns` is the last engine time that is on disk."""

    def __init__(self, last_ns: int = 0) -> None:
        self._offset_ns = max(time.time_ns(), last_ns) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def now_ns(self) -> int:
        """Engine time."""
        return self._offset_ns + time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    @staticmethod
    def wall_ns() -> int:
        """The wall clock, as it is set now."""
        return time.time_ns()


def boot_id() -> str:
    """What the kernel calls this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
