"""Who stands still gives its CPUs back, and goes on when it has them again: paused, or for a higher class."""

import pytest

from engine.core.effects import ResumeAttempt, ShareCpus, SuspendAttempt
from engine.core.events import (
    AttemptExited,
    AttemptLost,
    AttemptPreempted,
    AttemptResumed,
    AttemptStarted,
    AttemptSuspended,
    CpusReleased,
    EngineStarted,
    HostSampled,
    SettingsChangeRequested,
)  # fmt: skip
from engine.core.state import Attempt
from engine.model.ids import row_text
from engine.model.instants import MILLISECOND, SECOND
from engine.model.resources import Capacity, Claim
from engine.model.status import SUCCESS, Outcome, OutcomeKind, RunStatus
from engine.model.workflow import Command, Python, Retry
from tests.support.builders import flow, task
from tests.support.stories import Player, Refused

MIB = 2**20
OTHERS = HostSampled(cpu_foreign_milli=2000, cpu_total_milli=2000)
"""Others use all of the CPU."""
CALL = Python("m:f", {"x": "{{ item }}"})
CORES = ((0, (0,)), (0, (1,)), (1, (2,)), (1, (3,)))


def attempt_of(player: Player, row: str, run: int = 0) -> Attempt:
    return player.state.attempts[player.attempt(row, run).attempt]


def two(**fields: object) -> Player:
    """`a` stands still, paused, on a host with one CPU, which `b` has now."""
    tasks = task("a", claim=Claim(1000, **fields)), task("b", claim=Claim(1000))  # pyright: ignore[reportArgumentType]
    player = Player(flow(*tasks), cpus=1, memory=1000 * MIB)
    player.submit()
    player.begin("a")
    player.pause(0, "a")
    player.suspended("a")
    return player


def low_and_high(cpus: float = 1, low: dict[str, object] | None = None, **high: object) -> Player:
    """`low` runs, declares suspend and has one CPU; `high` of another workflow waits for one."""
    first = task("low", priority=-1, preemption="suspend", retry=Retry(limit=0), **low or {})
    second = task("high", priority=5, **high)
    player = Player(flow(first, name="w"), flow(second, name="u"), cpus=cpus, memory=1000 * MIB)
    player.submit("w")
    player.begin("low")
    player.submit("u")
    return player


def kinds(player: Player, row: str, run: int = 0) -> list[str]:
    return [reason.kind for reason in player.explain(row, run)[2]]


# --- paused by an operator ------------------------------------------------------------------------------------------


def test_a_paused_attempt_gives_its_cpus_back_once_it_stands_still():
    player = Player(flow(task("a"), task("b")), cpus=1)
    player.submit()
    player.begin("a")
    player.pause(0, "a")
    assert player.running == ["a"], "it may still move"
    player.suspended("a")
    assert player.running == ["a", "b"]
    assert [type(event) for event in player.journal].count(CpusReleased) == 1


def test_a_resumed_attempt_waits_for_its_cpus_and_says_so():
    player = two()
    player.begin("b")
    player.resume(0, "a")
    assert player.freezes == [("a", True)]
    rank, predicted, reasons = player.explain("a")
    assert (rank, predicted) == (1, None)
    assert [(reason.kind, reason.resource, reason.holders) for reason in reasons] == [
        ("resuming", "cpu", ()), ("capacity", "cpu", ("r1 b",))
    ]  # fmt: skip
    with pytest.raises(Refused, match="a goes on by itself"):
        player.resume(0, "a")
    player.ok("b")
    assert player.freezes == [("a", True), ("a", False)]
    player.resumed("a")
    player.ok("a")
    assert player.status() is RunStatus.SUCCEEDED


def test_an_attempt_that_waits_for_its_cpus_can_be_paused_again():
    player = two()
    player.resume(0, "a")
    player.pause(0, "a")
    player.ok("b")
    assert player.freezes == [("a", True)]
    assert kinds(player, "a") == ["paused"]
    player.resume(0, "a")
    assert player.freezes == [("a", True), ("a", False)]


