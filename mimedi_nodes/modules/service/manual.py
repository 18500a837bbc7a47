# SPDX-License-Identifier: Apache-2.0
"""Manual acts on a module: jogs, calibrations, resets; what each takes, with units and ranges."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...process.context import PhaseContext
from ...process.errors import WorkcellError

Kind = Literal["jog", "calibrate", "reset"]


class ManualRefused(WorkcellError):
    """A manual act that must not be done now, or that did not reach its end; says why and what to do."""


@dataclass(frozen=True)
class ManualValue:
    """One value that an act takes.

    Args:
        name: with its unit in it.
        meaning: what it is.
        low, high: closed range of a number.
        choices: allowed texts; empty for a number.
        default: what holds when it is not given; None when it must be.
    """

    name: str
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    default: float | str | None = None

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        return ", ".join(self.choices) if self.choices else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class ManualAct:
    """One act on one kind of target.

    Args:
        kind: jog, calibrate or reset.
        targets: what it may be done to.
        meaning: one sentence.
        values: what it takes.
        run: `async def run(target, values, instruments, ctx)`; returns what was found and left, JSON-able.
        in_maintenance: whether the module must be in maintenance; a reset belongs to production.
    """

    kind: Kind
    targets: tuple[str, ...]
    meaning: str
    run: Callable[[str, Mapping[str, Any], Any, PhaseContext], Awaitable[Mapping[str, Any]]]
    values: tuple[ManualValue, ...] = ()
    in_maintenance: bool = True

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values with their defaults.

        Raises:
            ManualRefused: every value that is unknown, missing, of the wrong type or out of its range.
        """
        wrong, found = [], {}
        names = [value.name for value in self.values]
        known = ", ".join(names) or "none"
        wrong += [f"{name} is no value of this act; there are: {known}" for name in given if name not in names]
        for value in self.values:
            given_value = given.get(value.name, value.default)
            if given_value is None:
                wrong.append(f"{value.name} ({value.meaning}) is missing; allowed: {value.allowed}")
            elif value.choices:
                if given_value not in value.choices:
                    wrong.append(f"{value.name} is {given_value!r}; allowed: {value.allowed}")
            elif isinstance(given_value, bool) or not isinstance(given_value, int | float):
                wrong.append(f"{value.name} is {given_value!r}; allowed: a number, {value.allowed}")
            elif not value.low <= given_value <= value.high:
                wrong.append(f"{value.name} is {given_value:g}; allowed: {value.allowed}")
            found[value.name] = given_value
        if wrong:
            raise ManualRefused("; ".join(wrong))
        return found

    def as_fields(self) -> dict[str, Any]:
        """Return what it takes as plain values, for those who choose."""
        values = {v.name: {"meaning": v.meaning, "allowed": v.allowed, "default": v.default} for v in self.values}
        return {"act": self.kind, "targets": list(self.targets), "meaning": self.meaning, "values": values}


def find_act(acts: Sequence[ManualAct], kind: str, target: str) -> ManualAct:
    """Return the act on a target; raises ManualRefused with those that there are."""
    for act in acts:
        if act.kind == kind and target in act.targets:
            return act
    known = "; ".join(f"{act.kind} {' | '.join(act.targets)}" for act in acts) or "none"
    raise ManualRefused(f"there is no {kind} of {target!r} here; there are: {known}")


VALID_D = ManualValue("valid_d", "days until the calibration is due", 1.0, 730.0, default=365.0)
