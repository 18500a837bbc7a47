# SPDX-License-Identifier: Apache-2.0
"""Expressions of recipes and specifications: evaluated safely, and never on an unknown value.

`check.viability < 0.80` reads the field `viability` of the result saved as `check`. Comparing with NaN would
be False and let a dead batch pass; therefore every name that an expression mentions is looked up first, and an
unknown one (missing, None, NaN, empty) raises before anything is computed, in branches not taken too.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from simpleeval import EvalWithCompoundTypes, InvalidExpression

from .errors import UnknownValueError, WorkcellError
from .goals import is_unknown


class ExpressionError(WorkcellError):
    """An expression cannot be parsed or evaluated; says which, where and why."""


def _hours(count: float) -> float:
    return count * 3600.0


def _days(count: float) -> float:
    return count * 86400.0


def _numbers(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return an operator that takes numbers only: on text, `*` and `%` can fill the memory."""

    def checked(left: Any, right: Any) -> Any:
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise TypeError(f"{left!r} and {right!r} are not both numbers")
        return function(left, right)

    return checked


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "round": round,
    "sqrt": math.sqrt,
    "log10": math.log10,
    "exp": math.exp,
    # Seconds in so many hours or days.
    "hours": _hours,
    "days": _days,
}

_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: _numbers(operator.sub),
    ast.Mult: _numbers(operator.mul),
    ast.Div: _numbers(operator.truediv),
    ast.FloorDiv: _numbers(operator.floordiv),
    ast.Mod: _numbers(operator.mod),
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}

_ALLOWED_NODES = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Call,
    ast.Name,
    ast.Attribute,
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Load,
    ast.And,
    ast.Or,
    *_OPERATORS,
)

_TEMPLATE = re.compile(r"\$\{([^{}]*)\}")
MAX_LENGTH = 2000
"""Longest expression [characters]; a longer one is a mistake, or an attack on the parser."""


@lru_cache(maxsize=1024)
def parse(expression: str) -> ast.Expression:
    """Parse an expression; raises ExpressionError when it is none or uses anything that is not allowed."""
    if len(expression) > MAX_LENGTH:
        raise ExpressionError(f"expression of {len(expression)} characters; at most {MAX_LENGTH} are allowed")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"expression {expression!r} cannot be read: {error}") from error
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED_NODES):
            raise ExpressionError(f"expression {expression!r}: {type(node).__name__} is not allowed")
        if isinstance(node, ast.Constant) and not isinstance(node.value, bool | int | float | str):
            raise ExpressionError(f"expression {expression!r}: {node.value!r} is not allowed")
        if isinstance(node, ast.Attribute):
            _dotted(node, expression)
        if isinstance(node, ast.Call):
            _check_call(node, expression)
    return tree


def _check_call(node: ast.Call, expression: str) -> None:
    allowed = ", ".join(FUNCTIONS)
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        raise ExpressionError(f"expression {expression!r}: only the functions {allowed} can be called")
    if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
        raise ExpressionError(f"expression {expression!r}: functions take plain arguments only")


def _dotted(node: ast.expr, expression: str) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise ExpressionError(f"expression {expression!r}: a dot may only follow a name, as in step.field")
    parts.append(node.id)
    if any(part.startswith("_") for part in parts):
        raise ExpressionError(f"expression {expression!r}: names do not begin with an underscore")
    return ".".join(reversed(parts))


@lru_cache(maxsize=1024)
def references(expression: str) -> tuple[str, ...]:
    """Return the names that an expression reads, dotted (`check.viability`), each once, in order."""
    found: dict[str, None] = {}

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Name | ast.Attribute):
            found[_dotted(node, expression)] = None
            return
        children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
        for child in children:
            visit(child)

    visit(parse(expression))
    return tuple(found)


def template_expressions(text: str) -> tuple[str, ...]:
    """Return the expressions inside `${…}` of a text; raises ExpressionError for a `${` that is not closed."""
    if text.count("${") != len(_TEMPLATE.findall(text)):
        raise ExpressionError(f"template {text!r}: every '${{' needs its '}}', without braces between them")
    return tuple(_TEMPLATE.findall(text))


def single_expression(value: Any) -> str | None:
    """Return the expression when a text is one `${…}` and nothing else, otherwise None."""
    if isinstance(value, str):
        match = _TEMPLATE.fullmatch(value.strip())
        if match is not None:
            return match[1]
    return None


def lookup(name: str, values: Mapping[str, Any]) -> Any:
    """Return the value of a dotted name; raises UnknownValueError naming it when it is missing or unknown."""
    value: Any = values
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UnknownValueError(f"{name} is unknown: nothing has given it a value")
        value = value[part]
    if is_unknown(value):
        raise UnknownValueError(f"{name} is unknown: its value is {value!r}")
    return value


class _Evaluator(EvalWithCompoundTypes):
    """simpleeval's evaluator with our operators, whose names and dots read mappings and nothing else."""

    def __init__(self, values: Mapping[str, Any], expression: str) -> None:
        super().__init__(operators=dict(_OPERATORS), functions=dict(FUNCTIONS), names={})
        self._values = values
        self._expression = expression
        self.nodes[ast.Name] = self._read
        self.nodes[ast.Attribute] = self._read

    def _read(self, node: ast.expr) -> Any:
        return lookup(_dotted(node, self._expression), self._values)


def evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    """Return the value of an expression over nested mappings of values.

    Raises:
        UnknownValueError: it mentions an unknown value, or its own value is not a number (NaN).
        ExpressionError: it cannot be parsed or computed.
    """
    tree = parse(expression)
    for name in references(expression):
        lookup(name, values)
    try:
        value = _Evaluator(values, expression).eval(expression, previously_parsed=tree.body)
    except (InvalidExpression, ArithmeticError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"expression {expression!r} cannot be computed: {error}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise UnknownValueError(f"expression {expression!r} gives {value}, which is not a known number")
    return value


def evaluate_condition(expression: str, values: Mapping[str, Any]) -> bool:
    """Return a condition's truth; raises ExpressionError when it is not a yes or no (`x` instead of `x > 0`)."""
    value = evaluate(expression, values)
    if not isinstance(value, bool):
        raise ExpressionError(f"condition {expression!r} gives {value!r}; write a comparison")
    return value


def render(value: Any, values: Mapping[str, Any]) -> Any:
    """Return a recipe value with its `${…}` evaluated, in lists and mappings too.

    A text that is one `${…}` keeps the type of its expression; within a longer text the value is written out.

    Raises:
        UnknownValueError, ExpressionError: as `evaluate`.
    """
    if isinstance(value, str):
        expression = single_expression(value)
        if expression is not None:
            return evaluate(expression, values)
        template_expressions(value)
        return _TEMPLATE.sub(lambda match: _text(evaluate(match[1], values)), value)
    if isinstance(value, Mapping):
        return {key: render(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, values) for item in value]
    return value


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
