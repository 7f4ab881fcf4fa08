"""The host as it was found: what this process may use of it, and how its parts lie to each other.

A *core* is a physical core with the logical CPUs (SMT siblings) of it that may be used; a *node* is a NUMA node. What
config.toml says takes the place of what was found; cores and nodes stay as they are.
"""

import msgspec

from engine.model.resources import Capacity

NODE_UNKNOWN = -1


class Core(msgspec.Struct, frozen=True):
    """A physical core, its node, and those of its logical CPUs that this process may use, ascending."""

    node: int
    cpus: tuple[int, ...]


class Node(msgspec.Struct, frozen=True):
    """A NUMA node, its usable logical CPUs, and all the memory that it has (0: unknown)."""

    number: int
    cpus: tuple[int, ...]
    memory_bytes: int = 0


class Gpu(msgspec.Struct, frozen=True):
    """A GPU, or one MIG device of it, as CUDA_VISIBLE_DEVICES would name it. Memory of 0 is unknown."""

    uuid: str
    name: str = ""
    memory_bytes: int = 0
    node: int = NODE_UNKNOWN


class GpuUse(msgspec.Struct, frozen=True):
    """How a GPU is used at the moment, by anybody; None is what its driver does not tell."""

    uuid: str
    busy_percent: int | None = None
    memory_used_bytes: int | None = None


class Host(msgspec.Struct, frozen=True):
    """What may be claimed. `memory_bytes` is `memory_total_bytes` (of the host or its control group) less a reserve."""

    cpu_milli: int
    memory_bytes: int
    memory_total_bytes: int
    scratch_bytes: int = 0
    cores: tuple[Core, ...] = ()
    nodes: tuple[Node, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    limits: tuple[str, ...] = ()
    """What makes it less than the whole machine, a sentence each."""

    @property
    def cpus(self) -> tuple[int, ...]:
        """All usable logical CPUs, ascending."""
        return tuple(sorted(cpu for core in self.cores for cpu in core.cpus))

    def capacity(self, pools: tuple[tuple[str, int], ...] = ()) -> Capacity:
        """What admission may give away."""
        return Capacity(
            self.cpu_milli, self.memory_bytes, pools, self.scratch_bytes,
            tuple((gpu.uuid, gpu.node) for gpu in self.gpus),
            tuple((core.node, core.cpus) for core in self.cores),
        )  # fmt: skip
