# SPDX-License-Identifier: Apache-2.0
"""95 % intervals hold the truth 93 to 97 times of 100, and are at most 1.2 times as wide as they must be.

As wide as they must be is 2 x 1.96 standard deviations of the estimate itself over the simulated samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from vision_blobs import WALL_BOTTOM, WALL_TOP, WIDTH, profile

from mimedi_nodes.vision.camera.frame import FrameTracks, TrackedCell
from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.statistics.counting import CountingLine
from mimedi_nodes.vision.statistics.intervals import (
    Interval,
    concentration_interval,
    doublet_interval,
    mean_interval,
    poisson_interval,
    wilson_interval,
)
from mimedi_nodes.vision.statistics.sorting import OutletCount, count_outlets, purity, recovery

RUNS = 3000
Draw = Callable[[np.random.Generator], Interval]


def _concentration(per_frame: float) -> Draw:
    """An inspection of cells that a parabolic flow carries through the view."""
    frames, top = 60, 12.0
    length = WIDTH + frames * top

    def draw(rng: np.random.Generator) -> Interval:
        count = rng.poisson(per_frame * length / WIDTH)
        speed = profile(rng.uniform(WALL_TOP + 8, WALL_BOTTOM - 8, count), top)
        start = rng.uniform(WIDTH - length, WIDTH, count)
        first, last = np.ceil(np.maximum(-start / speed, 0.0)), np.floor((WIDTH - start) / speed)
        stays = np.minimum(last, frames - 1) - first + 1
        return concentration_interval(stays[stays > 0], frames, 1.0, 0.95)
    return draw


def _share(share: float, cells: int) -> Draw:
    return lambda rng: wilson_interval(int(rng.binomial(cells, share)), cells, 0.95)


def _doublets(share: float, objects: int) -> Draw:
    def draw(rng: np.random.Generator) -> Interval:
        pairs = int(rng.binomial(objects, share / (2.0 - share)))
        return doublet_interval(2 * pairs, objects + pairs, 0.95)
    return draw


def _mean(cells: int) -> Draw:
    return lambda rng: mean_interval(10.0 * rng.lognormal(0.0, 0.15, cells), 0.95)


def _count(mean: float) -> Draw:
    return lambda rng: poisson_interval(int(rng.poisson(mean)), 0.95)


def _purity(mean: float, share: float) -> Draw:
    return lambda rng: purity(OutletCount(int(rng.poisson(mean * share)), int(rng.poisson(mean * (1.0 - share)))))


def _recovery(mean: float, recovered: float, centre: float, side: float) -> Draw:
    return lambda rng: recovery(OutletCount(int(rng.poisson(mean * recovered * centre)), 3, centre),
                                OutletCount(int(rng.poisson(mean * (1.0 - recovered) * side)), 3, side))


CASES: dict[str, tuple[Draw, float]] = {
    "concentration, few cells": (_concentration(3.0), 3.0),
    "concentration": (_concentration(12.0), 12.0),
    "viability 0.9 of 150": (_share(0.9, 150), 0.9),
    "viability 0.7 of 300": (_share(0.7, 300), 0.7),
    "class share 0.35 of 200": (_share(0.35, 200), 0.35),
    "doublet fraction 0.1 of 800": (_doublets(0.1, 800), 0.1),
    "mean diameter of 200": (_mean(200), 10.0 * math.exp(0.15**2 / 2.0)),
    "outlet count 150": (_count(150.0), 150.0),
    "purity 0.9": (_purity(400.0, 0.9), 0.9),
    "recovery 0.8, both outlets whole": (_recovery(400.0, 0.8, 1.0, 1.0), 0.8),
    "recovery 0.8, a tenth of the side outlet": (_recovery(2000.0, 0.8, 0.3, 0.1), 0.8),
}


@pytest.mark.parametrize("case", CASES)
def test_intervals_hold_the_truth_and_are_no_wider_than_they_must_be(case: str) -> None:
    draw, truth = CASES[case]
    rng = np.random.default_rng(7)
    seen = np.array([(i.value, i.low, i.high) for i in (draw(rng) for _ in range(RUNS))])
    held = float(((seen[:, 1] <= truth) & (truth <= seen[:, 2])).mean())
    assert 0.93 <= held <= 0.97
    assert float((seen[:, 2] - seen[:, 1]).mean()) <= 1.2 * 2.0 * 1.96 * float(seen[:, 0].std())


def test_what_nobody_counted_is_unknown() -> None:
    nothing = OutletCount(0, 0)
    assert math.isnan(purity(nothing).value)
    assert math.isnan(recovery(nothing, nothing).value)
    assert math.isnan(mean_interval(np.array([1.0]), 0.95).low)
    assert poisson_interval(0, 0.95).low == 0.0
    for wrong, word in ((lambda: OutletCount(-1, 0), "targets"), (lambda: OutletCount(0, 0, 0.0), "counted_share")):
        with pytest.raises(VisionInputError, match=word):
            wrong()


def cell(track: int, x: float, y: float = 60.0) -> TrackedCell:
    return TrackedCell(track, x, y, 900.0, 0.0, 10.0, 0.0, 80.0, 1.0, 1.0, 0.8, math.nan, None, 0, False)


def run(line: CountingLine, places: list[list[tuple[int, float, float]]]) -> CountingLine:
    for index, seen in enumerate(places):
        line.add(FrameTracks(index / 300.0, index, [cell(*place) for place in seen], 512, 128))
    return line


def test_a_cell_is_counted_where_it_crosses() -> None:
    line = run(CountingLine(256.0), [[(1, 240.0 + 10.0 * t, 60.0), (2, 300.0 - 20.0 * t, 30.0)] for t in range(5)])
    assert len(line.crossings) == 2
    assert line.net == 0
    forth, back = sorted(line.crossings, key=lambda c: -c.direction)
    assert (forth.frame, forth.y_px) == pytest.approx((1.6, 60.0))
    assert (back.frame, back.y_px, back.direction) == pytest.approx((2.2, 30.0, -1))
    assert line.interval().low < 2.0 < line.interval().high


def test_a_broken_track_counts_once() -> None:
    """It crosses, breaks, and is found again behind the line under another number."""
    places = [[(1, 240.0, 60.0)], [(1, 250.0, 60.0)], [(1, 258.0, 60.0)], [(2, 254.0, 61.0)], [(2, 262.0, 61.0)],
              [(2, 272.0, 61.0)]]
    assert len(run(CountingLine(256.0), places).crossings) == 1
    # Another cell on another way counts, and so does one that comes later.
    beside = [[*seen, (9, 238.0 + 10.0 * t, 80.0)] for t, seen in enumerate(places)]
    assert len(run(CountingLine(256.0), beside).crossings) == 2
    later = places + [[(3, 240.0 + 10.0 * t, 61.0)] for t in range(5)]
    assert len(run(CountingLine(256.0), later).crossings) == 2


def test_outlets_are_lines_between_rows() -> None:
    places = [[(1, 240.0 + 10.0 * t, 20.0), (2, 240.0 + 10.0 * t, 64.0)] for t in range(5)]
    assert len(run(CountingLine(256.0, 50.0, 80.0), places).crossings) == 1
    with pytest.raises(VisionInputError, match="y_to_px"):
        CountingLine(256.0, 80.0, 50.0)


def test_outlets_are_counted_by_row_and_class_and_what_flows_back_is_taken_off() -> None:
    ways = [  # class, row, first column, px a frame
        (1, 60.0, 200.0, 12.0), (1, 64.0, 180.0, 12.0), (2, 62.0, 150.0, 12.0), (1, 20.0, 190.0, 10.0),
        (0, 100.0, 200.0, 9.0), (1, 58.0, 300.0, -8.0)]
    frames = []
    for t in range(16):
        cells = [cell(k + 1, x + speed * t, y)._replace(cell_class=kind) for k, (kind, y, x, speed) in enumerate(ways)]
        frames.append(FrameTracks(t / 300.0, t, cells, 512, 128))
    sort = count_outlets(frames, 256.0, (40.0, 88.0), target_class=1)
    assert sort.centre == OutletCount(targets=1, others=1)
    assert sort.side == OutletCount(targets=1, others=1)
    assert sort.purity.value == sort.recovery.value == 0.5
    with pytest.raises(VisionInputError, match="y_to_px"):
        count_outlets(frames, 256.0, (88.0, 40.0), target_class=1)
