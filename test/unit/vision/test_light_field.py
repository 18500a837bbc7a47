# SPDX-License-Identifier: Apache-2.0
"""Uneven fluorescence lamps: learnt from the cells that pass, and taken out of the images."""

from __future__ import annotations

import numpy as np
import pytest
from vision_blobs import HEIGHT, RATE_HZ, WALL_BOTTOM, WALL_TOP, WIDTH, flow_movie, profile, settings

from mimedi_nodes.vision.detection.light_field import LightField
from mimedi_nodes.vision.tracking.tracker import CellTracker


def lamp(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    """Brighter to the right and below, dim in all corners; 1 in the middle."""
    u, v = x / WIDTH - 0.5, y / HEIGHT - 0.5
    return np.exp(strength * (1.2 * u - 2.0 * u * u + 0.8 * v - 1.5 * v * v))


def learnt(strength: float, seed: int, frames: int = 400) -> LightField:
    """What some two hundred cells of spread brightness (.3) teach, seen through what was learnt so far."""
    rng = np.random.default_rng(seed)
    field = LightField(WIDTH, HEIGHT)
    births = np.flatnonzero(rng.random(frames) < 0.5)
    y = rng.uniform(WALL_TOP + 6.0, WALL_BOTTOM - 6.0, len(births))
    stain = rng.lognormal(4.0, 0.3, len(births))
    for t in range(0, frames, 4):
        x = (t - births) * (profile(y) + 0.5)
        seen = np.flatnonzero((x >= 0.0) & (x < WIDTH - 1.0))
        light = stain[seen] * lamp(x[seen], y[seen], strength) * rng.lognormal(0.0, 0.05, len(seen))
        if field.gain is not None:
            light *= field.gain[y[seen].astype(int), x[seen].astype(int)]
        field.note(x[seen], y[seen], light, seen.astype(np.int64))
    return field


@pytest.mark.parametrize("seed", range(4))
def test_an_even_lamp_is_left_alone(seed: int) -> None:
    assert learnt(0.0, seed).gain is None


@pytest.mark.parametrize("seed", range(4))
def test_an_uneven_lamp_is_evened_out(seed: int) -> None:
    gain = learnt(0.5, seed).gain
    assert gain is not None
    y, x = np.mgrid[int(WALL_TOP):int(WALL_BOTTOM), 0:WIDTH]
    before = lamp(x, y, 0.5)
    after = before * gain[int(WALL_TOP):int(WALL_BOTTOM)]
    assert np.mean(1.0 / gain) == pytest.approx(1.0, abs=1e-3), "levels are those of the mean light"
    assert after.std() / after.mean() < 0.6 * before.std() / before.mean()


def test_nobody_lit_tells_nothing() -> None:
    field = LightField(WIDTH, HEIGHT)
    none = np.empty(0)
    field.note(none, none, none, np.empty(0, np.int64))
    assert field.gain is None


def test_cells_are_as_bright_in_dim_rows_as_in_bright_ones() -> None:
    """The same stain in every cell, and a lamp that gives the lowest row three times the light of the highest."""
    movie = flow_movie(frames=130, cells_per_frame=22.0, seed=3, viability=0.4)
    rows = np.arange(HEIGHT)[:, None]
    shade = np.exp(1.2 * (rows / HEIGHT - 0.5))
    lit = np.clip((movie.dye.astype(float) - 8.0) * shade + 8.0, 0, 255).astype(np.uint8)
    dark = np.full_like(lit[0], 8)
    dark[::2] += 2
    tracker = CellTracker(settings())
    tracker.prime(list(movie.movie[:9]))
    for t, image in enumerate(movie.movie):
        seen = tracker.process(image, t / RATE_HZ, fluorescence=[lit[t], dark])
    cells = [cell for cell in seen.tracks if cell.cell_class == 1 and cell.confirmed and not cell.edge]
    y, light = np.array([cell.y_px for cell in cells]), np.array([cell.lights[0] for cell in cells])
    slope = np.polyfit(y / HEIGHT - 0.5, np.log(light), 1)[0]
    assert len(cells) >= 6
    assert abs(slope) < 0.5, f"{slope:.2f} of the lamp's 1.2 are left over {len(cells)} cells"
