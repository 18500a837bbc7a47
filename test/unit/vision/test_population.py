# SPDX-License-Identifier: Apache-2.0
"""Population results: against rendered truth, and the coverage of their intervals on simulated counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vision_blobs import HEIGHT, RATE_HZ, UM_PER_PX, WALL_BOTTOM, WALL_TOP, WIDTH, flow_movie, settings

from mimedi_nodes.vision.camera.frame import FrameTracks, TrackedCell
from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.detection.viability import dye_threshold
from mimedi_nodes.vision.statistics.intervals import concentration_interval, wilson_interval
from mimedi_nodes.vision.statistics.population import PopulationEstimator
from mimedi_nodes.vision.tracking.tracker import CellTracker

FIELD_ML = WIDTH * UM_PER_PX * (WALL_BOTTOM - WALL_TOP) * UM_PER_PX * 50.0 * 1e-12


def cell(track_id: int, x: float, y: float, **changes: object) -> TrackedCell:
    values: dict[str, object] = {
        "track_id": track_id, "x_px": x, "y_px": y, "vx_px_s": 900.0, "vy_px_s": 0.0, "diameter_um": 10.0,
        "deformation": 0.0, "area_um2": 78.5, "aspect": 1.0, "focus": 1.0, "brightness": 0.8,
        "dye_intensity": math.nan, "dead": None, "cell_class": 0, "edge": False}
    return TrackedCell(**{**values, **changes})  # type: ignore[arg-type]


def test_an_inspection_of_a_rendered_sample_finds_the_truth() -> None:
    truth = flow_movie(frames=100, cells_per_frame=20.0, seed=11, viability=0.75)
    tracker, population = CellTracker(settings()), PopulationEstimator(settings())
    for t, image in enumerate(truth.movie):
        population.add(tracker.process(image, t / RATE_HZ, dye=truth.dye[t]))
    result = population.summary()
    margin = 10.0 / UM_PER_PX
    inside = (truth.x >= margin) & (truth.x <= WIDTH - 1 - margin)
    field_ml = FIELD_ML * (WIDTH - 1 - 2 * margin) / WIDTH
    seen = inside.any(axis=0)
    assert result.concentration_per_ml == pytest.approx(inside.sum() / 100 / field_ml, rel=0.04)
    assert result.concentration_low_per_ml < 20.0 / FIELD_ML < result.concentration_high_per_ml
    assert result.cells_counted == pytest.approx(seen.sum(), rel=0.06)
    assert result.viability == pytest.approx(1.0 - truth.dead[seen].mean(), abs=0.04)
    assert result.viability_low < 0.75 < result.viability_high
    assert result.diameter_mean_um == pytest.approx(2.0 * truth.radius_px[seen].mean() * UM_PER_PX, rel=0.03)
    assert result.diameter_counts.sum() <= result.cells_counted
    # Mean of a parabola is 2/3 of its top.
    mean_mm_s = 2.0 / 3.0 * 14.0 * RATE_HZ * UM_PER_PX * 1e-3
    section_mm2 = (WALL_BOTTOM - WALL_TOP) * UM_PER_PX * 50.0 * 1e-6
    assert result.flow_rate_ul_min == pytest.approx(mean_mm_s * section_mm2 * 60.0, rel=0.05)
    assert result.velocity_mean_mm_s == pytest.approx(
        truth.speed_px[seen].mean() * RATE_HZ * UM_PER_PX * 1e-3, rel=0.04)
    assert result.frames_used + result.frames_dropped == 100
    assert result.frames_used >= 98


def test_intervals_at_the_ends() -> None:
    nothing = concentration_interval(np.empty(0), 50, 2e-6, 0.95)
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(3.69 / 2e-6, rel=0.01)
    assert math.isnan(concentration_interval(np.empty(0), 0, 2e-6, 0.95).value)
    assert wilson_interval(20, 20, 0.95).high == pytest.approx(1.0)
    assert 0.8 < wilson_interval(20, 20, 0.95).low < 1.0
    assert math.isnan(wilson_interval(0, 0, 0.95).value)


def test_more_frames_of_the_same_cells_do_not_narrow_the_interval() -> None:
    """Cells that stand still teach nothing new."""
    widths = []
    for frames in (10, 1000):
        interval = concentration_interval(np.full(25, float(frames)), frames, 1.0, 0.95)
        assert interval.value == pytest.approx(25.0)
        widths.append(interval.high - interval.low)
    assert widths[0] == pytest.approx(widths[1])


@pytest.mark.parametrize("dead_share", [0.0, 0.02, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("level", [25.0, 80.0])
def test_dye_threshold_separates_any_mixture(dead_share: float, level: float) -> None:
    rng = np.random.default_rng(int(100 * dead_share + level))
    noise, wrong, total = 0.6, 0, 0
    for _ in range(40):
        dead = rng.uniform(size=150) < dead_share
        intensity = np.where(dead, level * rng.lognormal(0.0, 0.3, 150), 1.5 * rng.lognormal(0, 0.4, 150))
        intensity = intensity + rng.normal(0.0, noise, 150)
        wrong += int(((intensity > dye_threshold(intensity, noise, 12.0)) != dead).sum())
        total += 150
    assert wrong <= 0.01 * total


@pytest.mark.parametrize("beads", [50, 150, 900])
@pytest.mark.parametrize("dead", [0, 8, 40, 140])
def test_dye_threshold_is_not_misled_by_free_beads(beads: int, dead: int) -> None:
    """Beads take up nothing, living cells glow a little: three kinds, of which only the last is dead."""
    rng, noise = np.random.default_rng(beads + dead), 0.6
    alive = 150
    intensity = np.concatenate([1.5 * rng.lognormal(0.0, 0.1, beads), 7.0 * rng.lognormal(0.0, 0.25, alive),
                                110.0 * rng.lognormal(0.0, 0.22, dead)]) + rng.normal(0.0, noise, beads + alive + dead)
    limit = dye_threshold(intensity, noise, 20.0)
    assert abs(int((intensity > limit).sum()) - dead) <= 1, f"limit {limit}"


def test_what_is_too_small_is_no_cell_and_of_the_unknown_some_are_cells() -> None:
    population = PopulationEstimator(settings())
    # 10 cells, 30 beads, mean size 5.875; 20 of unknown size, and one small dead cell. A cell is hidden
    # (10 + 5.875)^2 / (4.5 + 5.875)^2 = 2.34 times as often as a bead: of the 20, 20 x 23.4 / 53.4 are cells.
    sizes = [10.0] * 10 + [4.5] * 30 + [math.nan] * 20 + [4.0]
    for t in range(6):
        seen = [cell(k, 20.0 + 7 * k + t, 60.0, diameter_um=size, dye_intensity=90.0 if k == 60 else 2.0)
                for k, size in enumerate(sizes)]
        population.add(FrameTracks(t / RATE_HZ, t, seen, WIDTH, HEIGHT, flow_known=True, dye_noise=0.6))
    result = population.summary()
    assert population.cells_counted == result.cells_counted == 10 + 8 + 1
    # Viability from those whose size is known: one of eleven is dead.
    assert (result.cells_with_dye, result.cells_dead) == (11, 1)


def test_independent_frames_count_every_detection() -> None:
    """Without a known flow nothing is linked: each detection is a cell of its own."""
    population = PopulationEstimator(settings())
    for t in range(10):
        seen = [cell(10 * t + k, 50.0 + 40 * k, 60.0, confirmed=False) for k in range(5)]
        population.add(FrameTracks(t / RATE_HZ, t, seen, WIDTH, HEIGHT))
    result = population.summary()
    assert result.cells_counted == 50
    assert result.cells_per_frame == pytest.approx(5.0)


def test_unconfirmed_flickers_are_not_cells_when_the_flow_is_known() -> None:
    population = PopulationEstimator(settings())
    for t in range(10):
        seen = [cell(1, 50.0 + 3 * t, 60.0, confirmed=t > 1)]
        if t == 4:
            seen.append(cell(2, 200.0, 60.0, confirmed=False))
        population.add(FrameTracks(t / RATE_HZ, t, seen, WIDTH, HEIGHT, flow_known=True))
    assert population.summary().cells_counted == 1


def test_doublets_are_cells_that_travel_together() -> None:
    population = PopulationEstimator(settings())
    for t in range(10):
        seen = [cell(1, 50.0 + 3 * t, 60.0), cell(2, 64.0 + 3 * t, 60.0), cell(3, 200.0 + 3 * t, 40.0),
                cell(4, 215.0 + 6 * t, 40.0)]
        population.add(FrameTracks(t / RATE_HZ, t, seen, WIDTH, HEIGHT, flow_known=True))
    assert population.summary().doublet_fraction == pytest.approx(0.5)


def test_unusable_and_missing_frames_are_counted_as_dropped() -> None:
    population = PopulationEstimator(settings())
    for t in (0, 1, 4):
        population.add(FrameTracks(t / RATE_HZ, t, [], WIDTH, HEIGHT, usable=t != 1))
    result = population.summary()
    assert (result.frames_used, result.frames_dropped) == (2, 3)
    assert result.concentration_per_ml == 0.0
    assert math.isnan(result.viability)


def test_an_empty_summary_is_unknown_not_fine() -> None:
    result = PopulationEstimator(settings()).summary()
    assert math.isnan(result.concentration_per_ml)
    assert math.isnan(result.viability)
    assert result.cells_counted == 0


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 95.0])
def test_confidence_is_a_probability(confidence: float) -> None:
    with pytest.raises(VisionInputError, match="confidence"):
        PopulationEstimator(settings(), confidence)
