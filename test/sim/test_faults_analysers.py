# SPDX-License-Identifier: Apache-2.0
"""Faults of the analysers, each with its signature through the real phase, driver and firmware."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest

from mimedi_nodes.instruments.afm import REFERENCE_GEL
from mimedi_nodes.modules.analytics.controls import MOST_WITHOUT_TEMPLATE, check_gel
from mimedi_nodes.modules.analytics.phases import GEL_POINTS
from mimedi_nodes.modules.analytics.stiffness import fit_force_curve
from mimedi_nodes.process.service_state import ServiceState
from mimedi_sim.plant.analyser_faults import ANALYSERS
from mimedi_sim.plant.analytics import BindingBench, DropletBench, ForceBench
from mimedi_sim.plant.fault_catalogue import CATALOGUE
from mimedi_sim.plant.ledger import amounts

from .fault_drill import Drill, drill
from .workbench import Workbench

SAMPLE = amounts(
    volume_ul=1000.0, plasma_ul=1000.0, t_act_pos=1.6e6, t_act_neg=2.4e6, car_expressed=1.6e6, copies=4.0e6,
    lymphocyte=2.0e5, monocyte=1.0e5, dead=5.0e5, il2_iu=2000.0,
)
GOALS: dict[str, tuple[str, dict[str, object]]] = {
    "afm": ("MeasureStiffness", {"sample_id": "S", "cells_wanted": 24}),
    "spr_reader": ("MeasureBinding", {"sample_id": "S", "analyte": "il2", "association_s": 180.0}),
    "plate_reader": ("MeasureCytokine", {"sample_id": "S", "analyte": "il2"}),
    "droplet_reader": ("MeasureCopyNumber", {"sample_id": "S", "denominator": "cell"}),
    "cytometer": ("AnalyzeCytometry", {"sample_id": "S", "events_wanted": 2000}),
}


def measure(
    target: str, fault: str = "", *, after_s: float = 0.0, seed: int = 1, **parameters: float | str
) -> Drill:
    """Measure the sample with an instrument under a fault."""

    def sample(bench: Workbench) -> None:
        bench.plant.ledger.put("assay_cell", SAMPLE)
        if fault and not after_s:
            bench.plant.inject(fault, target, parameters, True, bench.clock.now_s())

    action, goal = GOALS[target]
    late = fault if after_s else ""
    return drill(
        "analytics", action, goal, late, target, prepare=sample, after_s=after_s, seed=seed,
        **(parameters if late else {}),
    )


@lru_cache
def sound(target: str) -> Drill:
    found = measure(target)
    assert found.state == ServiceState.COMPLETED, found.words
    return found


def test_every_analyser_has_faults_in_the_catalogue() -> None:
    assert set(ANALYSERS) <= set(CATALOGUE)
    assert {kind.acts_on for kind in ANALYSERS.values()} == set(GOALS)


@pytest.mark.parametrize(
    ("fault", "parameters", "code"),
    [
        ("afm_off_cell", {}, 911), ("plate_lamp_out", {}, 912), ("droplets_merged", {}, 911),
    ],
)
def test_what_cannot_be_measured_is_no_result(fault: str, parameters: dict[str, float | str], code: int) -> None:
    target = ANALYSERS[fault].acts_on
    found = measure(target, fault, **parameters)
    assert (found.state, found.code) == (ServiceState.ABORTED, code), found.words
    numbers = [value for value in found.result.values() if isinstance(value, float)]
    assert all(math.isnan(value) for value in numbers)
    assert sound(target).state == ServiceState.COMPLETED


@pytest.mark.parametrize(
    ("fault", "parameters", "words"),
    [
        ("afm_tip_contaminated", {"radius_factor": 5.0}, "the reference gel reads 1."),
        ("afm_cantilever_lost", {}, "the reference gel reads"),
        ("spr_chip_exhausted", {"capacity": 0.5}, "the control binds"),
        ("spr_regeneration_weak", {"removed": 0.7}, "are left after the regeneration"),
        ("plate_standards_wrong", {"factor": 0.5}, "the control reads 1.9"),
        ("plate_standards_wrong", {"factor": 1.5}, "the control reads 0."),
        ("pcr_carry_over", {"copies_per_droplet": 1e-3}, "droplets with the transgene in the well without template"),
        *(("cytometer_stain_missing", {"channel": name}, f"{name} is above its gate on")
          for name in ("CAR-A", "CD3-A", "CD45-A", "7-AAD-A")),
    ],
)
def test_a_control_that_reads_wrong_holds(fault: str, parameters: dict[str, float | str], words: str) -> None:
    """What would measure as smoothly as ever, and wrong, is found by what is known beforehand."""
    found = measure(ANALYSERS[fault].acts_on, fault, **parameters)
    assert (found.state, found.alarms) == (ServiceState.HELD, {"analytics.control_failed"}), found.words
    assert words in found.words


@pytest.mark.parametrize("target", ["spr_reader", "plate_reader", "droplet_reader", "cytometer"])
def test_controls_of_sound_instruments_pass(target: str) -> None:
    """A control that alarms for nothing would be switched off."""
    for seed in range(2, 10):
        found = measure(target, seed=seed)
        assert found.state == ServiceState.COMPLETED, (seed, found.words)


def test_wells_without_template_stay_dark() -> None:
    bench = DropletBench(1, lambda now_s: SAMPLE)
    counts = [bench.no_template(run) for run in range(2000)]
    assert np.mean([c.transgene for c in counts]) == pytest.approx(0.24, abs=0.05)
    assert max(max(c.transgene, c.reference) for c in counts) <= 4
    assert sum(max(c.transgene, c.reference) > MOST_WITHOUT_TEMPLATE for c in counts) <= 4


def test_gels_under_sound_cantilevers_pass() -> None:
    for seed in range(30):
        bench = ForceBench(seed, lambda now_s: SAMPLE)
        moduli = [
            fit_force_curve(*bench.curve(run, REFERENCE_GEL, GEL_POINTS, 2.0e-6, 0.0), 2.5e-6).modulus_pa
            for run in range(6)
        ]
        before, after = np.median(moduli[:3]) / bench.gel_pa(), np.median(moduli[3:]) / bench.gel_pa()
        check_gel(float(before), float(after))


def test_the_gel_takes_a_slightly_dirty_tip_out() -> None:
    dirty = measure("afm", "afm_tip_contaminated")
    assert dirty.result["modulus_median_pa"] == pytest.approx(sound("afm").result["modulus_median_pa"], rel=0.04)


def test_a_tip_that_picks_something_up_among_the_cells_is_found_by_the_gel_after_them() -> None:
    found = measure("afm", "afm_tip_contaminated", after_s=200.0, radius_factor=1.5)
    assert (found.state, found.alarms) == (ServiceState.HELD, {"analytics.control_failed"}), found.words
    assert "of what it did before the cells" in found.words


def test_curves_beside_the_cells_are_left_out() -> None:
    some = measure("afm", "afm_off_cell", share=0.1)
    assert some.state == ServiceState.COMPLETED
    assert "24 of 24" in sound("afm").result["method"]
    assert "24 of 24" not in some.result["method"]
    assert some.result["modulus_median_pa"] == pytest.approx(sound("afm").result["modulus_median_pa"], rel=0.2)


@pytest.mark.parametrize("after_s", [80.0, 125.0, 300.0, 370.0, 600.0])
def test_a_bubble_shows_in_the_reference_channel(after_s: float) -> None:
    """In the control, the association, the dissociation: a small one too, which had made 9 nM of 8."""
    found = measure("spr_reader", "spr_bubble", after_s=after_s, height_ru=10.0)
    assert (found.state, found.alarms) == (ServiceState.HELD, {"analytics.control_failed"}), found.words
    assert "the reference channel jumps by" in found.words


def test_the_control_takes_a_slightly_worn_chip_out() -> None:
    worn = measure("spr_reader", "spr_chip_exhausted", capacity=0.88).result["concentration_nm"]
    assert worn == pytest.approx(sound("spr_reader").result["concentration_nm"], rel=0.05)


def test_a_weak_regeneration_leaves_what_is_bound() -> None:
    """Of two cycles the second starts from what the first one left."""
    second = {}
    for removed in (1.0, 0.2):
        faults = {} if removed == 1.0 else {"spr_regeneration_weak": {"removed": removed}}
        bench = BindingBench(1, 0.0, lambda now_s: SAMPLE * 20.0, faults)
        for start_s in (0.0, 1000.0):
            for at_s, valve in ((60.0, "SAMPle"), (360.0, "BUFFer"), (500.0, "REGenerate"), (530.0, "BUFFer")):
                bench.turn(start_s + at_s, valve, "IL2")
        ligand, reference = (sum(v) / 30.0 for v in zip(*bench.readings("IL2", 1000, 30), strict=True))
        second[removed] = ligand - reference
    assert abs(second[1.0]) < 1.0
    assert second[0.2] > 3.0


def test_a_clogged_nozzle_holds() -> None:
    found = measure("cytometer", "cytometer_clogged")
    assert (found.state, found.alarms) == (ServiceState.HELD, {"analytics.cytometer_fault"})
    assert "100 events came, 500 were wanted" in found.words


def test_fewer_droplets_widen_the_interval() -> None:
    few, all_of_them = measure("droplet_reader", "droplets_merged", accepted=0.3).result, sound("droplet_reader").result
    assert few["copies_high"] - few["copies_low"] > 1.3 * (all_of_them["copies_high"] - all_of_them["copies_low"])


def test_a_fault_that_goes_leaves_a_sound_instrument() -> None:
    def mended(bench: Workbench) -> None:
        bench.plant.ledger.put("assay_cell", SAMPLE)
        bench.plant.inject("plate_lamp_out", "plate_reader", {}, True, bench.clock.now_s())
        bench.plant.inject("plate_lamp_out", "plate_reader", {}, False, bench.clock.now_s())

    action, goal = GOALS["plate_reader"]
    assert drill("analytics", action, goal, "", "plate_reader", prepare=mended).state == ServiceState.COMPLETED
