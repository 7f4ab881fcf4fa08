"""The table of verbs: what each is called, in which module it lives and what it does in a line. The module of
the one verb that was written is imported, no other, so that a verb starts fast.
"""

from typing import NamedTuple


class Entry(NamedTuple):
    """One verb. `module` is below orchctl.commands; a name of two words is a verb within a group."""

    name: str
    module: str
    summary: str


GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Begin",
        (
            Entry("demo", "demo", "run a pipeline over real files, to see it all at work"),
            Entry("console", "console", "open the console (as orchctl alone does)"),
            Entry("doctor", "doctor", "check this machine, the home folder and the engine"),
        ),
    ),
    (
        "Run workflows",
        (
            Entry("validate", "definitions", "check definitions and show every fault"),
            Entry("run", "submitting", "submit a workflow and follow its run"),
            Entry("submit", "submitting", "submit a workflow and print its run"),
            Entry("trigger", "submitting", "make a run of a workflow that was added"),
            Entry("add", "workflows", "add a workflow: its schedules count from now"),
            Entry("remove", "workflows", "remove a workflow that was added"),
            Entry("workflows", "workflows", "list the workflows that were added, or show one"),
            Entry("schedules", "workflows", "list schedules and when they are due"),
            Entry("backfill", "backfilling", "run a workflow for partitions of the past"),
            Entry("backfills", "backfilling", "list backfills and how far they are"),
            Entry("import wfcommons", "importing", "turn a WfCommons instance into a workflow"),
            Entry("schema", "definitions", "print the JSON Schema of workflow files"),
        ),
    ),
    (
        "Look",
        (
            Entry("runs", "runs", "list runs, newest first"),
            Entry("show", "runs", "show a run and its tasks, now or in the past, or follow it"),
            Entry("tasks", "runs", "list the rows of a run"),
            Entry("logs", "logs", "print or follow the log of an attempt"),
            Entry("explain", "explain", "say why tasks do not run"),
            Entry("compare", "compare", "compare what trials measured, in a run or between runs"),
            Entry("resources", "host", "show what the host has, what is claimed and by whom"),
            Entry("events", "history", "print the journal, of a run or of everything"),
            Entry("audit", "history", "list who asked for what, newest first"),
        ),
    ),
    (
        "Act",
        (
            Entry("pause", "acting", "hold a run, a backfill, or a workflow's schedules"),
            Entry("resume", "acting", "undo pause"),
            Entry("cancel", "acting", "ask a run, tasks or a backfill to end, with time to do so"),
            Entry("kill", "acting", "end a run or tasks at once"),
            Entry("retry", "acting", "run again what failed, and what waits for it"),
            Entry("rerun", "acting", "run tasks again with everything downstream"),
            Entry("mark", "acting", "make tasks count as succeeded or failed"),
            Entry("set", "acting", "change priority, max_parallel or tolerate of a run"),
        ),
    ),
    (
        "Keep",
        (
            Entry("engine start", "engine", "start the engine"),
            Entry("engine stop", "engine", "stop the engine; attempts go on unless told otherwise"),
            Entry("engine status", "engine", "show the engine and its processes"),
            Entry("engine run", "engine", "be the engine, in the foreground"),
            Entry("backup", "keeping", "copy the state into a new folder"),
            Entry("restore", "keeping", "make a backup the state, while no engine runs"),
            Entry("gc", "keeping", "delete now what is kept no longer"),
            Entry("completion", "completion", "print a completion script for a shell"),
            Entry("version", "about", "print versions"),
        ),
    ),
)

VERBS = {entry.name: entry for _, entries in GROUPS for entry in entries}


def within(first: str) -> list[Entry]:
    """The verbs of the group `first`, such as `engine`; none if there is no such group."""
    return [entry for entry in VERBS.values() if entry.name.startswith(first + " ")]


def overview() -> str:
    """All verbs with a line each: what `orchctl --help` prints."""
    lines = [
        "usage: orchctl [--home DIR] [VERB ...]",
        "",
        "Without a verb, orchctl opens the console and starts an engine if none runs.",
    ]
    for title, entries in GROUPS:
        lines += ["", f"{title}:"]
        lines += [f"  {entry.name:<17} {entry.summary}" for entry in entries]
    lines += [
        "",
        "Each verb has --help, with examples, and --json: one JSON object a line.",
        "A run is written r12, or 12; `latest` and `-` name the newest.",
        "One row of a for_each is written clean[3].",
        "",
        "Options:",
        "  --home DIR        the folder of the engine, else ORCHCTL_HOME,",
        "                    else ~/.local/state/orchctl",
        "  --version         print the version",
        "",
        "Exit codes: 0 succeeded; 1 the run failed; 2 usage or invalid definition;",
        "3 no engine, or refused by it; 4 the run was cancelled; 130 left with Ctrl+C.",
        "",
        "Examples:",
        "  orchctl demo",
        "  orchctl run orders.yaml --param day=2026-11-23",
        "  orchctl logs latest clean[3] -f",
    ]
    return "\n".join(lines)
