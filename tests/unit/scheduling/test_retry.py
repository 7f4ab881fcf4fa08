"""How long a retry waits, and whether there is one."""

import pytest

from engine.model.resources import Capacity, Claim
from engine.model.workflow import Quota, Retry
from engine.scheduling.retry import delay_ns, draw, grown

SECOND = 10**9
HOST = Capacity(1000, 1000, scratch_bytes=900)


def test_without_a_delay_there_is_none_however_often_it_failed():
    assert delay_ns(Retry(limit=900, backoff=10.0), 500, seed=1, attempt=1) == 0


def test_a_backoff_beyond_all_numbers_waits_the_longest_delay():
    assert delay_ns(Retry(limit=900, delay_ns=SECOND, backoff=1e9, max_delay_ns=60 * SECOND), 200, 1, 1) == 60 * SECOND


@pytest.mark.parametrize(("jitter", "least"), [("full", 0.0), ("equal", 0.5)])
def test_jitter_stays_within_its_bounds_and_uses_them(jitter: str, least: float):
    retry = Retry(limit=1, delay_ns=1000 * SECOND, jitter=jitter)  # pyright: ignore[reportArgumentType]
    drawn = [delay_ns(retry, 1, 7, attempt) / (1000 * SECOND) for attempt in range(2000)]
    assert all(least <= share < 1 for share in drawn)
    assert min(drawn) < least + 0.02
    assert max(drawn) > 0.98


def test_the_same_seed_and_attempt_wait_as_long_and_others_do_not():
    retry = Retry(limit=1, delay_ns=1000 * SECOND, jitter="full")
    assert delay_ns(retry, 1, 7, 3) == delay_ns(retry, 1, 7, 3)
    assert len({delay_ns(retry, 1, seed, 3) for seed in range(50)}) == 50
    assert len({draw(1, number) for number in range(1000)}) == 1000


def test_a_claim_grows_once_for_each_time_and_never_beyond_the_host():
    retry = Retry(limit=1, grow=(("memory", 1.5),))
    claim, quota = Claim(1000, 100, (("db", 1),)), Quota(5, 200, 7, 9)
    assert grown(retry, claim, quota, {}, HOST) == (claim, quota)
    assert grown(retry, claim, quota, {"memory": 2}, HOST) == (Claim(1000, 225, (("db", 1),)), Quota(5, 450, 7, 9))
    assert grown(retry, claim, quota, {"memory": 20}, HOST)[0].memory_bytes == 1000
    assert grown(Retry(limit=1), claim, quota, {"memory": 3}, HOST) == (claim, quota)


def test_each_quota_grows_by_its_own_factor_as_often_as_it_was_exceeded():
    retry = Retry(limit=1, grow=(("disk", 2.0), ("processes", 1.5), ("silence", 100.0)))
    quota = Quota(processes=8, disk_bytes=100, silence_ns=10**9)
    claim, larger = grown(retry, Claim(), quota, {"disk": 3, "processes": 1, "silence": 10_000}, HOST)
    assert (claim, larger) == (Claim(), Quota(processes=12, disk_bytes=800, silence_ns=2**62))
    claim, _ = grown(retry, Claim(scratch_bytes=500), quota, {"disk": 1}, HOST)
    assert claim.scratch_bytes == 900
