"""The definition of a workflow as it was written, with colours for what its words are."""

from typing import ClassVar

from textual.app import ComposeResult

from engine.model.errors import EngineError
from engine.protocol.messages import Definition, GetWorkflow
from orchctl.console.drawing import Line, ends, folded_line
from orchctl.console.keymap import Place
from orchctl.console.screens.base import BaseScreen, Mover
from orchctl.console.widgets.lines import TextView

_STYLES = (
    ("Comment", "dim"), ("Name.Tag", "cyan"), ("Keyword", "magenta"), ("Literal.String", "green"),
    ("Literal.Number", "blue"), ("Name.Function", "cyan"), ("Name.Decorator", "yellow"), ("Name.Class", "cyan"),
)  # fmt: skip


def highlighted_code(text: str, file: str) -> list[Line]:
    """The lines of a definition, YAML or Python, with the names of their styles. The text is inert already."""
    from pygments.lexers.data import YamlLexer
    from pygments.lexers.python import PythonLexer

    lexer = PythonLexer() if file.endswith(".py") else YamlLexer()
    lines: list[Line] = [[]]
    for token, piece in lexer.get_tokens(text):
        name = str(token).removeprefix("Token.")
        style = next((style for prefix, style in _STYLES if name.startswith(prefix)), "plain")
        for number, part in enumerate(piece.expandtabs(4).split("\n")):
            if number:
                lines.append([])
            if part:
                lines[-1].append((part, style))
    while lines and not lines[-1]:
        lines.pop()
    return lines


class DefinitionScreen(BaseScreen):
    """A version of a workflow; the current one where none is named."""

    place: ClassVar[Place] = "definition"

    def __init__(self, workflow: str, version: str = "") -> None:
        super().__init__()
        self._request = GetWorkflow(workflow=workflow, version=version)
        self._found: Definition | None = None
        self._lines: list[Line] = []

    def compose(self) -> ComposeResult:
        yield self.bar("head", self._draw_head)
        self._text = TextView(self.signs, widget_id="text")
        yield self._text
        yield from self.foot()

    def on_mount(self) -> None:
        self.run_worker(self._ask(), exit_on_error=True)

    def mover(self) -> Mover:
        return self._text

    def _draw_head(self, width: int) -> list[Line]:
        found = self._found
        left: Line = [(f" {self._request.workflow} ", "strong")]
        if found is not None:
            cut = "  cut off: too long to be shown whole" if found.truncated else ""
            left.append((f" version {found.version}  {found.file}{cut}", "dim"))
        return [ends(left, self.clock_spans(), width)]

    async def _ask(self) -> None:
        try:
            self._found = await self.feed.ask(self._request, Definition)
        except EngineError as error:
            self.say(str(error), "red")
            return
        self._lines = highlighted_code(self._found.text, self._found.file)
        self._fold()
        self.update_bar("head")

    def on_resize(self) -> None:
        self.call_after_refresh(self._fold)

    def _fold(self) -> None:
        """Number the lines, and fold those that are longer than the screen is wide."""
        digits = len(str(len(self._lines)))
        width = max(20, self._text.size.width - digits - 3)
        shown: list[Line] = []
        for number, line in enumerate(self._lines, 1):
            for piece, part in enumerate(folded_line(line, width)):
                label = f"{'' if piece else number:>{digits}} "
                shown.append([(label, "faint"), *part])
        self._text.set_lines(shown)

    def action_copy(self) -> None:
        if self._found is not None:
            self.say(self.console_app.copy(self._found.text))

    def action_save(self) -> None:
        if self._found is not None:
            name = self._found.file.rpartition("/")[2] or f"{self._found.workflow}.yaml"
            self.ask("save the definition as", name)

    def answered(self, text: str) -> None:
        from pathlib import Path

        if self._found is None or not text:
            return
        path = Path(text).expanduser()
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(self._found.text)
        except FileExistsError:
            self.say(f"not saved: it is there already: {path}", "yellow")
        except OSError as error:
            self.say(f"not saved: {error.strerror}: {path}", "red")
        else:
            self.say(f"saved to {path}", "green")
