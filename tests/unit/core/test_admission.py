"""Who may start: claims, pools, the order of the queue, max_parallel, a full disk, an engine that is stopping."""

import pytest

from engine.core.effects import ShareCpus
from engine.core.events import AttemptExited, AttemptLost, EngineStarted, HostSampled, PressureChanged, SpaceChanged
from engine.model.instants import MILLISECOND, MINUTE, SECOND
from engine.model.resources import Capacity, Claim
from engine.model.status import SUCCESS, Outcome, OutcomeKind, RunStatus
from engine.model.workflow import Quota, Retry, Schedule
from tests.support.builders import flow, task
from tests.support.stories import Player, Refused

GIB = 2**30


def pool(name: str, slots: int = 1, cpu: int = 0) -> Claim:
    return Claim(cpu, 0, ((name, slots),))


def test_a_task_waits_while_its_cpus_are_taken_and_says_who_holds_them():
    player = Player(flow(task("a", claim=Claim(1500)), task("b", claim=Claim(1000))), cpus=2)
    player.submit()
    assert player.running == ["a"]
    rank, _, reasons = player.explain("b")
    assert rank == 1
    assert [(reason.kind, reason.resource, reason.asked, reason.available) for reason in reasons] == [
        ("capacity", "cpu", 1.0, 0.5)
    ]
    assert reasons[0].holders == ("r1 a",)
    player.ok("a")
    assert player.running == ["b"]


def test_a_small_claim_passes_a_large_one_only_if_that_is_known_to_be_over_in_time():
    slow = task("slow", claim=Claim(1000), quota=Quota(wall_ns=MINUTE))
    big, unknown = task("big", claim=Claim(2000)), task("unknown", claim=Claim(500))
    brief = task("brief", claim=Claim(400), quota=Quota(wall_ns=SECOND))
    player = Player(flow(slow, big, unknown, brief), cpus=2)
    player.submit()
    assert player.running == ["slow", "brief"]


def test_a_wide_task_is_not_starved_by_a_stream_of_small_ones():
    player = Player(
        flow(task("a"), task("b"), name="first"), flow(task("wide", claim=Claim(2000)), name="second"),
        flow(task("small", for_each="{{ range(60) }}"), name="third"), cpus=2,
    )  # fmt: skip
    for name in ("first", "second", "third"):
        player.submit(name)
    player.ok("a", run=1)
    assert player.running == ["b"], "what nothing is known of does not pass"
    player.ok("b", run=1)
    assert player.running == ["wide"]
    player.ok("wide", run=2)
    assert player.running == ["small[0]", "small[1]"]


def test_no_claim_is_passed_on_while_a_wide_task_waits_for_what_is_given_back():
    player = Player(
        flow(task("small", for_each="{{ range(60) }}"), name="first"),
        flow(task("wide", claim=Claim(2000), priority=1), name="second"), cpus=2,
    )  # fmt: skip
    player.submit("first")
    for _ in range(4):
        player.end(player.running[0], SUCCESS, took_ns=MILLISECOND, run=1)
    lined_up = len(player.live)
    assert lined_up > 2
    player.submit("second")
    for _ in range(lined_up):
        assert player.running[0].startswith("small")
        player.end(player.running[0], SUCCESS, took_ns=MILLISECOND, run=1)
    assert player.running == ["wide"]


def test_owners_share_the_host_by_their_weights():
    player = Player(cpus=4, weights={"rich": 3.0})
    for owner in ("poor", "rich"):
        player.know(flow(task("t", for_each="{{ range(40) }}"), name=owner, owner=owner))
        player.submit(owner)
    began = {1: 0, 2: 0}
    for _ in range(40):
        start = next(iter(player.live.values()))
        began[start.run] += 1
        player.now_ns += SECOND
        player.ok(f"t[{start.index}]", run=start.run)
    assert 2 * began[1] < began[2]


def test_an_exclusive_task_waits_until_the_host_is_empty_and_then_has_it_alone():
    player = Player(flow(task("a"), task("alone", claim=Claim(exclusive=True)), task("b")), cpus=4)
    player.submit()
    assert player.running == ["a"]
    player.ok("a")
    assert player.running == ["alone"]
    player.ok("alone")
    assert player.running == ["b"]


