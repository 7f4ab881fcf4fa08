"""How verbs list rows: as objects with `--json`, else as a table. A column is its heading and what it shows of a row;
whatever that is, it is made inert here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from orchctl.client.session import RowT, typed
from orchctl.commands.kit import SUCCEEDED
from orchctl.commands.output import Output
from orchctl.text import Cell, inert


def list_rows(
    out: Output, maps: Iterable[dict[str, Any]], kind: type[RowT], columns: Mapping[str, Callable[[RowT], object]],
    *, right: str = "", none: str = "",
) -> int:  # fmt: skip
    """Print rows as they came from the engine. `right` names columns to align right; `none` is said instead of an empty
    table. A column may show a text and its style.
    """
    if out.json:
        out.rows(maps)
        return SUCCEEDED
    rows = typed(list(maps), kind)
    if none and not rows:
        out.remark(none)
    else:
        out.table(tuple(columns), ([_cell(show(row)) for show in columns.values()] for row in rows), right=right)
    return SUCCEEDED


def _cell(shown: object) -> Cell:
    text, style = cast("tuple[object, str | None]", shown) if isinstance(shown, tuple) else (shown, "")
    return inert(text), style or ""
