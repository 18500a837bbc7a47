# SPDX-License-Identifier: Apache-2.0
"""The soft sensor and the rules: forecasts better than extrapolation, limits never left, decisions on record."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeModules, run_virtual
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recipe_language import HEAD, World, outcome_of

from mimedi_nodes.process.control.in_process_control import ControlError, culture, harvest, multiplicity
from mimedi_nodes.process.control.soft_sensor import Count, Limits, Regime, SoftSensor, SoftSensorError, extrapolated
from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.recipes.loader import read_recipe

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location("bench_soft_sensor", ROOT / "bench" / "soft_sensor.py")
assert spec is not None
bench = importlib.util.module_from_spec(spec)
sys.modules["bench_soft_sensor"] = bench
assert spec.loader is not None
spec.loader.exec_module(bench)

LIMITS = Limits(4.5e9, 1.0e9, 8.0, 12.0)
REGIMES = (Regime(0.0, 190.0), Regime(48.0, 955.0), Regime(96.0, 955.0, 1.0))


@pytest.mark.parametrize(("law", "factor"), [("tcell", 0.35), ("gompertz", 0.7), ("theta", 0.8)])
def test_the_forecast_is_better_than_extrapolation_also_on_laws_that_the_sensor_does_not_know(
    law: str, factor: float
) -> None:
    found = [bench.one(bench.LAWS[law], law, seed, day) for day in (6.0, 8.0) for seed in range(500, 506)]
    sensor, plain = (float(np.mean([abs(f[key]) for f in found])) for key in ("sensor", "extrapolated"))
    assert sensor < factor * plain
    # Of 12 forecasts with a 95 % band 3 or more miss in 2 of 100 runs; these seeds are fixed.
    assert sum(1.0 - f["covered"] for f in found) <= 2
    if law == "tcell":
        assert sensor < 0.10


def test_a_forecast_narrows_as_counts_come_in_and_is_a_function_of_them() -> None:
    cells = bench.tcell(3)
    counts = [Count(12.0 * i, cells(12.0 * i)) for i in range(2, 17)]
    widths = []
    for number in (5, 10, 15):
        sensor = SoftSensor(bench.START_CELLS, REGIMES)
        sensor.take(counts[:number])
        band = sensor.forecast(10.0, LIMITS).viable_cells
        assert band.low < band.median < band.high
        assert sensor.forecast(10.0, LIMITS).viable_cells == band
        widths.append(band.high / band.low)
    assert widths[0] > widths[1] > widths[2]


def test_a_poor_culture_is_seen_as_a_risk() -> None:
    poor, good = (SoftSensor(2e8, REGIMES) for _ in range(2))
    poor.take([Count(12.0 * i, 1.6e8 * 1.02**i) for i in range(2, 13)])
    good.take([Count(12.0 * i, bench.tcell(3)(12.0 * i)) for i in range(2, 13)])
    assert poor.forecast(12.0, LIMITS).risk > 0.9
    assert good.forecast(12.0, LIMITS).risk < 0.1


@pytest.mark.parametrize("cells", [0.0, -1.0, float("nan"), float("inf")])
def test_what_cannot_be_fitted_is_told(cells: float) -> None:
    with pytest.raises(SoftSensorError):
        SoftSensor(cells, REGIMES)
    with pytest.raises(SoftSensorError):
        SoftSensor(1e8, REGIMES).take([Count(10.0, cells)])
    with pytest.raises(SoftSensorError):
        SoftSensor(1e8, (Regime(5.0, 1.0), Regime(2.0, 1.0)))
    with pytest.raises(SoftSensorError):
        extrapolated([Count(1.0, 1e8)], 5.0)


@pytest.mark.parametrize(
    ("which", "counted", "truly"),
    [(-1, 2.0, 1.0), (-1, 0.5, 1.0), (-1, 0.5, 0.5), (4, 2.0, 1.0), (4, 0.5, 1.0)],
    ids=["last doubled", "last halved", "culture halved", "middle doubled", "middle halved"],
)
def test_a_count_off_by_a_factor_of_two_widens_the_forecast_and_the_truth_stays_inside(
    which: int, counted: float, truly: float
) -> None:
    held = 0
    for seed in range(4):
        cells = bench.tcell(seed)
        noise = np.random.default_rng(seed).normal(0.0, 0.05, 10)
        counts = [Count(12.0 * (i + 2), cells(12.0 * (i + 2)) * float(np.exp(noise[i]))) for i in range(10)]
        good, wrong = (SoftSensor(bench.START_CELLS, REGIMES) for _ in range(2))
        good.take(counts)
        counts[which] = replace(counts[which], viable_cells=counts[which].viable_cells * counted)
        wrong.take(counts)
        plain, band = (sensor.forecast(7.5, LIMITS).viable_cells for sensor in (good, wrong))
        assert 1.3 * plain.high / plain.low < band.high / band.low < 20.0, "wider, and still of use"
        held += band.low <= truly * cells(180.0) <= band.high
    assert held >= 3


def test_a_missing_day_widens_the_forecast() -> None:
    cells = bench.tcell(3)
    counts = [Count(12.0 * i, cells(12.0 * i)) for i in range(2, 13)]
    whole, without = (SoftSensor(bench.START_CELLS, REGIMES) for _ in range(2))
    whole.take(counts)
    without.take(counts[:-2])
    known, unknown = (sensor.forecast(8.0, LIMITS).viable_cells for sensor in (whole, without))
    assert known.high / known.low < unknown.high / unknown.low
    assert unknown.low < cells(192.0) < unknown.high


@pytest.mark.parametrize("nan", [float("nan"), float("inf"), -1.0])
def test_what_is_no_number_is_refused_wherever_it_comes_in(nan: float) -> None:
    good = Count(48.0, 3e8)
    for count in (replace(good, time_h=nan), replace(good, relative_sd=nan)):
        with pytest.raises(SoftSensorError):
            SoftSensor(1e8, REGIMES).take([count])
    for regime in (Regime(nan, 900.0), Regime(0.0, nan), Regime(0.0, 900.0, nan)):
        with pytest.raises(SoftSensorError):
            SoftSensor(1e8, (regime,))
    with pytest.raises(SoftSensorError, match="start_viability"):
        SoftSensor(1e8, REGIMES, nan)
    sensor = SoftSensor(1e8, REGIMES)
    for name in vars(LIMITS):
        with pytest.raises(SoftSensorError, match=name):
            sensor.forecast(8.0, replace(LIMITS, **{name: nan}))
    with pytest.raises(SoftSensorError, match="at_day"):
        sensor.forecast(nan, LIMITS)
    with pytest.raises(SoftSensorError):
        sensor.forecast(8.0, LIMITS, (Regime(100.0, nan),))


@settings(max_examples=12, deadline=None)
@given(
    st.floats(0.0, 3.0), st.floats(0.0, 2.0), st.floats(0.05, 0.9), st.floats(0.05, 1.0), st.floats(0.5, 10.0),
    st.floats(0.1, 10.0),
)  # fmt: skip
def test_no_rule_leaves_its_limits(
    low: float, wide: float, wanted: float, share: float, first: float, more: float
) -> None:
    proposal = multiplicity(wanted, share, 5.0, (first, first + more))
    assert first <= proposal.new <= first + more
    assert proposal.reasons
    counts = [{"time_h": 24.0 * d, "viable_cells": 2e8 * 1.6 ** (d - 1), "relative_sd": 0.05} for d in (1, 3, 5)]
    proposals, _ = culture(
        2e8, [{"time_h": 0.0, "volume_ml": 900.0, "perfusion_vvd": 1.0}], counts, (low, low + wide), LIMITS
    )
    assert low <= proposals[0].new <= low + wide + 1e-9
    assert all(p.reasons for p in proposals)


def test_the_harvest_rule_keeps_to_the_recipes_days() -> None:
    sensor = SoftSensor(2e8, REGIMES)
    sensor.take([Count(12.0 * i, bench.tcell(3)(12.0 * i)) for i in range(2, 13)])
    forecast = sensor.forecast(10.0, LIMITS)
    assert harvest(forecast, 7.0 * 24.0, 9e9, LIMITS).new == 0.0
    assert harvest(forecast, 8.1 * 24.0, 5e9, LIMITS).new == 1.0
    assert harvest(forecast, 9.0 * 24.0, 2e9, LIMITS).new == 0.0
    assert harvest(forecast, 12.0 * 24.0, 2e9, LIMITS).new == 1.0
    for wrong in ((1.0, 5.0, 2.0), (0.5, float("nan"), 2.0), (0.5, 5.0, float("inf"))):
        with pytest.raises(ControlError):
            multiplicity(wrong[0], 0.5, wrong[1], (1.0, wrong[2]))
    with pytest.raises(ControlError):
        culture(2e8, [{"time_h": 0.0, "volume_ml": 900.0, "perfusion_vvd": 1.0}], [], (0.5, 2.0), LIMITS)


# -- in a recipe ----------------------------------------------------------------------------------------

PLAN = """\
          - id: days
            repeat:
              - id: look
                do: incubator/perfuse_culture
                with: {perfusion_vvd: 1.0, target_viable_cells: 1.0e+11, not_before_h: 0, duration_h: 24}
                resume: auto
                max_outage_h: 4
              - id: plan
                control: culture
                with: {start_cells: 2.0e+8, start_h: 0, hours: "${batch.elapsed_h}",
                       viable_cells: "${look.viable_cells}", volume_ul: 900000, perfusion_vvd: 1.0}
                limits: {perfusion_vvd: [0.5, 2.0], target_viable_cells: 2.0e+9, least_viable_cells: 1.0e+9,
                         not_before_day: 3, latest_day: 6}
                sign: SIGN
            until: "plan.harvest > 0"
            max: 9
