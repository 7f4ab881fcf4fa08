"""When what waits is expected to start, if what runs ends when it is expected to."""

from engine.model.instants import MINUTE, SECOND
from engine.model.resources import Claim
from engine.model.status import SUCCESS
from engine.model.workflow import Quota
from tests.support.builders import flow, task
from tests.support.stories import Player


def _starts(player: Player, *rows: str) -> list[float | None]:
    """Seconds from now, rounded."""
    found: list[float | None] = []
    for row in rows:
        at_ns = player.explain(row)[1]
        found.append(None if at_ns is None else round((at_ns - player.now_ns) / SECOND, 1))
    return found


def _after_ten_seconds_a_row(rows: int, cpus: float) -> Player:
    """A run whose rows are known to take ten seconds each."""
    player = Player(flow(task("t", for_each=f"{{{{ range({rows}) }}}}")), cpus=cpus)
    player.submit()
    for row in list(player.running):
        player.end(row, SUCCESS, took_ns=10 * SECOND)
    return player


def test_rows_start_one_batch_after_the_other():
    player = _after_ten_seconds_a_row(10, cpus=2)
    assert player.running == ["t[2]", "t[3]"]
    assert _starts(player, "t[4]", "t[5]", "t[6]", "t[9]") == [10.0, 10.0, 20.0, 30.0]


def test_what_runs_already_is_reckoned_from_its_start():
    player = _after_ten_seconds_a_row(4, cpus=1)
    player.begin("t[1]")
    player.advance(4)
    assert _starts(player, "t[2]", "t[3]") == [6.0, 16.0]


def test_nothing_is_promised_behind_what_nobody_knows():
    player = Player(flow(task("a"), task("b")), cpus=1)
    player.submit()
    assert _starts(player, "b") == [None]


def test_a_wall_quota_tells_how_long_it_takes_at_most():
    player = Player(flow(task("a", quota=Quota(wall_ns=MINUTE)), task("b")), cpus=1)
    player.submit()
    assert _starts(player, "b") == [60.0]


def test_pools_count_as_well_as_cpus():
    lock = Claim(0, pools=(("db", 1),))
    one = task("a", claim=lock, quota=Quota(wall_ns=MINUTE))
    player = Player(flow(one, task("b", claim=lock)), cpus=4, pools={"db": 1})
    player.submit()
    assert _starts(player, "b") == [60.0]


def test_nothing_is_promised_while_the_run_is_paused():
    player = _after_ten_seconds_a_row(10, cpus=2)
    player.pause()
    assert _starts(player, "t[9]") == [None]


def test_far_down_a_long_queue_the_work_ahead_is_reckoned_as_a_whole():
    player = _after_ten_seconds_a_row(20_000, cpus=2)
    (start,) = _starts(player, "t[19999]")
    assert start is not None
    assert abs(start - (20_000 - 4) / 2 * 10) < 200
