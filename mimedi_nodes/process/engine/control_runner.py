# SPDX-License-Identifier: Apache-2.0
"""Runs a rule of in-process control as a step: history and decision in the journal, reasons on record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..control import in_process_control as rules
from ..control.in_process_control import ControlError, Proposal
from ..control.soft_sensor import Limits
from ..recipes.steps import ControlStep
from .run_context import RunContext


async def control(step: ControlStep, key: str, context: RunContext) -> Mapping[str, Any]:
    """Return what the rule gives, decided once; a proposal that wants a signature is put to the operator first."""
    entry = context.journal.entry(key)
    if entry is None:

        def decided() -> dict[str, Any]:
            given = {name: _number(context.render(value), name) for name, value in step.fields.items()}
            limits = {name: context.render(value) for name, value in step.limits.items()}
            return _decide(step, given, limits, context)

        intent = await context.until_known(decided, key)
        entry = context.journal.begin(key, "control", intent, context.clock.now_s())
    intent = dict(entry.intent)
    if not entry.has_ended:
        result = dict(intent["result"])
        changes = [Proposal(**{**p, "reasons": tuple(p["reasons"])}) for p in intent["proposals"]]
        wanted = [p for p in changes if p.is_change]
        if step.sign and wanted:
            said = "; ".join(f"{p.name} {p.old:g} → {p.new:g}: {', '.join(p.reasons)}" for p in wanted)
            answer = await context.ask(f"{key}:sign", f"Accept the proposal? {said}", ("accept", "keep"))
            if answer.answer == "keep":
                result |= {p.name: p.old for p in wanted}
        if step.rule == "culture":
            _remember(step, intent, result, context)
        entry = context.journal.end(key, "succeeded", result, context.clock.now_s())
    for proposal in intent["proposals"]:
        name = proposal["name"]
        context.record_once(
            f"{key}:{name}",
            "control_decision",
            f"{key}: {name}",
            "; ".join(proposal["reasons"]),
            phase_id=key,
            rule=step.rule,
            old=proposal["old"],
            proposed=proposal["new"],
            new=entry.result[name],
            given=intent["given"],
            forecast=intent["forecast"],
            signed=step.sign,
        )
    found: Mapping[str, Any] = entry.result
    return found


def _decide(
    step: ControlStep, given: dict[str, float], limits: Mapping[str, Any], context: RunContext
) -> dict[str, Any]:
    if step.rule == "moi":
        proposal = rules.multiplicity(
            given["wanted_fraction"], given["dividing_share"], given["moi"], _range(limits["moi"], "moi")
        )
        return _intent(given, [proposal], {"moi": proposal.new}, {})
    kept = context.journal.get(f"control:{step.path}", {"counts": [], "regimes": []})
    now_h = given["hours"]
    volume_ml = given["volume_ul"] / 1000.0
    # Before the first look the culture was kept in this volume, as far as this rule knows.
    regimes = kept["regimes"] or [
        {"time_h": given["start_h"], "volume_ml": volume_ml, "perfusion_vvd": given["perfusion_vvd"]}
    ]
    counts = [*kept["counts"], {"time_h": now_h, "viable_cells": given["viable_cells"], "relative_sd": 0.05}]
    allowed = Limits(*(
        _number(limits[name], name)
        for name in ("target_viable_cells", "least_viable_cells", "not_before_day", "latest_day")
    ))  # fmt: skip
    perfusion = _range(limits["perfusion_vvd"], "perfusion_vvd")
    proposals, forecast = rules.culture(given["start_cells"], regimes, counts, perfusion, allowed)
    result = {
        "perfusion_vvd": proposals[0].new,
        "harvest": proposals[1].new,
        "forecast_cells": forecast.viable_cells.median,
        "forecast_low": forecast.viable_cells.low,
        "forecast_high": forecast.viable_cells.high,
        "harvest_day": forecast.harvest_day.median,
        "risk": forecast.risk,
    }
    told = {
        "at_day": forecast.at_day,
        "harvest_day": vars(forecast.harvest_day),
        "viability": vars(forecast.viability),
        "lactate_mm": vars(forecast.lactate_mm),
        "glucose_mm": vars(forecast.glucose_mm),
        "parameters": forecast.parameters,
    }
    return {**_intent(given, proposals, result, told), "counts": counts, "regimes": regimes}


def _remember(step: ControlStep, intent: Mapping[str, Any], result: Mapping[str, Any], context: RunContext) -> None:
    given = intent["given"]
    regime = {
        "time_h": given["hours"],
        "volume_ml": given["volume_ul"] / 1000.0,
        "perfusion_vvd": result["perfusion_vvd"],
    }
    regimes = [r for r in intent["regimes"] if r["time_h"] < regime["time_h"]]
    context.journal.set(f"control:{step.path}", {"counts": intent["counts"], "regimes": [*regimes, regime]})


def _intent(
    given: Mapping[str, float], proposals: list[Proposal], result: Mapping[str, float], told: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "given": dict(given),
        "proposals": [{**vars(p), "reasons": list(p.reasons)} for p in proposals],
        "result": dict(result),
        "forecast": dict(told),
    }


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ControlError(f"{name} is {value!r}, not a number")
    return float(value)


def _range(value: Any, name: str) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ControlError(f"limits of {name} are {value!r}; give [low, high]")
    return _number(value[0], name), _number(value[1], name)
