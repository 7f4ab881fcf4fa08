"""The settings in config.toml. Every key has a default; an unknown key or a wrong type is refused by name."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from engine.admission.pressure import Bounds, Share, bounds_faults
from engine.execution.host import discover
from engine.model.campaign import LOOK_MAX_NS, LOOK_MIN_NS, LOOKS_MAX, NoiseLimits
from engine.model.errors import DefinitionError, Fault, ValueFault
from engine.model.host import Gpu
from engine.model.ids import is_name
from engine.model.instants import duration_text, parse_duration
from engine.model.resources import Capacity, parse_cpu, parse_size

CORES_A_LAUNCHER = 8
LAUNCHERS_MAX = 1_024
DAYS_MAX = 36_500
MAP_BYTES_MIN = 2**20


class HostConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What attempts may claim in total, where it is not what was found. `gpus` are UUIDs, or how they begin."""

    cpus: float | None = None
    memory: str | int | None = None
    scratch: str | int | None = None
    gpus: list[str] | None = None


class NoiseConfig(msgspec.Struct, forbid_unknown_fields=True):
    """When a trial counts as disturbed, where the task does not say otherwise: see `model.campaign.NoiseLimits`."""

    foreign: Share | None = None
    forgiven: Annotated[float, msgspec.Meta(ge=0)] | None = None
    stolen: Share | None = None
    memory: Share | None = None
    io: Share | None = None
    frequency: Share | None = None
    look: str | None = None
    looks: Annotated[int, msgspec.Meta(ge=1, le=LOOKS_MAX)] | None = None


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
    shares: dict[str, float] = {}
    """Weights of owners in the order of the queue; who is not named has 1."""
    pressure: Bounds = Bounds()
    noise: NoiseConfig = msgspec.field(default_factory=NoiseConfig)
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
        what, _, place = str(error).partition(" - at ")
        what = what.replace("Object contains unknown field", "there is no key")
        raise DefinitionError([Fault(what, str(path), field=place.strip("`$."))]) from error
    faults = [Fault(sentence, str(path), field=key) for key, sentence in _faults(config)]
    if faults:
        raise DefinitionError(faults)
    return config


def _faults(config: Config) -> Iterator[tuple[str, str]]:
    """What means nothing: the key, and a sentence."""
    host, kept, store = config.host, config.retention, config.store
    yield from _out_of_bounds("host.cpus", parse_cpu, host.cpus)
    yield from _out_of_bounds("host.memory", parse_size, host.memory)
    yield from _out_of_bounds("host.scratch", parse_size, host.scratch)
    yield from _out_of_bounds("retention.days", float, kept.days, 0, DAYS_MAX)
    yield from _out_of_bounds("retention.runs", int, kept.runs, 0)
    yield from _out_of_bounds("retention.journal_bytes", parse_size, kept.journal_bytes)
    yield from _out_of_bounds("store.map_bytes", parse_size, store.map_bytes, MAP_BYTES_MIN)
    yield from _out_of_bounds("store.free_bytes_min", parse_size, store.free_bytes_min)
    yield from _out_of_bounds("engine.launchers", int, config.engine.launchers, 0, LAUNCHERS_MAX)
    for name, slots in config.pools.items():
        if not is_name(name):
            yield "pools", f"{name!r} is not a name of a pool"
        if slots < 1:
            yield "pools", f"pool {name!r} has {slots} slots, it needs at least 1"
    for owner, weight in config.shares.items():
        if not 0 < weight < 1e6:
            yield "shares", f"the share of {owner!r} must be above 0 and below a million"
    for sentence in bounds_faults(config.pressure):
        yield "pressure", sentence
    yield from _out_of_bounds("noise.look", _look_ns, config.noise.look)


def _out_of_bounds(
    key: str, parse: Callable[[Any], float], value: Any, least: float = 0, most: float = 2**62
) -> Iterator[tuple[str, str]]:
    """A fault of a value that cannot be read, or is too small or large; none where nothing is written."""
    if value is None:
        return
    try:
        number = parse(value)
    except ValueFault as fault:
        yield key, fault.sentence
    else:
        if not least <= number <= most:
            yield key, f"{value} is not between {least} and {most}"


def _look_ns(text: str) -> int:
    look_ns = parse_duration(text)
    if not LOOK_MIN_NS <= look_ns <= LOOK_MAX_NS:
        raise ValueFault(f"{text} is not between {duration_text(LOOK_MIN_NS)} and {duration_text(LOOK_MAX_NS)}")
    return look_ns


def noise_of(config: Config) -> NoiseLimits:
    """When trials count as disturbed."""
    written = {name: value for name, value in msgspec.structs.asdict(config.noise).items() if value is not None}
    if "look" in written:
        written["look_ns"] = _look_ns(written.pop("look"))
    return NoiseLimits().but(written.items())


def launchers_of(config: Config) -> int:
    """How many launchers the engine has."""
    return config.engine.launchers or max(2, -(-(os.cpu_count() or 1) // CORES_A_LAUNCHER))


def capacity_of(config: Config, home: Path) -> Capacity:
    """What this process may use of the host, unless [host] says otherwise; scratch disk is what is free at `home`.

    Raises ValueFault for a value that means nothing, or a GPU that is not there.
    """
    written = config.host
    host = discover(home)
    if written.cpus is not None:
        host = msgspec.structs.replace(host, cpu_milli=parse_cpu(written.cpus))
    if written.memory is not None:
        host = msgspec.structs.replace(host, memory_bytes=parse_size(written.memory))
    if written.scratch is not None:
        host = msgspec.structs.replace(host, scratch_bytes=parse_size(written.scratch))
    if written.gpus is not None:
        host = msgspec.structs.replace(host, gpus=_chosen(host.gpus, written.gpus))
    return host.capacity(tuple(sorted(config.pools.items())))


def _chosen(gpus: tuple[Gpu, ...], wanted: list[str]) -> tuple[Gpu, ...]:
    for start in wanted:
        if not any(gpu.uuid.startswith(start) for gpu in gpus):
            there = ", ".join(gpu.uuid for gpu in gpus) or "none"
            raise ValueFault(f"[host] gpus names {start!r}, which this host does not have", f"there are: {there}")
    return tuple(gpu for gpu in gpus if gpu.uuid.startswith(tuple(wanted)))