def test_a_mutex_is_held_by_one_at_a_time():
    lock = Claim(0, mutexes=("table",))
    player = Player(flow(task("a", claim=lock), task("b", claim=lock)), cpus=4)
    player.submit()
    assert player.running == ["a"]
    (reason,) = player.explain("b")[2]
    assert (reason.kind, reason.resource, reason.holders) == ("mutex", "table", ("r1 a",))
    player.ok("a")
    assert player.running == ["b"]


def test_claims_that_the_host_can_never_meet_are_refused_with_all_the_numbers():
    player = Player(
        flow(
            task("a", claim=Claim(3000, 5 * GIB)), task("b", claim=pool("db", 4)), task("c", claim=pool("none")),
            task("d"),
        ),
        cpus=2, memory=4 * GIB, pools={"db": 3},
    )  # fmt: skip
    with pytest.raises(Refused) as refusal:
        player.submit()
    assert refusal.value.code == "invalid_value"
    for part in ("a: cpu 3 of 2; memory 5.00G of 4.00G", "b: pool db 4 of 3", "c: pool none 1 of 0"):
        assert part in refusal.value.sentence
    assert "d:" not in refusal.value.sentence
    assert player.state.runs == {}


def test_a_shared_pool_is_shared_by_all_workflows():
    player = Player(
        flow(task("a", claim=pool("db")), name="one"), flow(task("a", claim=pool("db")), name="two"), pools={"db": 1}
    )
    player.submit("one")
    player.submit("two")
    assert [start.workflow for start in player.live.values()] == ["one"]
    assert player.explain("a", run=2)[2][0].kind == "pool"
    player.ok("a", run=1)
    assert [start.workflow for start in player.live.values()] == ["two"]


def test_a_workflow_s_own_pool_is_its_own_and_shared_by_its_runs():
    own = {"pools": (("db", 1),)}
    player = Player(
        flow(task("a", claim=pool("db")), name="one", **own), flow(task("a", claim=pool("db")), name="two", **own)
    )
    for name in ("one", "two", "one"):
        player.submit(name)
    assert [(start.workflow, start.run) for start in player.live.values()] == [("one", 1), ("two", 2)]
    player.ok("a", run=1)
    assert [start.run for start in player.live.values()] == [2, 3]


def test_a_version_with_a_smaller_pool_leaves_runs_of_the_older_one_their_slots():
    player = Player(flow(task("a", claim=pool("db", 3)), task("b", "a", claim=pool("db", 3)), pools=(("db", 4),)))
    old = player.submit()
    player.add(flow(task("a", claim=pool("db", 1)), pools=(("db", 2),)))
    player.restart()
    player.ok("a", run=old)
    assert player.running == ["b"]
    player.ok("b", run=old)
    assert player.status(old) is RunStatus.SUCCEEDED
    for _ in range(3):
        player.submit()
    assert player.running == ["a", "a"]


def test_a_version_that_is_refused_leaves_the_pools_as_they_were():
    player = Player(flow(task("a", claim=pool("db")), pools=(("db", 1),)))
    player.submit()
    player.know(flow(task("a", claim=Claim(10**9)), task("b", claim=pool("db")), pools=(("db", 50),)))
    with pytest.raises(Refused):
        player.add()
    assert player.machine.cx.ledger.slots == {"w/db": 1}


def test_priority_comes_before_the_longest_way_to_the_end_and_that_before_age():
    player = Player(
        flow(
            task("old"), task("long"), task("long2", "long"), task("young"), task("urgent", priority=5),
            task("later", priority=-1),
        ),
        cpus=1,
    )  # fmt: skip
    player.submit()
    player.play()
    assert player.order == ["urgent", "long", "old", "young", "long2", "later"]


def test_at_most_max_parallel_rows_run_at_once():
    player = Player(flow(task("a", for_each="{{ range(5) }}", max_parallel=2)))
    player.submit()
    assert player.running == ["a[0]", "a[1]"]
    assert [reason.kind for reason in player.explain("a[3]")[2]] == ["max_parallel"]
    player.restart()
    player.ok("a[1]")
    assert player.running == ["a[0]", "a[2]"]
    player.play()
    assert player.status() is RunStatus.SUCCEEDED


