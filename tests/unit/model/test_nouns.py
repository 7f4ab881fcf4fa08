"""The nouns: names, numbers, instants, sizes, outcomes, versions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import ids, instants, resources
from engine.model.errors import DefinitionError, Fault, ValueFault
from engine.model.instants import HOUR, MINUTE, SECOND
from engine.model.status import SUCCESS, Outcome, OutcomeKind, RunStatus, TaskStatus
from engine.model.workflow import Source, Workflow, decode, encode, version_of
from tests.support.builders import flow, task


@pytest.mark.parametrize("name", ["a", "A-1", "x.y_z", "0", "a" * 128])
def test_these_are_names(name: str):
    assert ids.is_name(name)
    assert ids.parse_row(name) == (name, ids.NO_INDEX)


@pytest.mark.parametrize("name", ["", "-a", ".a", "..", "a/b", "a b", "a\n", "ä", "a" * 129, "a\0", "a[1]", "a\x1b"])
def test_these_are_no_names(name: str):
    assert not ids.is_name(name)


@settings(deadline=None)
@given(st.integers(0, 9_999_999))
def test_a_row_is_read_as_it_was_written(index: int):
    assert ids.parse_row(ids.row_text("clean", index)) == ("clean", index)


@pytest.mark.parametrize("text", ["a[", "a[-1]", "a[1", "a[x]", "a[12345678]", "[1]", "a[1] ", ""])
def test_what_is_no_row_is_refused(text: str):
    with pytest.raises(ValueFault, match="is not a task"):
        ids.parse_row(text)


@pytest.mark.parametrize(("text", "run"), [("r12", 12), ("12", 12), ("r999999999999999999", 10**18 - 1)])
def test_a_run_is_read(text: str, run: int):
    assert ids.parse_run(text) == run


@pytest.mark.parametrize("text", ["r0", "0", "r", "r-1", "R1", "r1 ", "r1000000000000000000", "", "١"])
def test_what_is_no_run_is_refused(text: str):
    with pytest.raises(ValueFault, match="is not a run"):
        ids.parse_run(text)


@settings(deadline=None)
@given(st.integers(-(10**18), 4 * 10**18))
def test_an_instant_is_read_as_it_was_written_to_the_microsecond(instant_ns: int):
    assert instants.from_text(instants.to_text(instant_ns)) == instant_ns // 1000 * 1000


def test_instants_are_written_in_utc_with_microseconds():
    assert instants.to_text(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456Z"
    assert instants.optional_text(0) is None
    assert instants.from_text("2023-11-14T23:13:20+01:00") == 1_700_000_000 * SECOND


@pytest.mark.parametrize("text", ["2023-11-14T22:13:20", "yesterday", ""])
def test_an_instant_without_a_zone_or_sense_is_refused(text: str):
    with pytest.raises(ValueFault):
        instants.from_text(text)


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [("30s", 30 * SECOND), ("1h30m", 90 * MINUTE), ("250ms", SECOND // 4), (2, 2 * SECOND), ("1.5", 1_500_000_000),
     ("1d", 24 * HOUR), ("0", 0), (" 5M ", 5 * MINUTE)],
)  # fmt: skip
def test_a_duration_is_read(text: str | int, duration_ns: int):
    assert instants.parse_duration(text) == duration_ns


@pytest.mark.parametrize(
    "text",
    ["", "-1s", "5 apples", "1h 30m", True, float("nan"), float("inf"), "101y", 1e11, -1, "9" * 400, "9" * 400 + "s"],
)
def test_what_is_no_duration_is_refused(text: str | float):
    with pytest.raises(ValueFault):
        instants.parse_duration(text)


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [(0, "0ms"), (41_000_000, "41ms"), (3_240_000_000, "3.2s"), (134 * MINUTE, "2h14m"), (90 * SECOND, "1m30s"),
     (25 * HOUR, "1d01h"), (-SECOND, "-1.0s")],
)  # fmt: skip
def test_a_duration_is_written_for_people(duration_ns: int, text: str):
    assert instants.duration_text(duration_ns) == text


@pytest.mark.parametrize(
    ("text", "size"), [("2GiB", 2**31), ("512M", 2**29), ("1MB", 10**6), (5, 5), ("1.5K", 1536), ("0", 0)]
)
def test_a_size_is_read(text: str | int, size: int):
    assert resources.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1 PB", "1e9", True, "GiB", "9999999999GiB"])
def test_what_is_no_size_is_refused(text: str | bool):
    with pytest.raises(ValueFault):
        resources.parse_size(text)


@pytest.mark.parametrize(("value", "milli"), [(2, 2000), (0.5, 500), ("1.25", 1250), (0, 0)])
def test_cpus_are_read_in_thousandths(value: str | float, milli: int):
    assert resources.parse_cpu(value) == milli


@pytest.mark.parametrize("value", ["x", -1, True, float("nan"), float("inf"), "1e9"])
def test_what_is_no_number_of_cpus_is_refused(value: str | float):
    with pytest.raises(ValueFault):
        resources.parse_cpu(value)


def test_final_statuses_say_so():
    assert [status.name for status in TaskStatus if not status.finished] == [
        "WAITING",
        "READY",
        "RUNNING",
        "BACKING_OFF",
    ]
    assert [status.name for status in RunStatus if status.finished] == ["SUCCEEDED", "FAILED", "CANCELLED"]


def test_an_outcome_is_a_sentence():
    assert SUCCESS.sentence() == "succeeded"
    assert Outcome(OutcomeKind.FAILED, exit_code=3, why="no").sentence() == "failed: exit 3, no"
    assert Outcome(OutcomeKind.FAILED, exit_code=0, why="result is not JSON").sentence() == "failed: result is not JSON"
    assert Outcome(OutcomeKind.OVER_QUOTA, which="memory", used=3, limit=2).text == "over_quota.memory"


def test_a_fault_is_a_line_and_a_definition_error_is_all_of_them():
    faults = [Fault("bad", "f.yaml", 3, field="tasks.a", hint="fix it"), Fault("worse")]
    assert str(DefinitionError(faults)) == "f.yaml:3: tasks.a: bad (fix it)\nworse"


def test_a_version_ignores_the_text_but_not_the_folder():
    def at(**source: str) -> Workflow:
        return flow(task("a"), source=Source(**source))

    assert version_of(at(file="a.yaml", text="x", folder="/d")) == version_of(at(file="b.yaml", text="y", folder="/d"))
    assert version_of(at(folder="/d")) != version_of(at(folder="/e"))


def test_a_workflow_is_decoded_as_it_was_encoded():
    workflow = flow(task("a", for_each=[1], env=(("A", "b"),)), task("b", "a[i]", for_each=[1]))
    assert decode(encode(workflow)) == workflow
    for broken in (b"", b"\xff", encode(workflow)[:-1], b"\xa3\xff\xfe\xfd"):
        with pytest.raises(ValueError):
            decode(broken)
