"""The thirteen rules against a table of situations, and against a second opinion in every situation there is."""

from itertools import product

import pytest

from engine.scheduling.trigger_rules import Upstream, Verdict, verdict
from tests.sim.oracle import RULES, may_go

W, G, S, U = Verdict.WAIT, Verdict.GO, Verdict.SKIP, Verdict.UPSTREAM_FAILED
#                               ----  s---  f---  k---  ss    sf    sk    ff    fk    kk    sfk
SITUATIONS = [(2, 0, 0, 0), (2, 1, 0, 0), (2, 0, 1, 0), (2, 0, 0, 1), (2, 2, 0, 0), (2, 1, 1, 0), (2, 1, 0, 1),
              (2, 0, 2, 0), (2, 0, 1, 1), (2, 0, 0, 2), (3, 1, 1, 1)]  # fmt: skip
TABLE = {
    "all_success":                 [W, W, U, S, G, U, S, U, U, S, U],
    "all_failed":                  [W, S, W, S, S, S, S, G, S, S, S],
    "all_done":                    [W, W, W, W, G, G, G, G, G, G, G],
    "all_done_min_one_success":    [W, W, W, W, G, G, G, U, U, S, G],
    "all_done_setup_success":      [W, W, W, W, G, G, G, G, G, G, G],
    "one_success":                 [W, G, W, W, G, G, G, U, U, S, G],
    "one_failed":                  [W, W, G, W, S, G, S, G, G, S, G],
    "one_done":                    [W, G, G, W, G, G, G, G, G, S, G],
    "none_failed":                 [W, W, U, W, G, U, G, U, U, G, U],
    "none_failed_min_one_success": [W, W, U, W, G, U, G, U, U, S, U],
    "none_skipped":                [W, W, W, S, G, G, S, G, S, S, S],
    "all_skipped":                 [W, S, S, W, S, S, S, S, S, G, S],
    "always":                      [G, G, G, G, G, G, G, G, G, G, G],
}  # fmt: skip


@pytest.mark.parametrize("rule", TABLE)
def test_a_rule_says_what_the_table_says(rule: str):
    said = [verdict(rule, Upstream(*situation)) for situation in SITUATIONS]  # pyright: ignore[reportArgumentType]
    assert said == TABLE[rule]


def test_the_table_has_all_thirteen_rules():
    assert set(TABLE) == set(RULES)
    assert len(TABLE) == 13


@pytest.mark.parametrize("rule", RULES)
def test_a_task_without_needs_goes_whatever_its_rule(rule: str):
    assert verdict(rule, Upstream(0, 0, 0, 0)) is G  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("setups", "expected"),
    [((1, 1, 0), G), ((1, 0, 0), U), ((1, 0, 1), S), ((2, 1, 0), G), ((2, 0, 1), U), ((2, 0, 2), S)],
)
def test_a_teardown_runs_if_one_of_its_setups_has_succeeded(setups: tuple[int, int, int], expected: Verdict):
    assert verdict("all_done_setup_success", Upstream(2, 1, 1, 0, *setups)) is expected


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_agrees_with_the_second_opinion_in_every_situation(rule: str):
    for letters in (found for length in range(1, 5) for found in product("sfk-", repeat=length)):
        up = Upstream(len(letters), letters.count("s"), letters.count("f"), letters.count("k"))
        said = verdict(rule, up)  # pyright: ignore[reportArgumentType]
        expected = may_go(rule, letters)
        assert {W: None, G: True, S: False, U: False}[said] is expected, (rule, letters)
