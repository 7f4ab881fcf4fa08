"""Following: several views of one engine kept current over one connection, across restarts of the engine."""

import time

from engine.model.errors import Unavailable
from engine.protocol.messages import Delta, Gone, Refused, Snapshot, Subscribe, Unsubscribe, View
from orchctl.client.connection import EngineGone, RefusalError
from orchctl.client.session import Session
from orchctl.views import OutOfStepError, ViewState


class Watch:
    """Views by name, each with the most updates a second. `states` holds what is known of each."""

    def __init__(self, session: Session, views: dict[str, tuple[View, float]]) -> None:
        self._session = session
        self._views = views
        self._numbers: dict[int, str] = {}
        self.states: dict[str, ViewState] = {}
        self.subscribe()

    def subscribe(self) -> None:
        """Subscribe to all views over the session's present connection, from the beginning."""
        self._numbers.clear()
        for name in self._views:
            self._subscribe(name)

    def _subscribe(self, name: str) -> None:
        view, rate = self._views[name]
        self.states[name] = ViewState()
        self._numbers[self._session.connection().send(Subscribe(view=view, rate=rate))] = name

    def next(self, timeout_s: float) -> list[str]:
        """The names of the views that changed, as soon as any did; none when nothing came in time.

        Everything that has arrived already is taken in before this returns. Raises EngineGone when the
        connection broke (then `Session.reconnect` and `subscribe`), RefusalError, or Unavailable when the
        subject is gone.
        """
        changed: list[str] = []
        deadline = time.monotonic() + timeout_s
        while True:
            wait_s = 0.0 if changed else max(0.0, deadline - time.monotonic())
            reply = self._session.connection().receive(wait_s)
            if reply is None:
                return changed
            name = self._numbers.get(reply.id)
            if name is None:  # the last words of a subscription that was given up
                continue
            if isinstance(reply, Refused):
                raise RefusalError(reply)
            if isinstance(reply, Gone):
                raise Unavailable(reply.why)
            if not isinstance(reply, Snapshot | Delta):
                raise EngineGone(f"the engine answered a subscription with {type(reply).__name__}")
            try:
                self.states[name].apply(reply)
            except OutOfStepError:
                self._again(reply.id, name)
                continue
            if name not in changed:
                changed.append(name)

    def _again(self, number: int, name: str) -> None:
        del self._numbers[number]
        self._session.connection().send(Unsubscribe(subscription=number))
        self._subscribe(name)
