"""Small trees of /proc and /sys, as the kernel writes them, for hosts that are not at hand."""

from collections.abc import Mapping
from pathlib import Path

MOUNT_V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev - cgroup2 cgroup2 rw,nsdelegate\n"


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def two_sockets() -> dict[str, str]:
    """Two sockets, each four cores with two threads (CPU n + 8 is the sibling of n); 128 GiB, 1 of it in huge pages."""
    files = {
        "proc/self/status": "Name:\tpython\nCpus_allowed:\tffff\nCpus_allowed_list:\t0-15\n",
        "proc/meminfo": "MemTotal:       134217728 kB\nMemFree:        100000000 kB\nHugetlb:         1048576 kB\n",
        "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-1.scope\n",
        "proc/self/mountinfo": MOUNT_V2,
        "sys/devices/system/cpu/online": "0-15\n",
        "sys/devices/system/node/online": "0-1\n",
        "sys/devices/system/node/node0/cpulist": "0-3,8-11\n",
        "sys/devices/system/node/node1/cpulist": "4-7,12-15\n",
        "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
        "sys/fs/cgroup/user.slice/memory.max": "max\n",
    }
    for node in (0, 1):
        files[f"sys/devices/system/node/node{node}/meminfo"] = (
            f"Node {node} MemTotal:       67108864 kB\nNode {node} MemFree:        50000000 kB\n"
        )
    for cpu in range(16):
        files[f"sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list"] = f"{cpu % 8},{cpu % 8 + 8}\n"
    return files


def one_node() -> dict[str, str]:
    """A small machine without SMT, of the time when the list of siblings had another name."""
    files = {
        "proc/self/status": "Cpus_allowed_list:\t0-3\n",
        "proc/meminfo": "MemTotal:        8388608 kB\n",
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": MOUNT_V2,
        "sys/devices/system/cpu/online": "0-3\n",
        "sys/devices/system/node/online": "0\n",
        "sys/devices/system/node/node0/cpulist": "0-3\n",
        "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:        8388608 kB\n",
    }
    for cpu in range(4):
        files[f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu}\n"
    return files


def container_v2() -> dict[str, str]:
    """In a container on the large host: its own control group is the top, and leaves 2.5 CPUs and 4 GiB."""
    return two_sockets() | {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/cpu.max": "250000 100000\n",
        "sys/fs/cgroup/memory.max": "4294967296\n",
        "sys/fs/cgroup/memory.high": "max\n",
    }


def container_v1() -> dict[str, str]:
    """The same with the first version: each controller has a mount whose root is the container's group."""
    group = "/docker/0123abcd"
    mounts = "".join(
        f"{40 + place} 39 0:{30 + place} {group} /sys/fs/cgroup/{name} ro,nosuid - cgroup cgroup rw,{name}\n"
        for place, name in enumerate(("cpu,cpuacct", "memory"))
    )
    return two_sockets() | {
        "proc/self/cgroup": f"5:memory:{group}\n4:cpu,cpuacct:{group}/inner\n1:name=x:{group}\n0::/system.slice\n",
        "proc/self/mountinfo": mounts,
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n",
    }
