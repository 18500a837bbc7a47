# SPDX-License-Identifier: Apache-2.0
"""What a bad camera or a bad caller gets."""

from __future__ import annotations

import numpy as np
import pytest
from vision_blobs import RATE_HZ, flow_movie, settings

from mimedi_nodes.vision.camera.settings import VisionInputError, VisionSettings
from mimedi_nodes.vision.tracking.tracker import CellTracker


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    return flow_movie(frames=8, cells_per_frame=8.0).movie


def test_a_good_camera_is_good(movie: np.ndarray) -> None:
    tracker = CellTracker(settings())
    assert all(tracker.process(image, t / RATE_HZ).usable for t, image in enumerate(movie))
    health = tracker.health
    assert (health.frames, health.dropped, health.good) == (8, 0, True)
    assert not health.black_frames + health.saturated_frames + health.frozen_frames


def test_black_and_saturated_frames_are_not_measured(movie: np.ndarray) -> None:
    tracker = CellTracker(settings())
    assert tracker.process(movie[0], 0.0).usable
    frame = tracker.process(np.zeros_like(movie[0]), 1 / RATE_HZ)
    assert tracker.health.black
    assert not frame.usable
    assert frame.tracks == []
    assert not tracker.process(np.full_like(movie[0], 255), 2 / RATE_HZ).usable
    assert tracker.health.saturated
    assert tracker.process(movie[3], 3 / RATE_HZ).usable
    assert tracker.health.good
    assert (tracker.health.black_frames, tracker.health.saturated_frames) == (1, 1)


def test_a_twelve_bit_camera_at_its_end_is_saturated() -> None:
    tracker = CellTracker(settings())
    assert not tracker.process(np.full((128, 512), 4095, np.uint16), 0.0).usable


def test_a_frozen_camera_is_found_at_its_third_identical_frame(movie: np.ndarray) -> None:
    tracker = CellTracker(settings())
    usable = [tracker.process(movie[0].copy(), t / RATE_HZ).usable for t in range(4)]
    assert usable == [True, True, False, False]
    assert tracker.health.frozen
    assert tracker.process(movie[1], 5 / RATE_HZ).usable
    assert not tracker.health.frozen


def test_dropped_frames_are_counted_from_the_stamps(movie: np.ndarray) -> None:
    tracker = CellTracker(settings())
    for t in (0, 1, 4, 5):
        tracker.process(movie[t], t / RATE_HZ)
    assert tracker.health.dropped == 2


@pytest.mark.parametrize(("image", "words"), [
    (np.zeros((128, 512), np.float32), ("bright_field encoding", "float32", "uint8")),
    (np.zeros((128, 512, 3), np.uint8), ("bright_field size", "(128, 512, 3)", "two dimensions")),
    (np.zeros((8, 512), np.uint8), ("bright_field size", "(8, 512)", "16x16")),
    ([[1, 2]], ("bright_field", "list", "NumPy")),
])
def test_a_wrong_image_is_refused_by_name(image: object, words: tuple[str, ...]) -> None:
    with pytest.raises(VisionInputError) as error:
        CellTracker(settings()).process(image, 0.0)  # type: ignore[arg-type]
    for word in words:
        assert word in str(error.value)


def test_a_change_of_size_is_refused(movie: np.ndarray) -> None:
    tracker = CellTracker(settings())
    tracker.process(movie[0], 0.0)
    with pytest.raises(VisionInputError, match=r"\(64, 512\).*\(128, 512\)"):
        tracker.process(movie[1][:64], 1 / RATE_HZ)
    with pytest.raises(VisionInputError, match="dye size"):
        tracker.process(movie[1], 1 / RATE_HZ, dye=movie[1][:64])
    with pytest.raises(VisionInputError, match="at most 2"):
        tracker.process(movie[1], 1 / RATE_HZ, fluorescence=[movie[1]] * 3)


@pytest.mark.parametrize("stamp", [0.0, -1.0, float("nan")])
def test_time_must_advance(movie: np.ndarray, stamp: float) -> None:
    tracker = CellTracker(settings())
    tracker.process(movie[0], 0.0)
    with pytest.raises(VisionInputError, match="stamp_s"):
        tracker.process(movie[1], stamp)


@pytest.mark.parametrize(("field", "value"), [
    ("um_per_px", 0.0), ("um_per_px", 21.0), ("um_per_px", float("nan")), ("wall_bottom_px", 8.0),
    ("channel_depth_um", -1.0), ("frame_rate_hz", 0.0), ("cell_diameter_min_um", 0.0),
    ("cell_diameter_max_um", 1.0), ("width_px", -1), ("height_px", -1),
])
def test_settings_out_of_range_are_refused_by_name(field: str, value: float) -> None:
    good = {"um_per_px": 0.65, "wall_top_px": 8.0, "wall_bottom_px": 119.0, "channel_depth_um": 50.0,
            "frame_rate_hz": 300.0}
    with pytest.raises(VisionInputError) as error:
        VisionSettings(**{**good, field: value})  # type: ignore[arg-type]
    assert error.value.field == field
