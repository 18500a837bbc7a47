# SPDX-License-Identifier: Apache-2.0
"""The tracker on rendered movies whose truth is exact."""

from __future__ import annotations

import numpy as np
import pytest
from vision_blobs import RATE_HZ, UM_PER_PX, WALL_BOTTOM, WALL_TOP, WIDTH, Truth, flow_movie, render, settings

from mimedi_nodes.vision.camera.frame import FrameTracks
from mimedi_nodes.vision.tracking.tracker import CellTracker


def run(movie: np.ndarray, dye: np.ndarray | None = None, warm: int = 0) -> list[FrameTracks]:
    tracker = CellTracker(settings())
    if warm:
        tracker.warm_up(list(movie[:warm]))
    return [tracker.process(image, t / RATE_HZ, dye=None if dye is None else dye[t]) for t, image in enumerate(movie)]


def matches(frames: list[FrameTracks], truth: Truth, first: int = 0) -> tuple[dict[int, list[int]], list[float], int]:
    """Track ids seen for each true cell, position errors (px), and true cells missed; 20 px at both ends left out."""
    ids: dict[int, list[int]] = {}
    errors: list[float] = []
    missed = 0
    for t, frame in enumerate(frames):
        if t < first:
            continue
        table = np.array([(c.x_px, c.y_px, c.track_id) for c in frame.tracks]).reshape(-1, 3)
        for k in np.flatnonzero((truth.x[t] > 20) & (truth.x[t] < WIDTH - 20)):
            distance = np.hypot(table[:, 0] - truth.x[t, k], table[:, 1] - truth.y[t, k])
            if not len(distance) or distance.min() > 4.0:
                missed += 1
                continue
            best = int(distance.argmin())
            errors.append(float(distance[best]))
            ids.setdefault(int(k), []).append(int(table[best, 2]))
    return ids, errors, missed


@pytest.fixture(scope="module")
def truth() -> Truth:
    return flow_movie(frames=70, cells_per_frame=15.0, seed=3)


@pytest.fixture(scope="module")
def tracked(truth: Truth) -> list[FrameTracks]:
    return run(truth.movie, truth.dye)


def test_positions_identities_and_speeds_are_right(truth: Truth, tracked: list[FrameTracks]) -> None:
    ids, errors, missed = matches(tracked, truth, first=8)
    assert missed <= 0.02 * len(errors)
    assert np.sqrt(np.mean(np.square(errors))) < 0.4
    assert np.median(errors) < 0.15
    switches = sum(len(set(seen)) - 1 for seen in ids.values())
    assert switches <= 0.03 * len(ids)
    last = {k: seen[-1] for k, seen in ids.items() if len(seen) > 15}
    speed = {c.track_id: c.vx_px_s for frame in tracked for c in frame.tracks}
    relative = [speed[i] / RATE_HZ / truth.speed_px[k] - 1.0 for k, i in last.items()]
    assert np.median(np.abs(relative)) < 0.01
    assert np.percentile(np.abs(relative), 95) < 0.05


def test_no_cells_where_there_are_none(tracked: list[FrameTracks], truth: Truth) -> None:
    false = 0
    total = 0
    for t, frame in enumerate(tracked):
        for cell in frame.tracks:
            if not (cell.confirmed and 20 < cell.x_px < WIDTH - 20):
                continue
            total += 1
            false += bool(np.nanmin(np.hypot(truth.x[t] - cell.x_px, truth.y[t] - cell.y_px)) > 5.0)
    assert total > 500
    assert false <= 0.01 * total


def test_empty_channel_stays_empty() -> None:
    nobody = np.full((20, 1), -100.0)
    movie, dye = render(nobody, nobody, np.array([5.0]), np.array([False]))
    assert sum(len(frame.tracks) for frame in run(movie, dye)) == 0


@pytest.mark.parametrize("diameter_um", [7.3, 10.0, 14.0])
def test_diameter_of_lone_cells(diameter_um: float) -> None:
    made = flow_movie(frames=30, cells_per_frame=5.0, seed=8, diameter_um=diameter_um)
    ids, _, _ = matches(frames := run(made.movie, warm=20), made)
    measured = {c.track_id: c.diameter_um for frame in frames for c in frame.tracks}
    error = [measured[seen[-1]] / (2.0 * made.radius_px[k] * UM_PER_PX) - 1.0 for k, seen in ids.items()
             if len(seen) > 4 and np.isfinite(measured[seen[-1]])]
    assert len(error) >= 4
    assert abs(np.median(error)) < 0.03


