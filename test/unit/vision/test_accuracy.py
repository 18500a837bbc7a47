# SPDX-License-Identifier: Apache-2.0
"""How well a crowded channel is tracked: bench/vision.py in short, on movies of this project's own renderer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from vision_blobs import RATE_HZ, WIDTH, Truth, flow_movie, settings

from mimedi_nodes.vision.camera.frame import FrameTracks
from mimedi_nodes.vision.statistics.counting import CountingLine
from mimedi_nodes.vision.tracking.tracker import CellTracker

WARM = 25


@pytest.fixture(scope="module")
def crowd() -> tuple[Truth, list[FrameTracks]]:
    truth = flow_movie(frames=90, cells_per_frame=45.0, seed=31)
    tracker = CellTracker(settings())
    tracker.warm_up(list(truth.movie[:WARM]), [t / RATE_HZ for t in range(WARM)])
    return truth, [tracker.process(image, t / RATE_HZ) for t, image in enumerate(truth.movie)]


def test_cells_are_found_in_their_places_and_keep_their_numbers(crowd: tuple[Truth, list[FrameTracks]]) -> None:
    truth, frames = crowd
    found = seen = there = switches = 0
    squares: list[float] = []
    last: dict[int, int] = {}
    for t in range(3, len(frames)):
        inside = np.flatnonzero((truth.x[t] >= 10) & (truth.x[t] <= WIDTH - 10))
        cells = [c for c in frames[t].tracks if c.confirmed and 10 <= c.x_px <= WIDTH - 10]
        far = np.hypot(truth.x[t, inside][:, None] - [c.x_px for c in cells],
                       truth.y[t, inside][:, None] - [c.y_px for c in cells])
        rows, columns = linear_sum_assignment(np.where(far <= 5.0, far, 1e3))
        good = far[rows, columns] <= 5.0
        squares += (far[rows, columns][good] ** 2).tolist()
        found, seen, there = found + int(good.sum()), seen + len(cells), there + len(inside)
        for k, column in zip(inside[rows[good]].tolist(), columns[good].tolist(), strict=True):
            switches += last.get(k, cells[column].track_id) != cells[column].track_id
            last[k] = cells[column].track_id
    assert 2.0 * found / (seen + there) > 0.935
    assert np.sqrt(np.mean(squares)) < 0.85
    assert switches <= 0.004 * found


def test_cells_over_a_line_are_counted(crowd: tuple[Truth, list[FrameTracks]]) -> None:
    truth, frames = crowd
    line = CountingLine(WIDTH / 2.0)
    for frame in frames:
        line.add(frame)
    before, after = truth.x[:-1], truth.x[1:]
    t, cell = np.nonzero((before < WIDTH / 2.0) & (after >= WIDTH / 2.0))
    when = t + (WIDTH / 2.0 - before[t, cell]) / (after[t, cell] - before[t, cell])
    far = np.maximum(np.abs(when[:, None] - [c.frame for c in line.crossings]) / 3.0,
                     np.abs(truth.y[t, cell][:, None] - [c.y_px for c in line.crossings]) / 5.0)
    rows, columns = linear_sum_assignment(np.where(far <= 1.0, far, 1e3))
    right = int((far[rows, columns] <= 1.0).sum())
    assert len(t) > 80
    assert 2.0 * right / (len(t) + len(line.crossings)) > 0.93
