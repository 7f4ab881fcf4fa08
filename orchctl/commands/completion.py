"""completion: the Tab key. The script of a shell is a few lines that ask orchctl itself, so it never goes stale.

`orchctl completion --last=:WORD words -- WORD...` prints what may stand in the place of the last word. Runs, tasks and
workflows are asked of the engine; without one there are simply none. A shell may expand what it gets, so only plain
names are printed. The colon keeps argparse from taking `--` for the end of the options.
"""

import argparse
from collections.abc import Sequence

from engine.model.errors import EngineError
from engine.model.ids import is_name
from engine.protocol.messages import ListBackfills, ListGroups, ListRuns, ListWorkflows
from engine.protocol.rows import BackfillRow, GroupRow, RunRow, WorkflowRow
from orchctl.client.session import Session, typed
from orchctl.commands.kit import SUCCEEDED, Command, OneOf, Parser, Place, UsageError, Value, Words, run_number
from orchctl.commands.table import VERBS, within
from orchctl.paths import Home, find_home

_BASH = """\
_orchctl() {
    mapfile -t COMPREPLY < <(orchctl completion --last=":${COMP_WORDS[COMP_CWORD]}" words \\
        -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
}
complete -o default -F _orchctl orchctl"""

_ZSH = """\
#compdef orchctl
_orchctl() {
    local -a found
    found=("${(@f)$(orchctl completion --last=":${words[CURRENT]}" words \\
        -- "${(@)words[2,CURRENT-1]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then compadd -a found; else _files; fi
}
compdef _orchctl orchctl"""

_FISH = """\
function __orchctl_words
    set -l typed (commandline -opc)
    set -l last (commandline -ct)
    orchctl completion "--last=:$last" words -- $typed[2..-1] 2>/dev/null
end
complete -c orchctl -f -a '(__orchctl_words)'
complete -c orchctl -n '__fish_seen_subcommand_from run submit validate add restore backup wfcommons' -F"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_LISTED = 30


class _Shell(OneOf):
    """A shell; what the scripts themselves ask for is not told to people."""

    def __call__(self, text: str) -> str:
        return text if text == "words" else super().__call__(text)


def _arguments(parser: Parser) -> None:
    parser.add_argument("shell", metavar="SHELL", type=_Shell(tuple(_SCRIPTS)), help="bash, zsh or fish")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--last", default="", help=argparse.SUPPRESS)


def completion(words: Words, place: Place) -> int:
    if words.shell == "words":
        place.out.lines(candidates(words.words, words.last[1:], place))
    elif place.out.json:
        place.out.row({"shell": words.shell, "script": _SCRIPTS[words.shell]})
    else:
        place.out.line(_SCRIPTS[words.shell])
    return SUCCEEDED


def candidates(before: Sequence[str], last: str, place: Place) -> list[str]:
    """What may stand in the place of the last word, given the words before it (without `orchctl`)."""
    from orchctl.commands.dispatch import global_options, load

    try:
        home, words = global_options(before)
    except UsageError:  # after --home
        return []
    if not words:
        names = dict.fromkeys(name.split()[0] for name in VERBS)
        return _begin([*names, "--help", "--version", "--home"], last)
    if len(words) == 1 and words[0] not in VERBS and within(words[0]):
        return _begin([entry.name.split()[1] for entry in within(words[0])], last)
    name = words[0] if words[0] in VERBS else " ".join(words[:2])
    if name not in VERBS:
        return []
    _, parser = load(VERBS[name])
    given, value = _read(parser, words[len(name.split()) :])
    if value is None and last.startswith("-"):
        return _begin(parser.options(), last)
    wanted = parser.positionals()
    if value is None and wanted:
        value = wanted[min(len(given), len(wanted) - 1)]
    if value is None:
        return []
    return _begin(value.choices or _of_engine(value.metavar, given, find_home(home) if home else place.home), last)


def _read(parser: Parser, words: Sequence[str]) -> tuple[list[str], Value | None]:
    """The words that are neither options nor their values; and what must come next, after an option that takes one."""
    given: list[str] = []
    value: Value | None = None
    for word in words:
        if value is not None:
            value = None
        elif word.startswith("-"):
            value = parser.value_after(word)
        else:
            given.append(word)
    return given, value


def _begin(words: Sequence[str], last: str) -> list[str]:
    return [word for word in words if word.startswith(last) and word != "--last"]


def _of_engine(metavar: str, given: list[str], home: Home) -> list[str]:
    """The names that an argument shown as `metavar` may have; none where no engine answers."""
    try:
        with Session(home, read_only=True) as session:
            session.connection()
            found: list[str] = []
            if "RUN" in metavar.split("|"):
                runs = typed(session.rows(ListRuns(limit=_LISTED)).rows, RunRow)
                found += ["latest", *(run.run for run in runs)]
            if "BACKFILL" in metavar.split("|"):
                backfills = typed(session.rows(ListBackfills()).rows, BackfillRow)
                found += [row.backfill for row in backfills if row.status in ("running", "paused")]
            if "WORKFLOW" in metavar.split("|"):
                rows = typed(session.rows(ListWorkflows()).rows, WorkflowRow)
                found += [row.workflow for row in rows]
            if metavar == "TASK" and given:
                groups = session.rows(ListGroups(run=run_number(session, given[0]), limit=200)).rows
                found += [group.task for group in typed(groups, GroupRow)]
            return [name for name in found if is_name(name)]
    except EngineError:
        return []


COMMANDS = {
    "completion": Command(
        completion,
        _arguments,
        (
            'eval "$(orchctl completion bash)"  # in ~/.bashrc',
            "orchctl completion zsh > ~/.zfunc/_orchctl",
            "orchctl completion fish > ~/.config/fish/completions/orchctl.fish",
        ),
    )
}