def test_a_claim_of_nothing_starts_on_a_full_host():
    player = Player(flow(task("a"), task("b", claim=Claim(0))), cpus=1)
    player.submit()
    assert player.running == ["a", "b"]


def test_a_text_that_cannot_be_rendered_fails_the_task_and_holds_no_claim():
    player = Player(flow(task("a", dir="{{ 1 / 0 }}"), task("b")), cpus=1)
    player.submit()
    assert player.rows() == {"a": "failed", "b": "running"}
    assert "1 / 0" in player.why("a")


# --- a full disk, a new life, an engine that is stopping -----------------------------------------------------------


def test_a_read_only_engine_refuses_runs_orders_nothing_and_records_ends():
    player = Player(flow(task("a"), task("b", "a")))
    player.submit()
    player.step(SpaceChanged(read_only=True))
    with pytest.raises(Refused) as refusal:
        player.submit()
    assert refusal.value.code == "unavailable"
    player.ok("a")
    assert player.rows() == {"a": "succeeded", "b": "ready"}
    assert [reason.kind for reason in player.explain("b")[2]] == ["read_only"]
    player.step(SpaceChanged(read_only=False))
    assert player.running == ["b"]


def test_schedules_wait_while_the_engine_is_read_only():
    player = Player(flow(task("a"), schedules=(Schedule(interval_ns=MINUTE),), catch_up="last"))
    player.add()
    player.step(SpaceChanged(read_only=True))
    player.advance(180)
    assert player.state.runs == {}
    assert player.machine.next_due() == (0, 0)
    player.step(SpaceChanged(read_only=False))
    assert list(player.state.runs) == [1]


def test_an_engine_that_drains_orders_nothing_and_records_ends():
    player = Player(flow(task("a"), task("b", "a")))
    player.submit()
    player.machine.drain()
    player.ok("a")
    assert player.rows() == {"a": "succeeded", "b": "ready"}
    assert [reason.kind for reason in player.explain("b")[2]] == ["stopping"]


def test_on_another_boot_every_attempt_is_lost_and_on_the_same_boot_none():
    player = Player(flow(task("a")))
    capacity = player.state.capacity
    player.step(EngineStarted(1, capacity, "boot-1"))
    player.submit()
    player.step(EngineStarted(2, capacity, "boot-1"))
    assert player.run().losses[0] == 0
    player.live.clear()
    player.step(EngineStarted(3, capacity, "boot-2"))
    assert player.run().losses[0] == 1
    assert player.attempt("a").number == 2
    assert player.state.meta.epoch == 3
    assert [event.why for event in player.journal if isinstance(event, AttemptLost)] == ["the host was restarted"]


def test_a_host_that_has_grown_gives_more_at_once():
    player = Player(flow(task("a", for_each=[1, 2, 3])), cpus=1)
    player.submit()
    player.step(EngineStarted(1, Capacity(3000, 10**12), "boot-1"))
    assert player.running == ["a[0]", "a[1]", "a[2]"]


def test_a_host_that_has_shrunk_keeps_what_runs_and_starts_less():
    player = Player(flow(task("a", for_each=[1, 2, 3, 4])), cpus=2)
    player.submit()
    player.step(EngineStarted(1, Capacity(1000, 10**12), "boot-1"))
    player.ok("a[0]")
    assert player.running == ["a[1]"]
    player.ok("a[1]")
    assert player.running == ["a[2]"]


# --- preemption -------------------------------------------------------------------------------------------------------


def test_a_higher_priority_stops_what_allows_it_and_that_goes_again_later():
    low = task("low", priority=-1, preemption="requeue", retry=Retry(limit=0))
    player = Player(flow(low, name="w"), flow(task("high", priority=5), name="urgent"), cpus=1)
    player.submit("w")
    player.submit("urgent")
    assert player.stops == [("low", False)]
    assert player.running == ["low"], "it has the host until it has ended"
    player.end("low", Outcome(OutcomeKind.SIGNALLED, signal=15), run=1)
    assert player.running == ["high"]
    assert player.rows(1)["low"] == "ready"
    player.ok("high", run=2)
    assert player.running == ["low"]
    player.ok("low", run=1)
    assert (player.status(1), player.run(1).failures[0]) == (RunStatus.SUCCEEDED, 0)