def test_memory_gpus_pools_and_mutexes_stay_while_it_stands_still():
    claim = Claim(1000, 10 * MIB, (("p", 1),), gpu_milli=1000, scratch_bytes=5, mutexes=("m",))
    player = Player(
        flow(task("a", claim=claim)), cpus=1, memory=100 * MIB, pools={"p": 1}, gpus=(("G", 0),), scratch_bytes=9
    )  # fmt: skip
    player.submit()
    player.begin("a")
    player.pause(0, "a")
    player.suspended("a")
    ledger = player.machine.cx.ledger
    assert (ledger.cpu_milli, ledger.memory_bytes, ledger.scratch_bytes, ledger.gpus, ledger.pools) == (
        0, 10 * MIB, 5, {"G": 1000}, {"p": 1}
    )  # fmt: skip
    assert ledger.mutexes["m"] == 1
    player.resume(0, "a")
    assert ledger.cpu_milli == 1000


@pytest.mark.parametrize(
    ("claimed", "occupied", "light"),
    [(0, 50 * MIB, True), (0, 51 * MIB, False), (400 * MIB, 300 * MIB, True), (400 * MIB, 401 * MIB, False)],
)
def test_only_what_is_memory_light_gives_its_cpus_back(claimed: int, occupied: int, light: bool):
    player = Player(flow(task("a", claim=Claim(1000, claimed)), task("b")), cpus=1, memory=1000 * MIB)
    player.submit()
    player.begin("a")
    player.pause(0, "a")
    player.suspended("a", memory=occupied)
    assert attempt_of(player, "a").released is light
    player.resume(0, "a")
    assert player.freezes == ([("a", True)] if light else [("a", True), ("a", False)])


def test_who_has_the_host_alone_keeps_it():
    player = Player(flow(task("a", claim=Claim(1000, exclusive=True)), task("b")), cpus=4)
    player.submit()
    player.begin("a")
    player.pause(0, "a")
    player.suspended("a")
    assert player.running == ["a"]


def test_only_the_answer_to_the_newest_order_releases_anything():
    player = Player(flow(task("a"), task("b")), cpus=1)
    player.submit()
    player.begin("a")
    number = player.attempt("a").attempt
    player.pause(0, "a")
    player.resume(0, "a")
    player.pause(0, "a")
    player.step(AttemptSuspended(number, player.now_ns, 1))
    assert player.running == ["a"], "it is about to move once more"
    player.step(AttemptResumed(number, player.now_ns, 2))
    player.step(AttemptSuspended(number, player.now_ns, 3))
    assert player.running == ["a", "b"]


def test_a_pinned_attempt_goes_on_on_the_cores_that_are_free_then():
    claim = Claim(2000, pin="node")
    player = Player(flow(*(task(name, claim=claim) for name in "abc")), cpus=4, cores=CORES)
    player.submit()
    player.begin("a")
    first = attempt_of(player, "a").binding.cpus
    player.pause(0, "a")
    player.suspended("a")
    assert player.attempt("c").binding.cpus == first
    player.resume(0, "a")
    changes = player.end("b", SUCCESS)
    fresh = attempt_of(player, "a").binding.cpus
    assert len(fresh) == 2
    assert set(fresh).isdisjoint(first)
    assert ResumeAttempt(player.attempt("a").attempt, 2, fresh) in changes.effects
    assert [effect for effect in changes.effects if isinstance(effect, ShareCpus)]


@pytest.mark.parametrize("wide", [False, True])
def test_a_pinned_attempt_that_goes_on_gets_cores_near_the_gpu_that_it_kept(wide: bool):
    """Also beside a reservation: `wide` waits for all of the host."""
    near = task("near", claim=Claim(1000, gpu_milli=1000, pin="core"), priority=1)
    other = task("other", claim=Claim(1000, pin="core"))
    player = Player(
        flow(near, name="near"), flow(other, name="other"), flow(task("wide", claim=Claim(4000)), name="wide"),
        cpus=4, cores=CORES, gpus=(("GPU-1", 1),),
    )  # fmt: skip
    player.submit("near")
    player.begin("near")
    assert attempt_of(player, "near").binding.cpus == (2,)
    player.pause(0, "near")
    player.suspended("near")
    player.submit("other")
    player.begin("other", run=2)
    assert attempt_of(player, "other", 2).binding.cpus == (0,)
    if wide:
        player.submit("wide")
    player.resume(1, "near")
    assert attempt_of(player, "near", 1).binding.cpus == (2,)


