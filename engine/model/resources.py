"""Claims and capacity, in integers: CPU and GPU in thousandths, memory and disk in bytes, pools in slots."""

import re
from typing import Literal

import msgspec

from engine.model.errors import ValueFault

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB|K|M|G|T)?")
_DECIMAL = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BINARY = {f"{letter}{end}": 2 ** (10 * power) for power, letter in enumerate("KMGT", 1) for end in ("", "iB")}
_FACTOR = _DECIMAL | _BINARY


Pin = Literal["", "core", "node"]
"""`core`: whole cores that nobody else is bound to, as near to each other as can be; `node`: these within one node."""


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a task needs while it runs. `pools` and `mutexes` are sorted by name; slots are at least 1.

    `gpu_milli` below 1000 is a part of one GPU, above it a number of whole ones. A mutex is a pool of one slot that
    nobody has to declare. `exclusive` is the host alone.
    """

    cpu_milli: int = 1000
    memory_bytes: int = 0
    pools: tuple[tuple[str, int], ...] = ()
    gpu_milli: int = 0
    scratch_bytes: int = 0
    mutexes: tuple[str, ...] = ()
    pin: Pin = ""
    exclusive: bool = False

    @property
    def cpu_part(self) -> "Claim":
        """The CPUs of it, which can be given back and taken again while the rest is held."""
        return Claim(self.cpu_milli, pin=self.pin)

    @property
    def kept_part(self) -> "Claim":
        """All but the CPUs."""
        return msgspec.structs.replace(self, cpu_milli=0, pin="")


class Binding(msgspec.Struct, frozen=True, array_like=True):
    """Where an attempt is bound to: logical CPUs that are its own (none: the shared ones), and the thousandths that it
    has of each GPU, by UUID. Both are sorted."""

    cpus: tuple[int, ...] = ()
    gpus: tuple[tuple[str, int], ...] = ()


UNBOUND = Binding()


class Capacity(msgspec.Struct, frozen=True, array_like=True):
    """What the host may give in total; named pools are added by configuration and workflows.

    `cores` are the usable cores as (node, logical CPUs), `gpus` the GPUs as (UUID, node); a node of -1 is unknown.
    """

    cpu_milli: int
    memory_bytes: int
    pools: tuple[tuple[str, int], ...] = ()
    scratch_bytes: int = 0
    gpus: tuple[tuple[str, int], ...] = ()
    cores: tuple[tuple[int, tuple[int, ...]], ...] = ()


class Reason(msgspec.Struct, frozen=True):
    """Why a ready task may not start now. `asked` and `available` are in the resource's own unit.

    kinds: capacity, pool, mutex, pin, exclusive, reservation (it would delay one that has waited longer), pressure (the
    host is short of something that is not claimed), max_parallel, run_paused, read_only, stopping (the engine is),
    behind (others are ahead in the queue), upstream (waits for tasks), backing_off, if_running (an earlier run of the
    workflow goes on). Of one that runs and stands still: paused (by an operator), suspended (for the row of a higher
    priority that `holders` names), resuming (it goes on when it has its CPUs again).
    """

    kind: str
    resource: str = ""
    asked: float = 0
    available: float = 0
    holders: tuple[str, ...] = ()


def pressure_text(resource: str, bound: float, value: float) -> str:
    """A reason of the kind `pressure` for people: `memory: 1.2G available, the bound is 2.3G`."""
    if resource == "memory":
        return f"memory: {size_text(value)} available, the bound is {size_text(bound)}"
    if resource == "cpu":
        return f"cpu: others leave {round(value, 2):g} free, the bound is {bound:g}"
    return f"{resource}: {value:.3g} %, the bound is {bound:g} %"


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


def parse_gpu(value: str | int | float) -> int:
    """Thousandths of a GPU from `2` or `0.5`; above one only whole numbers. Raises ValueFault."""
    milli = parse_cpu(value)
    if milli > 1000 and milli % 1000:
        raise ValueFault(f"{value!r} is not a number of GPUs; write a whole number, or a part of one like 0.5")
    return milli


def parse_cpu(value: str | int | float) -> int:
    """Thousandths of a core from `2`, `0.5` or `"1.25"`; 0 is allowed. Raises ValueFault."""
    try:
        cpu = float(value) if not isinstance(value, bool) else -1.0
    except ValueError:
        cpu = -1.0
    if not 0 <= cpu <= 100_000:
        raise ValueFault(f"{value!r} is not a number of CPUs; write it like 2 or 0.5")
    return round(cpu * 1000)
