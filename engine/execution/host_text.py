"""The small forms in which the kernel writes about the host under /proc and /sys."""

from pathlib import Path

_CPUS_MAX = 1 << 16


def read(path: Path) -> str:
    """The text of a file, empty where there is none or it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def numbers_of(text: str) -> tuple[int, ...]:
    """`0-3,8,10-11` as numbers, ascending (cpuset(7), "List format"); parts that are no numbers are left out."""
    found: set[int] = set()
    for part in text.strip().split(","):
        low, _, high = part.strip().partition("-")
        if low.isdecimal() and (high or low).isdecimal() and int(high or low) < _CPUS_MAX:
            found.update(range(int(low), int(high or low) + 1))
    return tuple(sorted(found))


def fields_of(text: str) -> dict[str, str]:
    """`Name:  value` lines, as in /proc/self/status and /proc/meminfo."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def kib_of(text: str) -> int:
    """Bytes of `16384 kB`; 0 for anything else."""
    number = (text.split() or [""])[0]
    return int(number) * 1024 if number.isdecimal() else 0