def test_nobody_is_stopped_who_does_not_allow_it_or_in_vain():
    for fields, cpus in (({"preemption": "never"}, 1000), ({"preemption": "requeue"}, 2000)):
        low = task("low", claim=Claim(cpus // 2), **fields)
        fixed = task("fixed", claim=Claim(cpus // 2))
        high = task("high", priority=5, claim=Claim(cpus))
        player = Player(flow(low, fixed, name="w"), flow(high, name="u"), cpus=cpus / 1000)
        player.submit("w")
        player.submit("u")
        assert player.stops == []


def test_of_several_the_lowest_and_then_the_newest_go_and_no_more_than_needed():
    tasks = [task(f"t{n}", priority=-1 if n % 2 else -2, preemption="requeue") for n in range(4)]
    player = Player(flow(*tasks, name="w"), flow(task("high", claim=Claim(2000)), name="u"), cpus=4)
    player.submit("w")
    player.submit("u")
    lowest = [f"t{n}" for n in range(4) if tasks[n].policy.priority == -2]
    assert sorted(row for row, _ in player.stops) == sorted(lowest)
    player.submit("u")
    assert len(player.stops) == 2, "what is stopped already counts as free"


def test_a_preempted_attempt_that_succeeds_all_the_same_has_succeeded():
    low = task("low", preemption="requeue")
    player = Player(flow(low, name="w"), flow(task("high", priority=5), name="u"), cpus=1)
    player.submit("w")
    player.submit("u")
    player.ok("low", run=1)
    assert player.status(1) is RunStatus.SUCCEEDED


# --- places -----------------------------------------------------------------------------------------------------------

CORES = ((0, (0,)), (0, (1,)), (1, (2,)), (1, (3,)))


def test_a_gpu_is_given_by_its_uuid_and_given_back():
    claim = Claim(0, gpu_milli=1000)
    player = Player(
        flow(*(task(name, claim=claim) for name in "abc")), cpus=4, gpus=(("GPU-1", 0), ("GPU-2", 0))
    )  # fmt: skip
    player.submit()
    given = [player.attempt(name).binding.gpus for name in ("a", "b")]
    assert sorted(given) == [(("GPU-1", 1000),), (("GPU-2", 1000),)]
    (reason,) = player.explain("c")[2]
    assert (reason.resource, reason.asked, reason.available) == ("gpu", 1.0, 0.0)
    player.ok("a")
    assert player.attempt("c").binding.gpus == given[0]


def test_parts_of_a_gpu_share_one():
    half = Claim(0, gpu_milli=500)
    player = Player(flow(task("a", claim=half), task("b", claim=half)), cpus=4, gpus=(("GPU-1", 0), ("GPU-2", 0)))
    player.submit()
    assert player.attempt("a").binding.gpus == player.attempt("b").binding.gpus


def test_a_pinned_task_has_cores_of_its_own_and_the_others_are_told_to_leave_them():
    player = Player(flow(task("a", claim=Claim(2000, pin="node")), task("b")), cpus=4, cores=CORES)
    player.submit()
    own = player.attempt("a").binding.cpus
    assert own in ((0, 1), (2, 3))
    shared = tuple(sorted({0, 1, 2, 3} - set(own)))
    changes = player.end("a", SUCCESS)
    assert [effect.cpus for effect in changes.effects if isinstance(effect, ShareCpus)] == [(0, 1, 2, 3)]
    player = Player(flow(task("a", claim=Claim(2000, pin="node"))), cpus=4, cores=CORES)
    player.submit()
    player.restart()
    changes = player.step(EngineStarted(2, player.state.capacity, ""))
    assert [effect.cpus for effect in changes.effects if isinstance(effect, ShareCpus)] == [shared]


def test_a_binding_outlives_a_restart():
    claim = Claim(1000, pin="core", gpu_milli=1000)
    player = Player(flow(task("a", claim=claim), task("b", claim=claim)), cpus=4, cores=CORES, gpus=(("GPU-1", 1),))
    player.submit()
    binding = player.attempt("a").binding
    player.restart()
    assert player.machine.cx.ledger.cpus == set(binding.cpus)
    assert player.running == ["a"]
    player.ok("a")
    assert player.attempt("b").binding == binding


# --- what the host is short of ----------------------------------------------------------------------------------------


def _memory(share: float) -> HostSampled:
    return HostSampled(int(100 * GIB * share), 100 * GIB)


def test_nothing_starts_while_the_host_is_out_of_memory_and_says_so():
    player = Player(flow(task("a")), cpus=4)
    player.step(_memory(0.03))
    player.submit()
    assert player.running == []
    (reason,) = player.explain("a")[2]
    assert (reason.kind, reason.resource) == ("pressure", "memory")
    told = [event for event in player.journal if isinstance(event, PressureChanged)]
    assert [(event.level, event.why) for event in told] == [
        ("closed", "memory: 3.00G available, the bound is 5.00G: nothing starts")
    ]  # fmt: skip


def test_one_a_second_starts_while_memory_is_low():
    player = Player(flow(task("t", for_each="{{ range(6) }}")), cpus=6)
    player.step(_memory(0.08))
    player.submit()
    assert player.running == ["t[0]"]
    due_ns = player.machine.next_due()[0]
    assert due_ns - player.now_ns <= SECOND
    player.advance(1)
    assert player.running == ["t[0]", "t[1]"]


def test_when_memory_is_back_for_a_while_everything_starts_again():
    player = Player(flow(task("t", for_each="{{ range(6) }}")), cpus=6)
    player.step(_memory(0.03))
    player.submit()
    for _ in range(30):
        player.advance(1)
        player.step(_memory(0.5))
    assert len(player.running) == 6
    levels = [event.level for event in player.journal if isinstance(event, PressureChanged)]
    assert levels == ["closed", "slow", "open"]


def test_samples_that_change_nothing_are_not_written_down():
    player = Player(flow(task("a")), cpus=4)
    changes = player.step(_memory(0.9))
    assert changes.empty


def _others(cpus: float) -> HostSampled:
    return HostSampled(cpu_foreign_milli=int(cpus * 1000), cpu_total_milli=8000)


def test_while_others_use_much_of_the_cpu_fewer_run_side_by_side_and_the_reason_is_told():
    player = Player(flow(task("t", for_each="{{ range(8) }}")), cpus=8)
    player.step(_others(5))
    player.submit()
    assert player.running == ["t[0]", "t[1]", "t[2]"]
    (reason,) = player.explain("t[3]")[2]
    assert (reason.kind, reason.resource, reason.asked, reason.available) == ("pressure", "cpu", 4, 3)
    player.ok("t[0]")
    assert player.running == ["t[1]", "t[2]", "t[3]"]


def test_while_others_use_all_of_the_cpu_one_attempt_runs_at_a_time_and_nothing_spins():
    player = Player(flow(task("t", for_each="{{ range(3) }}")), cpus=8)
    player.step(_others(8))
    player.submit()
    assert player.running == ["t[0]"]
    assert player.machine.next_due() == (0, 0)
    player.ok("t[0]")
    assert player.running == ["t[1]"]
    told = [event for event in player.journal if isinstance(event, PressureChanged)]
    assert [event.why for event in told] == ["cpu: others leave 0 free, the bound is 0.8: one attempt at a time"]


def test_when_others_are_gone_for_a_while_everything_starts_again():
    player = Player(flow(task("t", for_each="{{ range(6) }}")), cpus=8)
    player.step(_others(8))
    player.submit()
    for _ in range(30):
        player.advance(1)
        player.step(HostSampled(cpu_total_milli=8000))
    assert len(player.running) == 6
    levels = [event.level for event in player.journal if isinstance(event, PressureChanged)]
    assert levels == ["closed", "slow", "open"]


def test_a_second_run_takes_the_way_first_that_took_longest_in_the_first():
    player = Player(flow(task("short"), task("long"), task("end", "short", "long")), cpus=1)
    player.submit()
    assert player.running == ["short"]
    player.ok("short")
    player.begin("long")
    player.advance(5)
    number = player.attempt("long").attempt
    del player.live[number]
    player.step(AttemptExited(number, player.now_ns, SUCCESS))
    player.ok("end")
    player.submit()
    assert player.running == ["long"]
