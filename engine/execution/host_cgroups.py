"""What the control groups above this process leave of the host: cgroups(7), v1, v2, or both at once.

The limits of a group hold for all below it, so each is the least from our own group up to the top that is mounted. In a
container the top may be our own group under another name: what /proc/self/cgroup calls it is then relative to the
`root` of the mount in /proc/self/mountinfo (proc(5)), and a group outside of that root is read at the mount point.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from engine.execution.host_text import read

UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes "no limit" as the largest multiple of a page that a long can hold."""
_OCTAL = re.compile(r"\\([0-7]{3})")


class Limits(NamedTuple):
    """The least limits, None where there is none."""

    cpu_milli: int | None
    memory_bytes: int | None


class _Mount(NamedTuple):
    version: int
    controllers: frozenset[str]
    root: PurePosixPath
    point: PurePosixPath


def limits(root: Path) -> Limits:
    """The limits of the groups that /proc/self under `root` names."""
    cpu: list[int] = []
    memory: list[int] = []
    ours = dict(_memberships(read(root / "proc/self/cgroup")))
    for mount in _mounts(read(root / "proc/self/mountinfo")):
        for controller, quota_of, into in (("cpu", _cpu, cpu), ("memory", _memory, memory)):
            if mount.version == 1 and controller not in mount.controllers:
                continue
            group = ours.get(controller if mount.version == 1 else "")
            for folder in _upwards(mount, group) if group is not None else ():
                into += quota_of(root / str(folder).lstrip("/"), mount.version)
    return Limits(min(cpu, default=None), min(memory, default=None))


def _memberships(text: str) -> Iterator[tuple[str, PurePosixPath]]:
    """(controller, group) of each line of /proc/self/cgroup; the controller of v2 is the empty name."""
    for line in text.splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        for controller in controllers.split(","):
            yield controller, PurePosixPath(group or "/")


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.splitlines():
        mount, _, source = line.partition(" - ")
        before, after = mount.split(), source.split()
        if len(before) < 5 or not after or after[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(after[2].split(",")) if len(after) > 2 else frozenset[str]()
        version = 2 if after[0] == "cgroup2" else 1
        yield _Mount(version, controllers, PurePosixPath(_plain(before[3])), PurePosixPath(_plain(before[4])))


def _plain(field: str) -> str:
    """mountinfo writes blanks and backslashes as three octal digits."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)


def _upwards(mount: _Mount, group: PurePosixPath) -> Iterator[PurePosixPath]:
    """The folder of the group, then of each group above it, up to the mount point."""
    inside = group.relative_to(mount.root) if group.is_relative_to(mount.root) else PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    yield mount.point / inside
    for above in inside.parents:
        yield mount.point / above


def _cpu(folder: Path, version: int) -> list[int]:
    if version == 2:
        quota, period = [*read(folder / "cpu.max").split(), "", ""][:2]
    else:
        quota, period = read(folder / "cpu.cfs_quota_us").strip(), read(folder / "cpu.cfs_period_us").strip()
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return []
    return [max(int(quota) * 1000 // int(period), 1)]


def _memory(folder: Path, version: int) -> list[int]:
    """Above `memory.high` a group is slowed until it hardly moves, so that is a limit as well."""
    names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
    found = [read(folder / name).strip() for name in names]
    return [int(text) for text in found if text.isdecimal() and int(text) < UNLIMITED_BYTES]
