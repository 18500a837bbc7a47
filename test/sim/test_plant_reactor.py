# SPDX-License-Identifier: Apache-2.0
"""Bioreactors: heat, gas, biology and what their controllers report."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadInputRegistersRequest

from mimedi_nodes.instruments.bioreactor_map import IN_COUNT, READINGS
from mimedi_nodes.instruments.wire.registers import decode
from mimedi_sim.plant.ledger import amounts

from .plant_bench import Bench


def readings(bench: Bench, line: str = "culture_controller") -> dict[str, float]:
    request = ReadInputRegistersRequest(address=0, count=IN_COUNT, dev_id=1)
    answer = bench.plant.receive(line, FramerRTU(DecodePDU(False)).buildFrame(request), bench.now_s)
    words = np.frombuffer(answer[3:-2], dtype=">u2").tolist()
    return decode(READINGS, words)


def culture(bench: Bench, cells: float = 2e8, volume_ul: float = 200_000.0, age_h: float = 72.0) -> None:
    """Put an activated culture into the warm culture vessel (a shortcut of the tests: from outside)."""
    bench.wait(4 * 3600.0)
    ml = volume_ul * 1e-3
    bench.plant.ledger.put("culture_vessel", amounts(
        volume_ul=volume_ul, t_act_neg=cells, dead=0.1 * cells, glucose_mmol=11e-3 * ml, il2_iu=100.0 * ml,
        base_mmol=23.8e-3 * ml, medium_ul=volume_ul, activation_cell_h=cells * (bench.now_s / 3600.0 - age_h),
    ))
    bench.transfer("medium", "culture_vessel", 1_000.0)


def test_an_empty_warm_reactor_reports_its_temperatures_and_no_cells() -> None:
    bench = Bench()
    bench.wait(5 * 3600.0)
    seen = readings(bench)
    assert seen["liquid_temperature_c"] == pytest.approx(37.0, abs=0.15)
    assert seen["air_temperature_c"] == pytest.approx(37.0, abs=0.15)
    assert seen["co2_fraction"] == pytest.approx(0.05, abs=0.003)
    assert seen["weight_g"] == pytest.approx(0.0, abs=1.0)
    for name in ("viable_cells_per_ml", "glucose_mm", "lactate_mm", "ph"):
        assert math.isnan(seen[name]), name


def test_cold_medium_warms_as_what_is_there_does() -> None:
    """Liquid of 22 degC from the bag; it comes to 37 degC at the rate of its own capacity, not of a full vessel's."""
    warmed = {}
    for volume_ul in (50_000.0, 400_000.0):
        bench = Bench()
        bench.wait(5 * 3600.0)
        bench.transfer("medium", "activation_vessel", volume_ul, flow_ul_min=60_000.0)
        cold = bench.plant.truth()["reactors"]["activation_vessel"]["liquid_c"]
        assert 22.0 < cold < 31.0
        bench.wait(1200.0)
        warmed[volume_ul] = bench.plant.truth()["reactors"]["activation_vessel"]["liquid_c"]
        bench.wait(4 * 3600.0)
        assert bench.plant.truth()["reactors"]["activation_vessel"]["liquid_c"] == pytest.approx(37.0, abs=0.05)
    assert warmed[50_000.0] > 36.5
    assert warmed[400_000.0] < 35.6


def test_a_little_cold_liquid_is_warmed_too() -> None:
    bench = Bench()
    culture(bench, volume_ul=900_000.0)
    bench.wait(6 * 3600.0)
    warm = bench.plant.truth()["reactors"]["culture_vessel"]["liquid_c"]
    bench.transfer("medium", "culture_vessel", 5_000.0)
    cooled = bench.plant.truth()["reactors"]["culture_vessel"]["liquid_c"]
    assert warm - cooled == pytest.approx(5.0 / 915.0 * 15.0, rel=0.1)
    bench.wait(3 * 3600.0)
    assert bench.plant.truth()["reactors"]["culture_vessel"]["liquid_c"] == pytest.approx(warm, abs=0.006)


def test_the_probes_follow_the_truth_within_their_noise() -> None:
    seen, true = [], []
    for seed in range(8):
        bench = Bench(seed)
        culture(bench)
        bench.wait(24 * 3600.0)
        seen.append(readings(bench))
        true.append(bench.plant.truth()["reactors"]["culture_vessel"])
    ratio = np.array([s["viable_cells_per_ml"] / t["viable_per_ml"] for s, t in zip(seen, true, strict=True)])
    assert 0.01 < ratio.std() < 0.08  # calibrated once a run: 3 % and 2 % noise
    assert abs(ratio.mean() - 1.0) < 0.04
    for s, t in zip(seen, true, strict=True):
        assert s["glucose_mm"] == pytest.approx(t["glucose_mm"], rel=0.12)
        assert s["ph"] == pytest.approx(t["ph"], abs=0.12)
        assert s["weight_g"] == pytest.approx(t["volume_ul"] * 1.005e-3, abs=1.0)


