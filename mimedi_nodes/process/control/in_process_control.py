# SPDX-License-Identifier: Apache-2.0
"""Rules that change feed, harvest and multiplicity of infection within the recipe's limits, each with its reasons.

A rule proposes; what it may not reach it does not propose. A recipe can want a signature for a proposal; a refused one
leaves everything as it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import WorkcellError
from .soft_sensor import Count, Forecast, Limits, Regime, SoftSensor

MOST_LACTATE_MM, LEAST_GLUCOSE_MM = 15.0, 3.0
"""Culture limits: growth falls by a third at 14 mM lactate (PHYSICS §5, K_L 20 mM)."""
FEED_STEPS = 5
HARVEST_RISK = 0.10
"""A harvest now is proposed when waiting for the target raises the risk of failure above this, and it is allowed."""
COPY_DISPERSION = 2.0
COPIES_PER_MOI = 0.115
"""Mean copies per cell and unit of MOI in 18 h of mixed contact (PHYSICS §4: MOI 5 gives 0.57)."""


class ControlError(WorkcellError):
    """A rule was given something it cannot work with; says what."""


@dataclass(frozen=True)
class Proposal:
    """What a rule proposes: a value by name, old and new, and why."""

    name: str
    old: float
    new: float
    reasons: tuple[str, ...]

    @property
    def is_change(self) -> bool:
        """Whether anything would change."""
        return not math.isclose(self.old, self.new, rel_tol=1e-6, abs_tol=1e-9)


def feed(
    sensor: SoftSensor, now_h: float, volume_ml: float, perfusion_vvd: float, allowed: tuple[float, float],
    limits: Limits,
) -> tuple[Proposal, Forecast]:
    """Propose the lowest perfusion whose forecast keeps lactate and glucose within limits at the harvest."""
    low, high = allowed
    if not 0.0 <= low <= high < math.inf:
        raise ControlError(f"perfusion_vvd limits are {low:g} to {high:g}; give 0 <= low <= high")
    steps = [low + (high - low) * i / FEED_STEPS for i in range(FEED_STEPS + 1)]
    day = min(limits.latest_day, now_h / 24.0 + 1.0)
    found: Forecast | None = None
    chosen = high
    for wanted in steps:
        found = sensor.forecast(day, limits, (Regime(now_h, volume_ml, wanted),))
        chosen = wanted
        if found.lactate_mm.median <= MOST_LACTATE_MM and found.glucose_mm.median >= LEAST_GLUCOSE_MM:
            break
    assert found is not None
    reasons = (
        f"at {chosen:.2f} volumes a day lactate is expected at {found.lactate_mm.median:.1f} mM and glucose at "
        f"{found.glucose_mm.median:.1f} mM at the harvest (limits {MOST_LACTATE_MM:g} and {LEAST_GLUCOSE_MM:g})",
        f"limits of the recipe: {low:g} to {high:g}",
    )
    return Proposal("perfusion_vvd", perfusion_vvd, chosen, reasons), found


def harvest(forecast: Forecast, now_h: float, viable_cells: float, limits: Limits) -> Proposal:
    """Propose to harvest now (1) or to go on (0)."""
    day = now_h / 24.0
    band = forecast.harvest_day
    expected = f"the target is expected on day {band.median:.1f} ({band.low:.1f} to {band.high:.1f})"
    if day < limits.not_before_day:
        return Proposal("harvest", 0.0, 0.0, (f"day {day:.1f}, not before day {limits.not_before_day:g}", expected))
    if viable_cells >= limits.target_viable_cells:
        said = f"{viable_cells:.2e} viable cells, {limits.target_viable_cells:.2e} wanted"
        return Proposal("harvest", 0.0, 1.0, (said,))
    if day >= limits.latest_day:
        return Proposal("harvest", 0.0, 1.0, (f"day {day:.1f} is the latest that the recipe allows",))
    if viable_cells >= limits.least_viable_cells and forecast.risk > HARVEST_RISK:
        viability = forecast.viability
        said = f"waiting risks failure with {forecast.risk:.0%}: viability then {viability.median:.2f}"
        return Proposal("harvest", 0.0, 1.0, (said, f"{viable_cells:.2e} cells are enough for a dose"))
    return Proposal("harvest", 0.0, 0.0, (expected, f"risk of waiting {forecast.risk:.0%}"))


def multiplicity(
    wanted_fraction: float, dividing_share: float, moi: float, allowed: tuple[float, float]
) -> Proposal:
    """Propose the MOI that gives the wanted transduced share, by the copy statistics of the vector."""
    low, high = allowed
    if not 0.0 < wanted_fraction < 1.0 or not 0.0 < dividing_share <= 1.0 or not 0.0 < low <= high < math.inf:
        raise ControlError(
            f"wanted_fraction {wanted_fraction}, dividing_share {dividing_share}, limits {low:g} to {high:g}: give "
            "shares between 0 and 1 and 0 < low <= high"
        )
    if not 0.0 < moi < math.inf:
        raise ControlError(f"moi is {moi}; allowed: > 0")
    copies = COPY_DISPERSION * ((1.0 - wanted_fraction) ** (-1.0 / COPY_DISPERSION) - 1.0)
    ideal = copies / (COPIES_PER_MOI * dividing_share)
    chosen = min(high, max(low, ideal))
    reasons = [
        f"{wanted_fraction:.0%} of the cells need {copies:.2f} copies on average; at {dividing_share:.0%} that take "
        f"the vector up this is an MOI of {ideal:.1f}"
    ]
    if chosen != ideal:
        reasons.append(f"held to the recipe's limits, {low:g} to {high:g}")
    return Proposal("moi", moi, chosen, tuple(reasons))


def culture(
    start_cells: float, regimes: Sequence[Mapping[str, float]], counts: Sequence[Mapping[str, float]],
    perfusion_allowed: tuple[float, float], limits: Limits,
) -> tuple[list[Proposal], Forecast]:
    """Propose feed and harvest from the whole history of a culture.

    Args:
        regimes: time_h, volume_ml, perfusion_vvd, from activation on. counts: time_h, viable_cells, relative_sd.
    """
    if not counts:
        raise ControlError("no count yet; a rule needs one at least")
    sensor = SoftSensor(start_cells, [Regime(**regime) for regime in regimes])
    sensor.take([Count(**count) for count in counts])
    now_h, last = float(counts[-1]["time_h"]), regimes[-1]
    proposal, forecast = feed(
        sensor, now_h, float(last["volume_ml"]), float(last["perfusion_vvd"]), perfusion_allowed, limits
    )
    return [proposal, harvest(forecast, now_h, float(counts[-1]["viable_cells"]), limits)], forecast
