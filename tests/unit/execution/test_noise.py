"""Noise is the difference of two snapshots of /proc; what is not told is not quiet."""

from pathlib import Path

import pytest
from msgspec.structs import asdict

from engine.execution.noise import TICKS_A_SECOND, Limits, Noise, between, marks, take
from engine.model.campaign import NoiseLimits
from tests.support.host_trees import write

SECOND = 10**9
LIMITS = Limits(**asdict(NoiseLimits()))


def tree(root: Path, *, user: int = 0, idle: int = 0, steal: int = 0, memory_us: int = 0, khz: int = 2_000_000) -> Path:
    """Two CPUs; times in seconds, so that the kernel's ticks need not be known."""
    t = TICKS_A_SECOND
    return write(root, {
        "proc/stat": f"cpu  {user * t} 0 0 {idle * t} 7 0 0 {steal * t} 5 0\ncpu0 1 0\ncpu1 1 0\nintr 5\ncpufoo 1\n",
        "proc/pressure/memory": f"some avg10=0.00 avg60=0.00 avg300=0.00 total={memory_us}\nfull avg10=0.00 total=9\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": f"{khz}\n",
        "sys/devices/system/cpu/cpufreq/policy1/scaling_cur_freq": f"{khz}\n",
    })  # fmt: skip


def test_foreign_cpu_is_what_was_busy_less_what_was_ours(tmp_path: Path):
    before = take(5 * SECOND, tree(tmp_path, user=100), at_ns=0)
    after = take(8 * SECOND, tree(tmp_path, user=107, idle=9, steal=1, memory_us=500_000), at_ns=10 * SECOND)
    noise = between(before, after)
    assert (noise.foreign_cpus, noise.stolen_cpus) == pytest.approx((0.4, 0.1))
    assert (noise.stalled, noise.frequency_ratio) == ({"memory": 0.05}, 1.0)
    assert before.cpus == 2


def test_waiting_for_a_disk_is_not_busy_and_guests_are_not_counted_twice(tmp_path: Path):
    assert take(0, tree(tmp_path, user=3)).busy == 3


def test_more_of_ours_than_was_busy_is_no_negative_noise(tmp_path: Path):
    """Ticks are coarse: the kernel may count less than our processes were told."""
    before = take(0, tree(tmp_path, user=100), at_ns=0)
    after = take(SECOND, tree(tmp_path, user=100), at_ns=SECOND)
    assert between(before, after).foreign_cpus == 0


def test_a_kernel_that_tells_nothing_leaves_gaps(tmp_path: Path):
    noise = between(take(0, tmp_path, at_ns=0), take(0, tmp_path, at_ns=1))
    assert noise == (0, 0, {}, None)


def test_a_snapshot_that_is_not_later_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="not later"):
        between(take(0, tmp_path, at_ns=5), take(0, tmp_path, at_ns=5))


def test_a_quiet_host_has_no_marks():
    assert marks(Noise(0.05, 0.0, {"memory": 0.0, "io": 0.02, "cpu": 0.5}, 0.99), 2, LIMITS) == ()


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (Noise(0.5, 0, {}, None), "others used 0.50 CPUs (limit 0.1)"),
        (Noise(0, 0.2, {}, None), "the hypervisor took 0.20 CPUs (limit 0.02)"),
        (Noise(0, 0, {"memory": 0.25}, None), "25% of the time something waited for memory (limit 1%)"),
        (Noise(0, 0, {"io": 0.5}, None), "50% of the time something waited for io (limit 10%)"),
        (Noise(0, 0, {}, 0.8), "the CPUs ran at 80% of their frequency at the beginning (limit 100±5%)"),
        (Noise(0, 0, {}, 1.2), "the CPUs ran at 120% of their frequency at the beginning (limit 100±5%)"),
    ],
)
def test_each_disturbance_is_named(noise: Noise, said: str):
    assert marks(noise, 2, LIMITS) == (said,)


def test_a_large_host_forgives_its_share():
    assert marks(Noise(1.0, 0, {}, None), 64, LIMITS) == ()
    assert marks(Noise(1.0, 0, {}, None), 8, LIMITS)


def test_limits_may_be_others():
    noise = Noise(0.5, 0.5, {"memory": 0.5, "io": 0.5}, 0.5)
    loose = Limits(0.4, 0.6, 0.3, 0.6, 0.6, 0.6, SECOND, 1)
    assert marks(noise, 2, loose) == ()
    assert marks(noise, 2, loose._replace(foreign=0.2)) == ()  # so much is always forgiven
    strict = loose._replace(foreign=0.2, forgiven=0.0, io=0.2)
    assert marks(noise, 2, strict) == (
        "others used 0.50 CPUs (limit 0.4)", "50% of the time something waited for io (limit 20%)",
    )  # fmt: skip


def test_this_host_can_be_read():
    found = take(0)
    assert found.cpus >= 1
    assert found.busy > 0
