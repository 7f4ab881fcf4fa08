"""A control group of version 2 for one attempt, where the host lets us make groups (cgroups(7)): a *leaf*.

A leaf says exactly who belongs to the attempt, freezes and kills all of them in one write, and counts their CPU time;
where the host has delegated controllers to our group the kernel also holds its memory, CPU and number of threads. Then
the launcher goes into the leaf for the moment of the spawn, so that nothing of the attempt is ever outside of it. Where
nothing is held it is enough to gather the tree in a leaf when it has lived for a moment. Leaves lie side by side in one
group of ours, named by slot and attempt, so whoever cleans up after a launcher knows its own. Where no group can be
made all of this is absent, and trees are found by descent, as ever.
"""

import os
from collections.abc import Callable, Iterable

from engine.execution import proc

_CONTROLLERS = ("memory", "cpu", "pids")
_PERIOD_US = 100_000
_ROUNDS = 64


def own_group() -> str:
    """The folder of the group that this process is in, if groups may be made there; else empty."""
    try:
        with open("/proc/self/cgroup") as file:
            path = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), None)
        with open("/proc/self/mountinfo") as file:
            mounts = [line.split() for line in file if " - cgroup2 " in line]
    except OSError:
        return ""
    if path is None or not mounts:
        return ""
    root, point = mounts[0][3], mounts[0][4]
    inside = path.removeprefix(root.rstrip("/"))
    folder = f"{point}{inside}".rstrip("/")
    usable = os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK)
    return folder if usable else ""


class Leaf:
    """One attempt's group. None of its methods raises: what the kernel refuses is as if it were not there."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def members(self) -> list[int]:
        """The pids, zombies too; of a group that is gone, none."""
        return [int(word) for word in _read(f"{self.folder}/cgroup.procs").split()]

    def freeze(self, *, frozen: bool) -> bool:
        """Whether all processes stand still, or go on, from now on."""
        return _write(f"{self.folder}/cgroup.freeze", "1" if frozen else "0")

    def kill(self) -> None:
        _write(f"{self.folder}/cgroup.kill", "1")

    def number(self, file: str, name: str = "") -> int:
        """A number in one of the group's files: after its name, or the only one. 0 where there is none."""
        text = _read(f"{self.folder}/{file}")
        for line in text.splitlines():
            words = line.split()
            if len(words) == (2 if name else 1) and (not name or words[0] == name) and words[-1].isdecimal():
                return int(words[-1])
        return 0

    def limit(self, memory_bytes: int, cpu_milli: int, threads: int) -> set[str]:
        """Have the kernel hold these (0: no limit); the names of those that it does."""
        held: set[str] = set()
        if memory_bytes and _write(f"{self.folder}/memory.max", str(memory_bytes)):
            held.add("memory")
            _write(f"{self.folder}/memory.swap.max", "0")
            _write(f"{self.folder}/memory.oom.group", "1")
        if cpu_milli and _write(f"{self.folder}/cpu.max", f"{cpu_milli * _PERIOD_US // 1000} {_PERIOD_US}"):
            held.add("cpu")
        if threads and _write(f"{self.folder}/pids.max", str(threads)):
            held.add("threads")
        return held

    def remove(self) -> bool:
        """Whether the group is gone now; one that still has processes is not."""
        try:
            os.rmdir(self.folder)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


class Groups:
    """Makes the leaves of one launcher."""

    def __init__(self, slot: int) -> None:
        self._slot = slot
        self._own = own_group()
        self._made: str = ""
        self._controlled = False

    def controlled(self, instance: int) -> bool:
        """Whether the kernel holds leaves to anything."""
        return bool(self._parent(instance)) and self._controlled

    def _parent(self, instance: int) -> str:
        """The group of all leaves, made where it is not there; empty where it cannot be."""
        parent = _parent(self._own, instance) if self._own else ""
        if parent != self._made:
            try:
                os.makedirs(parent, mode=0o755, exist_ok=True)
            except OSError:
                return ""
            self._made = parent
            for controller in _CONTROLLERS:
                _write(f"{parent}/cgroup.subtree_control", f"+{controller}")
            self._controlled = bool(_read(f"{parent}/cgroup.subtree_control").strip())
        return parent

    def make(self, instance: int, number: int) -> Leaf | None:
        """A leaf for the attempt; None where none can be made."""
        parent = self._parent(instance)
        if not parent:
            return None
        folder = f"{parent}/{self._slot}-{number}"
        try:
            os.mkdir(folder)
        except OSError:
            self._made = ""
            return None
        return Leaf(folder)

    def gather(self, leaf: Leaf, members: Callable[[], Iterable[int]]) -> bool:
        """Put a whole tree into the leaf. What is started meanwhile by one that is in is in too, so rounds end when one
        finds nobody new. If one cannot be put there, all are put back."""
        inside: set[int] = set()
        for _ in range(_ROUNDS):
            fresh = [pid for pid in members() if pid not in inside]
            if not fresh:
                return bool(inside)
            for pid in fresh:
                if not _write(f"{leaf.folder}/cgroup.procs", str(pid)) and proc.lives(pid, proc.start_ticks(pid)):
                    self._put_back(leaf)
                    return False
            inside.update(fresh)
        self._put_back(leaf)
        return False

    def _put_back(self, leaf: Leaf) -> None:
        for pid in leaf.members():
            _write(f"{self._own}/cgroup.procs", str(pid))

    @staticmethod
    def enter(leaf: Leaf) -> bool:
        """Go into the leaf: what is started now belongs to it."""
        return _write(f"{leaf.folder}/cgroup.procs", "0")

    def leave(self) -> None:
        """Go back to our own group. Raises OSError: whoever cannot go back would die with the attempt."""
        with open(f"{self._own}/cgroup.procs", "w") as file:
            file.write("0")


def clear(instances: Iterable[int], slot: int | None = None) -> int:
    """Kill and remove the leaves of a slot (None: all of them, and the groups that hold them); those that are left."""
    own = own_group()
    left = 0
    for instance in instances if own else ():
        parent = _parent(own, instance)
        for name in _folders(parent):
            if slot is None or name.startswith(f"{slot}-"):
                leaf = Leaf(f"{parent}/{name}")
                if not leaf.remove():
                    leaf.kill()
                    left += not leaf.remove()
        if slot is None:
            Leaf(parent).remove()
    return left


def _parent(own: str, instance: int) -> str:
    return f"{own}/orchctl-{instance:x}"


def _folders(parent: str) -> list[str]:
    try:
        with os.scandir(parent) as found:
            return [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
