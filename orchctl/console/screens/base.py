"""What all screens share: keys from the keymap, a line of news, a line of keys at the foot, the tick that keeps times
and staleness current, and the way an act goes from a key over its confirmation to the engine and back.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap
from textual.screen import Screen
from textual.widgets import Input

from engine.model.errors import EngineError
from engine.protocol.messages import ListWorkflows, Rows
from engine.protocol.rows import RunRow, WorkflowRow
from orchctl.console.actions import Intent, Verb, on_run, told, undo_of, undoable, why_not_run
from orchctl.console.drawing import Line, clock, duration, fitted, width_of
from orchctl.console.feed import Feed
from orchctl.console.keymap import Action, Place, action_named, actions_of, key_text
from orchctl.console.memory import Memory
from orchctl.console.runlines import folded
from orchctl.console.screens.confirm import ConfirmScreen
from orchctl.console.theme import Signs
from orchctl.console.widgets.lines import Bar, LineView
from orchctl.console.widgets.prompt import Prompt
from orchctl.text import inert

if TYPE_CHECKING:
    from orchctl.console.program import Console
    from orchctl.console.screens.form import FormScreen

NOTICE_S = 12.0
NOTICE_LINES = 3


def bindings_for(place: Place, actions: Sequence[Action]) -> BindingsMap:
    """Textual's bindings of a place, from the keymap. Whether one holds now is asked through `check_action`."""
    return BindingsMap(
        Binding(",".join(action.keys), action.name, action.help, show=False, id=f"{place}.{action.id}")
        for action in actions
        if place in action.places
    )


class Mover(Protocol):
    """A list or text that the movement keys move."""

    def move(self, rows: int) -> None: ...

    def move_pages(self, pages: int) -> None: ...

    def top(self) -> None: ...

    def bottom(self) -> None: ...


