"""The thirteen trigger rules once more, written from their descriptions and not from the engine's code.

The simulation holds every row that starts, and every row that waits, against this second opinion.
"""

from collections.abc import Sequence

SUCCEEDED, FAILED, SKIPPED, OPEN = "s", "f", "k", "-"


def may_go(rule: str, ups: Sequence[str], setups: Sequence[str] = ()) -> bool | None:
    """Whether a task may begin: True now, False never, None not yet. Each letter says how an upstream task ended."""
    if not ups or rule == "always":
        return True
    open_ones = OPEN in ups
    wrong, wanted = _RULES[rule]
    if wrong & set(ups):
        return False
    if rule in _EAGER:
        if wanted & set(ups):
            return True
        return None if open_ones else False
    if open_ones:
        return None
    if rule == "all_done_setup_success" and setups:
        return SUCCEEDED in setups
    return bool(wanted & set(ups)) if wanted else True


_NONE: frozenset[str] = frozenset()
_EAGER = ("one_success", "one_failed", "one_done")
_RULES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    # rule: (what rules it out at once, of what at least one is wanted)
    "all_success": (frozenset(FAILED + SKIPPED), _NONE),
    "all_failed": (frozenset(SUCCEEDED + SKIPPED), _NONE),
    "all_skipped": (frozenset(SUCCEEDED + FAILED), _NONE),
    "all_done": (_NONE, _NONE),
    "all_done_min_one_success": (_NONE, frozenset(SUCCEEDED)),
    "all_done_setup_success": (_NONE, _NONE),
    "none_failed": (frozenset(FAILED), _NONE),
    "none_skipped": (frozenset(SKIPPED), _NONE),
    "none_failed_min_one_success": (frozenset(FAILED), frozenset(SUCCEEDED)),
    "one_success": (_NONE, frozenset(SUCCEEDED)),
    "one_failed": (_NONE, frozenset(FAILED)),
    "one_done": (_NONE, frozenset(SUCCEEDED + FAILED)),
}
RULES = (*_RULES, "always")
