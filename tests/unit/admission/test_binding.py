"""Which CPUs and GPUs a claim gets: near to each other, whole cores, and the least that is enough."""

import pytest

from engine.admission.binding import choose_cores, choose_gpus, cpus_wanted
from engine.admission.ledger import Ledger
from engine.model.resources import UNBOUND, Binding, Capacity, Claim
from tests.sim.mixes import CORES, HOST

NODES = {"GPU-0": 0, "GPU-1": 0, "GPU-2": 1, "GPU-3": 1}


@pytest.mark.parametrize(("milli", "cpus"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (4000, 4)])
def test_a_pin_wants_at_least_one_cpu(milli: int, cpus: int):
    assert cpus_wanted(milli) == cpus


def test_a_core_is_given_with_its_siblings():
    assert choose_cores(CORES, 1, one_node=False) == (0, 8)
    assert choose_cores(CORES, 3, one_node=False) == (0, 1, 8, 9)


def test_a_node_that_is_nearly_full_is_used_up_first():
    free = [core for core in CORES if core[0] == 1 or core[1][0] == 3]
    assert choose_cores(free, 2, one_node=True) == (3, 11)
    assert choose_cores(free, 4, one_node=True) == (4, 5, 12, 13)


def test_what_is_wider_than_a_node_spans_nodes_or_waits():
    assert choose_cores(CORES, 10, one_node=True) == ()
    assert len(choose_cores(CORES, 10, one_node=False)) == 10
    assert choose_cores(CORES, 17, one_node=False) == ()
    assert choose_cores((), 1, one_node=False) == ()


def test_of_cores_that_differ_the_one_that_is_just_enough_is_taken():
    hybrid = ((0, (0, 1)), (0, (2, 3)), (0, (4,)), (0, (5,)))
    assert choose_cores(hybrid, 1, one_node=True) == (4,)
    assert choose_cores(hybrid, 3, one_node=True) == (0, 1, 4)


def test_a_part_of_a_gpu_goes_where_least_is_left():
    free = {"GPU-0": 1000, "GPU-1": 400, "GPU-2": 700, "GPU-3": 300}
    assert choose_gpus(free, 300, NODES) == (("GPU-3", 300),)
    assert choose_gpus(free, 350, NODES) == (("GPU-1", 350),)
    assert choose_gpus(free, 800, NODES) == (("GPU-0", 800),)


def test_whole_gpus_are_untouched_ones_of_one_node_if_it_has_enough():
    free = {"GPU-0": 999, "GPU-1": 1000, "GPU-2": 1000, "GPU-3": 1000}
    assert choose_gpus(free, 1000, NODES) == (("GPU-1", 1000),)
    assert choose_gpus(free, 2000, NODES) == (("GPU-2", 1000), ("GPU-3", 1000))
    assert choose_gpus(free, 3000, NODES) == (("GPU-1", 1000), ("GPU-2", 1000), ("GPU-3", 1000))
    assert choose_gpus(free, 4000, NODES) == ()


def test_cores_lie_near_the_gpus_of_the_same_claim():
    book = Ledger(HOST)
    book.take(Claim(0, 0, gpu_milli=2000), Binding((), (("GPU-0", 1000), ("GPU-1", 1000))))
    binding = book.take(Claim(2000, 0, gpu_milli=1000, pin="core"))
    assert binding == Binding((4, 12), (("GPU-2", 1000),))


def test_what_is_bound_is_released_exactly_and_given_to_nobody_else_meanwhile():
    book = Ledger(HOST)
    claims = [Claim(2000, 10, pin="core"), Claim(3000, 0, pin="node", gpu_milli=500), Claim(1000, 0, gpu_milli=500)]
    bound = [(claim, book.take(claim)) for claim in claims]
    cpus = [cpu for _, binding in bound for cpu in binding.cpus]
    assert len(cpus) == len(set(cpus)) == 6
    assert bound[1][1].gpus == bound[2][1].gpus == (("GPU-0", 500),)
    assert set(book.shared_cpus()) == set(range(16)) - set(cpus)
    assert book.cpu_milli == 2000 + 4000 + 1000  # three CPUs take two cores with four
    for claim, binding in bound:
        book.release(claim, binding)
    assert (book.cpus, sum(book.gpus.values()), book.cpu_milli, book.holders) == (set(), 0, 0, 0)


def test_a_binding_that_was_kept_is_taken_again_as_it_was():
    book = Ledger(HOST)
    kept = Binding((7, 15), (("GPU-3", 250),))
    assert book.take(Claim(1000, 0, pin="core", gpu_milli=250), kept) is kept
    assert book.free_gpu_milli("GPU-3") == 750
    assert (1, (7, 15)) not in book.free_cores()


def test_a_claim_without_pin_or_gpu_is_bound_to_nothing():
    assert Ledger(HOST).take(Claim(4000, 5)) is UNBOUND


def test_a_claim_without_a_place_cannot_be_taken():
    with pytest.raises(ValueError, match="no place"):
        Ledger(Capacity(1000, 0)).take(Claim(1000, pin="core"))
