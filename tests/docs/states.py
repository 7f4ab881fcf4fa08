"""The state tables of ARCHITECTURE.md, made from the tables that the machine uses.

`python -m tests.docs.states` writes them between the markers.
"""

from pathlib import Path

from engine.core import transitions

DOCUMENT = Path(__file__).parents[2] / "engine" / "ARCHITECTURE.md"
BEGIN = "<!-- states: made from engine/core/transitions.py by `python -m tests.docs.states` -->\n"
END = "<!-- end of states -->"


def render() -> str:
    """The tables as Markdown."""
    parts: list[str] = []
    tables = (
        ("run", transitions.RUN), ("task (each row)", transitions.TASK), ("attempt", transitions.ATTEMPT),
        ("backfill", transitions.BACKFILL),
    )  # fmt: skip
    for title, table in tables:
        lines = [f"| {title}: cause | from | to |", "| --- | --- | --- |"]
        for cause, moves in table.items():
            by_target: dict[str, list[str]] = {}
            for source, target in moves.items():
                by_target.setdefault(target.text, []).append(source.text)
            lines += [f"| {cause} | {', '.join(sources)} | {target} |" for target, sources in by_target.items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def with_tables(text: str) -> str:
    """The document with fresh tables between the markers."""
    head, rest = text.split(BEGIN, 1)
    return head + BEGIN + render() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
