"""A small graph as layered columns, left to right, drawn with lines: pure geometry, no colours and no widgets.

A node's column is its longest way from a root. An edge that a longer way implies is left out; one that skips columns is
led through them by empty nodes of one row. Within a column the order follows the mean place of the neighbours
(barycentres, a few sweeps, the best kept), and the rows are those nearest to the neighbours' that keep the order (least
squares with order constraints, solved exactly by pooling). All of it depends on the names and edges only, so that
nothing moves when states change.

Edges of the same targets share one upright line between two columns. An upright line that another line crosses stays
whole and the other passes behind it, so that every joint that is drawn is one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

NORTH, EAST, SOUTH, WEST = 1, 2, 4, 8
_SWEEPS = 12
_GLYPHS = {
    NORTH: "│", SOUTH: "│", NORTH | SOUTH: "│", EAST: "─", WEST: "─", EAST | WEST: "─",
    EAST | SOUTH: "┌", SOUTH | WEST: "┐", NORTH | EAST: "└", NORTH | WEST: "┘",
    NORTH | EAST | SOUTH: "├", NORTH | SOUTH | WEST: "┤", EAST | SOUTH | WEST: "┬", NORTH | EAST | WEST: "┴",
    NORTH | EAST | SOUTH | WEST: "┼",
}  # fmt: skip
Edge = tuple[str, str]


class Node(NamedTuple):
    """What is to be placed: its name, the columns that its label takes, and the names that it needs."""

    name: str
    width: int
    needs: Sequence[str]


class Box(NamedTuple):
    """Where a node's label stands."""

    x: int
    y: int
    width: int
    column: int


class Cell(msgspec.Struct):
    """One character of the lines: in which directions it goes, and the edges that it belongs to."""

    bits: int = 0
    arrow: bool = False
    edges: set[Edge] = msgspec.field(default_factory=set[Edge])

    def glyph(self, *, ascii_only: bool) -> str:
        """The character."""
        if self.arrow:
            return ">" if ascii_only else "▶"
        if not ascii_only:
            return _GLYPHS[self.bits]
        upright, flat = self.bits & (NORTH | SOUTH), self.bits & (EAST | WEST)
        return "+" if upright and flat else "|" if upright else "-"


class Drawing(NamedTuple):
    """A graph that was laid out. `lines` holds the cells of each row by their column."""

    width: int
    height: int
    boxes: dict[str, Box]
    lines: list[dict[int, Cell]]


class _Place:
    """A node, or a piece of an edge that passes a column."""

    def __init__(self, name: str, width: int, edge: Edge | None = None) -> None:
        self.name = name
        self.width = width
        self.edge = edge
        self.ups: list[_Place] = []
        self.downs: list[_Place] = []
        self.rank = 0.0
        self.row = 0


class _Trunk:
    """The lines from some places of one column to the same places of the next."""

    def __init__(self, sources: list[_Place], targets: list[_Place]) -> None:
        self.sources = sources
        self.targets = targets
        self.ins = {place.row for place in sources}
        self.outs = {place.row for place in targets}
        self.first = min(self.ins | self.outs)
        self.last = max(self.ins | self.outs)
        self.track = 0

    @property
    def straight(self) -> bool:
        return self.first == self.last


def lay_out(nodes: Sequence[Node], width: int, height: int) -> Drawing:
    """Place the nodes, which are in topological order: airily where that fits, else as tightly as can be."""
    columns = _columns(nodes)
    _order(columns)
    for gap, pitch, slack in ((2, 2, 1), (2, 1, 1), (1, 2, 1), (1, 1, 1), (2, 1, 0), (1, 1, 0)):
        _rows(columns, gap)
        drawing = _draw(columns, pitch, slack)
        if drawing.width <= width and drawing.height <= height:
            return drawing
    return drawing


