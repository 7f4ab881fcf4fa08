"""The longest way from each task to the end of its run, in time: what is behind a task that holds up much goes first.

Known durations come from an earlier run of the same version; a task of which nothing is known counts as one second, so
that without any history the longest way is the one of most tasks.
"""

from array import array
from collections.abc import Sequence

from engine.model.instants import SECOND
from engine.planning.plan import Plan

UNKNOWN_NS = SECOND


def remaining_paths_ns(plan: Plan, took_ns: Sequence[int] = ()) -> "array[int]":
    """By task, how long its way to the end is. `took_ns` is what each task took, 0 for one that is not known."""
    paths = array("Q", bytes(8 * len(plan)))
    starts, downstream = plan.down_start, plan.downstream
    for task in reversed(plan.order):
        behind = max((paths[down] for down in downstream[starts[task] : starts[task + 1]]), default=0)
        paths[task] = behind + ((took_ns[task] if took_ns else 0) or UNKNOWN_NS)
    return paths
