"""run, submit, trigger: making runs."""

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from engine.model.ids import parse_run, run_text
from engine.protocol.messages import Done, Submit
from orchctl.commands.compiling import encode_file, is_file
from orchctl.commands.kit import SUCCEEDED, Command, Parser, Place, Words, key_value

if TYPE_CHECKING:
    from orchctl.client.session import Session
    from orchctl.commands.output import Output


def definition_of(what: str) -> bytes | None:
    """The encoded workflow in a file; None for the name of a workflow that was added. Raises DefinitionError."""
    return encode_file(what) if is_file(what) else None


def submit_run(session: "Session", what: str, definition: bytes | None, params: dict[str, str], note: str = "") -> int:
    """Make a run of a definition that is sent along, else of the workflow `what`; its number. Raises EngineError."""
    from orchctl.client.session import new_request_id

    request = Submit(request_id=new_request_id(), params=dict(params), note=note)
    if definition is not None:
        body = session.send_definition(request, definition)
    else:
        body = session.ask(replace(request, workflow=what), Done).body
    return run_of(body)


def run_of(body: dict[str, Any]) -> int:
    """The run that a `Done` names."""
    return parse_run(str(body["run"]))


def tell_submitted(out: "Output", run: int) -> None:
    """Print the run that was made: for programs its name alone."""
    name = run_text(run)
    if out.json:
        out.row({"run": name})
    else:
        out.line(name)
        if out.terminal:
            out.remark(f"`orchctl show {name} -f` follows it")


def _arguments(parser: Parser) -> None:
    parser.add_argument(
        "workflow", metavar="FILE|WORKFLOW", help="a definition, or the name of a workflow that was added"
    )
    _run_options(parser)


def _run_options(parser: Parser) -> None:
    parser.add_argument(
        "-p", "--param", metavar="NAME=VALUE", action="append", default=[], type=key_value, help="a parameter"
    )
    parser.add_argument("--note", metavar="TEXT", default="", help="a remark that is kept with the run")


def _run_arguments(parser: Parser) -> None:
    _arguments(parser)
    parser.add_argument("--detach", action="store_true", help="do not follow: print the run and leave")


def _trigger_arguments(parser: Parser) -> None:
    parser.add_argument("workflow", metavar="WORKFLOW", help="the name of a workflow that was added")
    _run_options(parser)


def run(words: Words, place: Place) -> int:
    """Submit and follow; with `--detach` only submit."""
    definition = definition_of(words.workflow)  # before an engine is started: a fault needs none
    with place.session(start=True) as session:
        number = submit_run(session, words.workflow, definition, dict(words.param), words.note)
        if words.detach:
            tell_submitted(place.out, number)
            return SUCCEEDED
        from orchctl.commands.following import follow

        return follow(session, number, place.out)


def submit(words: Words, place: Place) -> int:
    definition = definition_of(words.workflow)
    with place.session(start=True) as session:
        number = submit_run(session, words.workflow, definition, dict(words.param), words.note)
    tell_submitted(place.out, number)
    return SUCCEEDED


def trigger(words: Words, place: Place) -> int:
    with place.session() as session:
        number = submit_run(session, words.workflow, None, dict(words.param), words.note)
    tell_submitted(place.out, number)
    return SUCCEEDED


COMMANDS = {
    "run": Command(
        run,
        _run_arguments,
        (
            "orchctl run orders.yaml",
            "orchctl run orders.yaml --param day=2026-11-23 --param limit=10",
            "orchctl run orders --note 'again, after the disk was full'",
            "orchctl run orders.yaml --detach",
        ),
        "Starts an engine if none runs. Ctrl+C leaves the run to itself: it goes on, and the verb ends with 130. "
        "Otherwise the exit code is the run's: 0 succeeded, 1 failed, 4 cancelled. --json prints one object at the "
        'end: {"run", "status", "tasks", "seconds"}.',
    ),
    "submit": Command(
        submit,
        _arguments,
        ("orchctl submit orders.yaml", "orchctl submit orders --param day=2026-11-23 --json"),
        "Starts an engine if none runs. Prints the run's name and does not wait for it.",
    ),
    "trigger": Command(
        trigger,
        _trigger_arguments,
        ("orchctl trigger orders", "orchctl trigger orders --param day=2026-11-23 --note 'late data'"),
    ),
}
