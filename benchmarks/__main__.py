"""`python -m benchmarks [NAME...] [--json] [--quick]`: one question per file, ours and the peers in the same run."""

import argparse
import importlib
import shutil
import signal
import sys
from types import FrameType

import msgspec

from benchmarks import lab, peers

NAMES = (
    "process_tasks", "python_tasks", "scale", "latency", "recovery", "watchers", "makespan", "store", "retention",
    "idle",
)  # fmt: skip
_BAR_MAX = 30


def table(records: list[lab.Record], width: int = 120) -> str:
    """For people: a block for each question, a line for each contender, and bars that compare within the block."""
    lines: list[str] = []
    blocks: dict[tuple[str, str], list[lab.Record]] = {}
    for record in records:
        blocks.setdefault((record.question, record.unit), []).append(record)
    for (question, unit), block in blocks.items():
        lines.append(f"{question} [{unit}]"[:width])
        names = max(len(record.contender) for record in block)
        texts = [
            f"  {record.contender:{names}} {_number(record.value):>10} {_beside(record, block)}" for record in block
        ]
        longest = max(map(len, texts))
        most, room = max(record.value for record in block), min(_BAR_MAX, width - longest - 2)
        for record, text in zip(block, texts, strict=True):
            bar = _bar(record.value, most, room) if len(block) > 1 else ""
            lines.append(f"{text:{longest}}  {bar}"[:width].rstrip())
    return "\n".join(lines)


def _beside(record: lab.Record, block: list[lab.Record]) -> str:
    """How a figure compares with the first of its block, and between what it lay."""
    ratio = f"x {record.ratio:.2f}" if record.ratio is not None and len(block) > 1 else ""
    if record.rounds == 1 or "low" not in record.details:
        return f"{ratio:>9}"
    return f"{ratio:>9}  {_number(record.details['low'])} to {_number(record.details['high'])}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def _bar(value: float, most: float, room: int) -> str:
    return "█" * round(room * value / most) or "▏" if room > 0 and most > 0 and value > 0 else ""


def _ended(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="fewer tasks and rounds: a look, not a figure")
    parser.add_argument(
        "--peers", metavar="A,B", default=",".join(peers.NAMES), help=f"some of {', '.join(peers.NAMES)}, or none"
    )
    parser.add_argument(
        "--peers-python", metavar="PATH", default=lab.peers_python(),
        help="the Python that has the peers of PyPI (else ORCHCTL_BENCH_PYTHON, else this one)",
    )  # fmt: skip
    options = parser.parse_args()
    chosen = [name for name in options.peers.split(",") if name not in ("", "none")]
    if unknown := [name for name in chosen if name not in peers.NAMES]:
        parser.error(f"there is no peer {unknown[0]!r}; there are {', '.join(peers.NAMES)}")
    if shutil.which(options.peers_python) is None:
        parser.error(f"{options.peers_python!r}, which is to have the peers, is no program")
    options.peers = tuple(chosen)
    return options


def main() -> int:
    """Measure the questions named, or all."""
    options = _arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that what was started is ended
        signal.signal(number, _ended)
    asked = lab.Options(quick=options.quick, peers=options.peers, python=options.peers_python)
    where = lab.machine()
    lab.say(" ".join(f"{key}={value}" for key, value in where.items()))
    try:
        for name in options.names or NAMES:
            records = importlib.import_module(f"benchmarks.{name}").run(asked)
            if options.json:
                lines = (msgspec.json.encode({**msgspec.to_builtins(record), "machine": where}) for record in records)
                sys.stdout.write("".join(line.decode() + "\n" for line in lines))
            else:
                sys.stdout.write(f"--- {name}\n{table(records, shutil.get_terminal_size((120, 24)).columns)}\n\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        lab.say("interrupted; what was started has been ended")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
