"""Every dimension of a claim: it fits, it does not, the reason says why, and a copy thinks ahead."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.admission.ledger import Ledger
from engine.model.resources import Capacity, Claim
from tests.sim.mixes import HOST

CASES = [
    (Claim(0, scratch_bytes=300), Claim(0, scratch_bytes=201), ("capacity", "scratch", 201, 200)),
    (Claim(0, mutexes=("m",)), Claim(0, mutexes=("a", "m")), ("mutex", "m", 1, 0)),
    (Claim(0, gpu_milli=2000), Claim(0, gpu_milli=3000), ("capacity", "gpu", 3.0, 2.0)),
    (Claim(0, gpu_milli=2500 // 5), Claim(0, gpu_milli=4000), ("capacity", "gpu", 4.0, 3.0)),
    (Claim(12_000, pin="core"), Claim(4001, pin="core"), ("capacity", "cpu", 4.001, 4.0)),
    (Claim(5000, pin="node"), Claim(9000, pin="node"), ("pin", "node", 9, 8)),
    (Claim(0), Claim(0, exclusive=True), ("exclusive", "host", 1, 0)),
    (Claim(0, exclusive=True), Claim(0), ("exclusive", "host", 1, 0)),
]


@pytest.mark.parametrize(("held", "asked", "reason"), CASES)
def test_what_does_not_fit_beside_what_is_held_says_why(
    held: Claim, asked: Claim, reason: tuple[str, str, float, float]
):
    book = Ledger(HOST)
    binding = book.take(held)
    assert not book.fits(asked)
    found = book.reasons(asked, [("r1 a", held)])
    assert (found[0].kind, found[0].resource, found[0].asked, found[0].available) == reason
    assert found[0].holders == ("r1 a",)
    book.release(held, binding)
    assert book.fits(asked) is (book.impossible(asked, {}) == [])


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        (Claim(0, gpu_milli=5000), "capacity"), (Claim(0, scratch_bytes=501), "capacity"),
        (Claim(9000, pin="node"), "pin"), (Claim(17_000), "capacity"),
    ],
)  # fmt: skip
def test_what_the_host_can_never_give_is_impossible(claim: Claim, kind: str):
    assert [reason.kind for reason in Ledger(HOST).impossible(claim, {})][:1] == [kind]


def test_whole_cores_may_be_more_than_a_host_with_a_cpu_quota_has():
    book = Ledger(Capacity(1500, 0, cores=HOST.cores))
    assert book.fits(Claim(1000))
    assert [reason.kind for reason in book.impossible(Claim(1000, pin="core"), {})] == ["pin"]


dimensions = st.builds(
    Claim, st.sampled_from([0, 500, 4000, 16_000]), st.sampled_from([0, 400]), st.sampled_from([(), (("db", 2),)]),
    st.sampled_from([0, 0, 300, 1000, 3000]), st.sampled_from([0, 300]), st.sampled_from([(), ("m",)]),
    st.sampled_from(["", "", "core", "node"]), st.sampled_from([False, False, False, True]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(dimensions, max_size=12), dimensions)
def test_a_claim_fits_exactly_if_there_is_no_reason_against_it(held: list[Claim], asked: Claim):
    book = Ledger(HOST)
    for claim in held:
        if book.fits(claim):
            book.take(claim)
    assert book.fits(asked) is (book.reasons(asked, []) == [])


@settings(deadline=None)
@given(st.lists(dimensions, max_size=12), dimensions)
def test_a_copy_thinks_ahead_and_changes_nothing_here(held: list[Claim], asked: Claim):
    book = Ledger(HOST)
    bound = [(claim, book.take(claim)) for claim in held if book.fits(claim)]
    before = book.fits(asked)
    ahead = book.copy()
    for claim, binding in bound:
        ahead.release(claim, binding)
    assert ahead.fits(asked) is (ahead.impossible(asked, {}) == [])
    assert book.fits(asked) is before
    assert (ahead.holders, ahead.cpu_milli, ahead.cpus) == (0, 0, set())


@settings(deadline=None)
@given(dimensions, dimensions)
def test_what_fits_an_empty_host_could_take_over_what_the_only_holder_held(first: Claim, second: Claim):
    book = Ledger(HOST)
    if book.fits(first) and book.fits(second) and not first.pin and not second.pin:
        book.take(first)
        assert book.fits_after(second, first)


def test_shares_are_of_what_is_taken_most_of():
    book = Ledger(HOST)
    assert book.share_ppm(Claim(4000, 100)) == 250_000
    assert book.share_ppm(Claim(0, 500, gpu_milli=1000)) == 500_000
    assert book.share_ppm(Claim(0, exclusive=True)) == 1_000_000
    assert book.share_ppm(Claim(0)) == 0
    assert Ledger(Capacity(0, 0)).share_ppm(Claim(1000)) == 0