def test_a_cancelled_attempt_has_its_cpus_at_once_so_that_it_can_end():
    player = two()
    player.begin("b")
    player.submit()
    player.cancel("a", run=1)
    assert player.stops == [("a", False)]
    assert player.machine.cx.ledger.cpu_milli == 2000
    player.ok("b", run=1)
    assert player.running == ["a"], "nothing starts while it ends"
    player.stopped("a", run=1)
    assert player.running == ["a"]
    assert player.attempt("a").run == 2


def test_an_attempt_that_dies_while_it_waits_is_forgotten_by_the_queue():
    player = two()
    player.resume(0, "a")
    player.lose("a")
    assert list(player.machine.cx.returning) == []
    player.ok("b", "a")
    assert player.status() is RunStatus.SUCCEEDED


def test_a_launcher_that_ends_what_stands_still_is_believed():
    """It went over a quota: it moves, so it holds its CPUs, and is not told to stand still again."""
    player = two()
    number, turn = player.attempt("a").attempt, player.turns[player.attempt("a").attempt]
    changes = player.step(AttemptResumed(number, player.now_ns, turn))
    assert changes.effects == []
    assert (attempt_of(player, "a").frozen, attempt_of(player, "a").released) == (False, False)
    player.step(AttemptExited(number, player.now_ns, Outcome(OutcomeKind.OVER_QUOTA, which="disk", used=2, limit=1)))
    assert player.rows()["a"] == "failed"


def test_nobody_takes_over_the_claim_of_who_stands_still():
    player = Player(flow(task("warm"), task("t", "warm", for_each="{{ range(4) }}")), cpus=1)
    player.submit()
    player.end("warm", SUCCESS, took_ns=MILLISECOND)
    player.end("t[0]", SUCCESS, took_ns=MILLISECOND)
    waiting = [row for row in player.running if row != "t[1]"]
    assert waiting, "some were ordered ahead"
    player.begin("t[1]")
    player.pause(0, "t[1]")
    assert player.recalls == waiting
    player.suspended("t[1]")
    assert not attempt_of(player, "t[1]").released
    for row in waiting:
        player.never(row)
    assert attempt_of(player, "t[1]").released
    assert [row for row in player.running if not player.attempt(row).claim_from] == ["t[1]", "t[2]"]


def test_a_run_is_paused_and_resumed_with_what_waits_for_its_cpus():
    player = two()
    player.begin("b")
    player.pause(running=True)
    player.suspended("b")
    player.resume()
    assert player.freezes.count(("a", False)) + player.freezes.count(("b", False)) == 1
    first = "a" if ("a", False) in player.freezes else "b"
    player.resumed(first)
    player.ok(first)
    assert ("b" if first == "a" else "a", False) in player.freezes


def test_what_has_begun_goes_on_before_anything_begins():
    player = Player(flow(task("a"), task("b"), task("c", "b"), task("d", "c")), cpus=1)
    player.submit()
    assert player.running == ["b"]
    player.begin("b")
    player.pause(0, "b")
    player.suspended("b")
    assert player.running == ["b", "a"]
    player.resume(0, "b")
    player.submit()
    player.ok("a", run=1)
    assert player.freezes[-1] == ("b", False)


def test_while_an_engine_drains_what_stands_still_for_others_goes_on():
    player = two()
    player.resume(0, "a")
    player.machine.drain()
    player.ok("b")
    assert player.freezes[-1] == ("a", False)


# --- for a higher class ---------------------------------------------------------------------------------------------


def test_a_higher_priority_gets_the_cpus_of_who_may_be_suspended_and_gives_them_back():
    player = low_and_high()
    assert player.freezes == [("low", True)]
    assert player.stops == []
    (told,) = [event for event in player.journal if isinstance(event, AttemptPreempted)]
    assert (told.suspended, told.for_run) == (True, 2)
    player.suspended("low", run=1)
    assert player.running == ["low", "high"]
    rank, _, reasons = player.explain("low", run=1)
    assert rank == 1
    assert [(reason.kind, reason.holders) for reason in reasons] == [
        ("suspended", ("r2 high",)), ("capacity", ("r2 high",))
    ]  # fmt: skip
    player.ok("high")
    assert player.freezes == [("low", True), ("low", False)]
    player.resumed("low", run=1)
    player.ok("low", run=1)
    assert (player.status(1), player.tries("low", 1), player.run(1).failures[0]) == (RunStatus.SUCCEEDED, 1, 0)


