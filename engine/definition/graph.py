"""Cycles among tasks, named task by task. Linear in tasks and edges, and without recursion."""

CYCLES_SHOWN = 20
_NAMES_SHOWN = 30


def cycles(parents: list[list[int]]) -> list[list[int]]:
    """Some cycle for each knot of tasks that wait for each other, first to last in the order they would run.

    `parents[i]` are the tasks that task i waits for. Cycles that share a walk are found once.
    """
    waiting = [len(of) for of in parents]
    children: list[list[int]] = [[] for _ in parents]
    for task, above in enumerate(parents):
        for parent in above:
            children[parent].append(task)
    free = [task for task, count in enumerate(waiting) if count == 0]
    while free:
        for child in children[free.pop()]:
            waiting[child] -= 1
            if waiting[child] == 0:
                free.append(child)
    found: list[list[int]] = []
    walk_of = [-1] * len(parents)
    for start, count in enumerate(waiting):
        if count and walk_of[start] < 0:
            cycle = _walk(start, parents, waiting, walk_of)
            if cycle:
                found.append(cycle)
            if len(found) == CYCLES_SHOWN:
                break
    return found


def _walk(start: int, parents: list[list[int]], waiting: list[int], walk_of: list[int]) -> list[int]:
    """Up from a task that cannot run, along parents that cannot either: it ends on a cycle, new or seen before."""
    path: list[int] = []
    at = start
    while walk_of[at] < 0:
        walk_of[at] = start
        path.append(at)
        at = next(parent for parent in parents[at] if waiting[parent])
    return path[path.index(at) :][::-1] if walk_of[at] == start else []


def cycle_text(names: list[str]) -> str:
    """`a -> b -> a`, an arrow meaning "runs before"; a long one is cut in the middle."""
    if len(names) > _NAMES_SHOWN:
        names = [*names[: _NAMES_SHOWN // 2], "...", *names[-_NAMES_SHOWN // 2 :]]
    return " -> ".join([*names, names[0]])
