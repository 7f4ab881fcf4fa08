"""Which CPUs and which GPUs: the place for a claim among what is free.

Both follow one rule, *the least that is enough*: a node (or core, or GPU) that is nearly full is used up before an
empty one is broken into, so wide claims find room later. What does not fit into one node takes the largest pieces
first, and so touches the fewest nodes. Cores are given whole, with all their siblings: a sibling that somebody else
uses would share the core's caches and units. Nothing here remembers anything: what is free comes in, the choice goes
out.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

WHOLE_MILLI = 1000

Core = tuple[int, tuple[int, ...]]
"""A core's node and its logical CPUs."""


def cpus_wanted(cpu_milli: int) -> int:
    """Logical CPUs that are enough for a claim; a pin binds to one at least."""
    return max(-(-cpu_milli // WHOLE_MILLI), 1)


def choose_cores(free: Sequence[Core], wanted: int, *, one_node: bool, near: Collection[int] = ()) -> tuple[int, ...]:
    """Logical CPUs, ascending, of free whole cores that have at least `wanted` together; empty if there are not so
    many.

    Nodes of `near` are preferred where one of them is enough.
    """
    by_node: dict[int, list[Core]] = {}
    for core in free:
        by_node.setdefault(core[0], []).append(core)
    sizes = {node: sum(len(cpus) for _, cpus in cores) for node, cores in by_node.items()}
    enough = [node for node, size in sizes.items() if size >= wanted]
    if enough:
        nodes = [min(enough, key=lambda node: (node not in near, sizes[node], node))]
    elif one_node or sum(sizes.values()) < wanted:
        return ()
    else:
        nodes = _fewest(sizes, wanted)
    chosen: list[int] = []
    for node in nodes:
        chosen += _within(by_node[node], wanted - len(chosen))
    return tuple(sorted(chosen))


def _fewest(sizes: Mapping[int, int], wanted: int) -> list[int]:
    """Nodes that are enough together: the largest first, at last the smallest that does for the rest."""
    left, nodes = dict(sizes), list[int]()
    while wanted > 0:
        node = _least_that_is_enough(left, wanted)
        wanted -= left.pop(node)
        nodes.append(node)
    return nodes


def _within(cores: Iterable[Core], wanted: int) -> list[int]:
    """All the node's cores if they are too few; else as few CPUs as whole cores allow."""
    left, chosen = dict(enumerate(cpus for _, cpus in cores)), list[int]()
    while left and len(chosen) < wanted:
        place = _least_that_is_enough({place: len(cpus) for place, cpus in left.items()}, wanted - len(chosen))
        chosen += left.pop(place)
    return chosen


def _least_that_is_enough(sizes: Mapping[int, int], wanted: int) -> int:
    enough = [(size, key) for key, size in sizes.items() if size >= wanted]
    if enough:
        return min(enough)[1]
    return min(sizes, key=lambda key: (-sizes[key], key))


def choose_gpus(
    free: Mapping[str, int], milli: int, node_of: Mapping[str, int], near: Collection[int] = ()
) -> tuple[tuple[str, int], ...]:
    """(UUID, thousandths) of each GPU to use, sorted; empty if there is no such place.

    `free` holds the free thousandths of each GPU. A part of a GPU goes where least is left, near or not, as a GPU that
    is whole is worth more than a short way; whole GPUs come from one node if one has enough of them.
    """
    if milli < WHOLE_MILLI:
        enough = [(left, node_of[uuid] not in near, uuid) for uuid, left in free.items() if left >= milli]
        return ((min(enough)[2], milli),) if enough else ()
    count = -(-milli // WHOLE_MILLI)
    whole: dict[int, list[str]] = {}
    for uuid, left in free.items():
        if left >= WHOLE_MILLI:
            whole.setdefault(node_of[uuid], []).append(uuid)
    sizes = {node: len(uuids) for node, uuids in whole.items()}
    if sum(sizes.values()) < count:
        return ()
    enough_on = [node for node, size in sizes.items() if size >= count]
    if enough_on:
        nodes = [min(enough_on, key=lambda node: (node not in near, sizes[node], node))]
    else:
        nodes = _fewest(sizes, count)
    chosen = [uuid for node in nodes for uuid in whole[node]][:count]
    return tuple((uuid, WHOLE_MILLI) for uuid in sorted(chosen))
