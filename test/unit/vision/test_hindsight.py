# SPDX-License-Identifier: Apache-2.0
"""What a recording tells in hindsight: smoothing against a direct solution, and cells that others hid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vision_blobs import HEIGHT, RATE_HZ, WIDTH

from mimedi_nodes.vision.camera.frame import FrameTracks, TrackedCell
from mimedi_nodes.vision.detection.detections import empty
from mimedi_nodes.vision.tracking.hindsight import Sighting, revise
from mimedi_nodes.vision.tracking.linker import TRACK
from mimedi_nodes.vision.tracking.smoothing import _smooth_numpy, smooth, wander_of


def exact(place: np.ndarray, variance: np.ndarray, step: np.ndarray, way: float, error: float) -> np.ndarray:
    """The same smoother as one least-squares problem in all places and step errors of a track."""
    n = len(place)
    rows, right = [], []

    def add(weights: dict[int, float], value: float, deviation: float) -> None:
        row = np.zeros(2 * n)
        for column, weight in weights.items():
            row[column] = weight
        rows.append(row / deviation)
        right.append(value / deviation)

    first = int(np.flatnonzero(~np.isnan(place))[0])
    add({0: 1.0}, place[first] - step[1:first + 1].sum(), 1e2)
    add({n: 1.0}, 0.0, error)
    for k in range(n):
        if not np.isnan(place[k]):
            add({k: 1.0}, place[k], np.sqrt(variance[k]))
        if k:
            add({k: 1.0, k - 1: -1.0, n + k - 1: -1.0}, step[k], np.sqrt(way))
            add({n + k: 1.0, n + k - 1: -1.0}, 0.0, np.sqrt(0.002))
    return np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0][:n]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_smoothing_is_the_least_squares_solution_of_each_track(seed: int) -> None:
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 12, 3)
    most = int(length.max())
    place = rng.normal(0.0, 50.0, (most, 3))
    place[rng.uniform(size=place.shape) < 0.4] = np.nan
    for k, n in enumerate(length):
        place[n:, k] = np.nan
        place[rng.integers(n), k] = 7.0
    variance, step = rng.uniform(0.01, 9.0, place.shape), rng.normal(5.0, 2.0, place.shape)
    way, error = rng.uniform(0.01, 0.5, 3), rng.uniform(0.02, 1.0, 3)
    for smoothed in (smooth(place, variance, step, length, way, error),
                     _smooth_numpy(place, variance, step, length, way, error)):
        for k, n in enumerate(length):
            assert smoothed[:n, k] == pytest.approx(
                exact(place[:n, k], variance[:n, k], step[:n, k], float(way[k]), float(error[k])), abs=1e-4)


def test_wander_and_measuring_error_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    place = np.cumsum(rng.normal(0.0, 0.3, 200000)) + rng.normal(0.0, 0.2, 200000)
    found = wander_of(np.diff(place), place[2:] - place[:-2])
    assert found.way_px2 == pytest.approx(0.09, rel=0.1)
    assert found.place_px2 == pytest.approx(0.04, rel=0.15)
    # Too few to tell: something sensible.
    assert wander_of(np.array([0.5]), np.empty(0)).way_px2 > 0.0


DIAMETER, SPEED, FRAMES = 15.0, 9.0, 50


def recording(cells: list[tuple[np.ndarray, np.ndarray, float]], dark: np.ndarray,
              noise_px: float = 0.0) -> tuple[list[FrameTracks], list[Sighting]]:
    """What a tracker would hand over that sees cells (id or 0, alone, y) in each frame, at x = SPEED t."""
    rng = np.random.default_rng(1)
    frames, sightings = [], []
    for t in range(FRAMES):
        here = [(ids[t], alone[t], y) for ids, alone, y in cells if ids[t]]
        tracks, found = np.zeros(len(here), TRACK), empty(len(here))
        for k, (track, alone, y) in enumerate(here):
            # An overlap tells less.
            error = 0.1 if alone else noise_px
            x = SPEED * t + error * rng.standard_normal()
            tracks[k]["id"], tracks[k]["detection"], tracks[k]["hits"], tracks[k]["ratio"] = track, k, 5, 1.0
            tracks[k]["vx"] = SPEED * RATE_HZ
            found[k]["x"], found[k]["y"], found[k]["lone"] = x, y + error * rng.standard_normal(), alone
        shown = [TrackedCell(int(track), float(x), float(y), SPEED * RATE_HZ, 0.0, 10.0, 0.0, 80.0, 1.0, 1.0, 0.8,
                             math.nan, None, 0, False)
                 for track, x, y in zip(tracks["id"], found["x"], found["y"], strict=True)]
        frames.append(FrameTracks(t / RATE_HZ, t, shown, WIDTH, HEIGHT, flow_known=True))
        mask = np.full((HEIGHT, WIDTH), dark[t], np.uint8)
        sightings.append(Sighting(tracks, found, np.packbits(mask), mask.shape, 0, SPEED))
    return frames, sightings


def paths(frames: list[FrameTracks]) -> dict[int, dict[int, TrackedCell]]:
    found: dict[int, dict[int, TrackedCell]] = {}
    for t, frame in enumerate(frames):
        for cell in frame.tracks:
            found.setdefault(cell.track_id, {})[t] = cell
    return found


def ids(number: int, *seen: int) -> np.ndarray:
    """`number` in frames seen[0] to seen[1], seen[2] to seen[3] and so on, else 0."""
    result = np.zeros(FRAMES, int)
    for first, last in zip(seen[::2], seen[1::2], strict=True):
        result[first:last] = number
    return result


ALWAYS = np.ones(FRAMES, bool)


def test_a_cell_found_late_and_lost_early_is_drawn_on_as_far_as_it_is_dark_there() -> None:
    dark = np.zeros(FRAMES, np.uint8)
    dark[12:43] = 1
    seen = ids(7, 25, 35)
    found = paths(revise(*recording([(seen, ALWAYS, 60.0)], dark), DIAMETER, RATE_HZ))[7]
    assert list(found) == list(range(12, 43))
    for t, cell in found.items():
        assert (cell.x_px, cell.y_px) == pytest.approx((SPEED * t, 60.0), abs=0.5)
        assert cell.measured == (25 <= t < 35)


def test_what_was_never_alone_is_not_drawn_on_and_what_was_seen_twice_is_no_cell() -> None:
    dark = np.ones(FRAMES, np.uint8)
    cells = [(ids(3, 20, 30), ~ALWAYS, 40.0), (ids(4, 20, 22), ALWAYS, 80.0)]
    found = paths(revise(*recording(cells, dark), DIAMETER, RATE_HZ))
    assert {track: list(cells) for track, cells in found.items()} == {3: list(range(20, 30))}


def test_the_two_ends_of_a_broken_track_are_joined() -> None:
    first = ids(5, 0, 15) + ids(6, 24, FRAMES)
    # Another one that begins then, elsewhere.
    other = ids(9, 24, 40)
    found = paths(revise(*recording([(first, ALWAYS, 60.0), (other, ALWAYS, 75.0)], np.zeros(FRAMES, np.uint8)),
                         DIAMETER, RATE_HZ))
    assert set(found) == {5, 9}
    assert list(found[5]) == list(range(FRAMES))
    assert max(abs(cell.x_px - SPEED * t) for t, cell in found[5].items()) < 0.6


def test_places_in_an_overlap_become_surer_by_what_was_seen_before_and_after() -> None:
    alone = ALWAYS.copy()
    alone[20:30] = False
    frames, sightings = recording([(ids(2, 0, FRAMES), alone, 60.0)], np.zeros(FRAMES, np.uint8), noise_px=0.8)
    before = [c.x_px - SPEED * t for t, c in paths(frames)[2].items()][20:30]
    after = [c.x_px - SPEED * t for t, c in paths(revise(frames, sightings, DIAMETER, RATE_HZ))[2].items()][20:30]
    assert np.sqrt(np.mean(np.square(after))) < 0.5 * np.sqrt(np.mean(np.square(before)))


def test_a_recording_without_cells_has_none_afterwards() -> None:
    frames, sightings = recording([], np.zeros(FRAMES, np.uint8))
    assert all(frame.tracks == [] for frame in revise(frames, sightings, DIAMETER, RATE_HZ))
