# SPDX-License-Identifier: Apache-2.0
"""The contamination watch on the plant's screening station, through driver and firmware."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from mimedi_nodes.instruments.wire.link import InstrumentRefused
from mimedi_nodes.instruments.wire.photon_frames import Filter
from mimedi_nodes.modules.contamination_watch import MODULE
from mimedi_nodes.modules.contamination_watch.assay import (
    PER_CFU_PER_S,
    SOMATIC_CFU_PER_CELL,
    Background,
    Rate,
    kit_background,
    null_rate,
)
from mimedi_nodes.modules.contamination_watch.codes import WatchCode
from mimedi_nodes.modules.contamination_watch.instruments import build
from mimedi_nodes.modules.contamination_watch.memory import MemoryUnreadable, WatchMemory
from mimedi_nodes.modules.contamination_watch.organisms import Finding, doubling_time_h, hint
from mimedi_nodes.modules.contamination_watch.sequential import Cusum, ScreeningTest
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState
from mimedi_sim.firmware.photon_counter import PhotonCounterFirmware
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.models.photon import counts_per_s_per_cfu, somatic_cfu_equivalents
from mimedi_sim.models.sequential_tests import Sprt
from mimedi_sim.plant.photon_counter import SOMATIC_REMOVAL_LOGS, ScreeningStation

from .module_bench import ModuleBench

CULTURE_PER_ML = 1.0e6
GOAL = {"sample_id": "S1", "volume_ul": 1000.0, "somatic_cells_per_ml": CULTURE_PER_ML}


async def ready(seed: int = 1, *, calibrated: bool = True) -> tuple[ModuleBench, ScreeningStation]:
    bench = ModuleBench(MODULE)
    station = ScreeningStation(seed, bench.clock.now_s())
    link = bench.link("photon_counter", PhotonCounterFirmware(station))
    await bench.start(build(None, {"photon_counter": link}, {}))  # type: ignore[arg-type]
    if calibrated:
        outcome = await bench.run("CalibrateBackground")
        assert outcome.status == "succeeded", outcome.error_msg
    return bench, station


def test_the_assay_is_the_plants():
    assert counts_per_s_per_cfu() == pytest.approx(PER_CFU_PER_S, rel=1e-4)
    assert somatic_cfu_equivalents(1.0, SOMATIC_REMOVAL_LOGS) == pytest.approx(SOMATIC_CFU_PER_CELL)


def test_the_threshold_lies_four_standard_uncertainties_above_the_background():
    """PROCESS.md step 12: about 24 CFU an aliquot where the kit's blank alone is uncertain."""
    null = null_rate(kit_background(Rate(200.0, 2.0)), 0.0)
    test = ScreeningTest(null, 1e-3)
    assert test.threshold_cfu * PER_CFU_PER_S * 1.02 == pytest.approx(
        max(4.0 * null.sd_per_s, 3.0 * null.sd_per_s + 5.0 * PER_CFU_PER_S), rel=0.05
    )
    assert 15.0 < test.threshold_cfu < 30.0
    crowded = ScreeningTest(null_rate(kit_background(Rate(200.0, 2.0)), 5.0e6), 1e-3)
    assert crowded.threshold_cfu >= 4.0 * crowded.null.sd_per_s / (PER_CFU_PER_S * 1.02) * 0.99


def test_evidence_and_bounds_are_those_of_an_independent_sprt():
    test = ScreeningTest(Rate(600.0, 8.0), 2e-3)
    other = Sprt(test.rate0, test.rate1, 1e-3, 0.01)
    assert (test.upper, test.lower) == pytest.approx((other.upper, other.lower))
    assert test.evidence(650.0, 1.0) * 1.04 == pytest.approx(other.evidence(650.0))
    assert test.mean_time_s(contaminated=True) == pytest.approx(1.04 * other.wald_run_length(1))


@pytest.mark.parametrize("cells", [-1.0, math.nan, math.inf])
def test_an_unknown_number_of_cells_gives_no_background(cells):
    with pytest.raises(ValueError, match="allowed are numbers"):
        null_rate(Background(Rate(200.0, 1.0), Rate(200.0, 1.0)), cells)


def test_a_calibration_finds_blank_and_dark():
    async def run():
        bench, station = await ready(calibrated=False)
        outcome = await bench.run("CalibrateBackground")
        assert outcome.result["dark_per_s"] == pytest.approx(204.0, abs=5.0)
        assert outcome.result["background_per_s"] == pytest.approx(1.02 * station.light_per_s(), abs=5.0)
        assert bench.service.state == ServiceState.COMPLETED

    run_virtual(run())