def test_nobody_is_suspended_in_vain_or_by_an_equal():
    assert low_and_high(low={"claim": Claim(1000, 600 * MIB)}, claim=Claim(1000, 600 * MIB)).freezes == []
    assert low_and_high(low={"claim": Claim(1000, exclusive=True)}).freezes == []
    player = Player(flow(task("a", preemption="suspend"), task("b")), cpus=1)
    player.submit()
    player.begin("a")
    assert player.freezes == []


def test_of_a_mixed_class_who_can_be_suspended_goes_before_who_must_be_stopped():
    tasks = task("s", priority=-1, preemption="suspend"), task("r", priority=-1, preemption="requeue")
    player = Player(flow(*tasks, name="w"), flow(task("high", priority=5), name="u"), cpus=2)
    player.submit("w")
    player.begin("s")
    player.begin("r")
    player.submit("u")
    assert (player.freezes, player.stops) == ([("s", True)], [])


def test_a_wide_entry_waits_for_all_whom_it_needs_and_none_of_them_goes_on_before():
    tasks = [task(name, priority=-1, preemption="suspend") for name in "ab"]
    player = Player(flow(*tasks, name="w"), flow(task("wide", priority=5, claim=Claim(2000)), name="u"), cpus=2)
    player.submit("w")
    player.begin("a")
    player.begin("b")
    player.submit("u")
    assert sorted(player.freezes) == [("a", True), ("b", True)]
    player.suspended("a", run=1)
    assert ("a", False) not in player.freezes
    player.suspended("b", run=1)
    assert player.running == ["a", "b", "wide"]
    player.ok("wide")
    assert sorted(player.freezes[2:]) == [("a", False), ("b", False)]


def test_who_turns_out_to_occupy_much_memory_goes_on_and_is_left_alone():
    player = low_and_high()
    player.suspended("low", run=1, memory=900 * MIB)
    assert player.freezes == [("low", True), ("low", False)]
    player.resumed("low", run=1)
    player.submit("u")
    assert len(player.freezes) == 2


def test_an_operator_pauses_what_is_suspended_and_it_stays_so():
    player = low_and_high()
    player.suspended("low", run=1)
    player.pause(1, "low")
    player.ok("high")
    assert player.freezes == [("low", True)]
    assert kinds(player, "low", 1) == ["paused"]
    player.resume(1, "low")
    assert player.freezes == [("low", True), ("low", False)]


def test_what_is_suspended_can_be_cancelled_and_killed():
    for kill in (False, True):
        player = low_and_high()
        player.suspended("low", run=1)
        player.cancel("low", run=1, kill=kill)
        assert player.stops == [("low", kill)]
        player.stopped("low", run=1)
        assert player.rows(1)["low"] == "cancelled"
        assert player.running == ["high"]


def test_a_pause_of_its_run_does_not_keep_a_suspended_attempt_from_going_on():
    player = low_and_high()
    player.suspended("low", run=1)
    player.pause(1)
    player.ok("high")
    assert player.freezes[-1] == ("low", False)


def test_an_engine_that_was_killed_knows_who_stands_still_for_whom():
    player = low_and_high()
    player.restart()
    number = player.attempt("low", 1).attempt
    changes = player.step(AttemptStarted(number, player.now_ns, 7))
    assert changes.effects == [SuspendAttempt(number, 1)], "the order may have been lost"
    player.suspended("low", run=1)
    player.restart()
    assert player.machine.cx.ledger.cpu_milli == 1000
    player.begin("high")
    changes = player.step(AttemptStarted(number, player.now_ns, 7), AttemptSuspended(number, player.now_ns, 1))
    assert attempt_of(player, "low", 1).released
    player.ok("high")
    assert player.freezes[-1] == ("low", False)
    player.restart()
    changes = player.step(AttemptStarted(number, player.now_ns, 7), AttemptSuspended(number, player.now_ns, 1))
    assert ResumeAttempt(number, 2) in changes.effects
    assert not attempt_of(player, "low", 1).released