def test_perfusion_feeds_counts_and_keeps_the_cells() -> None:
    bench = Bench()
    culture(bench, cells=5e8)
    medium = bench.volume_ul("medium")
    before = bench.plant.truth()["vessels"]["culture_vessel"]
    bench.set_points("culture_controller", perfusion_ul_min=140.0)
    bench.wait(24 * 3600.0 + 1234.5)
    spent = 140.0 * (24 * 60.0 + 1234.5 / 60.0)
    assert medium - bench.volume_ul("medium") == pytest.approx(spent, rel=1e-6)
    assert readings(bench)["perfused_ul"] == pytest.approx(spent, abs=1.0)
    after = bench.plant.truth()["vessels"]["culture_vessel"]
    assert after["cells"]["viable_cells"] > 1.5 * before["cells"]["viable_cells"]
    waste = bench.amounts("waste")
    assert waste["lactate_mmol"] > 0.0
    assert waste["t_act_neg"] == 0.0


def test_a_day_without_any_command_keeps_the_liquid_at_37_degrees() -> None:
    bench = Bench()
    culture(bench)
    bench.wait(6 * 3600.0)
    for _ in range(24):
        bench.wait(3600.0)
        assert bench.plant.truth()["reactors"]["culture_vessel"]["liquid_c"] == pytest.approx(37.0, abs=0.5)


@pytest.mark.parametrize(("hours", "kept"), [(8.0, 0.80), (24.0, 0.44)])
def test_a_culture_without_heat_dies_as_the_process_says(hours: float, kept: float) -> None:
    bench = Bench()
    culture(bench, age_h=120.0)
    bench.wait(6 * 3600.0)
    before = bench.plant.truth()["vessels"]["culture_vessel"]["cells"]["viable_cells"]
    bench.plant.inject("heater_failure", "culture_vessel", {}, True, bench.now_s)
    bench.wait(hours * 3600.0)
    after = bench.plant.truth()["vessels"]["culture_vessel"]["cells"]["viable_cells"]
    assert after / before == pytest.approx(kept, abs=0.12)


def test_a_still_layer_of_3_mm_takes_up_a_fifth_of_the_vector_that_a_mixed_one_does() -> None:
    copies = {}
    for rpm in (0.0, 60.0):
        bench = Bench()
        culture(bench, age_h=24.0)
        bench.transfer("medium", "culture_vessel", 190_000.0 - bench.volume_ul("culture_vessel"))
        bench.set_points("culture_controller", rpm=rpm)
        bench.transfer("vector", "culture_vessel", 1_000.0)
        bench.wait(18 * 3600.0)
        copies[rpm] = bench.amounts("culture_vessel")["copies"]
    assert copies[0.0] / copies[60.0] == pytest.approx(0.2, abs=0.04)


def test_in_a_layer_of_150_um_diffusion_has_brought_the_vector_after_two_hours() -> None:
    copies = {}
    for rpm in (0.0, 60.0):
        bench = Bench()
        culture(bench, age_h=24.0)
        bench.transfer("culture_vessel", "waste", bench.volume_ul("culture_vessel") - 8_500.0)
        bench.set_points("culture_controller", rpm=rpm)
        bench.transfer("vector", "culture_vessel", 1_000.0)
        bench.wait(2 * 3600.0)
        copies[rpm] = bench.amounts("culture_vessel")["copies"]
    assert copies[0.0] / copies[60.0] == pytest.approx(0.98, abs=0.03)


@pytest.mark.parametrize(
    ("fault", "parameters", "reading", "low", "high"),
    [
        ("gas_supply_lost", {}, "co2_fraction", 0.0, 0.02),
        ("stirrer_stopped", {}, "stirring_rpm", 0.0, 0.0),
        ("door_open", {}, "co2_fraction", 0.0, 0.045),
        ("temperature_bias", {"offset_k": 2.0}, "liquid_temperature_c", 34.5, 35.5),
        ("heater_stuck", {"power_w": 60.0}, "air_temperature_c", 37.3, 39.5),
    ],
)
def test_every_fault_shows_its_signature(
    fault: str, parameters: dict[str, float], reading: str, low: float, high: float
) -> None:
    bench = Bench()
    culture(bench)
    bench.plant.inject(fault, "culture_vessel", parameters, True, bench.now_s)
    if fault == "heater_stuck":
        bench.wait(1200.0)
    else:
        bench.wait(8 * 3600.0)
    assert low <= readings(bench)[reading] <= high
    bench.plant.inject(fault, "culture_vessel", {}, False, bench.now_s)
    assert bench.plant.truth()["faults"] == []


def test_a_medium_beyond_the_range_of_the_ph_probe_has_no_reading() -> None:
    """Without CO2 bicarbonate medium goes to pH 9.4: the probe tells nothing, as NaN, and nothing refuses it."""
    bench = Bench()
    culture(bench)
    assert 7.0 < readings(bench)["ph"] < 7.6
    bench.plant.inject("gas_supply_lost", "culture_vessel", {}, True, bench.now_s)
    bench.wait(48 * 3600.0)
    assert bench.plant.truth()["reactors"]["culture_vessel"]["ph"] > 9.0
    assert math.isnan(readings(bench)["ph"])
