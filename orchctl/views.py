"""What a client knows of one subscription: its rows in order, at a revision. Pure: replies in, rows out.

A delta applies only to the revision it was made from. Anything else means that something was missed, and the
one cure is to subscribe anew, so `apply` says so instead of guessing.
"""

from typing import Any

from engine.protocol.messages import Delta, Snapshot, key_of

Map = dict[str, Any]


class OutOfStepError(Exception):
    """A delta does not follow what is known: subscribe again."""


class ViewState:
    """The rows of one subscription. Before the first snapshot `revision` is -1 and there are no rows."""

    def __init__(self) -> None:
        self.revision = -1
        self.total = 0
        self._rows: dict[str, Map] = {}

    @property
    def rows(self) -> list[Map]:
        """The rows in the view's order."""
        return list(self._rows.values())

    @property
    def known(self) -> bool:
        """Whether a snapshot has come."""
        return self.revision >= 0

    def get(self, key: str) -> Map | None:
        """The row that `engine.protocol.messages.key_of` names so."""
        return self._rows.get(key)

    def apply(self, reply: Snapshot | Delta) -> list[str]:
        """Take a reply in; the keys that changed. Raises OutOfStepError, and then nothing was changed."""
        if isinstance(reply, Snapshot):
            self._rows = {key_of(row): row for row in reply.rows}
            changed = list(self._rows)
        else:
            changed = self._apply_delta(reply)
        self.revision = reply.revision
        self.total = reply.total
        return changed

    def _apply_delta(self, delta: Delta) -> list[str]:
        if delta.since != self.revision:
            raise OutOfStepError(f"a delta from revision {delta.since} came at revision {self.revision}")
        changed = {key_of(row): row for row in delta.rows}
        known = self._rows | changed
        if delta.order is not None:
            missing = [key for key in delta.order if key not in known]
            if missing:
                raise OutOfStepError(f"row {missing[0]} is ordered but was never sent")
            known = {key: known[key] for key in delta.order}
        self._rows = known
        return list(changed)
