"""Graphs in columns: what they look like, and what holds for any of them."""

import random

import pytest

from orchctl.console.layout.columns import Drawing, Node, lay_out


def nodes(written: str) -> list[Node]:
    """`a; b: a` as nodes whose labels are a sign, a blank and the name."""
    made: list[Node] = []
    for part in written.split(";"):
        name, _, needs = part.strip().partition(":")
        made.append(Node(name, 2 + len(name), needs.split()))
    return made


def text(drawing: Drawing, *, ascii_only: bool = False) -> str:
    """The drawing with `o NAME` for labels. Fails where a label would lie on a line or on another."""
    rows = [[" "] * (drawing.width + 1) for _ in range(drawing.height)]
    for row, cells in zip(rows, drawing.lines, strict=True):
        for x, cell in cells.items():
            row[x] = cell.glyph(ascii_only=ascii_only)
    for name, box in drawing.boxes.items():
        for at, letter in enumerate(f"o {name}"):
            assert rows[box.y][box.x + at] == " ", f"{name} lies on something"
            rows[box.y][box.x + at] = letter
    return "\n".join("".join(row).rstrip() for row in rows)


def test_a_chain_is_a_line() -> None:
    assert text(lay_out(nodes("a; b: a; c: b"), 80, 20)) == "o a ──▶ o b ──▶ o c"


def test_a_pipeline_forks_and_joins() -> None:
    pipeline = (
        "inventory; fetch; count: inventory; totals: count; load: inventory fetch; check: load totals; report: check"
    )
    assert text(lay_out(nodes(pipeline), 80, 20)) == (
        "o inventory ─┬─▶ o count ──▶ o totals ─┐\n"
        "             │                         ├─▶ o check ──▶ o report\n"
        "o fetch ─────└─▶ o load ───────────────┘"
    )


def test_tasks_of_the_same_needs_share_one_upright() -> None:
    assert text(lay_out(nodes("a; b; c; x: a b c; y: a b c"), 80, 2 * 3)) == (
        "o a ─┐\n     ├─▶ o x\no b ─┤\n     ├─▶ o y\no c ─┘"
    )


def test_an_edge_that_a_longer_way_implies_is_left_out() -> None:
    assert text(lay_out(nodes("a; b: a; c: a b; d: a c"), 80, 20)) == "o a ──▶ o b ──▶ o c ──▶ o d"


def test_ascii_has_the_same_shape() -> None:
    drawing = lay_out(nodes("a; b: a; c: a; d: b c"), 80, 20)
    plain, drawn = text(drawing, ascii_only=True), text(drawing)
    assert plain.isascii()
    assert [len(line) for line in plain.splitlines()] == [len(line) for line in drawn.splitlines()]


def test_what_does_not_fit_airily_is_drawn_tightly() -> None:
    wide = nodes("a; b; c; d; e; x: a b; y: b c; z: c d; w: d e a")
    assert lay_out(wide, 80, 40).height > lay_out(wide, 80, 6).height
    assert lay_out(wide, 200, 40).width > lay_out(wide, 15, 40).width


def test_the_same_graph_always_has_the_same_places() -> None:
    graph = _random_graph(random.Random(3), 25)
    assert lay_out(graph, 100, 30).boxes == lay_out(list(graph), 100, 30).boxes


def _random_graph(draw: random.Random, count: int) -> list[Node]:
    made: list[Node] = []
    for number in range(count):
        needs = {f"t{draw.randrange(number)}" for _ in range(draw.randrange(3))} if number else set()
        made.append(Node(f"t{number}", draw.randrange(4, 12), sorted(needs)))
    return made


@pytest.mark.parametrize("seed", range(40))
def test_any_graph_has_each_edge_drawn_from_its_source_to_its_target(seed: int) -> None:
    draw = random.Random(seed)
    graph = _random_graph(draw, draw.randrange(1, 30))
    drawing = lay_out(graph, draw.choice((40, 80, 200)), draw.choice((10, 30)))
    boxes = drawing.boxes
    assert set(boxes) == {node.name for node in graph}
    taken = [(x, box.y) for box in boxes.values() for x in range(box.x, box.x + box.width)]
    assert len(taken) == len(set(taken)), "labels do not lie on each other"
    assert not {(x, y) for y, row in enumerate(drawing.lines) for x in row} & set(taken), "nor lines on labels"
    above: dict[str, set[str]] = {}
    for node in graph:
        implied = set[str]().union(*(above[need] for need in node.needs))
        above[node.name] = implied | set(node.needs)
        for need in set(node.needs) - implied:
            assert boxes[need].column < boxes[node.name].column
            _assert_joined(drawing, (need, node.name))


def _assert_joined(drawing: Drawing, edge: tuple[str, str]) -> None:
    """The cells of an edge lead from beside its source to an arrow before its target; where it passes behind another
    line there is none of it, so neighbours may be two columns apart."""
    cells = {(x, y) for y, row in enumerate(drawing.lines) for x, cell in row.items() if edge in cell.edges}
    source, target = drawing.boxes[edge[0]], drawing.boxes[edge[1]]
    end = (target.x - 2, target.y)
    assert drawing.lines[end[1]][end[0]].arrow
    start = min((x, y) for x, y in cells if y == source.y and x > source.x)
    found, left = {start}, [start]
    while left:
        x, y = left.pop()
        near = [(x, y + 1), (x, y - 1), *((x + step, y) for step in range(-40, 41))]
        for cell in near:
            if cell in cells and cell not in found:
                found.add(cell)
                left.append(cell)
    assert end in found, edge
