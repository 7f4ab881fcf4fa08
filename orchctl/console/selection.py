"""What the operator has marked, shared by all panes of a run. A task and a row are marked by the key under which every
pane knows them, so a mark that was set in one pane is seen in the others. `all` means everything that the filter lets
through when the act comes, of the tasks or of the rows.
"""

from collections.abc import Iterable
from typing import Literal

from engine.protocol.rows import GroupRow, LaneRow, TaskRow
from orchctl.console.runlines import row_name

Marked = GroupRow | TaskRow


class Selection:
    """Marks of one run."""

    def __init__(self) -> None:
        self._marks: dict[str, Marked] = {}
        self.all: Literal["", "tasks", "rows"] = ""
        self.total = 0
        """Of `all`: how many there were when they were marked."""

    def __bool__(self) -> bool:
        return bool(self._marks or self.all)

    def marked(self, key: str) -> bool:
        """Whether a row is marked: itself, its task, or everything."""
        return bool(self.all) or key in self._marks or key.partition("[")[0] in self._marks

    def toggle(self, row: Marked) -> None:
        """Mark or unmark. Unmarking one of `all` leaves none of them."""
        key = key_of_row(row)
        if self.all:
            self.clear()
        elif self._marks.pop(key, None) is None:
            self._marks[key] = row

    def add(self, rows: Iterable[Marked]) -> None:
        """Mark these too."""
        self.all = ""
        self._marks.update((key_of_row(row), row) for row in rows)

    def mark_all(self, what: Literal["tasks", "rows"], total: int) -> None:
        self._marks.clear()
        self.all = what
        self.total = total

    def clear(self) -> None:
        self._marks.clear()
        self.all = ""

    @property
    def rows(self) -> list[Marked]:
        """What is marked one by one, as it was when it was marked."""
        return list(self._marks.values())

    def text(self) -> str:
        """For the head of the screen; empty where nothing is marked."""
        if self.all:
            return f"all {self.total:,} marked"
        return f"{len(self._marks):,} marked" if self._marks else ""


def key_of_row(row: Marked | LaneRow) -> str:
    """`parse`, or `parse[4]`."""
    return row.task if isinstance(row, GroupRow) else row_name(row.task, row.index)
