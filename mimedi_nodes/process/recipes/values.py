# SPDX-License-Identifier: Apache-2.0
"""Parameters and formulas of a recipe: values with unit and range."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from ..errors import WorkcellError


class ParameterError(WorkcellError):
    """A recipe parameter was given a value that it cannot have."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of the recipe: value, unit, closed range (None for a text)."""

    name: str
    value: Any
    unit: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What a value may be, for error texts."""
        if self.low is None or self.high is None:
            return f"a number [{self.unit}]"
        return f"a number from {self.low:g} to {self.high:g} {self.unit}"

    def allows(self, value: Any) -> bool:
        """Return whether a value is a finite number within the range."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return self.low is None or self.high is None or self.low <= value <= self.high

    def checked(self, value: Any) -> Parameter:
        """Return the parameter with another value; raises ParameterError when it cannot have it."""
        if self.low is not None and self.high is not None:
            if not self.allows(value):
                raise ParameterError(f"parameter {self.name} = {value!r}: give {self.allowed}")
        elif not isinstance(value, str) or value not in self.choices:
            raise ParameterError(f"parameter {self.name} = {value!r}: give one of {', '.join(self.choices)}")
        return replace(self, value=value)

    def parsed(self, text: str) -> Parameter:
        """Return the parameter with a value as people write it, `4` or `4 TU/cell`; raises ParameterError."""
        if self.choices:
            return self.checked(text.strip())
        number, _, unit = text.strip().partition(" ")
        if unit.strip() not in ("", self.unit):
            raise ParameterError(f"parameter {self.name} = {text!r}: its unit is {self.unit}")
        try:
            return self.checked(float(number))
        except ValueError as error:
            raise ParameterError(f"parameter {self.name} = {text!r}: not a number") from error


@dataclass(frozen=True)
class Formula:
    """A value that follows from the parameters, known before the batch starts; a range, when given, binds them."""

    name: str
    expression: str
    unit: str
    low: float | None = None
    high: float | None = None
    description: str = ""
