"""What a task measures: a matrix of parameters, how often each *cell* of it is tried, and the metrics that it reports.

A cell is one choice of a value for each parameter; a trial is one row of the task, for one cell.
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from engine.model.instants import MILLISECOND, MINUTE

TRIALS_MAX = 100_000
WARMUPS_MAX = 1_000
AXES_MAX = 20
REPEATS_MAX = 100
METRICS_MAX = 100
REGEX_CHARS_MAX = 500
SEED_MAX = 2**53
LOOK_MIN_NS, LOOK_MAX_NS = 50 * MILLISECOND, MINUTE
"""The kernel counts busy time in ticks of 10 ms, so a shorter look would see next to nothing."""
LOOKS_MAX = 100
NOISE_SHARES = ("foreign", "stolen", "memory", "io", "frequency")

TRIAL = "trial"
"""The number of a row's trial among its item's fields: warm-ups have 0 and below."""

TrialOrder = Literal["interleaved", "random", "sequential"]
Better = Literal["", "lower", "higher"]


class Metric(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A number that each attempt of the task is expected to report. `better` empty: neither direction is.

    With a `regex` its only group is looked for in the attempt's log; the last match counts.
    """

    name: str
    unit: str = ""
    better: Better = ""
    regex: str = ""


MEASURED_ALWAYS = (Metric("duration", "s", "lower"), Metric("cpu", "s", "lower"), Metric("max_rss", "B", "lower"))
"""What is known of every attempt, without a word from it."""


class NoiseLimits(msgspec.Struct, frozen=True):
    """Beyond any of these a trial counts as disturbed. `foreign` and `stolen` are shares of all CPUs that others and a
    hypervisor used, but `forgiven` CPUs of others always are: a host is never quite still. `memory` and `io` are shares
    of the time in which something waited for them, `frequency` is how far the CPUs' may be off from that at the
    beginning. `look_ns` is how long the host is watched before a trial, `looks` how often at most while it is noisy.
    """

    foreign: float = 0.02
    forgiven: float = 0.1
    stolen: float = 0.01
    memory: float = 0.01
    io: float = 0.10
    frequency: float = 0.05
    look_ns: int = 250 * MILLISECOND
    looks: int = 4

    def but(self, written: Iterable[tuple[str, float]]) -> "NoiseLimits":
        """These, but for what is written."""
        limits = msgspec.structs.replace(self, **dict(written))
        return msgspec.structs.replace(limits, look_ns=int(limits.look_ns), looks=int(limits.looks))


class Campaign(msgspec.Struct, frozen=True, array_like=True):
    """`matrix` pairs a parameter with its values: a list of scalars, or text holding one `{{ }}` that gives one.

    Without `trials` the task has rows as any other, and only reports metrics. `repeat_noisy` is how often a trial that
    the host disturbed may be repeated, `noise` what it says other than the host's `NoiseLimits`, by their names.
    """

    matrix: tuple[tuple[str, Any], ...] = ()
    trials: int = 0
    warmups: int = 0
    order: TrialOrder = "interleaved"
    seed: int = 0
    repeat_noisy: int = 0
    metrics: tuple[Metric, ...] = ()
    noise: tuple[tuple[str, float], ...] = ()
