# SPDX-License-Identifier: Apache-2.0
"""The compiled kernel and what stands in for it: the same cells, with and without a compiler."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vision_blobs import HEIGHT, RATE_HZ, WIDTH, disc, flow_movie, settings

from mimedi_nodes.vision.camera.frame import FrameTracks
from mimedi_nodes.vision.camera.settings import VisionSettings
from mimedi_nodes.vision.detection.appearance import Appearances
from mimedi_nodes.vision.detection.background import Background
from mimedi_nodes.vision.detection.blobs import Expected
from mimedi_nodes.vision.detection.bubbles import find_bubbles
from mimedi_nodes.vision.detection.detections import DETECTION, empty
from mimedi_nodes.vision.detection.detector import CellDetector
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.opencv import cv2
from mimedi_nodes.vision.tracking.linker import TRACK
from mimedi_nodes.vision.tracking.tracker import CellTracker


def _tracks(movie: Any, steps: int) -> list[FrameTracks]:
    tracker = CellTracker(settings())
    tracker.prime(list(movie.movie[:9]))
    return [tracker.process(movie.movie[t], t / RATE_HZ, dye=movie.dye[t]) for t in range(steps)]


def _take_in(looks: Appearances, image: np.ndarray, ids: list[int], x: float, y: float, blob_px: float) -> None:
    """Let it see these tracks alone, all in one place."""
    tracks, found = np.zeros(len(ids), TRACK), empty(len(ids))
    tracks["id"], tracks["detection"], tracks["hits"] = ids, np.arange(len(ids)), 2
    found["x"], found["y"], found["blob_px"], found["aspect"], found["lone"] = x, y, blob_px, 1.0, True
    looks.remember(tracks, found, [image], settled=True)


def _two_discs() -> tuple[np.ndarray, Appearances]:
    known = Appearances(31, 1)
    for track, radius in ((1, 8.0), (2, 7.0)):
        alone = 0.2 * disc((60, 60), 30.0, 30.0, radius).astype(np.float32)
        for _ in range(4):
            _take_in(known, alone, [track], 30.0, 30.0, 2 * radius + 2)
    image = 0.2 * disc((60, 100), 41.3, 28.6, 8.0) + 0.2 * disc((60, 100), 50.2, 31.1, 7.0)
    return image.astype(np.float32), known


@pytest.mark.parametrize("compiled", [True, False])
def test_overlapping_cells_are_found_where_they_are(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_kernel(compiled, monkeypatch)
    image, known = _two_discs()
    fit = known.fit([image], [100.0], np.array([1, 2]), np.array([40.0, 51.5]), np.array([29.5, 30.0]), np.full(2, 2.0))
    assert fit.x == pytest.approx([41.3, 50.2], abs=0.15)
    assert fit.y == pytest.approx([28.6, 31.1], abs=0.15)
    assert fit.amplitude == pytest.approx([1.0, 1.0], abs=0.06)
    assert np.abs(fit.residual[0]).max() < 0.05


@pytest.mark.parametrize("compiled", [True, False])
def test_a_fit_goes_on_from_another_one(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_kernel(compiled, monkeypatch)
    image, known = _two_discs()
    one = known.fit([image], [100.0], np.array([1]), np.array([41.0]), np.array([28.5]), np.full(1, 2.0))
    both = known.fit([image], [100.0], np.array([1, 2]), np.array([41.0, 51.5]), np.array([28.5, 30.0]),
                     np.full(2, 2.0), start=one)
    assert both.x == pytest.approx([41.3, 50.2], abs=0.35)
    assert np.abs(both.residual[0]).max() < 0.06


@pytest.mark.parametrize("off_px", [(0.0, 0.0, 0.0), (1.5, 1.0, -1.0), (-2.0, 2.0, 0.0)])
def test_what_is_learnt_in_an_overlap_stays_in_its_middle(off_px: tuple[float, float, float]) -> None:
    """A large and a small cell, never seen apart, first thought to be off their places: their pictures must not settle
    there. Before pictures were made even they did, by up to 0.6 px."""
    if not kernel.prepare():
        pytest.skip("no C compiler: nothing is learnt in overlaps")
    noise, rng = 0.01, np.random.default_rng(1)
    true = np.array([[300.0, 309.0], [60.0, 66.0]])
    clean = 0.2 * disc((HEIGHT, WIDTH), 100.0, 40.0, 8.0)
    for radius, (x, y) in zip((9.5, 6.5), true.T, strict=True):
        clean += 0.2 * disc((HEIGHT, WIDTH), x, y, radius)
    detector, looks = CellDetector(settings()), Appearances(31, 1)
    place = true + np.array([[off_px[0], off_px[2]], [off_px[1], 0.0]])
    for frame in range(30):
        image = (clean + rng.normal(0.0, noise, clean.shape)).astype(np.float32)
        if frame < 4:
            alone = detector.detect(image)
            alone = alone[alone["x"] < 200.0]
            _take_in(looks, image, [7], alone["x"][0], alone["y"][0], alone["blob_px"][0])
            continue
        expected = Expected(np.array([1, 2]), *place, np.full(2, frame, np.int32), np.zeros(2, np.int32), np.zeros(2),
                            np.full(2, alone["contrast"][0]), np.ones(2), np.array([True, True]), looks, [image],
                            [1.0 / noise], [])
        found = detector.detect(image, expected=expected)
        found = np.sort(found[found["owner"] >= 0], order="owner")
        assert found["owner"].tolist() == [0, 1], f"frame {frame}: {found}"
        place = np.stack([found["x"], found["y"]])
    assert np.abs(place - true).max() < 0.3, place - true


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("cells", [1, 2])
def test_two_tracks_in_a_blob_stay_two_where_two_explain_it(compiled: bool, cells: int,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """A dark cell and a pale one that touch look as solid as one, hardly larger or darker than the dark one."""
    _with_kernel(compiled, monkeypatch)
    radius, noise, usual = 8.0, 0.01, 0.2
    rng = np.random.default_rng(2)
    image = rng.normal(0.0, noise, (HEIGHT, WIDTH)).astype(np.float32)
    image += usual * disc((HEIGHT, WIDTH), 100.0, 40.0, radius).astype(np.float32)
    detector, looks = CellDetector(settings()), Appearances(31, 1)
    alone = detector.detect(image)
    for _ in range(4):
        _take_in(looks, image, [7], alone["x"][0], alone["y"][0], alone["blob_px"][0])
    shades, places = [1.4, 0.8], [(300.0, 60.0), (308.0, 61.5)][:cells]
    for shade, (x, y) in zip(shades, places, strict=False):
        image += shade * usual * disc((HEIGHT, WIDTH), x, y, radius).astype(np.float32)
    own = float(alone["blob_px"][0])
    # The one was seen alone; the other, never.
    expected = Expected(np.array([1, 2]), np.array([300.5, 306.0]), np.array([60.5, 61.0]), np.array([9, 5], np.int32),
                        np.array([2, 0], np.int32), np.array([own, 0.0]), 1.4 * np.full(2, alone["contrast"][0]),
                        np.full(2, 1.0), np.array([True, True]), looks, [image], [1.0 / noise], [])
    found = detector.detect(image, expected=expected)
    near = found[np.hypot(found["x"] - 303.0, found["y"] - 60.0) < 15.0]
    assert len(near) == cells, near
    near = near[np.argsort(near["x"])]
    assert near["x"] == pytest.approx([x for x, _ in places], abs=1.0)
    assert near["y"] == pytest.approx([y for _, y in places], abs=1.0)


def _with_kernel(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled and not kernel.prepare():
        pytest.skip("no C compiler here: the NumPy version is used")
    if not compiled:
        monkeypatch.setattr(kernel, "compiled", lambda name: None)
        monkeypatch.setattr(kernel, "prepare", lambda: False)


@pytest.mark.skipif(not any(shutil.which(name) for name in ("cc", "gcc", "clang", "g++")), reason="no C compiler")
def test_the_kernel_is_there_where_a_compiler_is() -> None:
    assert kernel.prepare()
    assert kernel.compiled("size_of_track")() == TRACK.itemsize
    assert kernel.compiled("size_of_detection")() == DETECTION.itemsize


def test_the_kernel_reads_nothing_that_is_not_its_own() -> None:
    """Twice the same movie gives the same tracks to the last digit, whatever lay in memory."""
    movie = flow_movie(frames=30, cells_per_frame=25.0, seed=6)
    first = _tracks(movie, 30)
    junk = [np.full(size, np.nan) for size in range(100, 9000, 300)]
    del junk[::2]
    for one, other in zip(first, _tracks(movie, 30), strict=True):
        assert repr(one.tracks) == repr(other.tracks)


def test_with_and_without_the_kernel_the_same_cells_are_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may be lost or found by one of the two only. In overlaps they differ a little: without the kernel, what a
    cell looks like is not learnt there."""
    movie = flow_movie(frames=40, cells_per_frame=22.0, seed=5).movie
    seen = []
    for compiled in (True, False):
        _with_kernel(compiled, monkeypatch)
        tracker = CellTracker(settings())
        seen.append([tracker.process(image, t / RATE_HZ) for t, image in enumerate(movie)])
    apart = lost = total = 0
    for one, other in zip(*(frames[12:] for frames in seen), strict=True):
        a, b = (np.array([(c.x_px, c.y_px) for c in f.tracks if c.confirmed and c.measured]) for f in (one, other))
        distance = np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1)).min(axis=1)
        lost += int((distance > 3.0).sum()) + abs(len(a) - len(b))
        apart += int((distance > 0.5).sum())
        total += len(a)
    assert lost <= 0.02 * total
    assert apart <= 0.12 * total


