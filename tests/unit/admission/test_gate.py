"""The reservation: who gets it, who may pass, until when, and what takes it away."""

from engine.admission.gate import PATIENCE_NS, Gate
from engine.admission.ledger import Ledger
from engine.model.instants import SECOND
from engine.model.resources import Binding, Capacity, Claim

HOST = Capacity(4000, 1000, (("db", 1),), gpus=(("GPU-0", 0), ("GPU-1", 0)))


class Asks:
    """An entry, as the queue would have it."""

    def __init__(self, claim: Claim, expected_s: float = 0, band: int = 0) -> None:
        self.claim = claim
        self.expected_ns = int(expected_s * SECOND)
        self.band = band
        self.waiting = True


def gate_with(*holders: tuple[Claim, float], capacity: Capacity = HOST) -> Gate:
    """Holders began at the instant 0 and are expected to take so many seconds (0: unknown)."""
    gate = Gate(Ledger(capacity))
    for number, (claim, expected_s) in enumerate(holders):
        gate.began(number, claim, 0, int(expected_s * SECOND))
    gate.begin(0)
    return gate


def test_the_first_that_does_not_fit_holds_the_reservation():
    gate = gate_with((Claim(3000), 10))
    wide, wider = Asks(Claim(2000)), Asks(Claim(4000))
    assert not gate.admits(wide)
    assert not gate.admits(wider)
    assert gate.reservation is not None
    assert gate.reservation.entry is wide


def test_who_ends_in_time_may_pass_and_who_does_not_may_not():
    gate = gate_with((Claim(3000), 10))
    gate.admits(Asks(Claim(4000)))
    assert gate.admits(Asks(Claim(1000), 10))
    assert not gate.admits(Asks(Claim(1000), 10.1))
    assert not gate.admits(Asks(Claim(1000)))


def test_who_leaves_room_for_it_may_pass_for_ever_but_not_together():
    gate = gate_with((Claim(3000), 10))
    gate.admits(Asks(Claim(3500)))
    first, second = Asks(Claim(500)), Asks(Claim(500))
    assert gate.admits(first)
    gate.began(7, first.claim, 0, 0, entry=first)
    assert not gate.admits(second)
    assert gate.admits(Asks(Claim(0, 10)))


def test_a_gpu_that_is_set_aside_is_not_broken_into():
    """One GPU is free now; the waiting entry wants both, a small one takes none of its time but a part of a GPU."""
    gate = gate_with((Claim(0, gpu_milli=1000), 10))
    gate.admits(Asks(Claim(0, gpu_milli=2000)))
    assert not gate.admits(Asks(Claim(0, gpu_milli=100)))
    assert gate.admits(Asks(Claim(0, gpu_milli=100), 5))


def test_who_passes_is_bound_to_what_is_free_now_and_then():
    """GPU-0 will be needed, as GPU-1 stays with its holder: a part for long must go beside that holder."""
    gate = Gate(Ledger(HOST))
    gate.began(0, Claim(0, gpu_milli=500), 0, 100 * SECOND, binding=Binding((), (("GPU-1", 500),)))
    gate.began(1, Claim(4000), 0, 10 * SECOND)
    gate.begin(0)
    gate.admits(Asks(Claim(1000, gpu_milli=1000)))
    passing = Asks(Claim(0, gpu_milli=400), 1000)
    assert gate.admits(passing)
    assert gate.began(2, passing.claim, 0, passing.expected_ns, entry=passing).gpus == (("GPU-1", 400),)


def test_nobody_passes_an_exclusive_entry():
    gate = gate_with((Claim(1000), 10))
    assert not gate.admits(Asks(Claim(0, exclusive=True)))
    assert not gate.admits(Asks(Claim(1000), 1))
    assert not gate.admits(Asks(Claim(0), 1))
    gate.ended(0)
    assert gate.due() is not None


def test_a_higher_band_passes_and_takes_the_reservation():
    gate = gate_with((Claim(3000), 10))
    gate.admits(Asks(Claim(4000), band=5))
    assert gate.admits(Asks(Claim(1000), band=1))
    higher = Asks(Claim(2000), band=1)
    assert not gate.admits(higher)
    assert gate.reservation is not None
    assert gate.reservation.entry is higher


def test_the_reservation_stays_when_another_of_the_band_is_asked_first_later():
    gate = gate_with((Claim(3000), 10))
    wide = Asks(Claim(4000))
    gate.admits(wide)
    gate.begin(SECOND)
    assert not gate.admits(Asks(Claim(2000)))
    assert gate.reservation is not None
    assert gate.reservation.entry is wide


def test_when_it_fits_it_is_due_and_its_start_ends_the_reservation():
    gate = gate_with((Claim(3000), 10))
    wide = Asks(Claim(4000), 3)
    gate.admits(wide)
    assert gate.due() is None
    gate.ended(0)
    assert gate.due() is wide
    gate.began(1, wide.claim, 0, wide.expected_ns, entry=wide)
    assert gate.reservation is None


def test_an_entry_that_left_the_queue_has_no_reservation():
    gate = gate_with((Claim(3000), 10))
    wide = Asks(Claim(4000))
    gate.admits(wide)
    wide.waiting = False
    gate.begin(1)
    assert gate.admits(Asks(Claim(1000)))


def test_a_promise_that_was_missed_for_long_lets_nobody_pass_any_more():
    gate = gate_with((Claim(3000), 10))
    gate.admits(Asks(Claim(4000)))
    brief = Asks(Claim(1000), 1)
    assert gate.admits(brief)
    gate.begin(11 * SECOND)
    assert gate.admits(brief), "one second late: it is expected to go on for another"
    gate.begin(10 * SECOND + PATIENCE_NS + 1)
    assert not gate.admits(brief)


def test_a_holder_of_unknown_duration_is_expected_to_go_on_as_long_again():
    gate = gate_with((Claim(3000), 0))
    gate.begin(20 * SECOND)
    gate.admits(Asks(Claim(4000)))
    assert gate.admits(Asks(Claim(1000), 20))
    assert not gate.admits(Asks(Claim(1000), 21))


def test_what_can_never_fit_is_passed_by():
    gate = gate_with((Claim(3000), 10))
    assert not gate.admits(Asks(Claim(5000)))
    assert gate.admits(Asks(Claim(1000)))
    assert gate.reservation is None
    assert not gate.would_reserve(Asks(Claim(5000)))
    gate.ledger.set_capacity(Capacity(6000, 1000))
    gate.begin(1)
    assert gate.would_reserve(Asks(Claim(5000)))


def test_a_claim_that_is_passed_on_stays_held_until_the_last_has_ended():
    gate = gate_with((Claim(3000), 1))
    gate.passed_on(0, 1, SECOND, SECOND)
    assert not gate.ledger.fits(Claim(2000))
    gate.ended(1)
    assert gate.ledger.fits(Claim(4000))
