"""Files and functions stay small enough to be read, and say what they are for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FILES = sorted([*ROOT.glob("engine/**/*.py"), *ROOT.glob("orchctl/**/*.py")])


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_there_are_files_to_look_at():
    assert len(FILES) > 40


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_short_and_so_are_its_functions_and_it_begins_with_its_theory(file: Path):
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= FILE_LINES_MAX
    long = {node.name: _length(node) for node in _functions(tree) if _length(node) > FUNCTION_LINES_MAX}
    assert long == {}
    if text.strip():
        assert ast.get_docstring(tree), "a module opens with its theory"


def test_a_function_that_is_too_long_would_be_seen():
    body = "\n".join("    pass" for _ in range(FUNCTION_LINES_MAX))
    (found,) = _functions(ast.parse(f"def f():\n{body}\n"))
    assert _length(found) == FUNCTION_LINES_MAX + 1
