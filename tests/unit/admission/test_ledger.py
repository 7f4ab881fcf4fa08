"""Claims against capacity: met whole or not at all, and refused with numbers and names."""

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.admission.ledger import Ledger
from engine.model.resources import Capacity, Claim

HOST = Capacity(2000, 1000, (("db", 2),))
claims = st.builds(
    Claim,
    st.integers(0, 1500),
    st.integers(0, 700),
    st.sampled_from([(), (("db", 1),), (("db", 2),), (("w/own", 1),), (("db", 1), ("w/own", 3))]),
)


def ledger() -> Ledger:
    fresh = Ledger(HOST)
    fresh.declare_pools({"w/own": 3})
    return fresh


@settings(deadline=None)
@given(st.lists(claims, max_size=30))
def test_what_is_taken_while_it_fits_is_never_more_than_there_is(wanted: list[Claim]):
    book = ledger()
    taken: list[Claim] = []
    for claim in wanted:
        if book.fits(claim):
            book.take(claim)
            taken.append(claim)
        else:
            assert book.reasons(claim, [("x", held) for held in taken])
    assert sum(claim.cpu_milli for claim in taken) <= 2000
    assert sum(claim.memory_bytes for claim in taken) <= 1000
    for name, slots in (("db", 2), ("w/own", 3)):
        assert sum(dict(claim.pools).get(name, 0) for claim in taken) <= slots
    for claim in taken:
        book.release(claim)
    assert (book.cpu_milli, book.memory_bytes, sum(book.pools.values())) == (0, 0, 0)


@settings(deadline=None)
@given(claims)
def test_a_claim_fits_an_empty_host_exactly_if_it_is_not_impossible(claim: Claim):
    assert ledger().fits(claim) is (not ledger().impossible(claim, {}))


def test_reasons_name_what_is_short_with_those_who_hold_it():
    book = ledger()
    held = Claim(1500, 0, (("db", 2),))
    book.take(held)
    found = book.reasons(Claim(1000, 2000, (("db", 1), ("none", 1))), [("r1 a", held), ("r1 b", Claim(0, 5))])
    assert [(reason.kind, reason.resource, reason.asked, reason.available, reason.holders) for reason in found] == [
        ("capacity", "cpu", 1.0, 0.5, ("r1 a",)),
        ("capacity", "memory", 2000, 1000, ("r1 b",)),
        ("pool", "db", 1, 0, ("r1 a",)),
        ("pool", "none", 1, 0, ()),
    ]


def test_at_most_ten_holders_are_named():
    book = ledger()
    held = [(f"r1 a[{index}]", Claim(200)) for index in range(12)]
    for _, claim in held[:10]:
        book.take(claim)
    (reason,) = book.reasons(Claim(200), held)
    assert len(reason.holders) == 10


def test_a_claim_of_nothing_fits_even_where_too_much_is_held():
    book = ledger()
    book.take(Claim(2000, 1000))
    book.set_capacity(Capacity(1000, 500))
    assert book.fits(Claim(0, 0))
    assert not book.fits(Claim(1, 0))
    assert book.slots == {"w/own": 3}


def test_pools_that_a_version_would_bring_count_when_it_is_judged():
    assert Ledger(HOST).impossible(Claim(0, 0, (("w/new", 2),)), {"w/new": 2}) == []
    assert Ledger(HOST).impossible(Claim(0, 0, (("w/new", 2),)), {"w/new": 1})
