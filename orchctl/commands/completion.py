"""completion: the Tab key. The script of a shell is a few lines that ask orchctl itself, so it never goes
stale.

`orchctl completion words -- WORD...` prints what may stand where the last word is. Runs, tasks and workflows
are asked of the engine, briefly; without one there are simply none.
"""

import argparse
from collections.abc import Sequence

from engine.model.errors import EngineError
from engine.protocol.messages import ListGroups, ListRuns, ListWorkflows
from engine.protocol.rows import GroupRow, RunRow, WorkflowRow
from orchctl.client.session import Session, typed
from orchctl.commands.kit import SUCCEEDED, Command, Parser, Place, Words, one_of, run_number
from orchctl.commands.table import VERBS, within
from orchctl.text import inert

_BASH = """\
_orchctl() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(orchctl completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _orchctl orchctl"""

_ZSH = """\
#compdef orchctl
_orchctl() {
    local -a found
    found=("${(@f)$(orchctl completion words -- "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then compadd -a found; else _files; fi
}
compdef _orchctl orchctl"""

_FISH = """\
function __orchctl_words
    set -l typed (commandline -opc)
    orchctl completion words -- $typed[2..-1] (commandline -ct) 2>/dev/null
end
complete -c orchctl -f -a '(__orchctl_words)'
complete -c orchctl -n '__fish_seen_subcommand_from run submit validate add restore backup wfcommons' -F"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_LISTED = 30


def _arguments(parser: Parser) -> None:
    parser.add_argument("shell", metavar="SHELL", type=one_of("bash", "zsh", "fish", "words"), help="bash, zsh or fish")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def completion(words: Words, place: Place) -> int:
    if words.shell == "words":
        place.out.lines(inert(word) for word in candidates(words.words, place))
    elif place.out.json:
        place.out.row({"shell": words.shell, "script": _SCRIPTS[words.shell]})
    else:
        place.out.line(_SCRIPTS[words.shell])
    return SUCCEEDED


def candidates(words: Sequence[str], place: Place) -> list[str]:
    """What may stand in the place of the last word, given the words before it (without `orchctl`)."""
    before, last = list(words[:-1]), words[-1] if words else ""
    if not before:
        names = dict.fromkeys(name.split()[0] for name in VERBS)
        return _begin([*names, "--help", "--version", "--home"], last)
    if len(before) == 1 and before[0] not in VERBS and within(before[0]):
        return _begin([entry.name.split()[1] for entry in within(before[0])], last)
    name = before[0] if before[0] in VERBS else " ".join(before[:2])
    if name not in VERBS:
        return []
    from orchctl.commands.dispatch import load

    _, parser = load(VERBS[name])
    if last.startswith("-"):
        return _begin(parser.options(), last)
    wanted = parser.positionals()
    given = [word for word in before[len(name.split()) :] if not word.startswith("-")]
    if not wanted:
        return []
    return _begin(_of_engine(wanted[min(len(given), len(wanted) - 1)], given, place), last)


def _begin(words: Sequence[str], last: str) -> list[str]:
    return [word for word in words if word.startswith(last)]


def _of_engine(metavar: str, given: list[str], place: Place) -> list[str]:
    """The names that an argument shown as `metavar` may have; none where no engine answers."""
    if metavar == "SHELL":
        return list(_SCRIPTS)
    try:
        with Session(place.home, read_only=True) as session:
            session.connection()
            found: list[str] = []
            if "RUN" in metavar.split("|"):
                runs = typed(session.rows(ListRuns(limit=_LISTED)).rows, RunRow)
                found += ["latest", *(run.run for run in runs)]
            if "WORKFLOW" in metavar.split("|") or metavar == "NAME":
                rows = typed(session.rows(ListWorkflows()).rows, WorkflowRow)
                found += [row.workflow for row in rows]
            if metavar == "TASK" and given:
                groups = session.rows(ListGroups(run=run_number(session, given[0]), limit=200)).rows
                found += [group.task for group in typed(groups, GroupRow)]
            return found
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
