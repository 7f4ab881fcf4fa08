"""The Textual program: it owns the feed and the screens, and keeps the manners of a terminal program. It leaves on
SIGHUP, SIGTERM and when the terminal is gone, with the terminal as it was; it skips frames that a stalled terminal
does not take, so that its loop goes on; and it never stops the engine.
"""

import asyncio
import base64
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from rich.console import RenderableType
from textual import events
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.filter import LineFilter
from textual.screen import Screen

from orchctl.console.actions import Intent
from orchctl.console.difference import Difference, Shown
from orchctl.console.feed import Feed
from orchctl.console.hostlines import Use
from orchctl.console.memory import Memory
from orchctl.console.notices import Notices
from orchctl.console.screens.base import BaseScreen
from orchctl.console.screens.overview import OverviewScreen
from orchctl.console.screens.registry import SCREENS
from orchctl.console.settings import Settings
from orchctl.console.terminal import backlog, hung_up, listens
from orchctl.console.theme import Signs
from orchctl.console.widgets.guard import Guard
from orchctl.console.widgets.prompt import Prompt
from orchctl.paths import Home
from orchctl.text import count_text, size_text

COPY_MAX = 100_000
_THEMES = {"": "textual-dark", "dark": "textual-dark", "light": "textual-light", "ansi": "ansi-dark"}
BACKLOG_MAX = 1
BACKLOG_FULL = 20
"""Textual's queue holds 30 writes, and then waits for the terminal."""
_STALLED_S = 0.15
_CATCH_UP_S = 0.1
_WATCH_S = 1.0
_END_S, _LEAVE_S = 3.0, 8.0


