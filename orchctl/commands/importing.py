"""import wfcommons: workflows from other systems' files."""

import argparse
import os
import tempfile
from pathlib import Path

from orchctl.commands.kit import SUCCEEDED, Command, Parser, Place, Words, one_of
from orchctl.text import inert


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a factor between 0 and 1,000,000")
    return value


def _arguments(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="a WfFormat 1.5 instance, .json or .json.gz")
    parser.add_argument("-o", "--output", metavar="OUT.yaml", required=True, help="the workflow to write")
    parser.add_argument(
        "--time-scale", metavar="F", type=_factor, default=1.0, help="tasks take the recorded time by F (default 1)"
    )
    parser.add_argument(
        "--work", metavar="WORK", type=one_of("sleep", "cpu"), default="sleep", help="sleep (default) or cpu: burn it"
    )


def wfcommons(words: Words, place: Place) -> int:
    from orchctl.importing.wfcommons import convert, name_for, read_instance

    source, target = Path(words.file), Path(words.output)
    name = name_for(source)
    text = convert(read_instance(source), time_scale=words.time_scale, work=words.work, name=name)
    _write(target, text)
    if place.out.json:
        place.out.row({"workflow": name, "file": str(target)})
    else:
        place.out.line(f"{inert(target)}: workflow {inert(name)}; `orchctl run {inert(target)}` runs it")
    return SUCCEEDED


def _write(target: Path, text: str) -> None:
    """Write the whole file or nothing. Raises OSError that names the target."""
    try:
        _replace(target, text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error


def _replace(target: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0o077)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


COMMANDS = {
    "import wfcommons": Command(
        wfcommons,
        _arguments,
        (
            "orchctl import wfcommons montage.json.gz -o montage.yaml --time-scale 0.01",
            "orchctl import wfcommons blast.json -o blast.yaml --work cpu",
        ),
        "Tasks take the recorded time and claim the recorded cores and memory.",
    )
}