def test_a_launcher_that_dies_takes_a_suspended_attempt_with_it_and_it_goes_again():
    player = low_and_high()
    player.suspended("low", run=1)
    number = player.attempt("low", 1).attempt
    del player.live[number]
    player.step(AttemptLost(number, player.now_ns, "the launcher died"))
    assert player.rows(1)["low"] == "ready"
    player.ok("high")
    assert player.running == ["low"]


def test_a_host_that_was_restarted_leaves_nobody_suspended():
    player = low_and_high()
    player.step(EngineStarted(1, player.state.capacity, "boot-1"))
    player.suspended("low", run=1)
    player.live.clear()
    player.step(EngineStarted(2, player.state.capacity, "boot-2"))
    assert list(player.machine.cx.returning) == []
    assert player.running == ["high"]


def test_a_priority_that_is_changed_meanwhile_counts_for_its_place_in_the_queue():
    player = low_and_high()
    player.suspended("low", run=1)
    player.ask(SettingsChangeRequested, run=1, task="low", settings={"priority": 9})
    player.begin("high")
    assert player.explain("low", 1)[0] == 1
    assert player.machine.cx.returning[player.attempt("low", 1).attempt].band == (-9, False)
    assert player.freezes == [("low", True)], "high allows nobody to disturb it"
    player.ok("high")
    assert player.freezes[-1] == ("low", False)


def test_who_waits_for_what_a_suspended_attempt_holds_lets_it_go_on_past_the_reservation():
    """The mutex is free when it has ended, and for that it needs a CPU which the reservation would set aside."""
    low = task("low", priority=-1, preemption="suspend", claim=Claim(1000, mutexes=("m",)))
    high = task("high", priority=5), task("next", "high", priority=5, claim=Claim(1000, mutexes=("m",)))
    player = Player(flow(low, name="w"), flow(*high, name="u"), cpus=1)
    player.submit("w")
    player.begin("low")
    player.submit("u")
    player.suspended("low", run=1)
    player.ok("high")
    assert player.freezes[-1] == ("low", False)
    player.resumed("low", run=1)
    assert player.freezes[-1] == ("low", False), "to suspend it once more would be in vain"
    player.ok("low", run=1)
    assert player.running == ["next"]


def test_a_block_is_suspended_with_its_worker_and_rows_that_have_not_begun_are_given_back():
    rows = task("t", for_each="{{ range(40) }}", action=CALL, priority=-1, preemption="suspend")
    player = Player(flow(rows, name="w"), flow(task("high", priority=5), name="u"), cpus=1)
    player.submit("w")
    player.end("t[0]", SUCCESS, took_ns=MILLISECOND)
    block, *others = player.live.values()
    player.begin_block(block)
    player.submit("u")
    assert player.freezes == [("t[1]", True)]
    assert sorted(player.recalls) == sorted(["t[1]", *(row_text("t", start.index) for start in others)])
    player.suspended("t[1]", run=1)
    for start in others:
        if start.count > 1:
            player.return_rows(start, 0)
            del player.live[start.attempt]
        else:
            player.never(row_text("t", start.index), run=1)
    player.return_rows(block, 1)
    assert player.attempt("high").claim_from == 0
    assert player.state.attempts[block.attempt].held.cpu_milli == 0
    player.ok("high")
    assert player.freezes[-1] == ("t[1]", False)
    player.span(block, 0, 1)
    assert player.rows(1)["t[1]"] == "succeeded"


def test_the_time_that_it_stood_still_counts_for_nothing():
    player = low_and_high()
    number = player.attempt("low", 1).attempt
    begun = player.state.attempts[number].started_ns
    player.step(AttemptSuspended(number, begun + SECOND, 1))
    player.ok("high")
    player.step(AttemptResumed(number, begun + 61 * SECOND, 2))
    attempt = player.state.attempts[number]
    player.step(AttemptExited(number, begun + 62 * SECOND, SUCCESS))
    assert attempt.took_ns == 2 * SECOND