def test_calibrations_cover_the_truth_as_often_as_they_say():
    async def one(seed):
        bench, station = await ready(seed, calibrated=False)
        await bench.run("CalibrateBackground", duration_s=200.0)
        (low, high) = next(
            (data["low"], data["high"]) for kind, what, data in bench.events
            if kind == "measurement" and what == "background_per_s"
        )
        return low <= 1.02 * station.light_per_s() <= high

    async def run():
        return [await one(seed) for seed in range(60)]

    covered = sum(run_virtual(run()))
    assert covered >= 51  # 57 expected; fewer than 51 come once in 200


def test_a_clear_and_a_contaminated_aliquot():
    async def run():
        bench, station = await ready()
        station.load(bench.clock.now_s(), 0.0, CULTURE_PER_ML)
        clear = await bench.run("ScreenSample", **GOAL)
        assert clear.result["outcome"] == "clear"
        assert clear.result["evidence"] < -4.0
        assert not bench.standing
        station.load(bench.clock.now_s(), 400.0, CULTURE_PER_ML)
        suspect = await bench.run("ScreenSample", **GOAL)
        assert suspect.result["outcome"] == "suspect"
        assert suspect.result["signal_per_s"] == pytest.approx(400.0 * PER_CFU_PER_S * 1.02, rel=0.25)
        assert suspect.result["time_to_decision_s"] <= 60.0
        assert "CFU/mL" in bench.said("contamination_watch.suspect")
        assert (await bench.service.instruments.telemetry())["counting"][0] == 0.0

    run_virtual(run())


def test_more_cells_make_no_alarm_and_raise_what_can_be_detected():
    async def run():
        bench, station = await ready()
        for cells in (0.0, 1.0e6, 4.7e6):
            station.load(bench.clock.now_s(), 0.0, cells)
            outcome = await bench.run("ScreenSample", **{**GOAL, "somatic_cells_per_ml": cells})
            assert outcome.result["outcome"] == "clear"
        few, some, many = bench.measured("screening_detectable_cfu")
        assert few < some < many

    run_virtual(run())


def test_in_a_mask_window_the_verdict_is_never_clear_and_more_than_the_carriers_is_suspect():
    async def run():
        bench, station = await ready()
        expected = {**GOAL, "carrier_cfu_per_ml": 1.0e4}
        station.load(bench.clock.now_s(), 1.0e4, CULTURE_PER_ML)
        masked = await bench.run("ScreenSample", **expected)
        assert masked.result["outcome"] == "masked"
        assert not bench.standing
        # What it is blind for is told, and on record: four standard uncertainties of what is known of the carriers.
        assert masked.result["threshold_cfu_per_ml"] == pytest.approx(4.0 * 0.3 * 1.0e4, rel=0.1)
        data = next(data for kind, _, data in bench.events if kind == "mask_window")
        assert data["blind_below_cfu_per_ml"] == masked.result["threshold_cfu_per_ml"]
        station.load(bench.clock.now_s(), 4.0e4, CULTURE_PER_ML)
        assert (await bench.run("ScreenSample", **expected)).result["outcome"] == "suspect"
        # At the same light without a window: found; and beyond the detector nothing at all is said.
        station.load(bench.clock.now_s(), 1.0e4, CULTURE_PER_ML)
        assert (await bench.run("ScreenSample", **GOAL)).result["outcome"] == "suspect"
        blind = await bench.run("ScreenSample", **{**GOAL, "carrier_cfu_per_ml": 1.0e8})
        assert blind.result["outcome"] == "masked"
        assert math.isnan(blind.result["threshold_cfu_per_ml"])

    run_virtual(run())


def test_the_cusum_keeps_its_rate_and_sees_light_that_comes_late():
    test = ScreeningTest(Rate(600.0, 8.0), 0.05)
    looks, step_s = 90, 10.0
    random = np.random.default_rng(8)

    def first_alarm(rates):
        cusum = Cusum(test, looks, step_s)
        for look, rate in enumerate(rates):
            # After-pulses widen the counts: 1.04 times the variance.
            counts = 1.04 * random.poisson(rate * step_s / 1.04)
            if cusum.take(test.evidence(counts, step_s)):
                return look + 1
        return 0

    alarms = sum(first_alarm([test.rate0] * looks) > 0 for _ in range(400))
    assert alarms <= 6  # 0.1 x 0.05 of 400 is 2, and the bound is conservative
    # A long quiet count, then the light: the CUSUM's own mean delay, while the SPRT's sum is far below zero.
    delays = [first_alarm([test.null.per_s] * 45 + [test.rate1] * 45) - 45 for _ in range(200)]
    assert min(delays) > 0
    assert np.mean(delays) * step_s == pytest.approx(Cusum(test, looks, step_s).mean_delay_s, rel=0.25)
    quiet = test.evidence(test.null.per_s, 450.0)
    assert quiet + test.evidence(test.rate1, 100.0) < 0.0


