# SPDX-License-Identifier: Apache-2.0
"""Calibration of a camera over its chip: known poses, marks and walls in rendered images, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vision_blobs import disc

from mimedi_nodes.vision.camera.calibration import CalibrationError, CameraCalibration, calibrate, load_calibration
from mimedi_nodes.vision.camera.chip_marks import (
    find_marks,
    find_walls,
    flat_field,
    focus_of_marks,
    match_marks,
    still_image,
    walls_as_marks,
)
from mimedi_nodes.vision.camera.lens import LensModel
from mimedi_nodes.vision.camera.settings import VisionInputError

MARKS_UM = np.array([[0.0, 0.0], [300.0, 0.0], [300.0, 60.0], [0.0, 60.0], [150.0, 30.0]])
WALLS_UM = (5.0, 55.0)


def seen(scale: float = 0.65, turn: float = 0.02, anisotropy: float = 0.0) -> np.ndarray:
    c, s = math.cos(turn), math.sin(turn)
    px = MARKS_UM / scale * np.array([math.sqrt(1.0 + anisotropy), 1.0 / math.sqrt(1.0 + anisotropy)])
    return px @ np.array([[c, s], [-s, c]]) + np.array([20.0, 15.0])


def made(**changes: object) -> CameraCalibration:
    return replace(calibrate("microscope", seen(), MARKS_UM, WALLS_UM, 100.0, 3600.0), **changes)  # type: ignore[arg-type]


@given(scale=st.floats(0.1, 1.5), turn=st.floats(-0.5, 0.5), stretch=st.floats(-0.009, 0.009))
def test_any_pose_is_found_again(scale: float, turn: float, stretch: float) -> None:
    places = seen(scale, turn, stretch)
    found = calibrate("c", places, MARKS_UM, WALLS_UM, 0.0, 1.0)
    assert found.um_per_px == pytest.approx(scale, rel=1e-6)
    assert found.rotation_rad == pytest.approx(turn, abs=1e-6)
    assert found.anisotropy == pytest.approx(stretch, abs=1e-6)
    assert found.residual_px < 1e-6
    assert found.to_px(MARKS_UM) == pytest.approx(places, abs=1e-6)
    assert found.to_um(places) == pytest.approx(MARKS_UM, abs=1e-6)
    assert found.frame()[3].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_walls_lie_where_the_drawing_says() -> None:
    found = calibrate("microscope", seen(turn=0.0), MARKS_UM, WALLS_UM, 100.0, 3600.0)
    assert (found.wall_top_px, found.wall_bottom_px) == pytest.approx((15.0 + 5.0 / 0.65, 15.0 + 55.0 / 0.65))


def chip(turn: float = 0.01, blur: float = 0.8, marks: bool = True) -> np.ndarray:
    """A chip with five marks, or with walls only, uneven light and noise."""
    y, x = np.mgrid[0:128, 0:512].astype(float)
    image = 180.0 * (1.0 - 0.3 * ((x - 200.0) / 512.0) ** 2 - 0.2 * (y / 128.0 - 0.5) ** 2)
    if marks:
        for cx, cy in seen(turn=turn):
            image *= 1.0 - 0.6 * disc((128, 512), cx, cy, 6.0, blur)
    else:
        for row in (15.0, 105.0):
            image *= 1.0 - 0.4 * np.exp(-0.5 * ((y - row - turn * x) / max(1.2, blur)) ** 2)
    return np.clip(image + np.random.default_rng(1).normal(0.0, 2.0, image.shape), 0, 255).astype(np.uint8)


def test_marks_in_an_image_give_the_pose() -> None:
    image = still_image([chip()] * 3)
    even = image / flat_field(image)
    px, um = match_marks(find_marks(even, 12.0), MARKS_UM, 0.66, 0.05)
    assert len(px) == 5
    focus = focus_of_marks(even, px, 12.0)
    found = calibrate("microscope", px, um, WALLS_UM, 0.0, 60.0, focus, float(flat_field(image).min()))
    assert found.um_per_px == pytest.approx(0.65, rel=2e-3)
    assert found.rotation_rad == pytest.approx(0.01, abs=2e-3)
    assert found.residual_px < 0.2
    assert found.focus > 0.7
    assert 0.6 < found.light < 0.9


def test_a_blurred_chip_is_out_of_focus() -> None:
    sharp, blurred = (focus_of_marks(chip(blur=b).astype(np.float32), seen(turn=0.01), 12.0) for b in (0.8, 3.5))
    assert sharp > 0.7
    assert blurred < 0.5


def test_dirt_is_no_mark_and_a_hidden_mark_is_missed() -> None:
    places = np.concatenate([seen()[[0, 1, 2, 4]], [[100.0, 70.0], [333.0, 20.0]]])
    px, um = match_marks(places, MARKS_UM, 0.65, 0.05)
    assert px == pytest.approx(seen()[[0, 1, 2, 4]])
    assert um == pytest.approx(MARKS_UM[[0, 1, 2, 4]])
    with pytest.raises(CalibrationError, match="marks were found"):
        match_marks(seen()[:3], MARKS_UM, 0.65, 0.05)


@pytest.mark.parametrize("turn", [0.0, 0.008])
def test_walls_give_scale_and_turn_of_a_chip_without_marks(turn: float) -> None:
    walls = find_walls(chip(turn=turn, marks=False).astype(np.float32), 16.0 + 250 * turn, 104.0 + 250 * turn)
    width_um = 90.0 * math.cos(math.atan(turn)) * 0.65
    px, um = walls_as_marks(walls, (0.0, width_um), 0.65)
    found = calibrate("microscope", px, um, (0.0, width_um), 0.0, 60.0, walls.focus)
    assert found.um_per_px == pytest.approx(0.65, rel=3e-3)
    assert found.rotation_rad == pytest.approx(turn, abs=5e-4)
    assert found.focus > 0.5
    assert found.wall_top_px == pytest.approx(15.0 + turn * 256, abs=0.3)
    assert found.wall_bottom_px == pytest.approx(105.0 + turn * 256, abs=0.5)


def test_walls_that_are_not_there_are_refused() -> None:
    image = chip(marks=False).astype(np.float32)
    with pytest.raises(CalibrationError, match="upper wall"):
        find_walls(image, 60.0, 105.0)
    with pytest.raises(CalibrationError, match="inside the image"):
        find_walls(image, 15.0, 300.0)
    with pytest.raises(CalibrationError, match="µm/px"):
        walls_as_marks(find_walls(image, 16.0, 106.0), (0.0, 300.0), 0.65)


def info(**changes: object) -> SimpleNamespace:
    usual = {"width": 512, "height": 128, "distortion_model": "plumb_bob", "d": [-0.3, 0.1, 0.001, -0.001, 0.0],
             "k": [600.0, 0.0, 256.0, 0.0, 600.0, 64.0, 0.0, 0.0, 1.0]}
    return SimpleNamespace(**{**usual, **changes})


def test_a_distorted_view_is_straightened_before_it_is_measured() -> None:
    lens = LensModel.from_camera_info(info())
    assert lens is not None
    places = seen()
    rays = np.column_stack([(places - [256.0, 64.0]) / 600.0, np.ones(len(places))])
    bent = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), lens.matrix, lens.coefficients)[0].reshape(-1, 2)
    assert np.abs(bent - places).max() > 3.0
    wrong = calibrate("c", bent, MARKS_UM, WALLS_UM, 0.0, 1.0)
    assert abs(wrong.um_per_px / 0.65 - 1.0) > 5e-3
    straight = lens.straighten_places(bent)
    assert straight == pytest.approx(places, abs=0.05)
    assert calibrate("c", straight, MARKS_UM, WALLS_UM, 0.0, 1.0).um_per_px == pytest.approx(0.65, rel=1e-3)
    assert lens.straighten(np.full((128, 512), 7, np.uint8))[64, 256] == 7
    assert lens.straighten_places(np.empty((0, 2))).shape == (0, 2)


def test_camera_info_is_validated() -> None:
    assert LensModel.from_camera_info(info(k=[0.0] * 9)) is None
    assert LensModel.from_camera_info(info(d=[0.0] * 5)) is None
    for changes, word in (({"distortion_model": "fisheye"}, "distortion_model"), ({"d": [0.1]}, "camera_info d"),
                          ({"d": [math.nan] * 5}, "camera_info d"), ({"k": [-1.0] * 9}, "camera_info k")):
        with pytest.raises(VisionInputError, match=word):
            LensModel.from_camera_info(info(**changes))
    lens = LensModel.from_camera_info(info())
    assert lens is not None
    with pytest.raises(VisionInputError, match="image size"):
        lens.straighten(np.zeros((64, 64), np.uint8))


def test_marks_are_found_in_an_image() -> None:
    centres = np.array([[30.2, 20.7], [200.6, 22.1], [480.3, 100.4]])
    image = np.full((128, 512), 180.0)
    for x, y in centres:
        image -= 120.0 * disc((128, 512), x, y, 6.0)
    image += np.random.default_rng(0).normal(0, 2.0, image.shape)
    assert find_marks(np.clip(image, 0, 255).astype(np.uint8), 12.0) == pytest.approx(centres, abs=0.1)


@pytest.mark.parametrize(("now", "camera", "word"), [
    (100.0 + 3601.0, "microscope", "expired"), (99.0, "microscope", "age"), (200.0, "sorter", "sorter"),
    (float("nan"), "microscope", "age")])
def test_a_calibration_that_is_not_for_now_refuses(now: float, camera: str, word: str) -> None:
    with pytest.raises(CalibrationError, match=word):
        made().require(now, camera)
    assert made().require(200.0, "microscope")


@pytest.mark.parametrize(("changes", "word"), [
    ({"residual_px": 4.0}, "residual"), ({"marks": 3}, "marks"), ({"um_per_px": -1.0}, "um_per_px"),
    ({"anisotropy": 0.02}, "anisotropy"), ({"shear": -0.02}, "shear"), ({"focus": 0.3}, "focus"),
    ({"light": 0.1}, "light"), ({"wall_top_px": 500.0}, "wall_bottom_px"), ({"focus": math.nan}, "focus")])
def test_a_calibration_that_does_not_fit_refuses(changes: dict[str, float], word: str) -> None:
    with pytest.raises(CalibrationError, match=word):
        made(**changes).require(200.0)


def test_bad_marks_make_no_calibration() -> None:
    bent, mirrored, in_line = seen(), seen() * [-1.0, 1.0], seen() * [1.0, 0.001]
    bent[2] += 8.0
    for px, um, word in ((bent, MARKS_UM, "residual|anisotropy|shear"), (seen()[:3], MARKS_UM[:3], "marks"),
                         (seen() * 0.01, MARKS_UM, "within"), (seen() * np.nan, MARKS_UM, "finite"),
                         (mirrored, MARKS_UM, "mirrored"), (in_line, MARKS_UM, "line")):
        with pytest.raises(CalibrationError, match=word):
            calibrate("microscope", px, um, WALLS_UM, 0.0, 3600.0)
    with pytest.raises(CalibrationError, match="valid_for_s"):
        calibrate("microscope", seen(), MARKS_UM, WALLS_UM, 0.0, math.nan)


def test_stored_calibration_comes_back_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    made().save(path)
    assert load_calibration(path, 200.0, "microscope") == made()
    with pytest.raises(CalibrationError, match="expired"):
        load_calibration(path, 1e6, "microscope")
    stored = json.loads(path.read_text())
    for change, word in (({"um_per_px": None}, "um_per_px"), ({"residual_px": 4.0}, "residual"),
                         ({"extra": 1}, "fields")):
        path.write_text(json.dumps({**stored, **change}))
        with pytest.raises(CalibrationError, match=word):
            load_calibration(path, 200.0, "microscope")
    path.write_text("{")
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_calibration(path, 200.0)
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_calibration(tmp_path / "none.json", 200.0)