class BaseScreen(Screen[None]):
    """A screen of the console; `place` is its name in the keymap."""

    place: ClassVar[Place] = "overview"

    def __init__(self) -> None:
        super().__init__()
        own = bindings_for(self.place, self.console_app.actions)
        self._bindings = BindingsMap.merge((own, self._bindings))  # ours outrank textual's
        self._notice = ""
        self._notice_style = "plain"
        self._notice_until = 0.0
        self.said_at = 0.0
        """By the monotonic clock: when the newest sentence came."""
        self._notice_height = 1
        self._bars: dict[str, Bar] = {}
        self._before_prompt = ""
        self.awaits_prompt = False
        """Whether what is typed now is for a prompt that is on its way."""

    def bar(self, name: str, draw: Callable[[int], list[Line]], height: int = 1) -> Bar:
        """A bar that `update` finds by its name."""
        made = self._bars[name] = Bar(draw, height, widget_id=name, classes=name)
        return made

    def update_bar(self, name: str) -> None:
        """The lines of a bar may be others now. News may come before a screen is built and after it is gone."""
        if name in self._bars:
            self._bars[name].update_lines()

    @property
    def console_app(self) -> "Console":
        return cast("Console", self.app)

    @property
    def feed(self) -> Feed:
        return self.console_app.feed

    @property
    def signs(self) -> Signs:
        return self.console_app.signs

    @property
    def memory(self) -> Memory:
        return self.console_app.memory

    def now_s(self) -> float:
        """The wall clock of the picture, seconds since the epoch: it stands still while the engine is away."""
        return self.console_app.now_s() - self.feed.stale_s()

    # --- the foot -------------------------------------------------------------------------------------------------

    def foot(self) -> ComposeResult:
        """The two lowest lines: news (or a prompt in its place), and keys."""
        yield self.bar("notice", self._draw_notice)
        yield self.bar("keys", self._draw_keys)

    def pane(self) -> str:
        """The pane that has the keys, where a screen has several."""
        return ""

    def _draw_keys(self, width: int) -> list[Line]:
        line: Line = [(" ", "plain")]
        refused = bool(self.why_not_act())
        last = [action for action in self.offered() if action.id in ("help", "leave")]
        room = width + 2 - sum(len(key_text(action.keys[0])) + len(action.brief) + 3 for action in last)
        for action in self.offered():
            if not action.brief or action in last or (action.acts and refused) or self.pointless(action):
                continue
            part: Line = [(key_text(action.keys[0]), "key"), (f" {action.brief}  ", "plain")]
            if width_of([*line, *part]) <= room:
                line += part
        for action in last:
            line += [(key_text(action.keys[0]), "key"), (f" {action.brief}  ", "plain")]
        text, style = line[-1]
        return [fitted([*line[:-1], (text.rstrip(), style)], width)]

    def pointless(self, action: Action) -> bool:
        """Whether the action would only say why it makes no sense here: the foot does not name it then."""
        return False

    def offered(self) -> list[Action]:
        actions = self.console_app.actions
        return actions_of(self.place, may_act=not self.feed.viewer, pane=self.pane(), actions=actions)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the keymap gives to this screen, its pane and this operator."""
        if self.console_app.leaving:
            return False
        name = f"{action}({', '.join(map(repr, parameters))})" if parameters else action
        return action_named(name) is None or any(known.name == name for known in self.offered())

    # --- news -----------------------------------------------------------------------------------------------------

    def say(self, text: str, style: str = "plain") -> None:
        """Show a sentence for a while."""
        self._notice = inert(text)
        self._notice_style = style
        self._notice_until = self.console_app.now_s() + NOTICE_S
        self.said_at = time.monotonic()
        self._fit_notice()
        self.update_bar("notice")

    def _notice_lines(self, width: int) -> list[str]:
        """The sentence while it is news, over as many lines as it needs."""
        fresh = self._notice and self.console_app.now_s() < self._notice_until
        return folded(self._notice, max(10, width - 2))[:NOTICE_LINES] if fresh else []

    def _fit_notice(self) -> None:
        """As many lines as the news need, one where there are none."""
        height = max(1, len(self._notice_lines(self.console_app.size.width)))
        if "notice" in self._bars and height != self._notice_height:
            self._bars["notice"].styles.height = self._notice_height = height

    def _draw_notice(self, width: int) -> list[Line]:
        told = self._notice_lines(width)
        if told:
            return [fitted([(f" {piece}", self._notice_style)], width) for piece in told]
        feed = self.feed
        if feed.live:
            return [[]]
        if feed.trouble:
            return [fitted([(f" {inert(feed.trouble)}; trying again", "yellow")], width)]
        return [fitted([(" connecting to the engine", "dim")], width)]

    def link_spans(self) -> Line:
        """`● live`, or since when the picture is stale."""
        feed = self.feed
        if feed.live:
            return [(f"{self.signs.dot} live", "green")]
        if feed.link == "stale":
            return [(f"{self.signs.hollow} stale {duration(float(int(feed.stale_s())))}", "yellow")]
        return [(f"{self.signs.hollow} {feed.link}", "yellow")]

    def clock_spans(self) -> Line:
        return [*self.link_spans(), (f"  {clock(self.console_app.now_s())} ", "dim")]

    # --- life -----------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.set_interval(1.0, self.tick)

    def tick(self) -> None:
        """A second has passed, or the link has changed: draw what is different."""
        greyed = not self.feed.live
        self._fit_notice()
        for bar in self._bars.values():
            bar.update_lines()
        for view in self.query(LineView):
            view.grey(greyed)
            view.touch()

    def action_leave(self) -> None:
        self.console_app.action_leave()

    def action_redraw(self) -> None:
        self.console_app.redraw()

    def action_suspend(self) -> None:
        self.console_app.action_suspend_process()

    def action_help(self) -> None:
        from orchctl.console.screens.help import HelpScreen

        self.console_app.push_screen(HelpScreen(self.place))

    def action_back(self) -> None:
        self.console_app.pop_screen()

    def action_open(self) -> None:
        """Open what the cursor is on; nothing here."""

    def action_aside(self, columns: int) -> None:
        """The arrows to the sides: into what the cursor is on, or back."""
        if columns > 0:
            self.action_open()
        else:
            self.action_back()

    def action_go(self, name: str) -> None:
        self.console_app.go(name)

    def action_palette(self) -> None:
        from orchctl.console.screens.palette import PaletteScreen

        self.console_app.push_screen(PaletteScreen(self), self._palette_answered)

    def _palette_answered(self, chosen: Callable[[], object] | None) -> None:
        if chosen is not None:
            chosen()

    # --- moving ---------------------------------------------------------------------------------------------------

    def mover(self) -> Mover:
        """What the movement keys move."""
        raise NotImplementedError

    def action_down(self) -> None:
        self.mover().move(1)

    def action_up(self) -> None:
        self.mover().move(-1)

    def action_page_down(self) -> None:
        self.mover().move_pages(1)

    def action_page_up(self) -> None:
        self.mover().move_pages(-1)

    def action_top(self) -> None:
        self.mover().top()

    def action_bottom(self) -> None:
        self.mover().bottom()

    # --- prompt ---------------------------------------------------------------------------------------------------

    def ask(self, label: str, value: str, history: Sequence[str] = ()) -> None:
        """Open the prompt in the place of the news. `answered` gets what was typed; up and down recall the history."""
        if self.query(Prompt):
            return
        prompt = Prompt(value=value, placeholder=label, id="prompt", select_on_focus=False, history=history)
        self._bars["notice"].display = False
        self.awaits_prompt = True
        self._before_prompt = value
        self.mount(prompt, before="#keys")
        prompt.focus()

    def answered(self, text: str) -> None:
        """What was typed at the prompt; also while typing."""

    def close_prompt(self) -> None:
        self.awaits_prompt = False
        for prompt in self.query(Prompt):
            prompt.remove()
        self._bars["notice"].display = True
        self.set_focus(None)

    def gave_up(self, before: str) -> None:
        """The operator typed nothing after all: what the prompt began with holds."""

    def on_prompt_given_up(self, event: Prompt.GivenUp) -> None:
        event.stop()
        self.close_prompt()
        self.gave_up(self._before_prompt)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.close_prompt()
        self.answered(inert(event.value))

    # --- acting ---------------------------------------------------------------------------------------------------

    def why_not_act(self) -> str:
        """Why nothing can be done now; empty if it can."""
        return "" if self.feed.may_act else "the engine is away: nothing can be done now"

    def refused(self) -> bool:
        """Whether nothing can be done now; then the operator has been told why."""
        why = self.why_not_act()
        if why:
            self.say(why, "yellow")
        return bool(why)

    def confirm(self, intent: Intent, on_done: Callable[[], None] | None = None) -> None:
        """Ask, then have it done and say what became of it. What can be undone is done at once."""
        if self.refused():
            return
        if undoable(intent):
            self.run_worker(self._perform(intent, on_done), exit_on_error=True)
            return

        def decided(yes: bool | None) -> None:
            if yes:
                self.run_worker(self._perform(intent, on_done), exit_on_error=True)
            else:
                self.say("nothing was done")

        self.console_app.push_screen(ConfirmScreen(intent, self.signs), decided)

    def act_on_run(self, verb: Verb, row: RunRow) -> None:
        """An act on a whole run, or why it makes no sense."""
        why = why_not_run(verb, row)
        if why:
            self.say(why, "yellow")
        else:
            self.confirm(on_run(verb, row))

    def explain_run(self, run: int, task: str = "", index: int | None = None) -> None:
        """Show why rows of a run wait."""
        from orchctl.console.screens.explain import ExplainScreen

        self.console_app.push_screen(ExplainScreen(run, task, index))

    def key_of(self, action: str) -> str:
        """The key that an action has with this operator."""
        return next((key_text(known.keys[0]) for known in self.console_app.actions if known.id == action), "")

    def action_undo(self) -> None:
        """Take the last act back, where it can be."""
        if self.refused():
            return
        intent, self.console_app.undo = self.console_app.undo, None
        if intent is None:
            self.say("nothing can be undone: only a pause, a resume and a setting can", "yellow")
        else:
            self.confirm(intent)

    def workflow_here(self) -> str:
        """The workflow of the row under the cursor; empty where there is none."""
        return ""

    def action_trigger(self) -> None:
        workflow = self.workflow_here()
        if workflow:
            self.trigger(workflow)

    def action_backfill(self) -> None:
        workflow = self.workflow_here()
        if workflow:
            self.backfill(workflow)

    def trigger(self, workflow: str) -> None:
        """Ask for the parameters of a run of a workflow that was added, then make it."""
        from orchctl.console.screens.trigger import TriggerScreen

        self.fill(partial(self._form_of, workflow, lambda row: TriggerScreen(row, self.signs)))

    def backfill(self, workflow: str) -> None:
        """Ask for a stretch of the past, show what it would make, then make it."""
        from orchctl.console.screens.backfill import BackfillScreen

        self.fill(partial(self._form_of, workflow, lambda row: BackfillScreen(row, self.feed, self.signs)))

    async def _form_of(
        self, workflow: str, form: "Callable[[WorkflowRow], FormScreen[Intent]]"
    ) -> "FormScreen[Intent] | None":
        rows = msgspec.convert((await self.feed.ask(ListWorkflows(), Rows)).rows, list[WorkflowRow])
        row = next((row for row in rows if row.workflow == workflow), None)
        if row is None:
            self.say(f"{workflow} was not added, so it cannot be triggered: `orchctl add FILE` keeps it", "yellow")
        return None if row is None else form(row)

    def fill(self, make: "Callable[[], Awaitable[FormScreen[Intent] | None]]") -> None:
        """Open a form; what is typed until it is there is for it. `make` has said why where it gives none."""
        if self.refused():
            return
        self.awaits_prompt = True
        self.run_worker(self._open_form(make), exit_on_error=True)

    async def _open_form(self, make: "Callable[[], Awaitable[FormScreen[Intent] | None]]") -> None:
        form: FormScreen[Intent] | None = None
        try:
            form = await make()
        except (EngineError, msgspec.ValidationError) as error:
            self.say(str(error), "red")
        self.awaits_prompt = False
        if form is not None:
            self.console_app.push_screen(form, self.filled)
        else:
            self.console_app.early_keys()  # they were for the form

    def filled(self, intent: Intent | None) -> None:
        """A form was closed."""
        if intent is None:
            self.say("nothing was done")
        else:
            self.confirm(intent)

    def made_run(self, run: str) -> None:
        """A run was made; a screen that lists it puts the cursor there."""

    async def _perform(self, intent: Intent, on_done: Callable[[], None] | None) -> None:
        self.say(f"{intent.verb} {self.signs.more}")
        try:
            done = await self.feed.act(intent.request)
        except EngineError as error:
            self.say(f"not done: {error.sentence}{f' ({error.hint})' if error.hint else ''}", "red")
            return
        text = told(intent, done)
        self.console_app.undo = None if "refused:" in text else undo_of(intent, done)
        hint = f"; {self.key_of('undo')} undoes it" if self.console_app.undo is not None else ""
        if intent.verb == "backfill":
            hint = f"; {self.key_of('backfills')} shows how far it is"
        self.say(text + hint, "red" if "refused:" in text else "green")
        if intent.verb == "trigger":
            self.made_run(str(done.body.get("run", "")))
        if on_done is not None:
            on_done()
