# SPDX-License-Identifier: Apache-2.0
"""Faults of a camera, each in the images and through the inspection; and what the catalogue promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mimedi_nodes.process.service_state import ServiceState
from mimedi_sim.models.donors import NOMINAL
from mimedi_sim.plant.fault_catalogue import CATALOGUE
from mimedi_sim.plant.fault_docs import document
from mimedi_sim.plant.faults import FaultError
from mimedi_sim.plant.ledger import amounts
from mimedi_sim.plant.twin import Plant

from .fault_drill import Drill, drill
from .plant_bench import SITE
from .workbench import Workbench

PER_ML = 1.0e6


def put_sample(bench: Workbench) -> None:
    """Half a millilitre with nine of ten cells alive."""
    bench.plant.ledger.put(
        "imaging_cell", amounts(volume_ul=500.0, t_act_neg=0.45 * PER_ML, dead=0.05 * PER_ML)
    )


def inspect(fault: str, **parameters: float) -> Drill:
    goal = {"sample_id": "s", "cells_wanted": 300, "timeout_s": 600.0}
    return drill("vision_qc", "InspectSample", goal, fault, "microscope", prepare=put_sample, after_s=0.001,
                 **parameters)


def film(frames: int, fault: str, seed: int = 1, **parameters: float) -> tuple[list[np.ndarray], list[int]]:
    """The bright fields of a capture and their indices, the fault coming after the third."""
    plant = Plant(SITE, donor=NOMINAL, seed=seed)
    plant.ledger.put("imaging_cell", amounts(volume_ul=500.0, t_act_neg=0.5 * PER_ML))
    plant.set_capture("microscope", True, 10.0)
    seen = []
    for number in range(frames):
        if number == 3 and fault:
            plant.inject(fault, "microscope", parameters, True, seen[-1].stamp_s)
        seen.append(plant.frame("microscope", plant.next_frame_s("microscope")))
    return [frame.bright_field for frame in seen], [frame.index for frame in seen]


def sharpness(image: np.ndarray) -> float:
    """Mean squared step between neighbours, less the noise that a sound picture has between its cells."""
    return float(np.mean(np.diff(image.astype(float), axis=1) ** 2))


def test_a_frozen_camera_sends_the_same_picture_with_new_stamps() -> None:
    frames, indices = film(8, "camera_frozen")
    assert len(set(indices)) == 8
    assert all(np.array_equal(frames[3], frame) for frame in frames[4:])
    assert not np.array_equal(frames[1], frames[2])
    found = inspect("camera_frozen")
    assert (found.state, found.alarms) == (ServiceState.HELD, {"vision_qc.camera_frozen"})


def test_a_dark_camera_is_black() -> None:
    frames, _ = film(5, "camera_dark")
    assert frames[2].mean() > 100.0
    assert frames[4].mean() < 5.0
    found = inspect("camera_dark")
    assert (found.state, found.alarms) == (ServiceState.HELD, {"vision_qc.camera_black"})


def test_defocus_blurs_the_cells_and_not_the_noise() -> None:
    plain, _ = film(30, "")
    blurred, _ = film(30, "camera_defocus", defocus_um=60.0)
    assert all(np.array_equal(a, b) for a, b in zip(plain[:3], blurred[:3], strict=True))
    assert np.mean([sharpness(f) for f in blurred[3:]]) < np.mean([sharpness(f) for f in plain[3:]])
    found = inspect("camera_defocus", defocus_um=10.0)
    assert found.state == ServiceState.COMPLETED
    assert found.result["viability"] == pytest.approx(0.9, abs=0.06)
    # So far off that dead cells fade: viability would read 0.99.
    far_off = inspect("camera_defocus", defocus_um=60.0)
    assert (far_off.state, far_off.alarms) == (ServiceState.HELD, {"vision_qc.out_of_focus"})


def test_lost_frames_leave_gaps_on_the_grid_and_densities_as_they_are() -> None:
    frames, indices = film(40, "camera_frame_loss", share=0.3)
    whole, all_indices = film(60, "")
    gaps = np.diff(indices[3:])
    assert gaps.min() == 1
    assert np.mean(gaps) == pytest.approx(1.0 / 0.7, rel=0.25)
    for index, frame in zip(indices, frames, strict=True):
        if index in all_indices:
            assert np.array_equal(frame, whole[all_indices.index(index)])
    found = inspect("camera_frame_loss")
    assert found.state == ServiceState.COMPLETED
    assert found.result["concentration_per_ml"] == pytest.approx(PER_ML, rel=0.25)
    dead = inspect("camera_frame_loss", share=1.0)
    assert (dead.state, dead.alarms) == (ServiceState.HELD, {"vision_qc.microscope_fault"})


def test_a_flickering_lamp_jumps_by_its_standard_deviation() -> None:
    frames, _ = film(60, "camera_led_flicker", amplitude=0.05)
    steady, _ = film(60, "")
    light = np.array([a.mean() / b.mean() for a, b in zip(frames[4:], steady[4:], strict=True)])
    assert light.std() == pytest.approx(0.05, rel=0.3)
    again, _ = film(60, "camera_led_flicker", amplitude=0.05)
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))


@pytest.mark.parametrize("amplitude", [0.02, 0.10])
def test_a_flickering_lamp_does_not_count_light_as_cells(amplitude: float) -> None:
    found = inspect("camera_led_flicker", amplitude=amplitude)
    assert found.state == ServiceState.COMPLETED
    assert found.result["concentration_per_ml"] == pytest.approx(PER_ML, rel=0.25)
    assert found.result["viability"] == pytest.approx(0.9, abs=0.06)


def test_the_document_is_made_from_the_catalogue() -> None:
    """`python -m mimedi_sim.plant.fault_docs > docs/faults.md` makes it anew."""
    path = Path(__file__).parents[2] / "docs" / "faults.md"
    assert path.read_text(encoding="utf-8") == document()


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_fault_can_be_put_in_and_taken_away_and_refuses_what_is_out_of_range(name: str) -> None:
    plant, kind = Plant(SITE, donor=NOMINAL, seed=1), CATALOGUE[name]
    needed = {key: p.low for key, p in kind.parameters.items() if p.default is None}
    target = plant.fault_targets[kind.acts_on][0]
    plant.inject(name, target, needed, True, 10.0)
    plant.advance_to(20.0)
    assert [f["fault"] for f in plant.truth()["faults"]] == ([] if kind.once else [name])
    plant.inject(name, target, {}, False, 30.0)
    assert plant.truth()["faults"] == []
    for key, parameter in kind.parameters.items():
        wrong = "nothing of the kind" if parameter.choices else parameter.high * 1.5 + 1.0
        with pytest.raises(FaultError, match=f"parameter {key} is .*; allowed: "):
            plant.inject(name, target, {**needed, key: wrong}, True, 40.0)
    with pytest.raises(FaultError, match=f"acts on an? {kind.acts_on}; 'moon' is none; possible: "):
        plant.inject(name, "moon", needed, True, 40.0)
