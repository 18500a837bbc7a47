# SPDX-License-Identifier: Apache-2.0
"""One line of an interface file and the comment grammar that every field follows.

float64 volume_ul 0.0   # [uL] volume to move; unknown: never; range: [0, 2000000]
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from typing import Any

from .errors import WorkcellError

INTEGER_BOUNDS = {
    f"{sign}int{bits}": (0 if sign else -(2 ** (bits - 1)), 2**bits - 1 if sign else 2 ** (bits - 1) - 1)
    for sign in ("u", "")
    for bits in (8, 16, 32, 64)
}
FLOATS = ("float32", "float64")
PRIMITIVES = (*INTEGER_BOUNDS, *FLOATS, "bool", "string")

_FIELD = re.compile(
    r"^(?P<type>[A-Za-z][\w/]*)(?P<array>\[\])?\s+(?P<name>[a-z][a-z0-9_]*)(?:\s+(?P<default>.+))?$"
)
_CONSTANT = re.compile(r"^(?P<type>[a-z0-9]+)\s+(?P<name>[A-Z][A-Z0-9_]*)\s*=\s*(?P<value>.+)$")
_COMMENT = re.compile(
    r"^\[(?P<unit>[^\]\s]+)\] (?P<meaning>\S.*?); unknown: (?P<unknown>\S.*?); range: (?P<range>\S.*)$"
)


class InterfaceError(WorkcellError):
    """An interface file does not follow the grammar; says file, line and what is expected."""


@dataclass(frozen=True)
class Range:
    """Allowed values of a field: an interval, a set, or anything.

    Args:
        text: the range as the file has it.
        low, high: ends of a closed interval, infinite without one.
        choices: allowed values, empty without a set.
    """

    text: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[Any, ...] = ()

    def allows(self, value: Any) -> bool:
        """Return whether a value that is known lies in the range."""
        if self.choices:
            return value in self.choices
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.low <= value <= self.high
        return True


@dataclass(frozen=True)
class Field:
    """One field of an interface.

    Args:
        default: the ROS default of the file; None when there is none.
        unknown: what stands for "unknown", "never" when the value is always known.
    """

    name: str
    type_name: str
    is_array: bool
    default: Any
    unit: str
    meaning: str
    unknown: str
    range: Range

    @property
    def is_primitive(self) -> bool:
        """Whether the type is a number, a bool or a string."""
        return self.type_name in PRIMITIVES

    @property
    def is_numeric(self) -> bool:
        """Whether the field holds numbers (bool is none)."""
        return self.type_name in INTEGER_BOUNDS or self.type_name in FLOATS

    @property
    def may_be_unknown(self) -> bool:
        """Whether the file declares a value that stands for "unknown"."""
        return self.unknown != "never"

    @property
    def unknown_value(self) -> Any:
        """What the field holds while nobody knows better: NaN, empty, the declared number, or zero."""
        if self.is_array:
            return ()
        if self.type_name in FLOATS:
            named = self.unknown.split()[0].rstrip(",;")
            return {"inf": math.inf, "0": 0.0}.get(named, math.nan)
        if self.type_name in INTEGER_BOUNDS:
            return int(self.unknown) if re.fullmatch(r"-?\d+", self.unknown) else 0
        if self.type_name == "bool":
            return False
        if self.type_name == "string":
            return "{}" if self.unknown == '"{}"' else ""
        return None


def parse_range(text: str, type_name: str, where: str) -> Range:
    """Read `[lo, hi]`, `{a, b}`, `any` or `see X`; raises InterfaceError."""
    text = text.strip()
    if text == "any" or text.startswith("see "):
        return Range(text)
    parts = [part.strip() for part in text[1:-1].split(",")]
    if text.startswith("{") and text.endswith("}") and all(parts):
        numeric = type_name in INTEGER_BOUNDS
        return Range(text, choices=tuple(int(part) if numeric else part for part in parts))
    if text.startswith("[") and text.endswith("]") and len(parts) == 2:
        try:
            low, high = float(parts[0]), float(parts[1])
        except ValueError as error:
            raise InterfaceError(f"{where}: range {text} has no numbers; write [lo, hi]") from error
        if low <= high:
            return Range(text, low, high)
    raise InterfaceError(f"{where}: range {text!r} is none of [lo, hi] with lo <= hi, {{a, b}}, any")


def parse_field(line: str, where: str) -> Field:
    """Read one field line; raises InterfaceError naming `where` and what the grammar wants."""
    body, _, comment = line.partition("#")
    found = _FIELD.match(body.strip())
    if found is None:
        raise InterfaceError(f"{where}: {body.strip()!r} is no field; write 'type name [default]'")
    note = _COMMENT.match(comment.strip())
    if note is None:
        raise InterfaceError(
            f"{where}: field {found['name']} needs the comment '# [unit] meaning; unknown: …; range: …'"
        )
    type_name = found["type"]
    if type_name not in PRIMITIVES and not re.fullmatch(r"([a-z_0-9]+/)?[A-Z]\w*", type_name):
        raise InterfaceError(f"{where}: field {found['name']} has the unknown type {type_name!r}")
    default = None
    if found["default"] is not None:
        default = parse_literal(found["default"], type_name, where)
    return Field(
        name=found["name"],
        type_name=type_name,
        is_array=found["array"] is not None,
        default=default,
        unit=note["unit"],
        meaning=note["meaning"],
        unknown=note["unknown"],
        range=parse_range(note["range"], type_name, where),
    )


def parse_constant(line: str, where: str) -> tuple[str, Any] | None:
    """Return name and value of a constant line, None for another line."""
    found = _CONSTANT.match(line.partition("#")[0].strip())
    return None if found is None else (found["name"], parse_literal(found["value"], found["type"], where))


def parse_literal(text: str, type_name: str, where: str) -> Any:
    """Read a ROS literal of a primitive type; raises InterfaceError."""
    text = text.strip()
    try:
        if type_name == "bool":
            return {"true": True, "false": False}[text.lower()]
        value = ast.literal_eval(text)
        if type_name in FLOATS:
            return float(value)
        if type_name in INTEGER_BOUNDS:
            return int(value)
        if type_name == "string" and isinstance(value, str):
            return value
    except (KeyError, ValueError, SyntaxError, TypeError) as error:
        raise InterfaceError(f"{where}: {text!r} is no literal of type {type_name}") from error
    raise InterfaceError(f"{where}: {text!r} is no literal of type {type_name}")
