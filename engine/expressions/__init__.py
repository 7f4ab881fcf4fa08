"""Typed, bounded expressions in `{{ }}`: compiled once, evaluated in a scope of JSON values. Pure."""

from engine.expressions.faults import ExpressionFault
from engine.expressions.shell import ShellTemplate, compile_shell
from engine.expressions.templates import (
    Expression,
    Template,
    compile_condition,
    compile_expression,
    compile_template,
)
from engine.expressions.values import text_of

__all__ = [
    "Expression", "ExpressionFault", "ShellTemplate", "Template",
    "compile_condition", "compile_expression", "compile_shell", "compile_template", "text_of",
]  # fmt: skip
