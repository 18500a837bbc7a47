# SPDX-License-Identifier: Apache-2.0
"""Faults of enclosure and screening, each with its signature through the real phase."""

from __future__ import annotations

import math

import pytest

from mimedi_nodes.process.service_state import ServiceState

from .fault_drill import Drill, drill

GRADE = {"grade": "A", "duration_s": 600.0}


def verify(fault: str, **parameters: float | str) -> Drill:
    """Verify grade A for ten minutes while a fault comes after one."""
    return drill("enclosure", "VerifyGrade", GRADE, fault, "enclosure", start_s=3600.0, after_s=60.0, **parameters)


def test_no_step_begins_while_the_emergency_stop_is_pressed() -> None:
    found = drill("enclosure", "VerifyGrade", GRADE, "emergency_stop", "enclosure", start_s=3600.0)
    assert (found.state, found.alarms) == (ServiceState.HELD, {"enclosure.emergency_stop"}), found.words
    assert "the button is pressed" in found.words


def calibrate(fault: str, **parameters: float | str) -> Drill:
    """Count dark and blank under a fault."""
    return drill("contamination_watch", "CalibrateBackground", {}, fault, "photon_counter", start_s=3600.0,
                 after_s=1.0, **parameters)


def test_sound_stations_pass() -> None:
    assert (found := verify("")).state == ServiceState.COMPLETED
    assert found.result["grade_reached"] == "A"
    assert calibrate("").state == ServiceState.COMPLETED


@pytest.mark.parametrize(
    ("fault", "parameters", "alarms"),
    [
        ("particle_burst", {}, {"enclosure.grade_lost"}),
        ("hepa_leak", {"efficiency": 0.9}, {"enclosure.grade_lost"}),
        ("fan_stopped", {}, {"enclosure.air_failed", "enclosure.pressure_low"}),
        ("enclosure_door", {"door": "main"}, {"enclosure.door_open", "enclosure.pressure_low"}),
    ],
)
def test_what_costs_the_grade_holds(fault: str, parameters: dict[str, float | str], alarms: set[str]) -> None:
    found = verify(fault, **parameters)
    assert found.state == ServiceState.HELD
    assert found.alarms >= alarms


def test_a_small_hole_in_the_filter_shows_in_the_counts() -> None:
    sound, leaking = verify(""), verify("hepa_leak")
    assert leaking.state == ServiceState.COMPLETED
    assert leaking.result["particles_05_per_m3"] > 8.0 * sound.result["particles_05_per_m3"]
    assert leaking.result["pressure_pa"] == pytest.approx(sound.result["pressure_pa"], abs=1.0)


def test_a_torn_seal_loses_its_pressure_faster() -> None:
    decay = {
        fault: drill("enclosure", "TestLeaks", {}, fault, "enclosure", start_s=3600.0).result["decay_pa_min"]
        for fault in ("", "seal_leak")
    }
    assert decay["seal_leak"] > 2.0 * decay[""]


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("photon_saturated", 710, "COVER_OPEN"), ("photon_dead", 710, "dark counts/s"),
        ("photon_dark_high", 710, "look at cooler and shutter"),
    ],
)
def test_a_detector_that_cannot_be_trusted_measures_nothing(fault: str, code: int, words: str) -> None:
    found = calibrate(fault)
    assert (found.state, found.code) == (ServiceState.ABORTED, code)
    assert words in found.words
    assert math.isnan(found.result["background_per_s"])


@pytest.mark.parametrize(("fault", "target"), [("hepa_leak", "enclosure"), ("photon_saturated", "photon_counter")])
def test_a_fault_that_goes_leaves_a_sound_station(fault: str, target: str) -> None:
    def mended(bench) -> None:  # type: ignore[no-untyped-def]
        bench.plant.inject(fault, target, {}, True, bench.clock.now_s())
        bench.plant.inject(fault, target, {}, False, bench.clock.now_s())

    module, action, goal = (
        ("enclosure", "VerifyGrade", GRADE) if target == "enclosure"
        else ("contamination_watch", "CalibrateBackground", {})
    )
    found = drill(module, action, goal, "", target, start_s=3600.0, prepare=mended)
    assert found.state == ServiceState.COMPLETED
