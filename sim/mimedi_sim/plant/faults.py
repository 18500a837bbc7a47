# SPDX-License-Identifier: Apache-2.0
"""What a fault is: what it acts on, its parameters with unit and range, what it does and how that shows.

The faults themselves stand in `fault_catalogue`. Fault injection, scenario files and commands are checked against
that table before anything happens; what is wrong is answered with what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mimedi_nodes.process.errors import WorkcellError

Values = dict[str, float | str]
"""Complete parameters of a fault."""


class FaultError(WorkcellError):
    """A fault that the plant does not know or that cannot act there; says what is possible."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a fault: a number with unit and range, or a word out of choices.

    Args: default: None when it must be given.
    """

    default: float | str | None
    unit: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        if self.choices:
            return ", ".join(self.choices)
        unit = "" if self.unit in ("1", "-") else f" {self.unit}"
        return f"a number from {self.low:g} to {self.high:g}{unit}"

    def checked(self, value: Any) -> float | str | None:
        """Return the value as it is used, None when it is not allowed."""
        if self.choices:
            return value if value in self.choices else None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        return float(value) if self.low <= value <= self.high else None


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    Args:
        acts_on: what the target names: vessel, pump, valve, line, chip, generator, reactor, camera, supply, …
        effect: what happens in the plant.
        signature: how it shows on the wire or in the image.
        answer: what the workcell does about it: alarm, hold, or nothing and why.
        parameters: by name.
        once: it happens once; taking it away changes nothing.
    """

    acts_on: str
    effect: str
    signature: str
    answer: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    once: bool = False


def checked_name(fault: str, catalogue: Mapping[str, FaultKind]) -> FaultKind:
    """Return the kind of a fault; raises FaultError naming the known ones."""
    kind = catalogue.get(fault)
    if kind is None:
        raise FaultError(f"fault {fault!r} is unknown; known: {', '.join(sorted(catalogue))}")
    return kind


def checked_target(fault: str, kind: FaultKind, target: str, targets: Mapping[str, Iterable[str]]) -> None:
    """Raise FaultError naming the possible targets; `targets` maps what faults act on to the names there are."""
    possible = sorted(targets.get(kind.acts_on, ()))
    if target not in possible:
        there_are = ", ".join(possible) or "none at this site"
        article = "an" if kind.acts_on[0] in "aeiou" else "a"
        raise FaultError(f"fault {fault} acts on {article} {kind.acts_on}; {target!r} is none; possible: {there_are}")


def checked_values(fault: str, kind: FaultKind, parameters: Mapping[str, Any]) -> Values:
    """Return the complete parameters of a fault; raises FaultError naming parameter, value and what is allowed."""
    extra = set(parameters) - set(kind.parameters)
    if extra:
        known = ", ".join(f"{name} [{p.unit}]" for name, p in kind.parameters.items()) or "none"
        raise FaultError(f"fault {fault} has no parameter {', '.join(sorted(extra))}; it takes: {known}")
    values: Values = {}
    for name, parameter in kind.parameters.items():
        given = parameters.get(name, parameter.default)
        value = parameter.checked(given)
        if value is None:
            told = "missing" if given is None else repr(given)
            raise FaultError(f"fault {fault}: parameter {name} is {told}; allowed: {parameter.allowed}")
        values[name] = value
    return values
