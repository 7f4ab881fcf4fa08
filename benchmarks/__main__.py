"""`python -m benchmarks [NAME...] [--json] [--quick]`: one question per file, ours and the peers in the same run."""

import argparse
import importlib
import sys

import msgspec

from benchmarks import lab

NAMES = ("process_tasks", "python_tasks", "latency", "idle", "store")


def _table(records: list[lab.Record]) -> str:
    lines = [f"{'question':46} {'contender':22} {'median':>12} {'unit':22} {'x ours':>7}  range"]
    for record in records:
        ratio = f"{record.ratio:.2f}" if record.ratio is not None else ""
        span = f"{record.details['low']} - {record.details['high']}" if "low" in record.details else ""
        row = f"{record.question:46} {record.contender:22} {record.value:>12,.2f} {record.unit:22} {ratio:>7}  {span}"
        lines.append(row)
    return "\n".join(lines)


def main() -> int:
    """Measure the questions named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="fewer tasks and rounds: a look, not a figure")
    options = parser.parse_args()
    where = lab.machine()
    for name in options.names or NAMES:
        records = importlib.import_module(f"benchmarks.{name}").run(quick=options.quick)
        for record in records:
            if options.json:
                sys.stdout.write(msgspec.json.encode({**msgspec.to_builtins(record), "machine": where}).decode() + "\n")
        if not options.json:
            sys.stdout.write(_table(records) + "\n\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
