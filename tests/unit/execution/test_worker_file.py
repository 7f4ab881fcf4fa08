"""The worker's file is run by interpreters that are older than the engine's."""

import ast
from pathlib import Path

from engine.execution import worker

_GENERIC = {"dict", "list", "set", "tuple", "frozenset", "type"}


class _Evaluated(ast.NodeTransformer):
    """What is left of a module that postpones annotations: all that is evaluated when it runs."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return node.value

    def visit_If(self, node: ast.If) -> ast.AST | None:
        checking = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if checking else self.generic_visit(node)


def test_the_worker_is_written_in_python_3_8() -> None:
    source = Path(worker.__file__).read_text()
    tree = _Evaluated().visit(ast.parse(source, feature_version=(3, 8)))
    subscripts = [
        node.value.id for node in ast.walk(tree) if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
    ]
    assert not _GENERIC & set(subscripts)
    calls = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not calls & {"removeprefix", "removesuffix", "waitstatus_to_exitcode", "pidfd_open"}


def test_the_worker_imports_the_standard_library_only() -> None:
    tree = ast.parse(Path(worker.__file__).read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.startswith(("engine", "trio", "msgspec", "psutil"))]
