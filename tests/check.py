"""`python -m tests.check` checks everything: format, lint, types, import contracts, tests.

`python -m tests.check types tests` runs only those two. All of them run, whatever the others say; the exit code is 0 if
all are well. What is named after `--` goes to pytest.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = [name for name in ("engine", "orchctl", "tests", "benchmarks") if (ROOT / name).is_dir()]
_LINT_IMPORTS = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(sys.argv[1:])"
CHECKS: dict[str, list[str]] = {
    "format": ["-m", "ruff", "format", "--check", "--quiet", *SOURCES],
    "lint": ["-m", "ruff", "check", "--quiet", *SOURCES],
    "types": ["-m", "basedpyright", "--pythonpath", sys.executable, "engine", "orchctl"],
    "imports": ["-c", _LINT_IMPORTS, "--no-cache"],
    "tests": ["-m", "pytest", "-q"],
}
_MODULES = {"format": "ruff", "lint": "ruff", "types": "basedpyright", "imports": "importlinter", "tests": "pytest"}


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen checks and sum up. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.check", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"some of: {', '.join(CHECKS)} (all)")
    own, pytest_arguments = _split(sys.argv[1:] if arguments is None else arguments)
    chosen: list[str] = parser.parse_args(own).checks or list(CHECKS)
    if unknown := [name for name in chosen if name not in CHECKS]:
        parser.error(f"there is no check {unknown[0]!r}; there are {', '.join(CHECKS)}")
    results = [(name, *_run(name, pytest_arguments if name == "tests" else [])) for name in chosen]
    print("\n--- summary")
    for name, code, seconds in results:
        print(f"{'well' if code == 0 else 'FAILED':>6}  {name:<8} {seconds:6.1f} s")
    return 0 if all(code == 0 for _, code, _ in results) else 1


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _run(name: str, more: list[str]) -> tuple[int, float]:
    """One check's exit code and seconds; its output goes where ours goes."""
    print(f"--- {name}", flush=True)
    began = time.monotonic()
    if importlib.util.find_spec(_MODULES[name]) is None:
        print(f'{_MODULES[name]} is not installed: pip install -e ".[test]"')
        return 1, 0.0
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *CHECKS[name], *more], cwd=ROOT, env=environment, check=False)
    return done.returncode, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
