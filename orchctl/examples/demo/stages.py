"""The Python half of the demo: what the Python standard library's own sources consist of.

Only the standard library, no network, nothing written outside the folder `out`. The line counts are taken
three times by different means (here when the files are listed, here when each package is read, and by `wc`
in demo.yaml), so that the check at the end compares things that could differ.
"""

import ast
import io
import json
import os
import sqlite3
import sys
import sysconfig
import time
import tokenize
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

# Not packages of the library, or not the same everywhere: distributions leave the test suite out.
LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
MODULE_GROUPS = {"modules_a-c": "abc", "modules_d-l": "defghijkl", "modules_m-p": "mnop", "modules_q-z": "qrstuvwxyz_"}
COLUMNS: tuple[str, ...] = ("files", "lines", "bytes", "tokens", "functions", "classes", "imports", "unparsable")
SCHEMA = """
CREATE TABLE IF NOT EXISTS package (
    name TEXT PRIMARY KEY, files INTEGER NOT NULL, lines INTEGER NOT NULL, bytes INTEGER NOT NULL,
    tokens INTEGER NOT NULL, functions INTEGER NOT NULL, classes INTEGER NOT NULL, imports INTEGER NOT NULL,
    unparsable INTEGER NOT NULL
)
"""


class QualityError(Exception):
    """The numbers cannot be right; the message lists every check that failed."""


def inventory(out: str, root: str = "") -> dict[str, Any]:
    """List the sources, package by package. The list of packages is what the later tasks run over."""
    folder = Path(root or sysconfig.get_paths()["stdlib"])
    (Path(out) / "files").mkdir(parents=True, exist_ok=True)
    (Path(out) / "counts").mkdir(exist_ok=True)
    groups = _groups(folder)
    if not groups:
        raise FileNotFoundError(f"there are no Python sources below {folder}")
    lines = size = 0
    for name, files in groups.items():
        # NUL ends each path, so that the shell step reads any name.
        (Path(out) / "files" / f"{name}.list").write_bytes(b"".join(os.fsencode(path) + b"\0" for path in files))
        for path in files:
            data = path.read_bytes()
            lines += data.count(b"\n")
            size += len(data)
    found = {"packages": list(groups), "files": sum(map(len, groups.values())), "lines": lines, "bytes": size}
    print(f"{found['files']} files in {len(groups)} packages below {folder}: {lines} lines, {size / 2**20:.1f} MiB")
    return found


def fetch_reference(out: str) -> dict[str, int]:
    """The list of modules that this Python promises to have, "downloaded".

    There is no network in the demo: the list is the interpreter's own. What is real is the failure. The
    first attempt always ends with an exception, as a mirror that is away for a moment would make it, and
    the retry brings the file.
    """
    attempt = int(os.environ["ORCHCTL_ATTEMPT"])
    print(f"attempt {attempt}: asking the mirror")
    if attempt == 1:
        raise ConnectionError("the mirror did not answer (on purpose: the demo's first attempt always fails)")
    names = sorted(sys.stdlib_module_names)
    Path(out, "reference.json").write_text(json.dumps(names), encoding="utf-8")
    print(f"received {len(names)} module names")
    return {"modules": len(names)}


def count(package: str, out: str) -> dict[str, int]:
    """Parse and tokenize every file of a package; the counts go to a file of one line."""
    listed = Path(out, "files", f"{package}.list").read_bytes()
    totals: dict[str, int] = dict.fromkeys(COLUMNS, 0)
    for path in filter(None, listed.split(b"\0")):
        _add_file(totals, Path(os.fsdecode(path)))
    line = "\t".join([package, *(str(totals[column]) for column in COLUMNS)])
    Path(out, "counts", f"{package}.tsv").write_text(line + "\n", encoding="utf-8")
    print(f"{package}: {totals['files']} files, {totals['lines']} lines, {totals['functions']} functions")
    return totals


def load(package: str, out: str, pause_s: float = 0.0) -> None:
    """Put a package's counts into SQLite, which has room for one writer: hence the pool of one slot.

    A second writer is refused at once, so the load would fail if the pool gave two slots. The pause has no
    other use than that a person can watch the others wait.
    """
    name, *values = Path(out, "counts", f"{package}.tsv").read_text(encoding="utf-8").rstrip("\n").split("\t")
    marks = ", ".join("?" * (1 + len(COLUMNS)))
    with closing(sqlite3.connect(_database(out), timeout=0)) as database, database:
        database.execute(SCHEMA)
        database.execute(f"INSERT OR REPLACE INTO package VALUES ({marks})", [name, *map(int, values)])  # noqa: S608
        time.sleep(pause_s)
    print(f"{name} is in the database")


