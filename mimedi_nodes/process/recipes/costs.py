# SPDX-License-Identifier: Apache-2.0
"""What a dose costs and how long people touch it, from what a batch used and the figures of `config/costs.yaml`.

A batch that fails costs as much as one that does not, so that the cost of a dose is the mean cost of a batch over the
share of batches that meet their specification. Every planning figure varies by its spread (lognormal, independent of
the others), which is what the spread of the estimate is made of, together with that of the batches.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from ...records.yaml_text import load
from ..errors import WorkcellError

GROUPS = ("supplies", "kit and logistics", "vector", "labour", "tests", "room and machine", "quality")
_DRAWS = 2000


class CostError(WorkcellError):
    """The file of costs cannot be used; says where."""


@dataclass(frozen=True)
class Usage:
    """What one batch used and asked for.

    Args:
        duration_d: process days in the workcell.
        meets: whether the batch met its specification, provisionally at least.
        used_ul: supply vessel → what was taken from it [uL].
        tests: laboratory test → results.
        touches: kind of `touch_min` → how often.
    """

    duration_d: float
    meets: bool
    used_ul: Mapping[str, float]
    tests: Mapping[str, int]
    touches: Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """A figure over batches and planning figures: median and the ends of its 95 % range."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """Cost per dose [currency], touch time [h], and what they are made of."""

    currency: str
    cost: Spread
    touch_h: Spread
    groups: Mapping[str, float]
    sensitivity: Mapping[str, tuple[float, float]]
    """Cost per dose when one group alone is 30 % lower or higher."""
    baseline: float
    target: float
    manual_touch_h: float
    success: float


def read_costs(path: Path) -> Mapping[str, Any]:
    """Return the figures; raises CostError naming what is missing or no number."""
    try:
        content = load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError) as error:
        raise CostError(f"{path}: {error}") from error
    wanted = ("supplies", "fixed", "labour", "touch_min", "tests", "facility", "machine", "quality")
    known = content if isinstance(content, Mapping) else {}
    missing = [name for name in (*wanted, "baseline", "target") if name not in known]
    if missing:
        raise CostError(f"{path}: {', '.join(missing)} missing")
    for place, value in _numbers(known, ""):
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
            raise CostError(f"{path}: {place} is {value!r}; give a number >= 0")
    return dict(known)


def _numbers(item: Any, place: str) -> list[tuple[str, Any]]:
    if isinstance(item, Mapping):
        return [
            found
            for key, value in item.items()
            if key not in ("title", "currency")
            for found in _numbers(value, f"{place}.{key}".lstrip("."))
        ]
    return [(place, item)]


def touch_h(costs: Mapping[str, Any], usage: Usage, factor: Mapping[str, float] | None = None) -> float:
    """Return the hours that people touch a batch."""
    factors = factor or {}
    minutes = 0.0
    for name, item in costs["touch_min"].items():
        minutes += float(item["amount"]) * usage.touches.get(name, 0.0) * factors.get(f"touch.{name}", 1.0)
    return minutes / 60.0


def batch_cost(costs: Mapping[str, Any], usage: Usage, factor: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the cost of one batch by group."""
    f = factor or {}
    groups = dict.fromkeys(GROUPS, 0.0)
    for name, item in costs["supplies"].items():
        amount = float(item["per_ml"]) * usage.used_ul.get(name, 0.0) / 1000.0 * f.get(f"supplies.{name}", 1.0)
        groups["vector" if name == "vector" else "supplies"] += amount
    for name, item in costs["fixed"].items():
        groups["kit and logistics"] += float(item["amount"]) * f.get(f"fixed.{name}", 1.0)
    groups["labour"] = touch_h(costs, usage, f) * float(costs["labour"]["per_h"]) * f.get("labour", 1.0)
    prices = costs["tests"]
    for test, count in usage.tests.items():
        groups["tests"] += float(prices.get(test, prices.get("other", 0.0))) * count * f.get("tests", 1.0)
    for name in ("facility", "machine"):
        amount = float(costs[name]["amount_per_day"]) * usage.duration_d * f.get(name, 1.0)
        groups["room and machine"] += amount
    groups["quality"] = sum(groups.values()) * float(costs["quality"]["share"]) * f.get("quality", 1.0)
    return groups


def estimate(costs: Mapping[str, Any], batches: Sequence[Usage], seed: int = 1) -> Estimate:
    """Return the cost of a dose over batches; raises CostError without one that meets its specification."""
    success = sum(batch.meets for batch in batches) / len(batches) if batches else 0.0
    if success <= 0.0:
        raise CostError("no simulated batch meets its specification: a dose has no cost; see the batches' causes")
    draw = random.Random(seed)
    spreads = _spreads(costs)
    totals, touched = [], []
    for _ in range(_DRAWS):
        batch = draw.choice(batches)
        factor = {name: _lognormal(draw, spread) for name, spread in spreads.items()}
        totals.append(sum(batch_cost(costs, batch, factor).values()) / success)
        touched.append(touch_h(costs, batch, factor))
    groups = {
        group: sum(batch_cost(costs, batch)[group] for batch in batches) / len(batches) / success for group in GROUPS
    }
    total = sum(groups.values())
    return Estimate(
        str(costs.get("currency", "")),
        _spread(totals),
        _spread(touched),
        groups,
        {group: (total - 0.3 * part, total + 0.3 * part) for group, part in groups.items()},
        float(costs["baseline"]),
        float(costs["target"]),
        float(costs.get("manual_touch_h", math.nan)),
        success,
    )


def largest_figures(
    costs: Mapping[str, Any], batches: Sequence[Usage], success: float, number: int = 3
) -> list[tuple[str, float, float]]:
    """Return the planning figures that weigh most: place in the file, cost of a dose with it 30 % lower and higher."""
    found = []
    for name in _spreads(costs):
        low, high = (
            sum(sum(batch_cost(costs, batch, {name: factor}).values()) for batch in batches) / len(batches) / success
            for factor in (0.7, 1.3)
        )
        found.append((name.replace("touch.", "touch_min."), low, high))
    return sorted(found, key=lambda figure: figure[1] - figure[2])[:number]


def _spreads(costs: Mapping[str, Any]) -> dict[str, float]:
    found = {"tests": float(costs.get("test_spread", 0.0))}
    for group, name in (("supplies", "supplies"), ("fixed", "fixed"), ("touch_min", "touch")):
        for key, item in costs[group].items():
            found[f"{name}.{key}"] = float(item.get("spread", 0.0))
    for name in ("labour", "facility", "machine", "quality"):
        found[name] = float(costs[name].get("spread", 0.0))
    return found


def _lognormal(draw: random.Random, spread: float) -> float:
    sigma = math.sqrt(math.log1p(spread * spread))
    return draw.lognormvariate(-0.5 * sigma * sigma, sigma)


def _spread(values: list[float]) -> Spread:
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Spread(at(0.5), at(0.025), at(0.975))
