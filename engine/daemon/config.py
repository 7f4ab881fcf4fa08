"""The settings in config.toml. Every key has a default; an unknown key or a wrong type is refused by name."""

import os
from pathlib import Path
from typing import Any

import msgspec

from engine.model.errors import DefinitionError, Fault
from engine.model.resources import Capacity, parse_cpu, parse_size

MEMORY_RESERVE_SHARE = 0.05
CORES_A_LAUNCHER = 8


class HostConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What attempts may claim in total, where it is not what the process may use."""

    cpus: float | None = None
    memory: str | int | None = None


class AccessConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Who may connect beside the owner: user ids, and group ids written as "@1000"."""

    viewer: list[int | str] = []
    operator: list[int | str] = []
    admin: list[int | str] = []


class RetentionConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How much of the past is kept: whichever bound is met first."""

    days: float = 90
    runs: int = 100_000
    journal_bytes: str | int = "8GiB"


class StoreConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The store's map, and how little free disk makes the engine read-only."""

    map_bytes: str | int = "64GiB"
    free_bytes_min: str | int = "256MiB"


class EngineConfig(msgspec.Struct, forbid_unknown_fields=True):
    """`launchers` 0: one for eight cores, at least two."""

    launchers: int = 0
    workflows: list[str] = []


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """config.toml as a whole."""

    host: HostConfig = msgspec.field(default_factory=HostConfig)
    pools: dict[str, int] = {}
    access: AccessConfig | None = None
    retention: RetentionConfig = msgspec.field(default_factory=RetentionConfig)
    store: StoreConfig = msgspec.field(default_factory=StoreConfig)
    engine: EngineConfig = msgspec.field(default_factory=EngineConfig)
    console: dict[str, Any] = {}
    """For the console, which reads it itself."""


def load_config(path: Path) -> Config:
    """The settings of a file, or the defaults if there is none. Raises DefinitionError that names the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError([Fault(f"cannot be read: {error}", file=str(path))]) from error
    try:
        config = msgspec.toml.decode(text, type=Config)
    except (msgspec.DecodeError, ValueError) as error:
        raise DefinitionError([Fault(str(error), file=str(path))]) from error
    faults = [
        f"pool {name!r} has {slots} slots, it needs at least 1" for name, slots in config.pools.items() if slots < 1
    ]
    if faults:
        raise DefinitionError([Fault(sentence, file=str(path), field="pools") for sentence in faults])
    return config


def launchers_of(config: Config) -> int:
    """How many launchers the engine has."""
    return config.engine.launchers or max(2, -(-(os.cpu_count() or 1) // CORES_A_LAUNCHER))


def capacity_of(config: Config) -> Capacity:
    """What this process may use (affinity, cgroup limits, memory less a reserve), unless [host] says otherwise."""
    cpu_milli = parse_cpu(config.host.cpus) if config.host.cpus is not None else usable_cpu_milli()
    written = config.host.memory
    memory = parse_size(written) if written is not None else usable_memory_bytes()
    return Capacity(cpu_milli, memory, tuple(sorted(config.pools.items())))


def usable_cpu_milli() -> int:
    """Thousandths of cores by affinity and by the cgroup's quota (v2 `cpu.max`), whichever is less."""
    cores = len(os.sched_getaffinity(0)) * 1000
    quota, _, period = _cgroup_value("cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        cores = min(cores, max(int(quota) * 1000 // int(period), 1))
    return cores


def usable_memory_bytes() -> int:
    """Memory of the host or of the cgroup (v2 `memory.max`), whichever is less, without a twentieth kept back."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _cgroup_value("memory.max")
    if limit.isdigit():
        total = min(total, int(limit))
    return int(total * (1 - MEMORY_RESERVE_SHARE))


def _cgroup_value(name: str) -> str:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        folder = next(line.split(":", 2)[2] for line in lines if line.startswith("0::"))
        return (Path("/sys/fs/cgroup") / folder.lstrip("/") / name).read_text(encoding="utf-8").strip()
    except (OSError, StopIteration):
        return ""
