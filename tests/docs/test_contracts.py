"""The import contracts of pyproject.toml hold, and a fresh interpreter loads no more than it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = ["model", "expressions", "planning", "scheduling", "admission", "core", "protocol"]
HEAVY = ["trio", "lmdb", "textual", "psutil", "uvloop"]


def test_all_import_contracts_are_kept():
    script = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", PURE)
def test_a_room_of_the_deciding_half_loads_nothing_that_touches_the_world(room: str):
    script = f"""
import importlib, pkgutil, sys
import engine.{room} as room
for found in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(found.name)
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