"""
TEXT = HEAD[: HEAD.index("sampling:")] + HEAD[HEAD.index("procedure:") :]


def growing() -> Any:
    count = iter(range(1, 99))
    return FakeModules(
        {"PerfuseCulture": 86400.0}, {"PerfuseCulture": lambda goal: {"viable_cells": 2e8 * 1.9 ** next(count)}}
    )


def planned(sign: bool, answer: str = "accept") -> World:
    recipe = read_recipe(TEXT + PLAN.replace("SIGN", str(sign).lower()), "r.yaml")
    world = World(answer=lambda question: answer)
    world.modules = growing()
    outcome, world = outcome_of(recipe, world)
    assert outcome.state == "completed", outcome.reason
    return world


def test_a_rule_decides_each_day_and_every_decision_has_its_reasons() -> None:
    world = planned(False)
    decisions = world.kinds("control_decision")
    assert len(world.modules.started("PerfuseCulture")) == len(decisions) // 2 == 4
    assert all(event[2] and "given" in event[3] for event in decisions)
    assert [e[3]["new"] for e in decisions if e[1].endswith("harvest")] == [0.0, 0.0, 0.0, 1.0]
    assert not world.operator.asked


def test_a_proposal_can_want_a_signature_and_a_refused_one_changes_nothing() -> None:
    world = planned(True)
    assert "Accept the proposal?" in world.operator.asked[0].question
    assert any(event[3]["old"] != event[3]["new"] for event in world.kinds("control_decision"))
    recipe = read_recipe(TEXT + PLAN.replace("SIGN", "true"), "r.yaml")
    world = World(answer=lambda question: "keep")
    world.modules = growing()
    outcome, world = outcome_of(recipe, world)
    assert outcome.state == "held", "the harvest was refused nine times"
    assert all(event[3]["old"] == event[3]["new"] for event in world.kinds("control_decision"))
    assert any(event[3]["proposed"] != event[3]["new"] for event in world.kinds("control_decision"))


def test_a_crash_between_decisions_decides_nothing_again(tmp_path: Path) -> None:
    recipe = read_recipe(TEXT + PLAN.replace("SIGN", "false"), "r.yaml")

    async def main() -> World:
        world = World(tmp_path / "j.db")
        world.modules = growing()
        for wait_s in (100_000.0, 90_000.0, None):
            engine = asyncio.ensure_future(world.engine(recipe).run())
            if wait_s is None:
                assert (await engine).state == "completed"
            else:
                await asyncio.sleep(wait_s)
                engine.cancel()
                await asyncio.gather(engine, return_exceptions=True)
        return world

    world = run_virtual(main())
    keys = [event[3]["event_key"] for event in world.kinds("control_decision")]
    assert len(keys) == len(set(keys)) == 8


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("control: culture", "control: weather", "not one of the allowed values"),
        ("start_h: 0, ", "", "rule culture is given with"),
        ("not_before_day: 3, ", "", "rule culture is given limits"),
        ("perfusion_vvd: [0.5, 2.0]", "perfusion_vvd: [2.0, 0.5]", "not a range"),
        ("perfusion_vvd: [0.5, 2.0]", "perfusion_vvd: 1", "not a list"),
        ("volume_ul: 900000", "volume_ul: much", "not what the rule is given"),
        ("plan.harvest", "plan.harvst", "nothing before this step"),
    ],
)
def test_mistakes_at_a_rule_are_told(old: str, new: str, words: str) -> None:
    text = TEXT + PLAN.replace("SIGN", "false")
    assert old in text
    with pytest.raises(DiagnosticError) as caught:
        read_recipe(text.replace(old, new, 1), "r.yaml")
    assert words in str(caught.value)