class Console(App[int]):
    """The console of one home. `run` opens that run at once (0: the overview)."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    TITLE = "orchctl"
    CSS = """
    Screen { background: $background; color: $foreground; }
    #head { background: $surface; }
    #keys { background: $surface; }
    #body { height: 1fr; }
    #panes { width: 1fr; height: 1fr; }
    """
    BINDINGS: ClassVar = [("ctrl+c", "leave", "leave")]

    def __init__(
        self,
        home: Home,
        *,
        run: int = 0,
        read_only: bool = False,
        ascii_only: bool = False,
        settings: Settings | None = None,
        memory: Memory | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.home = home
        self.now_s = now_s
        self.settings = settings or Settings()
        self.memory = memory or Memory()
        self.actions = self.settings.actions()
        self.signs = Signs(ascii_only)
        self.feed = Feed(home, read_only=read_only or self.settings.read_only, on_link=self._link_changed)
        self.use = Use()
        self.undo: Intent | None = None
        """What takes the last act back, where something does."""
        self.notices = Notices(self.feed, self.say, self._said_at)
        self._first_run = run
        self._feeding: asyncio.Task[None] | None = None
        self._behind = False
        self._kept_up_s = time.monotonic()
        self._shown = Shown()
        self._early: list[events.Key] = []
        self.leaving = False
        """Whether the operator has left: what is typed after that is for the shell."""
        self._guard = Guard(ascii_only=ascii_only)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters, and the guard after all of them."""
        return [*super().get_line_filters(), self._guard]

    # --- life -----------------------------------------------------------------------------------------------------

    def mind_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Before the program runs on this loop: one that is told to end while it begins leaves the terminal as it was,
        too."""
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, lambda number, _frame: self._told_to_end(loop, 128 + number))

    def on_mount(self) -> None:
        self.use_theme(self.memory.theme or self.settings.theme)
        self._feeding = asyncio.create_task(self.feed.run())
        self._feeding.add_done_callback(self._feed_ended)
        self.push_screen(OverviewScreen())
        self.notices.start()
        cast("Any", self).app_resume_signal.subscribe(self, self._resumed)
        if self._first_run:
            self.open_run(self._first_run)
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            signal.signal(signal.SIGCONT, lambda _number, _frame: self._told_to_go_on(loop))
            self.set_interval(_WATCH_S, self._watch_terminal)

    async def on_unmount(self) -> None:
        self.notices.stop()
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)

    def _feed_ended(self, feeding: asyncio.Task[None]) -> None:
        """A fault of ours in the feed, or in what draws its news, must not look like an engine that is away."""
        error = None if feeding.cancelled() else feeding.exception()
        if error is not None:
            self.call_later(_raise, error)

    def _watch_terminal(self) -> None:
        """Leave when nobody is at the other end: a signal may never come, as under nohup."""
        if sys.__stdin__ is None or hung_up(sys.__stdin__.fileno()):
            self.exit(128 + signal.SIGHUP)

    def _told_to_end(self, loop: asyncio.AbstractEventLoop, code: int) -> None:
        """Leave the terminal as it was; one that takes nothing any more is not waited for. A handler of the process and
        not of the loop, for the loop may be waiting for that very terminal."""
        _end_at_last(_END_S, code)
        loop.call_soon_threadsafe(self.exit, code)

    def _told_to_go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """After a stop. One that came from outside (SIGSTOP) left the driver at work: beginning again on top of that
        would give the terminal a second reader, for which nobody waits at the end, and take its raw state for the one
        to restore. So the driver then stops first; not here, as the loop may be in the midst of a write."""
        if self._driver is not None and not listens(self._driver):
            self._driver.resume_application_mode()
        else:
            loop.call_soon_threadsafe(self._begin_anew)

    def _begin_anew(self) -> None:
        if self._driver is not None and listens(self._driver):
            self._driver.suspend_application_mode()
            self._driver.resume_application_mode()
            self.redraw()

    def action_leave(self) -> None:
        """Leave; a terminal that takes nothing any more is waited for, but not for ever."""
        if not self.is_headless:
            _end_at_last(_LEAVE_S, 0)
        self.leaving = True
        self.exit(0)

    # --- the link -------------------------------------------------------------------------------------------------

    def _link_changed(self) -> None:
        for screen in self.screen_stack if self.is_running else []:
            if isinstance(screen, BaseScreen) and screen.is_mounted:
                screen.tick()

    def say(self, text: str, style: str = "plain") -> None:
        """Tell the operator, whichever screen is in sight; behind a question too."""
        screen = self._in_sight()
        if screen is not None:
            screen.say(text, style)

    def _said_at(self) -> float:
        screen = self._in_sight()
        return 0.0 if screen is None else screen.said_at

    def _in_sight(self) -> BaseScreen | None:
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, BaseScreen)), None)

    def open_run(self, run: int) -> None:
        """Show one run."""
        from orchctl.console.screens.run import RunScreen  # the first paint need not wait for it

        self.push_screen(RunScreen(run))

    def open_task(self, run: int, row: str, *, from_past: bool = False) -> None:
        """Show one row of a run, by its name. One that was left for what is in sight is gone back to, so that walking
        to and fro between neighbours piles nothing up."""
        from orchctl.console.screens.task import TaskScreen

        below = self.screen_stack[-2] if len(self.screen_stack) > 1 else None
        if isinstance(below, TaskScreen) and below.is_of(run, row):
            self.pop_screen()
            return
        task, _, index = row.partition("[")
        self.push_screen(TaskScreen(run, task, int(index.rstrip("]")) if index else None, from_past=from_past))

    def open_rows(self, run: int, task: str) -> None:
        """Show all rows of a task, in the screen of its run: in the one that is open, if one is."""
        from orchctl.console.screens.run import RunScreen

        opened = [screen for screen in self.screen_stack if isinstance(screen, RunScreen) and screen.run_number == run]
        if not opened:
            self.push_screen(RunScreen(run, rows_of=task))
            return
        while self.screen is not opened[-1]:
            self.pop_screen()
        opened[-1].list_rows(task)

    def go(self, name: str) -> None:
        """Show a screen by its name: over the overview, in the place of what was over it."""
        while len(self.screen_stack) > 2:
            self.pop_screen()
        if name in SCREENS:
            self.push_screen(SCREENS[name]())

    # --- keys that come early -------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Hold what is typed while a prompt is on its way. What comes here once it is there was typed before."""
        if getattr(self.screen, "awaits_prompt", False):
            event.prevent_default()
            self._early.append(event)
        elif isinstance(self.focused, Prompt) and event.is_printable and event.character:
            self.focused.insert_text_at_cursor(event.character)

    def early_keys(self) -> list[events.Key]:
        """What was typed for the prompt that has the keys now."""
        cast("Any", self.screen).awaits_prompt = False
        early, self._early = self._early, []
        return early

    # --- looks ----------------------------------------------------------------------------------------------------

    def use_theme(self, name: str) -> bool:
        """Wear a theme of textual, or `ansi`: the terminal's own colours. False where there is none of that name."""
        wanted = _THEMES.get(name, name)
        if wanted not in self.available_themes:
            return False
        self.theme = wanted
        return True

    def copy(self, text: str) -> str:
        """Put text into the terminal's clipboard (OSC 52); what to tell the operator. Within tmux it is sent through to
        the terminal outside as well, because tmux may keep it for itself."""
        if len(text) > COPY_MAX:
            return f"{size_text(len(text))} are too much for a clipboard: Y saves to a file"
        self.copy_to_clipboard(text)
        if os.environ.get("TMUX") and self._driver is not None:
            encoded = base64.b64encode(text.encode()).decode("ascii")
            self._driver.write(f"\x1bPtmux;\x1b\x1b]52;c;{encoded}\x07\x1b\\")
        return f"{count_text(len(text.splitlines()), 'line')} sent to the terminal's clipboard"

    # --- a slow terminal ------------------------------------------------------------------------------------------

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Send what is different, unless the terminal has not taken the frames before: then once it has."""
        if not self.is_headless and self._stalled():
            if not self._behind:
                self._behind = True
                self.set_timer(_CATCH_UP_S, self._catch_up)
            return
        if isinstance(renderable, CompositorUpdate):
            renderable = cast("RenderableType", Difference(renderable, self._shown))
        super()._display(screen, renderable)  # pyright: ignore[reportUnknownMemberType]

    def _stalled(self) -> bool:
        """Whether writes wait for the terminal, and not only for the moment."""
        now_s = time.monotonic()
        waiting = backlog(self._driver)
        if waiting <= BACKLOG_MAX:
            self._kept_up_s = now_s
        return waiting >= BACKLOG_FULL or now_s - self._kept_up_s > _STALLED_S

    def _catch_up(self) -> None:
        if backlog(self._driver) > BACKLOG_MAX:
            self.set_timer(_CATCH_UP_S, self._catch_up)
            return
        self._behind = False
        self.screen.refresh()

    def on_resize(self) -> None:
        self._shown.forget()

    def _resumed(self, app: object) -> None:
        """The shell has written on the terminal meanwhile."""
        self._shown.forget()

    def redraw(self) -> None:
        """Send the whole screen: something else may have written on it."""
        self._shown.forget()
        self.screen.refresh()


def _end_at_last(after_s: float, code: int) -> None:
    """End the process, should it still be there then: the way out writes to the terminal, and may wait for it."""
    late = threading.Timer(after_s, os._exit, (code,))
    late.daemon = True
    late.start()


def _raise(error: BaseException) -> None:
    raise error