def test_the_kernel_gives_way_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                 caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernel.shutil, "which", lambda name: None)
    assert kernel._loaded.__wrapped__() is None
    assert "slower: no C compiler" in caplog.text
    monkeypatch.undo()
    monkeypatch.setenv("MIMEDI_NO_KERNEL", "1")
    assert kernel._loaded.__wrapped__() is None
    monkeypatch.setattr(kernel, "_loaded", lambda: None)
    assert kernel.compiled.__wrapped__("fit_cells") is None
    assert not kernel.prepare()


def test_the_kernel_measures_blobs_as_opencv_does(monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel.prepare():
        pytest.skip("no C compiler")
    movie = flow_movie(frames=12, cells_per_frame=25.0, seed=21)
    compiled = _tracks(movie, 12)
    every = kernel.compiled
    monkeypatch.setattr(kernel, "compiled", lambda name: None if name.endswith("_blobs") else every(name))
    plain = _tracks(movie, 12)
    sized = 0
    for a, b in zip(compiled, plain, strict=True):
        assert len(a.tracks) == len(b.tracks)
        for one, other in zip(a.tracks, b.tracks, strict=True):
            for name in ("x_px", "y_px", "diameter_um", "deformation", "area_um2", "aspect", "focus", "brightness"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-4, abs=1e-4, nan_ok=True), name
            sized += one.diameter_um > 0.0
    assert sized > 150


def test_a_fit_of_no_cells_explains_nothing() -> None:
    known = Appearances(17, 1)
    image = np.zeros((HEIGHT, WIDTH), np.float32)
    _take_in(known, image, list(range(9)), 40.0, 30.0, 10.0)
    none = np.empty(0)
    fit = known.fit([image], [1.0], np.empty(0, np.int64), none, none, none)
    assert len(fit.x) == 0
    assert fit.residual.shape == (1, HEIGHT, WIDTH)
    assert not fit.residual.any()


@pytest.mark.parametrize("shape", [(112, 512), (17, 33), (5, 7)])
def test_the_kernel_closes_masks_and_follows_the_empty_channel_as_opencv_does(shape: tuple[int, int],
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel.prepare():
        pytest.skip("no C compiler")
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.standard_normal((128, *shape[1:])).astype(np.float32), (0, 0), 2.0)[:shape[0]]
    image = np.ascontiguousarray(image)
    seen = []
    for compiled in (True, False):
        _with_kernel(compiled, monkeypatch)
        detector = CellDetector(VisionSettings(0.7, 0.0, shape[0] - 1.0, 20.0, RATE_HZ))
        smooth, mask = detector._smooth_and_mark(image, 0.02)
        detector._seen, detector._level = (mask, smooth, 1, shape[0] + 2), 0.01
        seen.append((mask, detector.empty_places(), detector._level))
    assert (seen[0][0] == seen[1][0]).mean() > 0.999, "a pixel at the limit may fall on either side"
    if (seen[0][0] == seen[1][0]).all():
        assert (seen[0][1] == seen[1][1]).all()
        assert seen[0][2] == pytest.approx(seen[1][2], abs=1e-6)


@pytest.mark.parametrize("shift_px", [0.0, 0.4, -1.7])
def test_the_background_is_followed_alike_with_and_without_the_kernel(shift_px: float,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel.prepare():
        pytest.skip("no C compiler")
    rng = np.random.default_rng(2)
    frames = rng.integers(100, 140, (4, HEIGHT, WIDTH), dtype=np.uint8)
    free = np.where(rng.random((HEIGHT, WIDTH)) < 0.7, 255, 0).astype(np.uint8)
    levels = []
    for compiled in (True, False):
        _with_kernel(compiled, monkeypatch)
        background = Background(8.0, HEIGHT - 9.0)
        background.prime(list(frames))
        background.absorbance(frames[0])
        background.shift_px = shift_px
        background.follow(free, 3)
        levels.append(background._level)
    assert levels[0] == pytest.approx(levels[1], abs=1e-5)


def test_bubbles_are_told_alike_with_and_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rings whole and cut by the frame's edges, and discs as large."""
    if not kernel.prepare():
        pytest.skip("no C compiler")
    image = np.zeros((HEIGHT, WIDTH), np.float32)
    for x, y, radius in ((60.0, 64.0, 25.0), (0.0, 60.0, 28.0), (WIDTH - 6.0, 70.0, 30.0)):
        image += 0.4 * (disc(image.shape, x, y, radius) - disc(image.shape, x, y, 0.7 * radius)).astype(np.float32)
    for x, y, radius in ((150.0, 60.0, 25.0), (230.0, 60.0, 8.0)):
        image += 0.3 * disc(image.shape, x, y, radius).astype(np.float32)
    told = []
    for compiled in (True, False):
        _with_kernel(compiled, monkeypatch)
        detector = CellDetector(settings())
        smooth, mask = detector._smooth_and_mark(image, 0.1)
        blobs = detector._finder.find(mask, smooth, 0.0, 5.0)
        rows = find_bubbles(blobs, smooth, 0.0, 0.1, 16.0).tolist()
        told.append(sorted((round(float(blobs.rows[row, 9]), 1), round(float(blobs.rows[row, 10]), 1)) for row in rows))
    assert told[0] == told[1]
    assert len(told[0]) == 3, told


def test_pictures_are_kept_alike_with_and_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """More tracks than the pool has places at first, some of them gone again, and one at the image's edge."""
    if not kernel.prepare():
        pytest.skip("no C compiler")
    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur(rng.normal(0.1, 0.2, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 3.0)
    kept = []
    for compiled in (True, False):
        _with_kernel(compiled, monkeypatch)
        looks = Appearances(31, 1)
        for start, x in ((1, 100.0), (40, 200.3), (90, 3.2)):
            ids = list(range(start, start + 60))
            _take_in(looks, image, ids, x, 60.7, 15.0)
            tracks = np.zeros(20, TRACK)
            tracks["id"] = ids[30:50]
            looks.forget_all_but(tracks)
        ids = np.array([*range(1, 160)])
        places = looks.pool.places_of(ids)
        has = looks.pool.kept(places)
        assert has.sum() == 20 == looks.pool.state.used
        kept.append((ids[has], looks.pool.patches[places[has]], looks.pool.patches[0], looks.pool.reach[places[has]],
                     looks.pool.reach[0], looks.relative_sizes(ids, 10.0)))
    for one, other in zip(*kept, strict=True):
        assert one == pytest.approx(other, abs=2e-5, nan_ok=True)
