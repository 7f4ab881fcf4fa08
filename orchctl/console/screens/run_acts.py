"""From a key to a question: what an act in a run is about. That is what is marked, one by one or all that the filter
lets through, else what the cursor is on. Everything marked at once is asked for when the act comes, so that the request
names each row with the state in which the operator could see it, and the engine refuses those that have moved on.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from engine.model.errors import EngineError
from engine.protocol.messages import ListGroups, ListTasks, Rows
from engine.protocol.rows import GroupRow, RunRow, TaskRow
from orchctl.console import actions
from orchctl.console.drawing import run_number
from orchctl.console.feed import Feed
from orchctl.console.filtering import RunFilter
from orchctl.console.screens.sources import TaskRows
from orchctl.console.selection import Marked

if TYPE_CHECKING:
    from orchctl.console.screens.run import RunScreen

_PAGE = 5_000
_BELOW_MAX = 20
_BELOW_VERBS = ("rerun", "retry", "mark succeeded", "mark failed")


async def act(screen: "RunScreen", verb: actions.Verb) -> None:
    """Find out what is meant, and ask. Says why where nothing can be done."""
    run = screen.run_row()
    subject = screen.subject()
    chosen = screen.selection
    if run is None or (subject is None and not chosen):
        return
    of_run = verb == "pause" or (not chosen and isinstance(subject, RunRow))
    try:
        if verb == "pause rows":
            why, intent = await _standing_still(screen, run, [] if of_run else await _targets(screen, verb, subject))
        elif of_run:
            why, intent = actions.why_not_run(verb, run), actions.on_run(verb, run)
        else:
            targets = await _targets(screen, verb, subject)
            why = actions.why_not_rows(verb, targets)
            below = await tasks_below(screen.feed, run_number(run.run), verb, targets) if not why else 0
            intent = actions.on_rows(verb, screen.run_number, targets, below)
    except (EngineError, msgspec.ValidationError) as error:
        screen.say(f"what would be touched could not be asked: {error}", "red")
        return
    if why:
        screen.say(why, "yellow")
    else:
        screen.confirm(intent, screen.action_unmark)


async def _standing_still(
    screen: "RunScreen", run: RunRow, targets: Sequence[Marked]
) -> tuple[str, actions.Intent]:  # fmt: skip
    """What runs of these (of none: of the whole run) is to stand still, or to go on where all of it does already."""
    rows = await running_rows(screen.feed, screen.run_number, targets)
    verb: actions.Verb = "resume rows" if rows and all(row.suspended for row in rows) else "pause rows"
    if not targets:
        return ("" if rows else f"nothing of {run.run} runs"), actions.on_running(verb, run)
    chosen = [row for row in rows if row.suspended == (verb == "resume rows")]
    return actions.why_not_rows(verb, chosen), actions.on_rows(verb, screen.run_number, chosen)


async def running_rows(feed: Feed, run: int, targets: Sequence[Marked]) -> list[TaskRow]:
    """Those of the rows, and of the tasks' rows, that run now; of none, those of the run."""
    asked = [(target.task, target.index if isinstance(target, TaskRow) else None) for target in targets]
    found: list[TaskRow] = []
    for task, index in asked or [("", None)]:
        request = ListTasks(run=run, task=task, index=index, statuses=("running",), limit=_PAGE)
        found += msgspec.convert((await feed.ask(request, Rows)).rows, list[TaskRow])
    return found


async def _targets(screen: "RunScreen", verb: actions.Verb, subject: RunRow | Marked | None) -> list[Marked]:
    chosen = screen.selection
    if chosen.all:
        return actions.acted_on(verb, await _everything(screen, chosen.all == "rows", screen.filter))
    marked: list[Marked] = chosen.rows
    if not chosen:
        assert subject is not None
        assert not isinstance(subject, RunRow)
        marked = [subject]
    found: list[Marked] = []
    for target in marked:
        if isinstance(target, GroupRow) and target.fold:  # the engine knows each of them by its own name
            found += actions.acted_on(verb, await _everything(screen, True, RunFilter(text=target.fold)))  # noqa: FBT003
        else:
            found.append(target)
    return found


async def _everything(screen: "RunScreen", rows: bool, chosen: RunFilter) -> list[Marked]:
    """All tasks or rows that the filter lets through; one more than can be acted on where there are more."""
    found: list[Marked] = []
    while len(found) <= actions.TARGETS_MAX:
        if rows:
            request = ListTasks(
                run=screen.run_number, task=screen.task_listed(), text=chosen.text, statuses=chosen.statuses,
                offset=len(found), limit=_PAGE,
            )  # fmt: skip
            answer = await screen.feed.ask(request, Rows)
            page: list[Marked] = [*msgspec.convert(answer.rows, list[TaskRow])]
        else:
            groups = ListGroups(
                run=screen.run_number, text=chosen.text, statuses=chosen.statuses, offset=len(found), limit=_PAGE
            )
            answer = await screen.feed.ask(groups, Rows)
            page = [*msgspec.convert(answer.rows, list[GroupRow])]
        found += page
        if not page or len(found) >= answer.total:
            break
    return found


async def tasks_below(feed: Feed, run: int, verb: actions.Verb, targets: Sequence[Marked]) -> int:
    """How many tasks downstream an act touches too: of one task exactly, of several at least the most."""
    names = list(dict.fromkeys(target.task for target in targets))
    if verb not in _BELOW_VERBS or len(names) > _BELOW_MAX:
        return 0
    most = 0
    for name in names:
        answer = await feed.ask(ListGroups(run=run, text=f"{name}+", limit=1), Rows)
        most = max(most, answer.total - 1)
    return most


async def rows_of(feed: Feed, source: TaskRows, first: int, last: int) -> list[TaskRow]:
    """The rows of a list from one place to another, whether they are here or not."""
    found: list[TaskRow] = []
    while first + len(found) <= last:
        limit = min(_PAGE, last + 1 - first - len(found))
        page = (await feed.ask(source.view(first + len(found), limit), Rows)).rows
        found += msgspec.convert(page, list[TaskRow])
        if not page:
            break
    return found


async def failed_row(feed: Feed, run: int) -> TaskRow | None:
    """The first row of a run that failed."""
    answer = await feed.ask(ListTasks(run=run, statuses=("failed",), limit=1), Rows)
    return msgspec.convert(answer.rows[0], TaskRow) if answer.rows else None
