"""A form for what may be changed while a run goes on: the priority of the run or of a task, and for a task with rows
how many of them run at once and how many may fail. What is left as it is stays; `default` gives the definition its say.
"""

from collections.abc import Callable

import msgspec

from engine.model.workflow import PRIORITY_MAX, ROWS_MAX
from engine.protocol.messages import ListGroups, Rows
from engine.protocol.rows import GroupRow, RunRow
from orchctl.console.actions import Intent, on_settings
from orchctl.console.drawing import FINISHED, run_number
from orchctl.console.feed import Feed
from orchctl.console.screens.base import BaseScreen
from orchctl.console.screens.form import Field, FormScreen, whole
from orchctl.console.screens.trigger import NOTE
from orchctl.console.theme import Signs

DEFAULT = "default"


def setting_fields(run: RunRow, group: GroupRow | None) -> list[Field]:
    """A line a setting, with what holds now."""
    own = run.settings.get("", {}) if group is None else group.settings

    def field(name: str, now: int | None, about: str, fault: Callable[[str], str]) -> Field:
        value = own.get(name, now)
        kind = "set for this run" if name in own else "as defined"
        return Field(name, DEFAULT if value is None else str(value), kind, about, fault=fault)

    priority = whole(-PRIORITY_MAX, PRIORITY_MAX, DEFAULT)
    if group is None:
        return [field("priority", None, "higher goes first", priority)]
    fields = [field("priority", group.priority, "higher goes first", priority)]
    if group.mapped:
        rows = whole(0, ROWS_MAX, DEFAULT)
        fields.append(field("max_parallel", group.max_parallel, "0: no limit", rows))
        fields.append(field("tolerate", None, "rows may fail", rows))
    return fields


class SettingScreen(FormScreen[Intent]):
    """Ends with what is to be changed, or None."""

    def __init__(self, run: RunRow, group: GroupRow | None, signs: Signs) -> None:
        name = run.run if group is None else f"{run.run} {group.task}"
        fields = [*setting_fields(run, group), NOTE]
        super().__init__(f"Set {name}", "from now on, for this run only", fields, signs)
        self._run = run
        self._group = group

    def result(self, values: list[str]) -> Intent | None:
        pairs = zip(self.fields[:-1], values[:-1], strict=True)
        typed = {field.name: value for field, value in pairs if value != field.value}
        changed = {name: None if value == DEFAULT else int(value) for name, value in typed.items()}
        task = "" if self._group is None else self._group.task
        if changed:
            return on_settings(self._run, task, changed, values[-1])
        self.refuse("nothing is changed yet")
        return None


async def setting_form(screen: BaseScreen, run: RunRow, task: str = "") -> SettingScreen | None:
    """The form for a run, or for a task in it; None, and a word why, where nothing can be changed any more. Raises
    EngineError."""
    if run.status in FINISHED:
        screen.say(f"{run.run} has ended: {run.status}", "yellow")
        return None
    group = await _group(screen.feed, run, task) if task else None
    if task and (group is None or group.status in FINISHED):
        screen.say(f"{task} has ended: nothing of it is to come", "yellow")
        return None
    return SettingScreen(run, group, screen.signs)


async def _group(feed: Feed, run: RunRow, task: str) -> GroupRow | None:
    """The task as it is now."""
    itself = ListGroups(run=run_number(run.run), text=f"0+{task}", limit=1)
    rows = msgspec.convert((await feed.ask(itself, Rows)).rows, list[GroupRow])
    return rows[0] if rows else None