def check(out: str, listed: dict[str, Any], counted_by_wc: dict[str, int]) -> dict[str, int]:
    """Refuse numbers that cannot be right. `listed` is the inventory's result, `counted_by_wc` the shell step's."""
    with closing(sqlite3.connect(_database(out))) as database:
        sums = ", ".join(f"COALESCE(SUM({column}), 0)" for column in COLUMNS)
        rows, *values = database.execute(f"SELECT COUNT(*), {sums} FROM package").fetchone()  # noqa: S608
        names = {name for (name,) in database.execute("SELECT name FROM package")}
        odd = database.execute(
            "SELECT COUNT(*) FROM package WHERE files < 1 OR lines < 0 OR bytes < lines OR functions + classes > lines"
        ).fetchone()[0]
    sums = dict(zip(COLUMNS, values, strict=True))
    promised = set(json.loads(Path(out, "reference.json").read_text(encoding="utf-8")))
    packages = {name for name in names if name not in MODULE_GROUPS and "-" not in name}
    checks = {
        "every package of the inventory is in the database": names == set(listed["packages"]) and rows == len(names),
        "as many files as were listed": sums["files"] == listed["files"],
        "as many bytes as were listed": sums["bytes"] == listed["bytes"],
        "three counts of lines agree": sums["lines"] == listed["lines"] == counted_by_wc["lines"],
        "no value is out of its range": odd == 0,
        "most packages are in the reference": 2 * len(packages & promised) >= len(packages),
    }
    for sentence, held in checks.items():
        print(f"{'ok    ' if held else 'FAILED'} {sentence}")
    failed = [sentence for sentence, held in checks.items() if not held]
    if failed:
        raise QualityError("; ".join(failed))
    return {"checks": len(checks), "packages": rows, **sums}


def quarantine(out: str, unparsable: int) -> None:
    """Only when some files do not parse: note which packages have them."""
    with closing(sqlite3.connect(_database(out))) as database:
        rows = database.execute("SELECT name, unparsable FROM package WHERE unparsable > 0 ORDER BY name").fetchall()
    Path(out, "quarantine.json").write_text(json.dumps(dict(rows)), encoding="utf-8")
    print(f"{unparsable} files in {len(rows)} packages do not parse")


def report(out: str, totals: dict[str, int], rows: int = 15) -> dict[str, str]:
    """The largest packages as a table, in a file and in the log."""
    with closing(sqlite3.connect(_database(out))) as database:
        largest = database.execute(
            "SELECT name, files, lines, functions, classes, imports FROM package ORDER BY lines DESC, name LIMIT ?",
            (rows,),
        ).fetchall()
    head = ("package", "files", "lines", "functions", "classes", "imports")
    total = ("all", *(totals[column] for column in head[1:]))
    lines = [f"The standard library of Python {sys.version_info.major}.{sys.version_info.minor}", ""]
    lines += [_row(head), _row(["-" * len(title) for title in head])]
    lines += [_row(row) for row in largest]
    lines += [_row(["-" * len(title) for title in head]), _row(total), ""]
    lines += [f"{totals['packages']} packages, {totals['tokens']} tokens, {totals['checks']} checks passed"]
    text = "\n".join(lines)
    path = Path(out, "report.txt")
    path.write_text(text + "\n", encoding="utf-8")
    print(text)
    return {"report": str(path)}


def _database(out: str) -> Path:
    return Path(out, "library.sqlite")


def _row(values: Sequence[object]) -> str:
    first, *rest = values
    return f"{first:<16}" + "".join(f"{value:>11}" for value in rest)


def _groups(folder: Path) -> dict[str, list[Path]]:
    """The source files of each package; modules that lie in no package are grouped by their first letter."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.py")):
        first, *rest = path.relative_to(folder).parts
        if LEFT_OUT.isdisjoint([first, *rest[:-1]]) and path.is_file():
            groups.setdefault(first if rest else _module_group(first), []).append(path)
    return dict(sorted(groups.items()))


def _module_group(name: str) -> str:
    letter = name[0].lower()
    return next((group for group, letters in MODULE_GROUPS.items() if letter in letters), "modules_q-z")


def _add_file(totals: dict[str, int], path: Path) -> None:
    data = path.read_bytes()
    totals["files"] += 1
    totals["lines"] += data.count(b"\n")
    totals["bytes"] += len(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old sources have old escapes; that is not what is counted
            tree = ast.parse(data)
        tokens = sum(1 for _ in tokenize.tokenize(io.BytesIO(data).readline))
    except (SyntaxError, ValueError, tokenize.TokenError):
        totals["unparsable"] += 1
        return
    totals["tokens"] += tokens
    for node in ast.walk(tree):
        totals["functions"] += isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        totals["classes"] += isinstance(node, ast.ClassDef)
        totals["imports"] += isinstance(node, (ast.Import, ast.ImportFrom))
