# SPDX-License-Identifier: Apache-2.0
"""Particles that no flow carries are found where they are, and keep their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mimedi_nodes.vision.camera.frame import FrameTracks
from mimedi_nodes.vision.detection.still import SpotFinder
from mimedi_nodes.vision.recordings.files import read_movie, track_movie

FRAMES, HEIGHT, WIDTH, COUNT = 30, 120, 160, 24


def diffusing(sign: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A movie (T, H, W) of spots of 1.6 px on uneven light, and their places (T, N, 2)."""
    rng = np.random.default_rng(seed)
    start = np.stack(np.meshgrid(np.linspace(18, WIDTH - 18, 6), np.linspace(16, HEIGHT - 16, 4)), -1).reshape(-1, 2)
    places = start + rng.uniform(-3, 3, start.shape) + np.cumsum(rng.normal(0, 0.4, (FRAMES, COUNT, 2)), axis=0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    movie = np.empty((FRAMES, HEIGHT, WIDTH), np.uint8)
    for frame, now in zip(movie, places, strict=True):
        far = (x[..., None] - now[:, 0]) ** 2 + (y[..., None] - now[:, 1]) ** 2
        light = 120.0 + 0.2 * x + sign * 40.0 * np.exp(-far / (2 * 1.6**2)).sum(axis=-1)
        frame[:] = np.clip(np.rint(light + rng.normal(0, 2.0, light.shape)), 0, 255)
    return movie, places


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_spots_are_found_to_a_part_of_a_pixel_dark_or_bright(sign: float) -> None:
    movie, places = diffusing(sign, 3)
    finder = SpotFinder(list(movie[::10]))
    assert finder.sign == sign
    for frame, truth in zip(movie, places, strict=True):
        found = finder.find(frame)
        assert len(found) == COUNT
        apart = np.hypot(*(found[:, None] - truth[None]).transpose(2, 0, 1)).min(axis=1)
        assert np.sqrt(np.mean(apart**2)) < 0.2


def test_a_movie_without_flow_is_tracked_by_its_spots(tmp_path: Path) -> None:
    movie, places = diffusing(-1.0, 5)
    np.savez(tmp_path / "still.npz", movie=movie, px_um=0.35, wall=0.0, fps=24.0)
    frames, report = track_movie(read_movie(tmp_path / "still.npz"))
    assert report.tracks == COUNT
    assert _switches(frames, places) == 0


def _switches(frames: list[FrameTracks], places: np.ndarray) -> int:
    owner: dict[int, int] = {}
    switches = 0
    for frame, truth in zip(frames, places, strict=True):
        for cell in frame.tracks:
            nearest = int(np.hypot(truth[:, 0] - cell.x_px, truth[:, 1] - cell.y_px).argmin())
            switches += owner.setdefault(cell.track_id, nearest) != nearest
    return switches
