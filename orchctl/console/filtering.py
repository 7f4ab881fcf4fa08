"""The filter that all panes of a run share: words for the engine (engine.protocol.filters), and statuses written as
`is:failed`, `!is:succeeded`, `is:open` or `is:faults`.
"""

import msgspec

from engine.model.errors import ValueFault
from engine.model.status import TaskStatus
from engine.protocol.filters import parse_filter

_STATUSES = tuple(status.text for status in TaskStatus)
_GROUPS = {
    "open": ("waiting", "ready", "running", "backing_off"),
    "faults": ("failed", "upstream_failed"),
    "done": ("succeeded", "skipped"),
}


class RunFilter(msgspec.Struct, frozen=True):
    """`written` is what the operator typed; the engine gets the rest of it, and the statuses (none: all)."""

    written: str = ""
    text: str = ""
    statuses: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.written)


def read_filter(written: str) -> RunFilter:
    """Raises ValueFault for what makes no sense, before the engine is asked."""
    words: list[str] = []
    statuses = list(_STATUSES)
    for word in written.split():
        inverse, named = word.startswith("!is:"), word.removeprefix("!")
        if not named.startswith("is:"):
            words.append(word)
            continue
        wanted = _statuses(named.removeprefix("is:"))
        statuses = [status for status in statuses if (status in wanted) != inverse]
    text = " ".join(words)
    parse_filter(text)
    limited = len(statuses) < len(_STATUSES)
    if limited and not statuses:
        raise ValueFault("no row can be in all of these states")
    return RunFilter(" ".join(written.split()), text, tuple(statuses) if limited else ())


def _statuses(name: str) -> tuple[str, ...]:
    if name in _GROUPS:
        return _GROUPS[name]
    found = tuple(status for status in _STATUSES if name and status.startswith(name.replace("-", "_")))
    if not found:
        raise ValueFault(f"is:{name[:40]} is no state", f"the states are {', '.join((*_GROUPS, *_STATUSES))}")
    return found
