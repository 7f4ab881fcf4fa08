"""What this process may use is read from /proc and /sys: recorded hosts, containers, and one that tells nothing."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.execution.host import discover, found, free_bytes
from engine.execution.host_cgroups import Limits, limits
from engine.execution.host_text import fields_of, kib_of, numbers_of
from engine.model.host import Core, Host, Node
from tests.support import host_trees
from tests.support.host_trees import MOUNT_V2, write

GIB = 2**30


def host_of(root: Path, files: Mapping[str, str]) -> Host:
    return found(write(root, files), reserve_share=0)


def test_two_sockets_with_siblings_are_eight_cores_on_two_nodes(tmp_path: Path):
    host = host_of(tmp_path, host_trees.two_sockets())
    assert host.cpu_milli == 16_000
    assert host.cores == tuple(Core(cpu // 4, (cpu, cpu + 8)) for cpu in range(8))
    assert host.nodes == (
        Node(0, (0, 1, 2, 3, 8, 9, 10, 11), 64 * GIB),
        Node(1, (4, 5, 6, 7, 12, 13, 14, 15), 64 * GIB),
    )
    assert host.memory_total_bytes == 127 * GIB  # the huge pages are of no use to us
    assert host.limits == ()


def test_a_machine_without_siblings_has_a_core_for_each_cpu(tmp_path: Path):
    host = host_of(tmp_path, host_trees.one_node())
    assert host.cores == tuple(Core(0, (cpu,)) for cpu in range(4))
    assert host.nodes == (Node(0, (0, 1, 2, 3), 8 * GIB),)
    assert (host.cpu_milli, host.memory_bytes) == (4000, 8 * GIB)


def test_affinity_leaves_parts_of_cores_and_nodes(tmp_path: Path):
    files = host_trees.two_sockets() | {"proc/self/status": "Cpus_allowed_list:\t1,9,4\n"}
    host = host_of(tmp_path, files)
    assert host.cores == (Core(0, (1, 9)), Core(1, (4,)))
    assert [node.cpus for node in host.nodes] == [(1, 9), (4,)]
    assert host.cpus == (1, 4, 9)
    assert host.limits == ("affinity or a cpuset leaves 3 of 16 CPUs",)


@pytest.mark.parametrize(
    ("files", "cpu_milli", "memory"),
    [(host_trees.container_v2(), 2500, 4 * GIB), (host_trees.container_v1(), 4000, 2 * GIB)],
    ids=["v2", "v1"],
)
def test_a_container_has_what_its_control_group_leaves(
    tmp_path: Path, files: dict[str, str], cpu_milli: int, memory: int
):
    host = host_of(tmp_path, files)
    assert (host.cpu_milli, host.memory_total_bytes) == (cpu_milli, memory)
    assert len(host.cores) == 8
    assert len(host.limits) == 2


def test_the_narrowest_group_on_the_way_up_counts(tmp_path: Path):
    files = host_trees.one_node() | {
        "proc/self/cgroup": "0::/a/b/c\n",
        "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
        "sys/fs/cgroup/a/b/c/cpu.max": "300000 100000\n",
        "sys/fs/cgroup/a/b/memory.high": "1000000\n",
        "sys/fs/cgroup/a/b/c/memory.max": "2000000\n",
        "sys/fs/cgroup/z/cpu.max": "1000 100000\n",
    }
    assert limits(write(tmp_path, files)) == Limits(1500, 1_000_000)


def test_a_group_outside_of_what_is_mounted_is_read_at_the_mount_point(tmp_path: Path):
    files = {
        "proc/self/cgroup": "0::/../elsewhere\n",
        "proc/self/mountinfo": MOUNT_V2,
        "sys/fs/cgroup/memory.max": "5000\n",
        "sys/fs/elsewhere/memory.max": "1\n",
    }
    assert limits(write(tmp_path, files)) == Limits(None, 5000)


def test_no_limit_of_the_first_version_is_no_limit(tmp_path: Path):
    files = host_trees.container_v1() | {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    }
    assert limits(write(tmp_path, files)) == Limits(None, None)


def test_a_mount_point_with_a_blank_is_found(tmp_path: Path):
    files = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": MOUNT_V2.replace("/sys/fs/cgroup", "/mnt/my\\040groups"),
        "mnt/my groups/cpu.max": "50000 100000\n",
    }
    assert limits(write(tmp_path, files)) == Limits(500, None)


def test_a_quota_far_below_one_cpu_is_still_something(tmp_path: Path):
    files = host_trees.one_node() | {"sys/fs/cgroup/cpu.max": "1 1000000\n"}
    assert host_of(tmp_path, files).cpu_milli == 1


def test_a_host_that_tells_nothing_is_one_cpu_without_memory(tmp_path: Path):
    host = found(tmp_path)
    assert host == Host(1000, 0, 0, 0, (Core(0, (0,)),), (Node(0, (0,)),))


@pytest.mark.parametrize("name", ["proc/self/mountinfo", "proc/self/cgroup", "proc/meminfo", "sys/fs/cgroup/cpu.max"])
@pytest.mark.parametrize(
    "text", ["", "\n", "0", "::: - \n- cgroup2\n", "max", "1", "a b c d e f - cgroup2", "\x00\xff"]
)
def test_a_damaged_text_costs_what_it_says_and_nothing_else(tmp_path: Path, name: str, text: str):
    host = host_of(tmp_path, host_trees.container_v2() | {name: text})
    assert len(host.cores) == 8
    assert 1000 < host.cpu_milli <= 16_000


def test_a_reserve_is_kept_back(tmp_path: Path):
    host = found(write(tmp_path, host_trees.one_node()), reserve_share=0.25)
    assert (host.memory_bytes, host.memory_total_bytes) == (6 * GIB, 8 * GIB)


def test_this_host_has_the_cpus_of_our_affinity_and_a_disk(tmp_path: Path):
    host = discover(tmp_path / "not" / "there")
    assert host.cpus == tuple(sorted(os.sched_getaffinity(0)))
    assert 0 < host.cpu_milli <= len(host.cpus) * 1000
    assert 0 < host.memory_bytes < host.memory_total_bytes
    assert host.scratch_bytes > 0


def test_the_free_disk_of_a_folder_to_be_is_that_of_the_one_above(tmp_path: Path):
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.1)


def test_lists_and_fields_are_read_as_the_kernel_writes_them():
    assert numbers_of("0-3,8,10-11\n") == (0, 1, 2, 3, 8, 10, 11)
    assert numbers_of("") == numbers_of("x,-,3-x,0-99999999999") == ()
    assert fields_of("A:\t1 2\nno colon\nB: x:y\n") == {"A": "1 2", "B": "x:y"}
    assert (kib_of("16 kB"), kib_of(""), kib_of("x kB")) == (16_384, 0, 0)


def test_capacity_names_cores_and_gpus_with_their_nodes(tmp_path: Path):
    capacity = host_of(tmp_path, host_trees.two_sockets()).capacity((("db", 2),))
    assert capacity.cores[0] == (0, (0, 8))
    assert capacity.pools == (("db", 2),)
    assert capacity.cpu_milli == 16_000
