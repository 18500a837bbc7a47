# SPDX-License-Identifier: Apache-2.0
"""Which units a recipe claims from which step to which: worked out from the recipe before anything moves.

Two kinds of claims follow from the two kinds of units:

* A staying unit is claimed from the step that names it first to the one that names it last.
* Shared units are claimed together for a *stretch*: steps in a row that are not interrupted by a long step which needs
  none of them (a culture, a wait, a laboratory). All of a stretch's units are taken at once, with the staying ones that
  begin in it.

Why that cannot deadlock: whoever waits holds staying units only, since a stretch that holds shared ones waits for
nothing, so it ends; and staying units are taken in the order of `order`, which `conflict` has found free of cycles over
all batches in production (ordered acquisition; E. Coffman et al., System Deadlocks, ACM Computing Surveys 3, 1971).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..recipes.durations import ExpectedPhase, expected_step_s
from ..recipes.recipe import Recipe
from ..recipes.steps import (
    AwaitResultsStep,
    CallStep,
    IfStep,
    LaboratoryStep,
    LoopStep,
    ParallelStep,
    PhaseStep,
    PromptStep,
    Step,
    WaitStep,
    WaitTimerStep,
    children,
    walk,
)
from .units import Units

LONG_S = 3600.0
"""A step that needs no shared unit and takes this long [s] or longer gives others the chance to use them."""
LABORATORY_PORT = "sample_port"
"""Where the laboratory collects what it was ordered to test."""

Sequence = tuple[Step, ...]


@dataclass(frozen=True)
class Claim:
    """Units that are taken together before a step and given back after another one of the same sequence."""

    opens: str
    closes: str
    units: frozenset[str]


@dataclass(frozen=True)
class ClaimPlan:
    """All claims of a recipe.

    Args:
        order: staying units in the order in which they are taken.
        held_while_taking: pairs (held, taken): the second is waited for while the first is held.
        steps: the steps of all operations in a row, for forecasts.
    """

    claims: tuple[Claim, ...] = ()
    order: tuple[str, ...] = ()
    held_while_taking: frozenset[tuple[str, str]] = frozenset()
    steps: Sequence = ()
    opening: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    closing: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)

    def span(self, unit: str) -> tuple[int, int]:
        """Return the positions among `steps` between which a staying unit is held."""
        places = {step.path: index for index, step in enumerate(self.steps)}
        claim = next(claim for claim in self.claims if unit in claim.units)
        return places[claim.opens], places[claim.closes]


def claim_plan(recipe: Recipe, units: Units, expected_phase_s: ExpectedPhase) -> ClaimPlan:
    """Return the claims of a recipe on the units of a workcell."""
    if not units:
        return ClaimPlan()
    steps = tuple(step for operation in recipe.operations() for step in operation.steps)
    planner = _Planner(units, lambda step: expected_step_s(step, expected_phase_s, ()))
    planner.sequence(steps)
    shared = planner.claims
    staying = list(_staying(steps, units, planner, shared))
    claims = (*staying, *shared)
    order = tuple(next(iter(claim.units)) for claim in staying)
    spans = [(claim, *span) for claim in staying if (span := _span(claim, steps)) is not None]
    pairs = {
        (held_unit, taken_unit)
        for held, held_from, held_to in spans
        for taken, taken_from, _ in spans
        if held_from < taken_from <= held_to
        for held_unit in held.units
        for taken_unit in taken.units
    }
    return ClaimPlan(
        claims, order, frozenset(pairs), steps,
        _by(claims, lambda claim: claim.opens), _by(claims, lambda claim: claim.closes),
    )  # fmt: skip


def conflict(plans: Iterable[ClaimPlan]) -> tuple[str, ...]:
    """Return staying units that these plans take in a circle, each held while the next is waited for; empty: none."""
    after: dict[str, set[str]] = {}
    for plan in plans:
        for held, taken in plan.held_while_taking:
            after.setdefault(held, set()).add(taken)
    done: set[str] = set()

    def circle(unit: str, way: tuple[str, ...]) -> tuple[str, ...]:
        if unit in way:
            return (*way[way.index(unit) :], unit)
        if unit in done:
            return ()
        for following in sorted(after.get(unit, ())):
            if found := circle(following, (*way, unit)):
                return found
        done.add(unit)
        return ()

    for unit in sorted(after):
        if found := circle(unit, ()):
            return found
    return ()


class _Planner:
    """Finds the stretches of shared units."""

    def __init__(self, units: Units, expected_s: Callable[[Step], float]) -> None:
        self._units, self._expected_s = units, expected_s
        self.claims: list[Claim] = []

    def needs(self, step: Step) -> frozenset[str]:
        """Return everything that a step, and what is inside it, works on."""
        found: set[str] = set()
        for inner in walk((step,)):
            vessels: list[str] = []
            if isinstance(inner, PhaseStep):
                found.add(self._units.of_module(inner.module))
                vessels += [value for value in inner.fields.values() if isinstance(value, str)]
            elif isinstance(inner, PromptStep) and inner.identity is not None:
                vessels.append(inner.identity.product)
            elif isinstance(inner, LaboratoryStep):
                vessels.append(LABORATORY_PORT)
            found |= {unit for vessel in vessels if (unit := self._units.of_vessel(vessel)) is not None}
        return frozenset(found)

    def shared(self, step: Step) -> frozenset[str]:
        return frozenset(unit for unit in self.needs(step) if not self._units.stays(unit))

    def sequence(self, steps: Sequence) -> None:
        """Add the stretches of steps in a row."""
        stretch: list[Step] = []
        for step in steps:
            if self._interrupts(step):
                self._add(stretch)
                stretch = []
                for inner in _sequences(step):
                    self.sequence(inner)
            elif self.shared(step):
                stretch.append(step)
        self._add(stretch)

    def _add(self, stretch: list[Step]) -> None:
        if stretch:
            units = frozenset[str]().union(*(self.shared(step) for step in stretch))
            self.claims.append(Claim(stretch[0].path, stretch[-1].path, units))

    def _interrupts(self, step: Step) -> bool:
        """Tell whether others may use the shared units during a step, or during something inside it."""
        if isinstance(step, ParallelStep) and step.until is not None and self.shared(step):
            # A companion ends with its leader: what it holds would be held while its leader waits.
            return False
        inner = children(step)
        if inner:
            return any(self._interrupts(one) for one in inner)
        if self.shared(step):
            return False
        if isinstance(step, AwaitResultsStep | WaitTimerStep):
            return True
        if isinstance(step, WaitStep) and not isinstance(step.hours, int | float):
            return True
        return self._expected_s(step) >= LONG_S


def _sequences(step: Step) -> Iterator[Sequence]:
    if isinstance(step, ParallelStep):
        yield from step.branches.values()
    elif isinstance(step, LoopStep | CallStep):
        yield step.steps
    elif isinstance(step, IfStep):
        yield step.then_steps
        yield step.else_steps


def _staying(steps: Sequence, units: Units, planner: _Planner, shared: list[Claim]) -> Iterator[Claim]:
    """Yield the claims of staying units, in order; one that begins within a stretch is taken with it."""
    named = [planner.needs(step) for step in steps]
    begins: dict[str, int] = {}
    for claim in shared:
        span = _span(claim, steps)
        if span is not None:
            begins.update({steps[index].path: span[0] for index in range(span[0], span[1] + 1)})
    found = []
    for unit in units:
        places = [index for index, needs in enumerate(named) if unit.name in needs]
        if unit.kind == "staying" and places:
            first = begins.get(steps[places[0]].path, places[0])
            found.append((first, places[0], Claim(steps[first].path, steps[places[-1]].path, frozenset({unit.name}))))
    for _, _, claim in sorted(found, key=lambda item: item[:2]):
        yield claim


def _span(claim: Claim, steps: Sequence) -> tuple[int, int] | None:
    places = {step.path: index for index, step in enumerate(steps)}
    if claim.opens not in places or claim.closes not in places:
        return None
    return places[claim.opens], places[claim.closes]


def _by(claims: Iterable[Claim], key: Callable[[Claim], str]) -> dict[str, tuple[Claim, ...]]:
    found: dict[str, tuple[Claim, ...]] = {}
    for claim in claims:
        found[key(claim)] = (*found.get(key(claim), ()), claim)
    return found
