# SPDX-License-Identifier: Apache-2.0
"""CalibrateCamera on the twin's microscope, and what an inspection does with a calibration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mimedi_nodes.instruments.wire.link import InstrumentError
from mimedi_nodes.modules.site import Fiducials, Site
from mimedi_nodes.modules.vision_qc.calibrate import calibrate_camera
from mimedi_nodes.modules.vision_qc.codes import VisionCode
from mimedi_nodes.modules.vision_qc.inspect import inspect_sample
from mimedi_nodes.modules.vision_qc.instruments import VisionInstruments, build
from mimedi_nodes.process.errors import PhaseError, PhaseHold
from mimedi_sim.plant.fault_effects import CameraFaults

from .test_inspection import StationCamera, content
from .workbench import SITE

MARKS_UM = [(30.0, 20.0), (300.0, 20.0), (300.0, 60.0), (30.0, 60.0), (150.0, 40.0)]


class Context:
    """The part of a phase's context that a calibration uses."""

    def __init__(self, camera: StationCamera) -> None:
        self.now_s = lambda: camera.now_s
        self.reported: dict[str, float] = {}

    async def pause_point(self) -> None:
        """Nobody pauses."""

    def feedback(self, progress: float, step: str) -> None:
        assert 0.0 <= progress <= 1.0

    def measured(self, name: str, value: float, unit: str, low: float = 0.0, high: float = 0.0) -> None:
        self.reported[name] = value


def marked_site(um_per_px: float = 0.65) -> Site:
    chip = Fiducials(diameter_um=10.0, places_um=MARKS_UM, walls_um=(2.6, 79.95))
    return replace(SITE, microscope=replace(SITE.microscope, fiducials=chip, um_per_px=um_per_px))


def marked_chip(um_per_px: float = 0.65, **faults: Any) -> StationCamera:
    """The twin's microscope over a chip with marks."""
    camera = StationCamera(4, marked_site(um_per_px).microscope)
    camera.station.set_faults(CameraFaults(**faults), camera.now_s)
    return camera


def scope(camera: StationCamera, site: Site, **extras: Any) -> VisionInstruments:
    return build(site, {}, {"microscope": camera, "sorter_camera": camera, **extras})


def run(instruments: VisionInstruments, camera: StationCamera, **changes: float) -> Mapping[str, Any]:
    goal = SimpleNamespace(**{"um_per_px_expected": 0.65, "tolerance": 0.02, "valid_h": 24.0, **changes})
    return asyncio.run(calibrate_camera(goal, instruments, Context(camera)))  # type: ignore[arg-type]


def inspect(instruments: VisionInstruments, camera: StationCamera) -> Mapping[str, Any]:
    goal = SimpleNamespace(sample_id="S", cells_wanted=60, timeout_s=30.0, dilution=1.0, classes=False,
                           viability_halfwidth=0.0, concentration_relative_halfwidth=0.0)
    return asyncio.run(inspect_sample(goal, instruments, Context(camera)))  # type: ignore[arg-type]


@pytest.mark.parametrize("marked", [True, False])
def test_the_twins_microscope_is_calibrated_while_cells_flow(marked: bool, tmp_path: Path) -> None:
    """With marks, and by its walls where the chip has none."""
    camera = marked_chip() if marked else StationCamera(3)
    camera.content = content(t_act_neg=1.0e6)
    site = marked_site() if marked else SITE
    file = tmp_path / "microscope.json"
    instruments = scope(camera, site, calibration_file=lambda: file)
    result = run(instruments, camera)
    assert result["um_per_px"] == pytest.approx(0.65, rel=5e-3)
    assert result["wall_top_px"] == pytest.approx(SITE.microscope.wall_top_px, abs=0.6)
    assert result["wall_bottom_px"] == pytest.approx(SITE.microscope.wall_bottom_px, abs=0.6)
    assert result["focus"] > 0.5
    # A restarted module measures with it.
    again = scope(camera, site, calibration_file=lambda: file)
    assert again.calibrated_settings(camera.now_s).um_per_px == pytest.approx(result["um_per_px"])
    if not marked:
        assert inspect(again, camera)["concentration_per_ml"] == pytest.approx(1.0e6, rel=0.4)


def test_an_expired_calibration_refuses_to_measure() -> None:
    camera = StationCamera(3)
    camera.content = content(t_act_neg=1.0e6)
    instruments = scope(camera, SITE)
    run(instruments, camera, valid_h=1.0)
    camera.now_s += 3601.0
    with pytest.raises(PhaseError, match="expired") as caught:
        inspect(instruments, camera)
    assert caught.value.code == VisionCode.CALIBRATION
    run(instruments, camera)
    assert inspect(instruments, camera)["cells"] >= 60


@pytest.mark.parametrize("kept", ["", "{}", '{"camera": "microscope", "um_per_px": NaN}'])
def test_a_calibration_that_cannot_be_read_refuses_until_there_is_a_new_one(kept: str, tmp_path: Path) -> None:
    """The module comes up all the same: otherwise nobody could calibrate."""
    file = tmp_path / "microscope.json"
    file.write_text(kept, encoding="utf-8")
    camera = StationCamera(3)
    camera.content = content(t_act_neg=1.0e6)
    instruments = scope(camera, SITE, calibration_file=lambda: file)
    with pytest.raises(PhaseError, match="Run CalibrateCamera") as caught:
        inspect(instruments, camera)
    assert caught.value.code == VisionCode.CALIBRATION
    run(instruments, camera)
    assert inspect(instruments, camera)["cells"] >= 60


def test_a_picture_of_another_size_than_the_sites_is_not_calibrated_with() -> None:
    camera = StationCamera(3)
    taller = replace(SITE.microscope, height_px=SITE.microscope.height_px + 2)
    instruments = scope(camera, replace(SITE, microscope=taller))
    with pytest.raises(InstrumentError, match="size"):
        run(instruments, camera)


@pytest.mark.parametrize(("another", "word"), [
    ({"um_per_px": 0.75}, "marks were found|scale is"), ({"defocus_um": 40.0}, "focus|marks were found")])
def test_what_does_not_fit_is_refused_and_the_calibration_before_stays(another: dict[str, float], word: str) -> None:
    camera = marked_chip()
    instruments = scope(camera, marked_site())
    run(instruments, camera)
    before = instruments.calibration
    camera.station = marked_chip(**another).station
    with pytest.raises(PhaseError, match=word) as caught:
        run(instruments, camera)
    assert caught.value.code == VisionCode.CALIBRATION
    assert instruments.calibration == before


def test_a_microscope_out_of_focus_is_refused_by_its_walls_too() -> None:
    camera = StationCamera(3)
    instruments = scope(camera, SITE)
    run(instruments, camera)
    camera.station.set_faults(CameraFaults(defocus_um=60.0), camera.now_s)
    with pytest.raises(PhaseError) as caught:
        run(instruments, camera)
    assert caught.value.code == VisionCode.CALIBRATION


def test_a_dark_microscope_holds() -> None:
    with pytest.raises(PhaseHold, match="black"):
        run(scope(camera := marked_chip(dark=True), marked_site()), camera)