def test_a_host_that_has_shrunk_lets_it_wait_until_there_is_room():
    player = low_and_high(cpus=2, low={"claim": Claim(2000)}, claim=Claim(2000))
    player.suspended("low", run=1)
    player.ok("high")
    player.resumed("low", run=1)
    player.pause(1, "low")
    player.suspended("low", run=1)
    player.step(EngineStarted(1, Capacity(1000, 1000 * MIB), ""))
    player.resume(1, "low")
    assert player.freezes[-1] == ("low", True)
    player.step(EngineStarted(2, Capacity(2000, 1000 * MIB), ""))
    assert player.freezes[-1] == ("low", False)


def test_what_has_begun_goes_on_while_the_host_is_so_short_of_memory_that_nothing_begins():
    player = low_and_high(low={"claim": Claim(1000, 500 * MIB)})
    player.suspended("low", run=1, memory=500 * MIB)
    player.submit("u")
    player.step(HostSampled(10 * MIB, 1000 * MIB))
    player.ok("high", run=2)
    assert player.freezes[-1] == ("low", False)
    assert player.running == ["low"]
    assert player.explain("high")[2][-1].kind == "pressure"


def test_it_is_foretold_when_a_suspended_attempt_goes_on_and_what_starts_after_it():
    low = task("low", priority=-1, preemption="suspend", action=Command(("low",)))
    high = task("high", priority=5, action=Command(("high",)))
    last = task("last", priority=-2, action=Command(("last",)))
    player = Player(flow(low, name="w"), flow(high, name="u"), flow(last, name="v"), cpus=1)
    for name, row, seconds in (("w", "low", 10), ("u", "high", 5), ("v", "last", 1)):
        player.submit(name)
        player.end(row, SUCCESS, took_ns=seconds * SECOND)
    player.submit("w")
    player.begin("low")
    player.advance(4)
    player.submit("u")
    player.suspended("low", run=4)
    player.begin("high")
    player.submit("v")
    goes_on, starts = player.explain("low", 4)[1], player.explain("last")[1]
    assert goes_on is not None
    assert starts is not None
    assert (goes_on - player.now_ns) / SECOND == pytest.approx(5, abs=0.1)
    assert (starts - goes_on) / SECOND == pytest.approx(6, abs=0.1)
    player.pause(4, "low")
    assert player.explain("low", 4)[1] is None, "who is paused goes on when somebody says so"
    assert player.explain("last")[1] == goes_on


def test_who_is_to_have_the_host_alone_waits_until_a_suspended_attempt_has_ended():
    player = low_and_high()
    player.suspended("low", run=1)
    player.know(flow(task("alone", priority=9, claim=Claim(1000, exclusive=True)), name="x"))
    player.submit("x")
    player.ok("high", run=2)
    assert player.freezes[-1] == ("low", False)
    player.resumed("low", run=1)
    assert player.running == ["low"]
    player.ok("low", run=1)
    assert player.running == ["alone"]


def test_who_stands_still_does_not_count_as_the_one_that_runs_while_others_use_all_of_the_cpu():
    player = Player(flow(task("a"), task("b"), task("c")), cpus=2, memory=1000 * MIB)
    player.step(OTHERS)
    player.submit()
    player.begin("a")
    player.pause(0, "a")
    assert player.running == ["a"]
    player.suspended("a")
    assert player.running == ["a", "b"]
    assert kinds(player, "c") == ["pressure"]


def test_what_others_hold_back_starts_by_itself_when_they_are_gone_though_nothing_else_happens():
    """`a` stands still and `b` runs on: no end, no request, no timer; there are only looks at the host."""
    player = Player(flow(task("a"), task("b"), task("c")), cpus=2, memory=1000 * MIB)
    player.step(OTHERS)
    player.submit()
    player.begin("a")
    player.pause(0, "a")
    player.suspended("a")
    player.begin("b")
    assert player.machine.next_due() == (0, 0)
    for _ in range(30):
        player.advance(1)
        player.step(HostSampled(cpu_total_milli=2000))
    assert player.running == ["a", "b", "c"]
    assert player.freezes == [("a", True)], "it was paused by somebody, who has not said that it may go on"


def test_who_was_told_to_go_on_does_so_in_spite_of_what_others_use():
    player = two()
    player.ok("b")
    player.step(OTHERS)
    player.resume(0, "a")
    assert player.freezes[-1] == ("a", False)