def test_a_clear_sample_that_is_watched_on_is_suspect_when_light_comes():
    async def run():
        bench, station = await ready()
        station.load(bench.clock.now_s(), 0.0, CULTURE_PER_ML)
        quiet = await bench.run("ScreenSample", **GOAL, watch_s=300.0)
        assert quiet.result["outcome"] == "clear"
        assert quiet.result["time_to_decision_s"] == 300.0
        task = bench.begin("ScreenSample", **GOAL, watch_s=3600.0)
        await asyncio.sleep(1020.0)
        came_s = bench.clock.now_s()
        station.load(came_s, 200.0, CULTURE_PER_ML)  # what was in the aliquot has grown
        outcome = await task
        assert outcome.result["outcome"] == "suspect"
        assert "came while it was counted" in outcome.result["organism_hint"]
        assert bench.clock.now_s() - came_s < 3.0 * outcome.result["cusum_delay_s"]

    run_virtual(run())


@pytest.mark.parametrize(
    ("target", "amount", "truth"),
    [("rare_cell", {"rare_cells": 60.0}, 60.0), ("molecule", {"molecule_pg": 400.0}, 400.0)],
)
def test_rare_cells_and_molecules_are_found_and_measured(target, amount, truth):
    async def one(seed):
        bench, station = await ready(seed, calibrated=False)
        goal = {"sample_id": "S", "target": target, "volume_ul": 1000.0, "cells_per_ml": 3.0e5}
        station.load(bench.clock.now_s(), 0.0, 3.0e5)
        absent = await bench.run("DetectTargets", **goal)
        station.load(bench.clock.now_s(), 0.0, 3.0e5, **amount)
        present = await bench.run("DetectTargets", **goal)
        assert not (await bench.service.instruments.counter.state()).laser_on
        assert present.result["detection_limit_per_ml"] < 0.5 * truth
        assert present.result["outcome"] == "present"
        covered = present.result["amount_low_per_ml"] <= truth <= present.result["amount_high_per_ml"]
        return absent.result["outcome"] == "present", covered

    async def run():
        return np.sum([await one(seed) for seed in range(30)], axis=0)

    false, covered = run_virtual(run())
    assert false == 0
    assert covered >= 25  # 95 % of 30; fewer come once in a hundred


def test_the_laser_stays_off_while_the_cover_is_open_and_goes_off_in_a_hold():
    async def run():
        bench, station = await ready()
        counter = bench.service.instruments.counter
        goal = {"sample_id": "S", "volume_ul": 1000.0, "cells_per_ml": 3.0e5, "duration_s": 600.0}
        station.load(bench.clock.now_s(), 0.0, 3.0e5, rare_cells=3.0)
        task = bench.begin("DetectTargets", **goal)
        await asyncio.sleep(21.0)
        assert (await counter.state()).laser_on
        await bench.service.command(ServiceCommand.HOLD, "test", "")
        await bench.until(ServiceState.HELD)
        assert not (await counter.state()).laser_on
        await bench.unhold()
        assert (await task).status == "succeeded"
        station.light_leak(bench.clock.now_s(), 1.0)
        with pytest.raises(InstrumentRefused, match="detector is faulty"):
            await counter.ensure_excitation(1.0, Filter.GREEN)
        assert (await bench.run("DetectTargets", **goal)).result["outcome"] == "invalid"

    run_virtual(run())


def test_a_calibration_and_the_last_screening_outlive_the_node(tmp_path):
    file = tmp_path / "watch.json"
    memory = WatchMemory(lambda: file)
    memory.load()
    assert memory.background is None
    memory.keep_background(Background(Rate(204.0, 1.0), Rate(199.0, 0.9)))
    for k in range(105):
        memory.keep_finding(f"B{k}", Finding(k, 2.0, 1.0))
    again = WatchMemory(lambda: file)
    again.load()
    assert again.background == memory.background
    assert next(iter(again.findings)) == "B5"
    assert again.findings["B104"] == Finding(104.0, 2.0, 1.0)
    for text in ("{", '{"background": {"blank": [0.0, 1.0], "dark": [200.0, 1.0]}, "findings": {}}', "[]",
                 '{"background": null, "findings": {"B": [1, NaN, 2]}}'):  # fmt: skip
        file.write_text(text)
        with pytest.raises(MemoryUnreadable, match=r"watch\.json cannot be used"):
            WatchMemory(lambda: file).load()


def test_the_growth_between_two_screenings_hints_at_the_organism():
    async def run():
        bench, station = await ready()
        station.load(bench.clock.now_s(), 250.0, CULTURE_PER_ML)
        await bench.run("ScreenSample", **GOAL)
        await asyncio.sleep(6.5 * 3600.0)
        station.load(bench.clock.now_s(), 500.0 * 2.0 ** (6.5 / 6.5), CULTURE_PER_ML)
        await bench.run("ScreenSample", **GOAL)
        said = bench.said("contamination_watch.suspect")
        assert "acnes" in said
        assert "coli" not in said

    run_virtual(run())


