"""Claims and capacity. CPU is counted in thousandths of a core, memory in bytes, pools in slots, all integers."""

import re

import msgspec

from engine.model.errors import ValueFault

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB|K|M|G|T)?")
_DECIMAL = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BINARY = {f"{letter}{end}": 2 ** (10 * power) for power, letter in enumerate("KMGT", 1) for end in ("", "iB")}
_FACTOR = _DECIMAL | _BINARY


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a task needs while it runs. `pools` is sorted by name; slots are at least 1."""

    cpu_milli: int = 1000
    memory_bytes: int = 0
    pools: tuple[tuple[str, int], ...] = ()


class Capacity(msgspec.Struct, frozen=True, array_like=True):
    """What the host may give in total; named pools are added by configuration and workflows."""

    cpu_milli: int
    memory_bytes: int
    pools: tuple[tuple[str, int], ...] = ()


class Reason(msgspec.Struct, frozen=True):
    """Why a ready task may not start now. `asked` and `available` are in the resource's own unit.

    kinds: capacity, pool, max_parallel, run_paused, read_only, stopping (the engine is), behind (others are ahead in
    the queue), upstream (waits for tasks), backing_off, if_running (an earlier run of the workflow goes on).
    """

    kind: str
    resource: str = ""
    asked: float = 0
    available: float = 0
    holders: tuple[str, ...] = ()


def parse_size(value: str | int | float) -> int:
    """Bytes from `2GiB`, `512M` (binary), `1MB` (decimal) or a number of bytes. Raises ValueFault."""
    if isinstance(value, bool):
        raise ValueFault("a size is written like 512MiB or 2GiB")
    match = _SIZE.fullmatch(str(value).strip())
    size = float(match[1]) * _FACTOR[match[2] or ""] if match else -1.0
    if not 0 <= size < 2**62:
        raise ValueFault(f"{value!r} is not a size; write it like 512MiB or 2GiB")
    return int(size)


def size_text(size_bytes: float) -> str:
    """Bytes for people, three digits: `512M`, `1.91G`."""
    value = float(size_bytes)
    for unit in ("B", "K", "M", "G", "T", "P"):
        if abs(value) < 1000 or unit == "P":
            break
        value /= 1024
    digits = 0 if unit == "B" or value >= 100 else (1 if value >= 10 else 2)
    return f"{value:.{digits}f}{unit}"


def parse_cpu(value: str | int | float) -> int:
    """Thousandths of a core from `2`, `0.5` or `"1.25"`; 0 is allowed. Raises ValueFault."""
    try:
        cpu = float(value) if not isinstance(value, bool) else -1.0
    except ValueError:
        cpu = -1.0
    if not 0 <= cpu <= 100_000:
        raise ValueFault(f"{value!r} is not a number of CPUs; write it like 2 or 0.5")
    return round(cpu * 1000)
