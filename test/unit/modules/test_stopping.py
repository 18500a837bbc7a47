# SPDX-License-Identifier: Apache-2.0
"""When an inspection has seen enough: the rule alone, on simulated samples, until it stops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_nodes.modules.vision_qc.stopping import CELLS, GROWTH, INTERVALS, StoppingRule, halfwidths
from mimedi_nodes.vision.camera.settings import VisionSettings
from mimedi_nodes.vision.statistics.intervals import Interval, concentration_interval, wilson_interval
from mimedi_nodes.vision.statistics.population import PopulationEstimator, PopulationSummary, repeated_sightings

EMPTY = PopulationEstimator(
    VisionSettings(um_per_px=0.7, wall_top_px=10.0, wall_bottom_px=118.0, channel_depth_um=30.0, frame_rate_hz=300.0)
).summary()
RUNS = 1500
IN_VIEW = 12.0
Look = tuple[int, Callable[[], PopulationSummary]]


def viability(value: Interval) -> PopulationSummary:
    return replace(EMPTY, viability=value.value, viability_low=value.low, viability_high=value.high)


def concentration(value: Interval) -> PopulationSummary:
    return replace(EMPTY, concentration_per_ml=value.value, concentration_low_per_ml=value.low,
                   concentration_high_per_ml=value.high)


def living(rng: np.random.Generator, share: float) -> Iterator[Look]:
    """An inspection of cells of which `share` live; five frames bring some ten new ones."""
    cells = alive = 0
    while True:
        new = int(rng.poisson(10.0))
        cells, alive = cells + new, alive + int(rng.binomial(new, share))
        yield cells, partial(viability, wilson_interval(alive, cells, 0.95))


def flowing(rng: np.random.Generator) -> Iterator[Look]:
    """An inspection of cells that flow through the view at different speeds (views a frame)."""
    longest = 160
    speed = rng.uniform(0.15, 0.6, rng.poisson(IN_VIEW * (1.0 + 0.6 * longest)))
    start = rng.uniform(-0.6 * longest, 1.0, len(speed))
    first, last = np.ceil(np.maximum(-start / speed, 0.0)), np.floor((1.0 - start) / speed)
    for frames in range(5, longest, 5):
        stays = np.minimum(last, frames - 1) - first + 1
        seen = stays > 0
        sightings = repeated_sightings(speed[seen], frames)
        yield int(seen.sum()), partial(
            concentration, concentration_interval(stays[seen], frames, 1.0, 0.95, sightings))


def stopped(rule: StoppingRule, looks: Iterator[Look]) -> PopulationSummary:
    """Return what is known when the rule ends the inspection."""
    for cells, summary in looks:
        if (why := rule.reached(cells, summary)) is not None:
            assert why == INTERVALS
            return summary()
    raise AssertionError("the rule never ended the inspection")


@pytest.mark.parametrize(("share", "asked", "least"), [
    (0.5, 0.05, 50), (0.7, 0.05, 100), (0.8, 0.03, 100), (0.9, 0.03, 100), (0.9, 0.02, 300), (0.95, 0.02, 200),
])
def test_a_viability_that_was_waited_for_is_as_sure_as_it_says(share: float, asked: float, least: int) -> None:
    rng = np.random.default_rng(11)
    ends = [stopped(StoppingRule(least, viability_halfwidth=asked), living(rng, share)) for _ in range(RUNS)]
    held = np.mean([end.viability_low <= share <= end.viability_high for end in ends])
    assert 0.93 <= held <= 0.97, held
    widths = [halfwidths(end)["viability"] for end in ends]
    assert max(widths) <= asked
    # Not much longer than it takes: a look comes at the latest a tenth of the cells, and a frame's, too late.
    assert np.mean(widths) > 0.9 * asked
    assert np.mean([end.viability for end in ends]) == pytest.approx(share, abs=0.2 * asked)


@pytest.mark.parametrize("asked", [0.1, 0.15])
def test_a_concentration_that_was_waited_for_is_as_sure_as_it_says(asked: float) -> None:
    rng = np.random.default_rng(12)
    ends = [stopped(StoppingRule(100, concentration_relative_halfwidth=asked), flowing(rng)) for _ in range(RUNS // 2)]
    held = np.mean([end.concentration_low_per_ml <= IN_VIEW <= end.concentration_high_per_ml for end in ends])
    assert 0.93 <= held <= 0.97, held
    assert max(halfwidths(end)["concentration"] for end in ends) <= asked
    assert np.mean([end.concentration_per_ml for end in ends]) == pytest.approx(IN_VIEW, rel=0.02)


def told(viable: float = math.nan, cells: float = math.nan) -> PopulationSummary:
    """A summary with these half widths."""
    return replace(EMPTY, viability=0.9, viability_low=0.9 - viable, viability_high=0.9 + viable,
                   concentration_per_ml=1e6, concentration_low_per_ml=1e6 * (1.0 - cells),
                   concentration_high_per_ml=1e6 * (1.0 + cells))


def test_without_an_interval_the_cells_alone_end_it() -> None:
    rule = StoppingRule(300)
    assert [rule.reached(cells, told) for cells in (0, 299, 300)] == [None, None, CELLS]
    assert rule.progress(150) == (0.5, "150 of 300 cells")


def test_both_intervals_must_be_reached_and_the_wider_tells_how_far_it_is() -> None:
    rule = StoppingRule(100, 0.03, 0.1)
    assert rule.reached(100, lambda: told(0.02, 0.2)) is None
    share, text = rule.progress(105)
    assert share == pytest.approx(0.25)
    assert text == "105 cells, viability +- 0.020 of 0.03, concentration +- 0.200 of 0.1"
    assert rule.reached(400, lambda: told(0.029, 0.099)) == INTERVALS


def test_nobody_looks_too_early_nor_too_often() -> None:
    looked: list[int] = []

    def look(cells: int) -> PopulationSummary:
        looked.append(cells)
        return told(0.1)

    rule = StoppingRule(100, 0.03)
    for cells in range(90, 200):
        rule.reached(cells, partial(look, cells))
    assert looked[0] == 100
    assert all(later >= GROWTH * earlier for earlier, later in itertools.pairwise(looked))
    soon = looked[-1] + 1
    assert rule.reached(soon, lambda: told(0.01)) is None
    assert rule.reached(soon, lambda: told(0.01), last=True) == INTERVALS
    assert StoppingRule(100, 0.03).reached(99, lambda: told(0.01), last=True) is None


@given(st.floats(0.001, 0.5), st.integers(50, 10**6))
def test_what_nobody_knows_is_never_narrow_enough(asked: float, cells: int) -> None:
    for rule in (StoppingRule(50, asked), StoppingRule(50, 0.0, asked)):
        assert rule.reached(cells, told, last=True) is None
        assert 0.0 <= rule.progress(cells)[0] <= 1.0
