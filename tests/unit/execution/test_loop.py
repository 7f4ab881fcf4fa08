"""The alarm of the small event loop: what many wish for comes once, and as early as the most hasty one wished."""

import time

from engine.execution.loop import Alarm, Loop


def test_an_alarm_rings_once_at_the_earliest_instant_that_was_asked_for() -> None:
    loop, rung = Loop(), list[float]()
    alarm = Alarm(loop, lambda: rung.append(time.monotonic()))
    began = time.monotonic()
    for pause_s in (0.2, 0.05, 0.1):
        alarm.within(pause_s)
    loop.later(0.3, loop.stop)
    loop.run()
    assert len(rung) == 1
    assert 0.05 <= rung[0] - began < 0.1


def test_an_alarm_may_be_set_again_from_its_own_call() -> None:
    loop, rung = Loop(), list[int]()

    def ring() -> None:
        rung.append(len(rung))
        alarm.within(0.001) if len(rung) < 3 else loop.stop()

    alarm = Alarm(loop, ring)
    alarm.within(0)
    loop.run()
    assert rung == [0, 1, 2]
