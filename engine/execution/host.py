"""What this process may use of the host, read from /proc and /sys.

Everything is text below a root folder, so a test hands in a recorded tree. CPUs are those of the affinity mask, which
the kernel keeps within the cpusets of all groups above; of them a CPU quota may leave fewer. Two logical CPUs are
siblings if they name the same list of siblings. Where the kernel tells nothing (a sandbox without /sys), each CPU is a
core of its own, and all are on node 0.
"""

import os
from pathlib import Path

from engine.execution import host_cgroups, host_gpus
from engine.execution.host_text import fields_of, kib_of, numbers_of, read
from engine.model.host import Core, Gpu, Host, Node
from engine.model.resources import size_text

ROOT = Path("/")
MEMORY_RESERVE_SHARE = 0.05
"""Kept back for the engine, the kernel and whoever logs in."""


def discover(scratch: Path, root: Path = ROOT, reserve_share: float = MEMORY_RESERVE_SHARE) -> Host:
    """The host as this process may use it now; `scratch` is a folder on the disk that attempts write to."""
    return found(root, gpus=host_gpus.gpus(root), scratch_bytes=free_bytes(scratch), reserve_share=reserve_share)


def found(
    root: Path, *, gpus: tuple[Gpu, ...] = (), scratch_bytes: int = 0, reserve_share: float = MEMORY_RESERVE_SHARE
) -> Host:
    """The host that the text below `root` describes, with these GPUs and this much scratch disk."""
    online = numbers_of(read(root / "sys/devices/system/cpu/online"))
    allowed = numbers_of(fields_of(read(root / "proc/self/status")).get("Cpus_allowed_list", ""))
    cpus = allowed or online or (0,)
    nodes = _nodes(root, cpus)
    quota = host_cgroups.limits(root)
    cpu_milli = min(len(cpus) * 1000, quota.cpu_milli or len(cpus) * 1000)
    physical = _memory(root)
    memory = min(filter(None, (physical, quota.memory_bytes)), default=0)
    return Host(
        cpu_milli=cpu_milli,
        memory_bytes=int(memory * (1 - reserve_share)),
        memory_total_bytes=memory,
        scratch_bytes=scratch_bytes,
        cores=_cores(root, cpus, nodes),
        nodes=nodes,
        gpus=gpus,
        limits=_sentences(cpus, online, cpu_milli, memory, physical),
    )


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write to the disk of the folder, or of the nearest one above that exists."""
    for place in (folder, *folder.parents):
        try:
            disk = os.statvfs(place)
        except OSError:
            continue
        return disk.f_bavail * disk.f_frsize
    return 0


def _memory(root: Path) -> int:
    """Huge pages that were set aside at boot are of no use to an ordinary program."""
    fields = fields_of(read(root / "proc/meminfo"))
    return max(kib_of(fields.get("MemTotal", "")) - kib_of(fields.get("Hugetlb", "")), 0)


def _nodes(root: Path, cpus: tuple[int, ...]) -> tuple[Node, ...]:
    """The nodes that have CPUs for us; memory of nodes without CPUs belongs to none of them."""
    usable, folder = set(cpus), root / "sys/devices/system/node"
    nodes: list[Node] = []
    for number in numbers_of(read(folder / "online")):
        place = folder / f"node{number}"
        mine = tuple(cpu for cpu in numbers_of(read(place / "cpulist")) if cpu in usable)
        lines = [line for line in read(place / "meminfo").splitlines() if "MemTotal:" in line]
        if mine:
            nodes.append(Node(number, mine, kib_of(lines[0].partition("MemTotal:")[2]) if lines else 0))
    known = {cpu for node in nodes for cpu in node.cpus}
    if usable <= known:
        return tuple(nodes)
    return (Node(0, cpus, _memory(root)),)


def _cores(root: Path, cpus: tuple[int, ...], nodes: tuple[Node, ...]) -> tuple[Core, ...]:
    node_of = {cpu: node.number for node in nodes for cpu in node.cpus}
    members: dict[int, list[int]] = {}
    for cpu in cpus:
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        siblings = numbers_of(read(folder / "core_cpus_list") or read(folder / "thread_siblings_list"))
        members.setdefault(min(siblings, default=cpu), []).append(cpu)
    cores = (Core(node_of[mine[0]], tuple(mine)) for mine in members.values())
    return tuple(sorted(cores, key=lambda core: (core.node, core.cpus)))


def _sentences(
    cpus: tuple[int, ...], online: tuple[int, ...], cpu_milli: int, memory: int, physical: int
) -> tuple[str, ...]:
    found: list[str] = []
    if online and len(cpus) < len(online):
        found.append(f"affinity or a cpuset leaves {len(cpus)} of {len(online)} CPUs")
    if cpu_milli < len(cpus) * 1000:
        found.append(f"a control group leaves the time of {cpu_milli / 1000:g} CPUs")
    if memory < physical:
        found.append(f"a control group leaves {size_text(memory)} of {size_text(physical)} of memory")
    return tuple(found)