def test_dead_cells_are_those_with_dye(truth: Truth, tracked: list[FrameTracks]) -> None:
    ids, _, _ = matches(tracked, truth, first=30)
    state = {c.track_id: c.dead for frame in tracked for c in frame.tracks}
    judged = [(state[seen[-1]], bool(truth.dead[k])) for k, seen in ids.items() if len(seen) > 4]
    wrong = sum(said is not true for said, true in judged)
    assert len(judged) > 15
    assert {true for _, true in judged} == {True, False}
    assert wrong <= 0.03 * len(judged)


def test_identity_survives_an_overtaking() -> None:
    """A fast cell passes in front of a slow one, two rows apart, among others that show the flow."""
    frames, rng = 60, np.random.default_rng(4)
    others = 14
    rows = rng.choice(np.array([20.0, 35.0, 90.0, 105.0]), others) + rng.uniform(-2, 2, others)
    y = np.concatenate([[60.0, 64.0], rows])
    start = np.concatenate([[40.0, 130.0], np.linspace(-300, 480, others)])
    own = np.concatenate([[1.10, 0.88], np.ones(others)])
    eta = (2.0 * y - WALL_TOP - WALL_BOTTOM) / (WALL_BOTTOM - WALL_TOP)
    x = start + np.arange(frames)[:, None] * 8.0 * (1 - eta**2) * own
    radius = np.full(len(y), 8.0)
    movie, _ = render(x, np.broadcast_to(y, x.shape), radius, np.zeros(len(y), bool))
    inside = (x >= 0) & (x <= WIDTH - 1)
    truth = Truth(movie, movie, np.where(inside, x, np.nan), np.where(inside, y, np.nan), radius,
                  np.zeros(len(y), bool), np.zeros(len(y)))
    assert x[0, 0] < x[0, 1] - 20
    assert x[-1, 0] > x[-1, 1] + 10
    ids, errors, missed = matches(run(movie, warm=15), truth, first=6)
    assert len(set(ids[0])) == 1
    assert len(set(ids[1])) == 1
    assert ids[0][0] != ids[1][0]
    assert missed <= 3
    assert np.sqrt(np.mean(np.square(errors))) < 0.6


def test_a_large_cell_that_touches_another_from_the_first_is_one_and_a_pair_is_two() -> None:
    """They come into view in touch and stay so: nobody ever sees the large cell alone."""
    frames, rng = 64, np.random.default_rng(9)
    others = 26
    rows = rng.choice(np.array([20.0, 36.0, 92.0, 106.0]), others) + rng.uniform(-2, 2, others)
    y = np.concatenate([[56.0, 75.0, 60.0, 68.5], rows])
    start = np.concatenate([[-40.0, -32.0, -230.0, -218.0], np.linspace(-420, 480, others)])
    speed = np.concatenate([[9.0, 9.0, 9.0, 9.0], 10.0 * (1.0 - ((2.0 * rows - WALL_TOP - WALL_BOTTOM)
                                                                 / (WALL_BOTTOM - WALL_TOP)) ** 2)])
    x = start + np.arange(frames)[:, None] * speed
    radius = np.concatenate([[13.0, 7.5, 8.0, 8.0], np.full(others, 8.0)])
    movie, _ = render(x, np.broadcast_to(y, x.shape), radius, np.zeros(len(y), bool))
    found = run(movie, warm=20)
    for t in range(12, frames):
        cells = [c for c in found[t].tracks if c.confirmed and c.measured]
        for k, count in ((0, 1), (2, 2)):
            if 40 < x[t, k] < WIDTH - 40:
                near = [c for c in cells if abs(c.x_px - x[t, k]) < 18 and 48 < c.y_px < (70 if k == 0 else 82)]
                assert len(near) == count, f"frame {t}, cell {k}: {near}"


