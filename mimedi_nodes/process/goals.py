# SPDX-License-Identifier: Apache-2.0
"""Goals and results checked against their interface: every wrong field at once, with what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from .context import PhaseHeader
from .errors import WorkcellError
from .interface_grammar import FLOATS, INTEGER_BOUNDS, Field

_HEADER_FIELDS = tuple(field.name for field in fields(PhaseHeader))
_OUTCOME_FIELDS = ("error_code", "error_msg")


@dataclass(frozen=True)
class FieldProblem:
    """One field that is wrong: its name, the value and what is allowed."""

    field: str
    value: Any
    message: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value!r}: {self.message}; allowed: {self.allowed}"


class GoalError(WorkcellError):
    """Fields of a goal or result are wrong; `problems` has all of them."""

    def __init__(self, what: str, problems: Sequence[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{what}: " + "; ".join(str(problem) for problem in problems))


class Goal(Mapping[str, Any]):
    """Read-only goal of a phase: one attribute, and one item, per goal field."""

    __slots__ = ("_action", "_values")

    def __init__(self, action: str, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_action", action)
        object.__setattr__(self, "_values", dict(values))

    def __getattr__(self, name: str) -> Any:
        values: dict[str, Any] = object.__getattribute__(self, "_values")
        if name in values:
            return values[name]
        raise AttributeError(f"{self._action} has no goal field {name!r}; it has {', '.join(values)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a goal is read-only: {self._action}.{name} cannot be set")

    def __reduce__(self) -> tuple[Any, ...]:
        return Goal, (self._action, self._values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Goal({self._action}, {self._values!r})"

    @property
    def action(self) -> str:
        """CamelCase name of the action."""
        return str(self._action)

    def as_fields(self) -> dict[str, Any]:
        """Return the goal fields without the header, JSON-able."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._values.items()
            if name != "header"
        }


def describe(field: Field) -> str:
    """Return what a field allows, for error texts."""
    kind = field.type_name + ("[]" if field.is_array else "")
    return f"{kind} [{field.unit}] in {field.range.text}"


def is_unknown(value: Any) -> bool:
    """Return whether a value stands for "unknown": NaN, None, or empty."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, str | list | tuple) and len(value) == 0


def check_value(field: Field, value: Any) -> tuple[Any, FieldProblem | None]:
    """Return the value in the field's own type, and what is wrong with it if anything is."""

    def wrong(message: str) -> tuple[Any, FieldProblem]:
        return value, FieldProblem(field.name, value, message, describe(field))

    if field.is_array:
        if isinstance(value, str) or not isinstance(value, Sequence):
            return wrong("not a list")
        element = Field(
            field.name, field.type_name, False, None, field.unit, field.meaning, field.unknown, field.range
        )
        items = []
        for item in value:
            checked, problem = check_value(element, item)
            if problem is not None:
                return value, problem
            items.append(checked)
        return tuple(items), None
    if field.type_name == "bool":
        return (value, None) if isinstance(value, bool) else wrong("not true or false")
    if field.type_name == "string":
        if not isinstance(value, str):
            return wrong("not text")
        if value == "":
            return (value, None) if field.may_be_unknown else wrong("empty, but it must be known")
        return (value, None) if field.range.allows(value) else wrong("outside the allowed values")
    if field.is_numeric:
        return _check_number(field, value, wrong)
    return value, None


def _check_number(field: Field, value: Any, wrong: Any) -> tuple[Any, FieldProblem | None]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return wrong("not a number")
    if field.type_name in FLOATS:
        value = float(value)
        if math.isnan(value):
            return (value, None) if field.may_be_unknown else wrong("NaN, but it must be known")
        if math.isinf(value) and not field.unknown.startswith("inf"):
            return wrong("not finite")
    else:
        if not math.isfinite(value) or int(value) != value:
            return wrong("not a whole number")
        value = int(value)
        low, high = INTEGER_BOUNDS[field.type_name]
        if not low <= value <= high:
            return wrong(f"does not fit into {field.type_name}")
        if field.may_be_unknown and value == field.unknown_value:
            return value, None
    return (value, None) if field.range.allows(value) else wrong("out of range")


def _header(value: Any) -> tuple[PhaseHeader, FieldProblem | None]:
    if isinstance(value, PhaseHeader):
        return value, None
    if isinstance(value, Mapping) and set(value) <= set(_HEADER_FIELDS):
        return PhaseHeader(**{name: str(text) for name, text in value.items()}), None
    return PhaseHeader(), FieldProblem("header", value, "not a phase header", ", ".join(_HEADER_FIELDS))


def build_goal(
    action: str,
    goal_fields: Mapping[str, Field],
    values: Mapping[str, Any],
    header: PhaseHeader | None = None,
) -> Goal:
    """Return the checked goal of an action with its defaults filled in.

    A field may be left out when the interface gives it a default or declares what stands for unknown.

    Raises:
        GoalError: with every field that is misspelt, missing, of the wrong type, out of range or NaN.
    """
    problems = [
        FieldProblem(name, values[name], f"{action} has no such goal field", ", ".join(goal_fields))
        for name in values
        if name not in goal_fields
    ]
    filled: dict[str, Any] = {}
    for name, field in goal_fields.items():
        problem: FieldProblem | None = None
        if name == "header":
            filled[name], problem = _header(header if header is not None else values.get(name, PhaseHeader()))
        elif name in values:
            filled[name], problem = check_value(field, values[name])
        elif field.default is not None:
            filled[name] = field.default
        elif field.may_be_unknown:
            filled[name] = field.unknown_value
        else:
            problem = FieldProblem(name, None, "missing and without a default", describe(field))
        if problem is not None:
            problems.append(problem)
    if problems:
        raise GoalError(f"goal of {action}", problems)
    return Goal(action, filled)


def check_result(
    action: str, result_fields: Mapping[str, Field], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the checked result that a phase gave, `error_code` and `error_msg` added as "no error".

    Raises:
        GoalError: with every field that is missing, too much, of the wrong type or out of range.
    """
    problems = [
        FieldProblem(name, values[name], f"{action} has no such result field", ", ".join(result_fields))
        for name in values
        if name not in result_fields
    ]
    checked: dict[str, Any] = {}
    for name, field in result_fields.items():
        if name in _OUTCOME_FIELDS and name not in values:
            checked[name] = 0 if name == "error_code" else ""
        elif name not in values:
            problems.append(FieldProblem(name, None, "missing", describe(field)))
        else:
            value, problem = check_value(field, values[name])
            checked[name] = list(value) if isinstance(value, tuple) else value
            if problem is not None:
                problems.append(problem)
    if problems:
        raise GoalError(f"result of {action}", problems)
    return checked


def blank_result(result_fields: Mapping[str, Field], error_code: int, error_msg: str) -> dict[str, Any]:
    """Return a result of which nothing is known but its error: for phases that ended early."""
    blank = {
        name: [] if field.is_array else field.unknown_value
        for name, field in result_fields.items()
        if name not in _OUTCOME_FIELDS
    }
    return {**blank, "error_code": int(error_code), "error_msg": error_msg}
