# SPDX-License-Identifier: Apache-2.0
"""Faults of bioreactors and cultures, each with its signature through controller, driver and phase."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise

import pytest

from mimedi_nodes.instruments.bioreactor_map import BioreactorFault
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.models.bacteria import DOUBLING_TIME_H
from mimedi_sim.plant.contaminant import Contaminant, growth_per_h
from mimedi_sim.plant.ledger import INDEX, amounts

from .fault_drill import Drill, drill, standing
from .plant_bench import Bench
from .test_plant_reactor import culture, readings
from .workbench import HEADER, Workbench

VESSEL = "culture_vessel"


def put_culture(bench: Workbench) -> None:
    """A warm culture of day 5 at 1.3e6/mL."""
    millilitres, cells = 900.0, 1.2e9
    bench.plant.ledger.put(VESSEL, amounts(
        volume_ul=1e3 * millilitres, t_act_neg=cells, dead=0.1 * cells, glucose_mmol=10e-3 * millilitres,
        il2_iu=80.0 * millilitres, base_mmol=23.8e-3 * millilitres, medium_ul=1e3 * millilitres,
        activation_cell_h=cells * (6.0 - 120.0),
    ))


def expand(fault: str, wait_for: str = "", hours: float = 24.0, **parameters: float | str) -> Drill:
    """Grow the culture for a day without perfusion; the fault comes after eight hours."""

    return drill("incubator", "ExpandCulture", {"duration_h": hours}, fault, VESSEL, after_s=8 * 3600.0,
                 start_s=6 * 3600.0, prepare=put_culture, wait_for=wait_for, **parameters)


def test_a_sound_culture_alarms_nothing() -> None:
    found = expand("")
    assert found.state == ServiceState.COMPLETED
    assert not found.alarms


@pytest.mark.parametrize(
    ("fault", "alarm", "bit"),
    [
        ("heater_failure", "controller_fault", BioreactorFault.HEATER),
        ("heater_failure", "liquid_temperature_low", None),
        ("heater_stuck", "controller_fault", BioreactorFault.HEATER),
        ("heater_stuck", "liquid_temperature_low", None),
        ("heater_limited", "liquid_temperature_low", None),
        ("temperature_bias", "liquid_temperature_low", None),
        ("door_open", "co2_low", None),
        ("gas_supply_lost", "controller_fault", BioreactorFault.GAS_SUPPLY),
        ("gas_supply_lost", "co2_low", None),
        ("stirrer_stopped", "controller_fault", BioreactorFault.STIRRER),
        ("perfusion_stopped", "controller_fault", BioreactorFault.PERFUSION_BLOCKED),
    ],
)
def test_every_fault_of_a_bioreactor_raises_its_alarm(fault: str, alarm: str, bit: BioreactorFault | None) -> None:
    found = expand(fault, wait_for=f"incubator.{alarm}")
    assert f"incubator.{alarm}" in found.alarms
    if bit is not None:
        text = next(message for name, message, _ in reversed(found.bench.alarms) if name.endswith(alarm) and message)
        assert bit.name is not None
        assert bit.name.replace("_", " ") in text


@pytest.mark.parametrize(("mended", "ends"), [(False, ServiceState.HELD), (True, ServiceState.COMPLETED)])
def test_a_culture_that_ends_with_a_fault_is_held_and_names_it(mended: bool, ends: ServiceState) -> None:
    """What comes after it would take the fault's harm for the cells' weakness; who restarts it goes on with it."""

    async def run() -> tuple[ServiceState, str, str]:
        bench = Workbench(1)
        service = await bench.service("incubator")
        put_culture(bench)
        task = asyncio.ensure_future(service.run("ExpandCulture", {"duration_h": 6.0}, HEADER, "a" * 32))
        await asyncio.sleep(2 * 3600.0)
        bench.plant.inject("stirrer_stopped", VESSEL, {}, True, bench.clock.now_s())
        await asyncio.sleep(2 * 3600.0)
        if mended:
            bench.plant.inject("stirrer_stopped", VESSEL, {}, False, bench.clock.now_s())
        await asyncio.sleep(2 * 3600.0 + 60.0)
        state, words = service.state, service.last_error
        if state == ServiceState.HELD:
            await service.command(ServiceCommand.UNHOLD, "operator", "counted")
        return state, words, (await task).status

    state, words, status = run_virtual(run())
    assert state == ends, words
    assert ("the controller reports STIRRER (for 4.0 h)" in words) is not mended, words
    assert status == "succeeded"


def test_a_chamber_that_stays_cold_names_the_fault_of_its_controller() -> None:
    found = drill("incubator", "ConditionChamber", {"timeout_h": 2.0}, "heater_failure", VESSEL, prepare=put_culture)
    assert found.code == 410
    assert "the controller reports HEATER" in found.words


def test_a_stirrer_that_stands_starves_a_dense_culture_of_oxygen() -> None:
    bench = Bench()
    culture(bench, cells=8e8, age_h=168.0)
    sound = readings(bench)["dissolved_oxygen_fraction"]
    bench.plant.inject("stirrer_stopped", VESSEL, {}, True, bench.now_s)
    breath = []
    for _ in range(12):
        bench.wait(600.0)
        breath.append(bench.plant.truth()["reactors"][VESSEL]["oxygen_saturation"])
    assert breath[0] > 0.35, "what is dissolved is breathed first"
    assert breath == sorted(breath, reverse=True)
    bench.wait(4 * 3600.0)
    assert sound == pytest.approx(0.5, abs=0.06)
    assert readings(bench)["dissolved_oxygen_fraction"] < 0.2
    bench.plant.inject("stirrer_stopped", VESSEL, {}, False, bench.now_s)
    assert bench.plant.truth()["reactors"][VESSEL]["oxygen_saturation"] < 0.2
    bench.wait(2 * 3600.0)
    assert bench.plant.truth()["reactors"][VESSEL]["oxygen_saturation"] == pytest.approx(0.5, abs=0.01)


def test_whoever_mends_a_stuck_heater_resets_the_cut_out() -> None:
    bench = Bench()
    culture(bench)
    bench.plant.inject("heater_stuck", VESSEL, {}, True, bench.now_s)
    bench.wait(2 * 3600.0)
    assert readings(bench)["heater_fraction"] == 0.0
    bench.plant.inject("heater_stuck", VESSEL, {}, False, bench.now_s)
    bench.wait(6 * 3600.0)
    assert readings(bench)["liquid_temperature_c"] == pytest.approx(37.0, abs=0.2)


def test_blocked_perfusion_stands_still() -> None:
    bench = Bench()
    culture(bench)
    bench.set_points("culture_controller", perfusion_ul_min=100.0)
    bench.wait(3600.0)
    bench.plant.inject("perfusion_stopped", VESSEL, {}, True, bench.now_s)
    before = readings(bench)
    bench.wait(36 * 3600.0)
    after = readings(bench)
    assert after["perfused_ul"] == before["perfused_ul"] == pytest.approx(6_000.0, abs=2.0)
    assert after["lactate_mm"] > before["lactate_mm"] + 1.0


def test_perfusion_lost_in_a_power_cut_between_two_looks_is_ordered_again() -> None:
    """The controller comes back warm, with its perfusion off and no fault to tell of."""

    async def run() -> tuple[Workbench, float, float]:
        bench = Workbench(1)
        service = await bench.service("incubator")
        await asyncio.sleep(6 * 3600.0)
        bench.plant.advance_to(bench.clock.now_s())
        put_culture(bench)
        goal = {"target_viable_cells": 1e11, "not_before_h": 0.0, "duration_h": 12.0, "perfusion_vvd": 1.0}
        task = asyncio.ensure_future(service.run("PerfuseCulture", goal, HEADER, "a" * 32))
        await asyncio.sleep(4 * 3600.0 + 300.0)
        bench.plant.inject("power_loss", "culture_controller", {}, True, bench.clock.now_s())
        await asyncio.sleep(600.0)
        bench.plant.inject("power_loss", "culture_controller", {}, False, bench.clock.now_s())
        outcome = await task
        assert outcome.status == "succeeded", outcome.error_msg
        return bench, outcome.result["medium_used_ul"], 0.5 * goal["perfusion_vvd"] * 900e3

    bench, used_ul, ordered_ul = run_virtual(run())
    told = [text for name, text, active in bench.alarms if name == "incubator.perfusion_stopped" and active]
    assert len(told) == 1
    assert "the controller held 0.0 uL/min; it has the rate again" in told[0]
    assert used_ul > 0.9 * ordered_ul, "at most half an hour of twelve went without"
    assert "incubator.controller_fault" not in standing(bench)


def test_an_empty_gas_bottle_shows_in_co2_and_ph() -> None:
    bench = Bench()
    culture(bench)
    before = readings(bench)
    bench.plant.inject("gas_supply_lost", VESSEL, {}, True, bench.now_s)
    bench.wait(3.0 * 3600.0)
    soon = readings(bench)
    bench.wait(24 * 3600.0)
    after = readings(bench)
    assert before["co2_fraction"] == pytest.approx(0.05, abs=0.003)
    assert before["co2_fraction"] > soon["co2_fraction"] > after["co2_fraction"]
    assert after["co2_fraction"] < 0.005
    assert 9.0 > soon["ph"] > before["ph"] + 0.1
    assert math.isnan(after["ph"]), "beyond its range the probe has no reading"


@pytest.mark.parametrize("organism", ["escherichia_coli", "candida_albicans"])
def test_a_contaminated_culture_is_quiet_first_then_sour_and_hungry(organism: str) -> None:
    bench = Bench()
    culture(bench, cells=1e8)
    before = readings(bench)
    bench.plant.inject("contamination", VESSEL, {"organism": organism, "cfu": 10}, True, bench.now_s)
    quiet_h = 14.0 * DOUBLING_TIME_H[organism]
    bench.wait(quiet_h * 3600.0)
    quiet = readings(bench)
    assert quiet["glucose_mm"] == pytest.approx(before["glucose_mm"], rel=0.2)
    assert quiet["viable_cells_per_ml"] > 0.8 * before["viable_cells_per_ml"]
    bench.wait(60.0 * DOUBLING_TIME_H[organism] * 3600.0)
    after = readings(bench)
    assert after["glucose_mm"] < 1.0
    assert after["ph"] < before["ph"] - 0.3
    assert after["viable_cells_per_ml"] < 0.3 * before["viable_cells_per_ml"]


def test_bacteria_do_not_care_who_looks_and_double_as_their_kind_does() -> None:
    def at(steps: list[float]) -> float:
        row = amounts(volume_ul=1e6, cfu=10.0, glucose_mmol=11.0)
        germ = Contaminant(5, "v")
        for start_h, end_h in pairwise(steps):
            row = row + germ.changes(row, start_h, end_h, 37.0)
        return float(row[INDEX["cfu"]])

    assert at([0.0, 6.0]) == pytest.approx(at([0.0, 1.0, 2.5, 4.0, 6.0]), rel=1e-9)
    assert at([0.0, 14.0]) == pytest.approx(at([0.0, 3.0, 11.0, 14.0]), rel=1e-9)
    assert at([0.0, 14.0]) / at([0.0, 12.0]) == pytest.approx(2.0 ** (2.0 / 0.5), rel=0.02)
    assert growth_per_h("candida_albicans", 37.0) == pytest.approx(0.6931 / 2.0, rel=1e-3)
    assert growth_per_h("escherichia_coli", 22.0) < 0.5 * growth_per_h("escherichia_coli", 37.0)


def test_weak_vector_gives_few_car_cells() -> None:
    shares = {}
    for factor in (1.0, 0.1):
        bench = Bench()
        culture(bench, age_h=24.0)
        bench.plant.inject("vector_weak", "vector", {"factor": factor}, True, bench.now_s)
        bench.transfer("vector", VESSEL, 10_000.0)
        bench.wait(18 * 3600.0)
        shares[factor] = bench.plant.truth()["vessels"][VESSEL]["cells"]["car_fraction"]
    assert shares[1.0] > 0.3
    assert shares[0.1] < 0.1
