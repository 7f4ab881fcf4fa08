"""After a failed attempt: again, and when, or give up.

The n-th retry waits delay * backoff**(n-1), at most max_delay; jitter `full` draws from 0 to that, `equal` from its
half to all of it. Randomness is a hash of the state's seed and the attempt's number, so a replay waits as long.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from engine.model.resources import Capacity, Claim
from engine.model.status import Outcome, OutcomeKind
from engine.model.workflow import QUOTA_FIELDS, Quota, Retry

_CLAIM_FIELDS = {"memory": "memory_bytes", "disk": "scratch_bytes"}
_AMOUNT_MAX = 2**62
_TIMES_MAX = 100
_NEVER = (OutcomeKind.SUCCEEDED, OutcomeKind.CANCELLED, OutcomeKind.LOST)
_MASK = 2**64 - 1


def applies(retry: Retry, outcome: Outcome) -> bool:
    """Whether the policy speaks of such an outcome. A cancelled attempt is never retried by itself."""
    if outcome.kind in _NEVER:
        return False
    if retry.on and not any(word in (outcome.kind.text, outcome.text) for word in retry.on):
        return False
    if outcome.kind is not OutcomeKind.FAILED or not (retry.exit_codes or retry.exceptions):
        return True
    return outcome.exit_code in retry.exit_codes or _names(retry.exceptions, outcome.exception)


def _names(wanted: tuple[str, ...], exception: str) -> bool:
    """`ValueError` and `builtins.ValueError` both name it; `pkg.errors.Busy` is also found by `Busy`."""
    return bool(exception) and any(exception == name or exception.endswith("." + name) for name in wanted)


def delay_ns(retry: Retry, failures: int, seed: int, attempt: int) -> int:
    """How long the retry after the `failures`-th failure (from 1) waits."""
    if not retry.delay_ns:
        return 0
    try:
        full = min(retry.delay_ns * retry.backoff ** (failures - 1), float(retry.max_delay_ns))
    except OverflowError:
        full = float(retry.max_delay_ns)
    if retry.jitter == "none":
        return int(full)
    fraction = draw(seed, attempt)
    return int(full * fraction) if retry.jitter == "full" else int(full * (0.5 + fraction / 2))


def draw(seed: int, number: int) -> float:
    """A number in [0, 1) that depends on both only: the mixing step of splitmix64 (Steele et al., OOPSLA 2014)."""
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) / 2**64


def grown(
    retry: Retry, claim: Claim, quota: Quota, times: Mapping[str, int], capacity: Capacity
) -> tuple[Claim, Quota]:
    """Claim and quota after so many attempts (by resource) went over their quotas. Memory is at most what the host has,
    and so is what is claimed of its disk."""
    for which, factor in retry.grow:
        if not times.get(which):
            continue
        most = capacity.memory_bytes if which == "memory" else _AMOUNT_MAX
        factor = min(factor ** min(times[which], _TIMES_MAX), float(_AMOUNT_MAX))
        field, claimed = QUOTA_FIELDS[which], _CLAIM_FIELDS.get(which, "")
        quota = replace(quota, **{field: min(int(getattr(quota, field) * factor), most)})
        if claimed:
            most = max(getattr(capacity, claimed), getattr(claim, claimed))
            claim = replace(claim, **{claimed: min(int(getattr(claim, claimed) * factor), most)})
    return claim, quota
