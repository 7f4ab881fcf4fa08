"""What a task measures: a matrix of parameters, how often each *cell* of it is tried, and the metrics that it reports.

A cell is one choice of a value for each parameter; a trial is one row of the task, for one cell.
"""

from typing import Any, Literal

import msgspec

TRIALS_MAX = 100_000
WARMUPS_MAX = 1_000
AXES_MAX = 20
REPEATS_MAX = 100
METRICS_MAX = 100
REGEX_CHARS_MAX = 500
SEED_MAX = 2**53

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


class Campaign(msgspec.Struct, frozen=True, array_like=True):
    """`matrix` pairs a parameter with its values: a list of scalars, or text holding one `{{ }}` that gives one.

    Without `trials` the task has rows as any other, and only reports metrics. `repeat_noisy` is how often a trial that
    the host disturbed may be repeated.
    """

    matrix: tuple[tuple[str, Any], ...] = ()
    trials: int = 0
    warmups: int = 0
    order: TrialOrder = "interleaved"
    seed: int = 0
    repeat_noisy: int = 0
    metrics: tuple[Metric, ...] = ()