def test_hints_follow_from_doubling_times():
    first = Finding(0.0, 100.0, 5.0)
    assert doubling_time_h(first, Finding(3600.0 * 2.5, 100.0 * 2**5, 50.0)) == pytest.approx(0.5)
    assert "coli" in hint(first, Finding(3600.0 * 2.5, 100.0 * 2**5, 50.0)).split(",")[0]
    assert math.isnan(doubling_time_h(first, Finding(3600.0, 105.0, 5.0)))
    assert "not known" in hint(first, Finding(3600.0, 90.0, 5.0))
    # Nothing seen before, much now: any of the fast ones.
    assert "at most" in hint(Finding(0.0, 0.0, 20.0), Finding(86400.0, 1e6, 100.0))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda station, now_s: station.detector_dead(now_s, True), "living detector"),
        (lambda station, now_s: station.light_leak(now_s, 2.0e4), "COVER_OPEN"),
        (lambda station, now_s: station.dark_counts(now_s, 2000.0), "cooler"),
    ],
)
def test_a_faulty_detector_never_finds_a_sample_clear(fault, words):
    async def run():
        bench, station = await ready()
        fault(station, bench.clock.now_s())
        station.load(bench.clock.now_s(), 0.0, CULTURE_PER_ML)
        outcome = await bench.run("ScreenSample", **GOAL)
        assert outcome.status == "succeeded"
        assert outcome.result["outcome"] == "invalid"
        assert words in bench.said("contamination_watch.invalid")
        refused = await bench.run("CalibrateBackground")
        assert refused.error_code == WatchCode.DETECTOR

    run_virtual(run())


def test_a_saturated_detector_is_suspect():
    async def run():
        bench, station = await ready()
        station.load(bench.clock.now_s(), 1.0e8, CULTURE_PER_ML)
        outcome = await bench.run("ScreenSample", **GOAL)
        assert outcome.result["outcome"] == "suspect"

    run_virtual(run())


def test_a_blank_of_old_light_is_refused():
    async def run():
        bench, station = await ready(calibrated=False)
        station.load(bench.clock.now_s(), 800.0, 0.0)
        refused = await bench.run("CalibrateBackground")
        assert refused.error_code == WatchCode.BACKGROUND

    run_virtual(run())


def test_without_a_calibration_the_kits_certificate_is_taken_and_less_can_be_detected():
    async def run():
        known, _ = await ready()
        unknown, _ = await ready(calibrated=False)
        for bench in (known, unknown):
            await bench.run("ScreenSample", **{**GOAL, "somatic_cells_per_ml": 0.0})
        assert unknown.measured("screening_detectable_cfu")[0] > known.measured("screening_detectable_cfu")[0]

    run_virtual(run())


def test_a_hold_closes_the_shutter_and_the_screening_begins_anew():
    async def run():
        bench, station = await ready()
        station.load(bench.clock.now_s(), 0.0, CULTURE_PER_ML)
        task = bench.begin("ScreenSample", **GOAL)
        await asyncio.sleep(25.0)
        await bench.service.command(ServiceCommand.HOLD, "test", "")
        await bench.until(ServiceState.HELD)
        assert await bench.service.instruments.counter.is_off()
        await bench.unhold()
        assert (await task).result["outcome"] == "clear"

    run_virtual(run())


def test_forty_clean_batches_and_forty_contaminated_ones_at_one_setting():
    """The small version of bench/contamination.py: four samples of each batch, kit, count and light varying."""
    random = np.random.default_rng(5)

    async def batch(seed, cfu_per_sample):
        bench, station = await ready(seed)
        outcomes = []
        for cells, cfu in zip((1.0e6, 2.6e6, 3.9e6, 4.7e6), cfu_per_sample, strict=True):
            station.load(bench.clock.now_s(), cfu, cells)
            counted = cells * float(np.exp(random.normal(0.0, 0.025)))
            outcome = await bench.run("ScreenSample", **{**GOAL, "somatic_cells_per_ml": counted})
            outcomes.append(outcome.result["outcome"])
        return "suspect" in outcomes

    async def run():
        false_alarms = sum([await batch(seed, (0, 0, 0, 0)) for seed in range(40)])
        # 10 CFU of the slowest organism on day 3, washed out by perfusion: 0.1, 2.4, 54, 1200 CFU/mL.
        found = sum([await batch(1000 + seed, (0.1, 2.4, 54.0, 1200.0)) for seed in range(40)])
        return false_alarms, found

    false_alarms, found = run_virtual(run())
    assert false_alarms <= 2  # 160 tests at 1e-3 each
    assert found >= 38