def test_a_bubble_is_told_and_is_no_cell(tracked: list[FrameTracks]) -> None:
    """A dark ring around a bright middle, larger than any cell, that the flow carries through the view."""
    radius, speed = 28.0, 9.0
    few = flow_movie(frames=60, cells_per_frame=6.0, seed=8)
    yy, xx = np.mgrid[0:few.movie.shape[1], 0:WIDTH]
    movie = few.movie.astype(float)
    centre = speed * np.arange(len(movie)) - 40.0
    for image, x in zip(movie, centre, strict=True):
        out = np.hypot(xx - x, yy - 64.0) / radius
        image *= np.exp(-0.6 * np.exp(-((out - 0.75) / 0.25) ** 2) * (out < 1.1))
    frames = run(movie.astype(np.uint8), warm=12)
    inside = (centre > 0.5 * radius) & (centre < WIDTH - 0.5 * radius)
    told = sum(frame.bubbles == 1 for frame, there in zip(frames, inside, strict=True) if there)
    assert told >= 0.75 * inside.sum(), f"told in {told} of {inside.sum()} frames"
    false = 0
    for frame, x, true_x, true_y in zip(frames, centre, few.x, few.y, strict=True):
        near = [c for c in frame.tracks if c.confirmed and c.measured and np.hypot(c.x_px - x, c.y_px - 64.0) < radius]
        false += sum(not np.any(np.hypot(true_x - c.x_px, true_y - c.y_px) <= 5.0) for c in near)
    # Untold it is taken for up to nine cells in each frame; a cell that hangs on it may hide its shape for some frames.
    assert false <= 25, f"{false} sightings of cells that are none"
    assert not any(frame.bubbles for frame in tracked)


def test_mirrored_flow_gives_mirrored_tracks(truth: Truth) -> None:
    forward = run(truth.movie[:40])
    mirrored = run(np.ascontiguousarray(truth.movie[:40, :, ::-1]))
    here = np.array([len([c for c in f.tracks if c.confirmed]) for f in forward])
    there = np.array([len([c for c in f.tracks if c.confirmed]) for f in mirrored])
    assert np.abs(here - there).max() <= 2
    pairs = []
    for a, b in zip(forward[10:], mirrored[10:], strict=True):
        other = np.array([(WIDTH - 1 - c.x_px, c.y_px, -c.vx_px_s) for c in b.tracks if c.confirmed])
        for cell in a.tracks:
            if cell.confirmed and 25 < cell.x_px < WIDTH - 25:
                distance = np.hypot(other[:, 0] - cell.x_px, other[:, 1] - cell.y_px)
                pairs.append((distance.min(), other[distance.argmin(), 2] / cell.vx_px_s))
    table = np.array(pairs)
    assert np.percentile(table[:, 0], 95) < 0.5
    assert np.median(np.abs(table[:, 1] - 1.0)) < 0.02


def test_same_frames_give_the_same_tracks(truth: Truth) -> None:
    # As text: NaN is not equal to itself.
    assert repr(run(truth.movie[:15], truth.dye[:15])[-1]) == repr(run(truth.movie[:15], truth.dye[:15])[-1])


def test_sixteen_bit_frames_give_the_same_cells(truth: Truth) -> None:
    eight = run(truth.movie[:25])
    sixteen = run(truth.movie[:25].astype(np.uint16) * 16)
    assert [len(f.tracks) for f in eight] == [len(f.tracks) for f in sixteen]
    for a, b in zip(eight[-1].tracks, sixteen[-1].tracks, strict=True):
        assert (a.x_px, a.y_px) == pytest.approx((b.x_px, b.y_px), abs=0.05)


def test_a_lost_frame_does_not_break_tracks(truth: Truth) -> None:
    tracker = CellTracker(settings())
    tracker.warm_up(list(truth.movie[:20]))
    frames = []
    for t, image in enumerate(truth.movie[:50]):
        if t in (20, 33, 34):
            frames.append(FrameTracks(t / RATE_HZ, t, [], WIDTH, 128))
        else:
            frames.append(tracker.process(image, t / RATE_HZ))
    assert tracker.health.dropped == 3
    ids, errors, _ = matches(frames, truth, first=6)
    assert sum(len(set(seen)) - 1 for seen in ids.values()) <= 0.04 * len(ids)
    assert np.median(errors) < 0.15


def test_stage_drift_moves_no_wall_into_a_cell() -> None:
    nobody = np.full((30, 1), -100.0)
    movie, _ = render(nobody, nobody, np.array([5.0]), np.array([False]))
    shifts = np.rint(2.0 * np.sin(np.arange(30) / 5.0)).astype(int)
    moved = np.stack([np.roll(image, shift, axis=0) for image, shift in zip(movie, shifts, strict=True)])
    assert sum(c.confirmed for frame in run(moved) for c in frame.tracks) == 0
