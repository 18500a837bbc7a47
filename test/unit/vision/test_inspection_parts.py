# SPDX-License-Identifier: Apache-2.0
"""Parts that make an inspection cheap and its intervals honest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vision_blobs import RATE_HZ, WIDTH, flow_movie
from vision_blobs import settings as vision_settings

from mimedi_nodes.vision.camera.frame import FrameTracks
from mimedi_nodes.vision.detection.medians import median, percentile
from mimedi_nodes.vision.detection.order_statistics import percentile_in_time
from mimedi_nodes.vision.statistics.coincidence import PairCounter
from mimedi_nodes.vision.statistics.intervals import concentration_interval, wilson_interval
from mimedi_nodes.vision.statistics.population import repeated_sightings
from mimedi_nodes.vision.tracking.tracker import CellTracker


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9, 15, 16, 25])
@pytest.mark.parametrize("percent", [0.0, 50.0, 70.0, 100.0])
def test_percentiles_in_time_are_those_of_numpy(count: int, percent: float) -> None:
    images = np.random.default_rng(count).normal(size=(count, 20, 30)).astype(np.float32)
    before = images.copy()
    assert percentile_in_time(list(images), percent) == pytest.approx(np.percentile(images, percent, axis=0), abs=1e-5)
    assert np.array_equal(images, before)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0.0, 100.0))
def test_percentiles_of_few_numbers_are_those_of_numpy(values: list[float], percent: float) -> None:
    numbers = np.array(values)
    assert percentile(numbers, percent) == pytest.approx(float(np.percentile(numbers, percent)), rel=1e-9, abs=1e-6)
    assert median(numbers) == pytest.approx(float(np.median(numbers)), rel=1e-9, abs=1e-6)


def test_expected_sightings_count_the_frames_that_show_a_cell() -> None:
    """A cell at a random place in view, moved on and back by its step: counted one by one."""
    rng = np.random.default_rng(3)
    for step, frames in ((0.4, 50), (0.05, 12), (1.7, 9), (0.0, 7)):
        place, now = rng.uniform(size=20000), rng.integers(0, frames, 20000)
        seen = [((place + step * (k - now) >= 0.0) & (place + step * (k - now) <= 1.0)) for k in range(frames)]
        assert repeated_sightings(np.array([step]), frames)[0] == pytest.approx(np.mean(np.sum(seen, axis=0)), rel=0.04)


@pytest.mark.parametrize("broken", [0.0, 0.3])
def test_intervals_from_speeds_cover_the_truth_even_where_tracks_break(broken: float) -> None:
    rng = np.random.default_rng(8)
    frames, runs, held, tracked = 25, 2000, 0, 0
    for _ in range(runs):
        speed = rng.uniform(0.15, 0.6, rng.poisson(12.0 * (1.0 + 0.6 * frames)))
        start = rng.uniform(-0.6 * frames, 1.0, len(speed))
        first = np.ceil(np.maximum(-start / speed, 0.0))
        stays = np.minimum(np.floor((1.0 - start) / speed), frames - 1) - first + 1
        inside = (first < frames) & (stays > 0)
        speed, stays = speed[inside], stays[inside]
        cut = (rng.uniform(size=len(stays)) < broken) & (stays > 1)
        pieces = np.concatenate([stays - cut, cut[cut].astype(float)])
        speeds = np.concatenate([speed, speed[cut]])
        interval = concentration_interval(pieces, frames, 1.0, 0.95, repeated_sightings(speeds, frames))
        held += interval.low <= 12.0 <= interval.high
        plain = concentration_interval(pieces, frames, 1.0, 0.95)
        tracked += plain.low <= 12.0 <= plain.high
    assert 0.93 <= held / runs <= 0.97
    # The tracks alone would promise too much.
    assert broken == 0.0 or tracked < held


def test_cells_counted_twice_do_not_narrow_a_fraction() -> None:
    assert wilson_interval(360, 400, 0.95, 0.5) == pytest.approx(wilson_interval(180, 200, 0.95))


def _merged(x: np.ndarray, y: np.ndarray, apart: float) -> np.ndarray:
    """Distances between the cells that are left when one of each nearer pair is not seen."""
    distance = np.hypot(x[:, None] - x[None, :], y[:, None] - y[None, :])
    hidden = (np.triu(distance < apart, 1)).any(axis=0)
    return distance[~hidden][:, ~hidden]


@pytest.mark.parametrize("apart", [0.0, 5.0, 8.0])
def test_missing_pairs_tell_how_many_cells_are_hidden(apart: float) -> None:
    rng, counter, true, seen = np.random.default_rng(4), PairCounter(), 0, 0
    for _ in range(400):
        count = rng.poisson(30.0)
        left = _merged(rng.uniform(0, 480, count), rng.uniform(0, 104, count), apart)
        counter.add(left)
        true, seen = true + count, seen + len(left)
    lost, deviation = counter.missing(15.0, 480.0, 104.0, repeats=1.0)
    assert lost == pytest.approx(true / seen - 1.0, abs=3.0 * deviation + 0.004)
    assert deviation < 0.01
    # Where tracks went on through the hiding, nothing is left to add.
    assert counter.missing(15.0, 480.0, 104.0, 1.0, hidden=float(true))[0] == 0.0


def _tracks(movie: Any, steps: int) -> list[FrameTracks]:
    tracker = CellTracker(vision_settings())
    tracker.prime(list(movie.movie[:9]))
    return [tracker.process(movie.movie[t], t / RATE_HZ, dye=movie.dye[t]) for t in range(steps)]


def test_the_first_frames_are_as_good_as_the_others_once_the_channel_is_known() -> None:
    movie = flow_movie(frames=12, cells_per_frame=15.0, seed=22)
    first = _tracks(movie, 1)[0]
    inside = (movie.x[0] > 8) & (movie.x[0] < WIDTH - 9)
    found = [c for c in first.tracks if 8 < c.x_px < WIDTH - 9]
    assert len(found) == pytest.approx(inside.sum(), abs=2)
    off = [np.nanmin(np.hypot(movie.x[0] - cell.x_px, movie.y[0] - cell.y_px)) for cell in found]
    # Two that overlap are one blob until it is known what a cell looks like.
    assert np.median(off) < 0.5
    assert max(off) < 6.0
