"""Fair shares between owners: who has used least for its weight goes first.

An owner's *usage* grows by the share of the host that its attempts hold, and decays with a half life, so that last week
does not count against anybody. With a constant rate r and the decay constant k = ln 2 / half life, usage follows
u' = r - k u, so u(t) = r/k + (u0 - r/k) exp(-k t): exact however seldom it is looked at.

What goes first is the least of (u + r * AHEAD) / weight. The second term counts what is held now as if it were held
for a while longer. Without it an owner that comes back after a pause would get everything until its usage has caught
up, and several owners that are equal would not share one batch. On the long run both terms are proportional to what
was used, so shares are as the weights, whatever AHEAD is. Shares come in millionths of the host, as integers, so that
what is added and taken away again leaves nothing.
"""

from collections.abc import Iterable, Mapping
from math import exp, log
from typing import NamedTuple

from engine.model.instants import HOUR, SECOND

HALF_LIFE_NS = 2 * HOUR
AHEAD_OF_HALF_LIFE = 1 / 16
FRESH_OF_HALF_LIFE = 1 / 4096
"""For so long a key counts as new: decay changes it by less than a part in five thousand."""
FORGOTTEN = 1e-3
"""Host-milliseconds of usage below which an owner without anything running is forgotten."""


class Usage(NamedTuple):
    """What is kept over a restart: host-seconds that an owner has used, decayed to the instant `at_ns`."""

    owner: str
    seconds: float
    at_ns: int


class _Account:
    __slots__ = ("at_ns", "rate_ppm", "usage")

    def __init__(self, at_ns: int, usage: float = 0.0) -> None:
        self.at_ns = at_ns
        self.usage = usage
        self.rate_ppm = 0


class Shares:
    """All owners that have used something lately. An owner without a weight has 1."""

    def __init__(self, weights: Mapping[str, float] | None = None, half_life_ns: int = HALF_LIFE_NS) -> None:
        self._weights = dict(weights or {})
        self._half_life_s = half_life_ns / SECOND
        self._decay = log(2) / self._half_life_s
        self._ahead_s = self._half_life_s * AHEAD_OF_HALF_LIFE
        self._fresh_ns = int(half_life_ns * FRESH_OF_HALF_LIFE)
        self._accounts: dict[str, _Account] = {}
        self.keys: dict[str, float] = {}
        """As new as the last `refresh` or change of the owner; 0 of who is not here."""
        self._running: dict[int, tuple[str, int]] = {}
        self._refreshed_ns = 0

    def started(self, attempt: int, owner: str, share_ppm: int, now_ns: int) -> None:
        """An attempt of the owner holds this share of the host from now on."""
        self._running[attempt] = (owner, share_ppm)
        self._change(owner, share_ppm, now_ns)

    def ended(self, attempt: int, now_ns: int) -> None:
        """The attempt holds it no more: the share that it began with, whatever has become of the host since."""
        owner, share_ppm = self._running.pop(attempt)
        self._change(owner, -share_ppm, now_ns)

    def _change(self, owner: str, share_ppm: int, now_ns: int) -> None:
        account = self._accounts.get(owner)
        if account is None:
            account = self._accounts[owner] = _Account(now_ns)
        self._settle(account, now_ns)
        account.rate_ppm += share_ppm
        self._price(owner, account)

    def refresh(self, now_ns: int) -> None:
        """Bring the keys up to date if they are old; forget who has used nothing for long."""
        if now_ns - self._refreshed_ns < self._fresh_ns:
            return
        self._refreshed_ns = now_ns
        for owner, account in list(self._accounts.items()):
            self._settle(account, now_ns)
            self._price(owner, account)
            if not account.rate_ppm and account.usage < FORGOTTEN:
                del self._accounts[owner], self.keys[owner]

    def key(self, owner: str) -> float:
        """Smaller goes first."""
        return self.keys.get(owner, 0.0)

    def usage(self, now_ns: int) -> list[Usage]:
        """What each owner has used, most first; `restore` takes it back."""
        for account in self._accounts.values():
            self._settle(account, now_ns)
        found = [Usage(owner, account.usage, account.at_ns) for owner, account in self._accounts.items()]
        return sorted(found, key=lambda usage: (-usage.seconds, usage.owner))

    def restore(self, kept: Iterable[Usage]) -> None:
        """Begin with what was kept; what runs now is told by `started` afterwards."""
        self.keys.clear()
        self._accounts = {usage.owner: _Account(usage.at_ns, usage.seconds) for usage in kept}
        for owner, account in self._accounts.items():
            self._price(owner, account)

    def _settle(self, account: _Account, now_ns: int) -> None:
        elapsed_s = (now_ns - account.at_ns) / SECOND
        if elapsed_s > 0:
            level = account.rate_ppm / 1e6 / self._decay
            account.usage = level + (account.usage - level) * exp(-self._decay * elapsed_s)
            account.at_ns = now_ns

    def _price(self, owner: str, account: _Account) -> None:
        self.keys[owner] = (account.usage + account.rate_ppm / 1e6 * self._ahead_s) / self._weights.get(owner, 1.0)
