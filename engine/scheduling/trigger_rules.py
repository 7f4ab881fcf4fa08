"""When a task may go, given how its upstream tasks ended: Airflow's thirteen rules, by their names and meanings.

Skipping spreads: under `all_success` a skipped upstream skips the task. A failed, upstream_failed or cancelled upstream
counts as failed. Rules that speak of "one" decide as soon as one is there; the others when the last upstream is done,
or as soon as the answer can no longer change. Reference: Airflow's documentation of trigger rules.
"""

from enum import Enum
from typing import NamedTuple

from engine.model.workflow import TriggerRule


class Verdict(Enum):
    WAIT = "wait"
    GO = "go"
    SKIP = "skipped"
    UPSTREAM_FAILED = "upstream_failed"


class Upstream(NamedTuple):
    """How many upstream tasks there are and how many ended how; the last three count those that are setups."""

    total: int
    succeeded: int
    failed: int
    skipped: int
    setups: int = 0
    setups_succeeded: int = 0
    setups_skipped: int = 0

    @property
    def done(self) -> bool:
        return self.succeeded + self.failed + self.skipped == self.total


def verdict(rule: TriggerRule, up: Upstream) -> Verdict:
    """What the rule says now. A task without upstream tasks goes, whatever its rule."""
    if up.total == 0 or rule == "always":
        return Verdict.GO
    return _RULES[rule](up)


def _all_success(up: Upstream) -> Verdict:
    if up.failed:
        return Verdict.UPSTREAM_FAILED
    if up.skipped:
        return Verdict.SKIP
    return Verdict.GO if up.done else Verdict.WAIT


def _all_failed(up: Upstream) -> Verdict:
    if up.succeeded or up.skipped:
        return Verdict.SKIP
    return Verdict.GO if up.done else Verdict.WAIT


def _all_done(up: Upstream) -> Verdict:
    return Verdict.GO if up.done else Verdict.WAIT


def _all_done_min_one_success(up: Upstream) -> Verdict:
    if not up.done:
        return Verdict.WAIT
    if up.succeeded:
        return Verdict.GO
    return Verdict.UPSTREAM_FAILED if up.failed else Verdict.SKIP


def _all_done_setup_success(up: Upstream) -> Verdict:
    """One setup that succeeded is enough to be undone; without any setup it is `all_done`."""
    if not up.done:
        return Verdict.WAIT
    if up.setups_succeeded or not up.setups:
        return Verdict.GO
    return Verdict.SKIP if up.setups_skipped == up.setups else Verdict.UPSTREAM_FAILED


def _one_success(up: Upstream) -> Verdict:
    if up.succeeded:
        return Verdict.GO
    if not up.done:
        return Verdict.WAIT
    return Verdict.UPSTREAM_FAILED if up.failed else Verdict.SKIP


def _one_failed(up: Upstream) -> Verdict:
    if up.failed:
        return Verdict.GO
    return Verdict.SKIP if up.done else Verdict.WAIT


def _one_done(up: Upstream) -> Verdict:
    if up.succeeded or up.failed:
        return Verdict.GO
    return Verdict.SKIP if up.done else Verdict.WAIT


def _none_failed(up: Upstream) -> Verdict:
    if up.failed:
        return Verdict.UPSTREAM_FAILED
    return Verdict.GO if up.done else Verdict.WAIT


def _none_failed_min_one_success(up: Upstream) -> Verdict:
    if up.failed:
        return Verdict.UPSTREAM_FAILED
    if not up.done:
        return Verdict.WAIT
    return Verdict.GO if up.succeeded else Verdict.SKIP


def _none_skipped(up: Upstream) -> Verdict:
    if up.skipped:
        return Verdict.SKIP
    return Verdict.GO if up.done else Verdict.WAIT


def _all_skipped(up: Upstream) -> Verdict:
    if up.succeeded or up.failed:
        return Verdict.SKIP
    return Verdict.GO if up.done else Verdict.WAIT


_RULES = {
    "all_success": _all_success,
    "all_failed": _all_failed,
    "all_done": _all_done,
    "all_done_min_one_success": _all_done_min_one_success,
    "all_done_setup_success": _all_done_setup_success,
    "one_success": _one_success,
    "one_failed": _one_failed,
    "one_done": _one_done,
    "none_failed": _none_failed,
    "none_failed_min_one_success": _none_failed_min_one_success,
    "none_skipped": _none_skipped,
    "all_skipped": _all_skipped,
}
