"""Reading /proc, and signalling processes that may not be ours by number alone.

Every attempt's processes carry a *cookie*: a soft limit of RLIMIT_RTTIME that no real program uses, inherited by every
child whatever it does to its session, parent or environment (setrlimit(2): the limit counts microseconds of real-time
scheduling, of which an ordinary process has none). Anyone with the same user id can read it with prlimit(2).
"""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterable
from typing import NamedTuple

RLIMIT_RTTIME = 15
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_FLAG = 1 << 62
_NUMBER_BITS = 40
_NUMBER_MASK = (1 << _NUMBER_BITS) - 1
_INSTANCE_MASK = (1 << 22) - 1
INFINITY = resource.RLIM_INFINITY


class Stat(NamedTuple):
    """Some fields of /proc/PID/stat; `ticks` is the start of the process in clock ticks since the boot."""

    ppid: int
    state: str
    session: int
    ticks: int
    rss_pages: int
    threads: int
    cpu_ticks: int
    """Of the process and of those below it that it has waited for."""


def cookie_of(instance: int, attempt: int) -> int:
    """The soft limit that marks the processes of an attempt of this instance of the state."""
    return _FLAG | (instance & _INSTANCE_MASK) << _NUMBER_BITS | (attempt & _NUMBER_MASK)


def attempt_of(cookie: int, instance: int) -> int | None:
    """The attempt that a cookie names, None when it is none of this instance's."""
    if cookie < _FLAG or (cookie >> _NUMBER_BITS) & _INSTANCE_MASK != instance & _INSTANCE_MASK:
        return None
    return cookie & _NUMBER_MASK


def set_cookie(cookie: int) -> None:
    """What this process starts from now on carries the cookie; INFINITY takes it away."""
    resource.setrlimit(RLIMIT_RTTIME, (cookie, INFINITY))


def read_cookie(pid: int) -> int:
    """The soft limit of the process, 0 when it is gone or not ours to read."""
    try:
        return resource.prlimit(pid, RLIMIT_RTTIME)[0]
    except (OSError, ValueError):
        return 0


def stat(pid: int) -> Stat | None:
    """None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            data = file.read(1024)
    except OSError:
        return None
    fields = data[data.rfind(b")") + 2 :].split()
    if len(fields) < 22:
        return None
    cpu = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
    return Stat(
        int(fields[1]), fields[0].decode(), int(fields[3]), int(fields[19]), int(fields[21]), int(fields[17]), cpu
    )


def start_ticks(pid: int) -> int:
    """0 when the process is gone."""
    found = stat(pid)
    return found.ticks if found else 0


def ticks_now() -> int:
    """The instant in the unit of `start_ticks`. A process that is started between two equal readings has that start;
    reading it from /proc instead would wait for the exec to finish."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS_A_SECOND // 1_000_000_000


def lives(pid: int, ticks: int) -> bool:
    """Whether the process that started at `ticks` is there and no zombie."""
    found = stat(pid)
    return found is not None and found.ticks == ticks and found.state not in "ZX"


def children(pid: int) -> list[int]:
    """The direct children, zombies too. For the calling process, which alone reaps them, the list is complete."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
        except OSError:
            continue
    return found


def descendants(roots: Iterable[int]) -> list[int]:
    """The roots and all that is below them, parents first. Repeat it while the tree may grow."""
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        found += waiting
        waiting = [child for pid in waiting for child in children(pid)]
    return found


def pids() -> list[int]:
    """All processes of the host that are visible here."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def marked(instance: int) -> dict[int, int]:
    """pid -> attempt of every process that carries a cookie of the instance (one sweep over /proc)."""
    found: dict[int, int] = {}
    for pid in pids():
        attempt = attempt_of(read_cookie(pid), instance)
        if attempt is not None:
            found[pid] = attempt
    return found


def signal_marked(pid: int, cookie: int, number: int) -> None:
    """Signal the process if it still is the one that carries the cookie: the pidfd is opened before the check."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if read_cookie(pid) == cookie:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def signal_same(pid: int, ticks: int, number: int) -> bool:
    """Signal the process if it still is the one that started at `ticks`. False when it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if start_ticks(pid) != ticks:
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