def _columns(nodes: Sequence[Node]) -> list[list[_Place]]:
    known = {node.name: _Place(node.name, node.width) for node in nodes}
    depth: dict[str, int] = {}
    for node in nodes:
        depth[node.name] = 1 + max((depth[up] for up in node.needs if up in depth), default=-1)
    needs = _without_detours(nodes)
    columns: list[list[_Place]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for node in nodes:
        columns[depth[node.name]].append(known[node.name])
    for node in nodes:
        for up in needs[node.name]:
            before = known[up]
            for at in range(depth[up] + 1, depth[node.name]):
                passing = _Place("", 1, (up, node.name))
                columns[at].append(passing)
                _join(before, passing)
                before = passing
            _join(before, known[node.name])
    return columns


def _without_detours(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """What each node needs, without what the others of its needs need already."""
    above: dict[str, set[str]] = {}
    needs: dict[str, list[str]] = {}
    for node in nodes:
        ups = [up for up in dict.fromkeys(node.needs) if up in above]
        implied = set[str]().union(*(above[up] for up in ups))
        above[node.name] = implied.union(ups)
        needs[node.name] = [up for up in ups if up not in implied]
    return needs


def _join(up: _Place, down: _Place) -> None:
    up.downs.append(down)
    down.ups.append(up)


# --- order ----------------------------------------------------------------------------------------------------------


def _order(columns: list[list[_Place]]) -> None:
    """Sort each column so that few edges cross."""
    _number(columns)
    best, fewest = [list(column) for column in columns], _crossings(columns)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        for column in columns[1:] if forward else columns[-2::-1]:
            wanted = {id(place): _mean(place.ups if forward else place.downs, place.rank) for place in column}
            column.sort(key=lambda place, wanted=wanted: wanted[id(place)])
            for rank, place in enumerate(column):
                place.rank = rank
        crossings = _crossings(columns)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    columns[:] = best
    _number(columns)


def _number(columns: list[list[_Place]]) -> None:
    for column in columns:
        for rank, place in enumerate(column):
            place.rank = rank


def _mean(places: list[_Place], otherwise: float) -> float:
    return sum(place.rank for place in places) / len(places) if places else otherwise


def _crossings(columns: list[list[_Place]]) -> int:
    count = 0
    for column in columns:
        edges = sorted((place.rank, down.rank) for place in column for down in place.downs)
        count += sum(
            1 for at, (up, down) in enumerate(edges) for other, below in edges[at + 1 :] if other > up and below < down
        )
    return count


# --- rows -----------------------------------------------------------------------------------------------------------


def _rows(columns: list[list[_Place]], gap: int) -> None:
    """Give each place a row: in order, `gap` apart, near those of its neighbours."""
    for column in columns:
        for at, place in enumerate(column):
            place.row = at * gap
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for column in columns[1:] if forward else columns[-2::-1]:
            wanted = [_mean_row(place.ups if forward else place.downs, place.row) for place in column]
            for place, row in zip(column, _spread(wanted, gap), strict=True):
                place.row = row
    least = min((place.row for column in columns for place in column), default=0)
    for column in columns:
        for place in column:
            place.row -= least


def _mean_row(places: list[_Place], otherwise: float) -> float:
    return sum(place.row for place in places) / len(places) if places else otherwise


def _spread(wanted: list[float], gap: int) -> list[int]:
    """Whole rows, ascending and at least `gap` apart, whose squared distance to the wanted ones is least."""
    pools: list[tuple[float, int]] = []
    for at, row in enumerate(wanted):
        mean, count = row - at * gap, 1
        while pools and pools[-1][0] > mean:
            before, more = pools.pop()
            mean = (mean * count + before * more) / (count + more)
            count += more
        pools.append((mean, count))
    rows: list[int] = []
    for mean, count in pools:
        first = round(mean)
        rows += [first + (len(rows) + at) * gap for at in range(count)]
    return rows


# --- lines ----------------------------------------------------------------------------------------------------------


def _draw(columns: list[list[_Place]], pitch: int, slack: int) -> Drawing:
    """`pitch` is the distance of two upright lines; `slack` how much flat line is before and after them."""
    height = 1 + max((place.row for column in columns for place in column), default=-1)
    boxes: dict[str, Box] = {}
    lines: list[dict[int, Cell]] = [{} for _ in range(height)]
    x = 0
    for number, column in enumerate(columns):
        width = max(place.width for place in column)
        for place in column:
            if place.edge is None:
                boxes[place.name] = Box(x, place.row, place.width, number)
            else:
                for at in range(x, x + width + 1):
                    _line(lines[place.row], at, EAST | WEST, {place.edge})
        x += width
        if number + 1 < len(columns):
            trunks = _trunks(column)
            tracks = max((trunk.track for trunk in trunks), default=-1) * pitch + 1
            end = x + 1 + 2 * slack + (tracks if tracks > 0 else 1 - slack)
            for trunk in trunks:
                trunk.track = x + 1 + slack + pitch * trunk.track
            starts = {id(place): boxes[place.name].x + place.width + 1 if place.edge is None else x for place in column}
            _route(lines, trunks, starts, end)
            x = end + 2
    return Drawing(x, height, boxes, lines)


def _trunks(column: list[_Place]) -> list[_Trunk]:
    """The trunks between a column and the next, each with its track: an upright line right of those that must be left
    of it, on which no other line lies.
    """
    shared: dict[tuple[int, ...], list[_Place]] = {}
    targets: dict[tuple[int, ...], list[_Place]] = {}
    for place in column:
        if place.downs:
            key = tuple(sorted(id(down) for down in place.downs))
            shared.setdefault(key, []).append(place)
            targets[key] = place.downs
    left = [_Trunk(sources, targets[key]) for key, sources in shared.items()]
    left.sort(key=lambda trunk: (-len(trunk.outs), trunk.first))
    done: list[_Trunk] = []
    while left:
        free = (trunk for trunk in left if not any(_before(other, trunk) for other in left if other is not trunk))
        trunk = next(free, left[0])
        left.remove(trunk)
        track = max((other.track + 1 for other in done if _before(other, trunk)), default=0)
        while any(
            other.track == track and not other.straight and other.first <= trunk.last and trunk.first <= other.last
            for other in done
        ):
            track += 1
        trunk.track = -1 if trunk.straight else track
        done.append(trunk)
    return done


def _before(left: _Trunk, right: _Trunk) -> bool:
    """Whether the one's upright must be left of the other's: where it leaves a row into which the other turns, or where
    the other only joins what it leads to.
    """
    if left.straight or right.straight:
        return False
    if left.ins & right.outs:
        return True
    return bool(left.outs & right.outs) and len(left.outs) > len(right.outs) and not right.ins & left.outs


def _route(lines: list[dict[int, Cell]], trunks: list[_Trunk], starts: dict[int, int], end: int) -> None:
    """Draw trunks, whose tracks are columns now; arrows stand in column `end`."""
    for trunk in trunks:
        edges = {_edge(source, target) for source in trunk.sources for target in trunk.targets}
        for row in range(trunk.first, trunk.last + 1) if not trunk.straight else ():
            bits = (NORTH if row > trunk.first else 0) | (SOUTH if row < trunk.last else 0)
            bits |= (WEST if row in trunk.ins else 0) | (EAST if row in trunk.outs else 0)
            _line(lines[row], trunk.track, bits, edges)
    uprights = {(trunk.track, row): trunk for trunk in trunks if not trunk.straight
                for row in range(trunk.first, trunk.last + 1)}  # fmt: skip
    for trunk in trunks:
        at = trunk.track
        for source in trunk.sources:
            edges = {_edge(source, target) for target in trunk.targets}
            for x in range(starts[id(source)], end if trunk.straight else at):
                _pass(lines[source.row], x, uprights.get((x, source.row)), edges, source.row)
        for target in trunk.targets:
            edges = {_edge(source, target) for source in trunk.sources}
            for x in range(end if trunk.straight else at + 1, end):
                _pass(lines[target.row], x, uprights.get((x, target.row)), edges, target.row)
            cell = _line(lines[target.row], end, EAST | WEST, edges)
            cell.arrow = target.edge is None
            if target.edge is not None:
                _line(lines[target.row], end + 1, EAST | WEST, edges)


def _pass(row: dict[int, Cell], x: int, upright: _Trunk | None, edges: set[Edge], number: int) -> None:
    """A line goes on to the right: behind an upright, unless that one ends in it."""
    if upright is None or upright.outs == {number}:
        _line(row, x, EAST | WEST, edges)


def _line(row: dict[int, Cell], x: int, bits: int, edges: set[Edge]) -> Cell:
    cell = row.setdefault(x, Cell())
    cell.bits |= bits
    cell.edges |= edges
    return cell


def _edge(source: _Place, target: _Place) -> Edge:
    if source.edge is not None:
        return source.edge
    return target.edge if target.edge is not None else (source.name, target.name)
