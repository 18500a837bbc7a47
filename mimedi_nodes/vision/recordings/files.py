# SPDX-License-Identifier: Apache-2.0
"""Recorded movies and image sets in, tables out: the functions behind `workcell track` and `workcell segment`."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.frame import FrameTracks, TrackedCell
from mimedi_nodes.vision.camera.settings import VisionInputError, VisionSettings
from mimedi_nodes.vision.detection.still import StillTracker
from mimedi_nodes.vision.opencv import cv2
from mimedi_nodes.vision.recordings.annotate import annotate
from mimedi_nodes.vision.recordings.archives import check_pixels, read_arrays, scalar
from mimedi_nodes.vision.recordings.segment import background_of, segment_image
from mimedi_nodes.vision.recordings.sources import VIDEOS, frames_of, open_source
from mimedi_nodes.vision.tracking.hindsight import Sighting, revise
from mimedi_nodes.vision.tracking.tracker import CONFIRMED_FRAMES, CellTracker

_WARM_FRAMES = 40
_CLASS_FRAMES = 7
# A movie in which a flow is known in less than this share of its frames has none.
_FLOWS = 0.8
TRACK_COLUMNS = ("frame", "id", "x", "y", "vx", "vy", "diameter_um", "deform", "area_um2", "cls", "dead", "measured")
CELL_COLUMNS = ("frame", "label", "x", "y", "area_um2", "deform", "aspect", "edge")


class Movie(NamedTuple):
    """Frames (T, H, W), fluorescence (T, C, H, W) or None, and the geometry."""

    frames: NDArray[Any]
    fluorescence: NDArray[Any] | None
    settings: VisionSettings


@dataclass(frozen=True)
class TrackReport:
    """What tracking a movie took: frames, distinct cells, and times on one core.

    `p50_ms` and `p99_ms` are those of a frame in its turn; `hindsight_ms` a frame's share of looking back over the
    whole movie at its end; `frames_per_s` counts both.
    """

    frames: int
    tracks: int
    frames_per_s: float
    p50_ms: float
    p99_ms: float
    hindsight_ms: float = 0.0


def read_movie(path: Path, um_per_px: float | None = None, wall_px: float | None = None,
               frame_rate_hz: float | None = None, depth_um: float = 20.0) -> Movie:
    """A movie from an npz file (`movie`, optional `fl`, `px_um`, `wall`, `fps`), a video or a folder of images.

    What the file does not hold must be given. `wall` is the distance of both walls from the frame's edge, px.

    Raises:
        VisionInputError: unknown kind of file, missing or wrong arrays, missing geometry.
    """
    fluorescence = None
    if path.is_dir():
        frames = np.stack(list(frames_of(open_source(str(path)))))
    elif path.suffix.lower() == ".npz":
        stored = read_arrays(path, ("movie", "fl", "px_um", "wall", "fps"))
        if "movie" not in stored:
            raise VisionInputError("movie", "missing", "an array `movie` (T, H, W) in the npz file")
        frames, fluorescence = stored["movie"], stored.get("fl")
        um_per_px = scalar(stored, "px_um") if um_per_px is None else um_per_px
        wall_px = scalar(stored, "wall") if wall_px is None else wall_px
        frame_rate_hz = scalar(stored, "fps") if frame_rate_hz is None else frame_rate_hz
    elif path.suffix.lower() in VIDEOS:
        frames = np.stack(list(frames_of(open_source(str(path)))))
    else:
        raise VisionInputError("movie", path, f".npz, a video {sorted(VIDEOS)} or a folder of images")
    check_pixels("movie", frames, "(frames, height, width)", 3)
    if len(frames) < CONFIRMED_FRAMES:
        raise VisionInputError("movie", f"{len(frames)} frames long", f"at least {CONFIRMED_FRAMES} frames: fewer make "
                               "no track", "For single images there is `workcell segment`.")
    if fluorescence is not None:
        allowed = f"({frames.shape[0]}, 1 or 2, {frames.shape[1]}, {frames.shape[2]})"
        check_pixels("fl", fluorescence, allowed, 4)
        if (fluorescence.shape[0], *fluorescence.shape[2:]) != frames.shape or fluorescence.shape[1] > 2:
            raise VisionInputError("fl", fluorescence.shape, allowed)
    if um_per_px is None:
        raise VisionInputError("px_um", "missing", "µm per px in the file or on the command line")
    wall = 0.0 if wall_px is None else wall_px
    rate_hz = 1.0 if frame_rate_hz is None else frame_rate_hz
    settings = VisionSettings(um_per_px, wall, frames.shape[1] - 1 - wall, depth_um, rate_hz)
    return Movie(frames, fluorescence, settings)


def track_movie(movie: Movie, with_fluorescence: bool = False,
                progress: Callable[[int, int], None] | None = None,
                clock: Callable[[], float] = time.perf_counter) -> tuple[list[FrameTracks], TrackReport]:
    """Track a recorded movie. Its first frames are gone through twice: once to learn light, sizes and flow;
    at its end all tracks are looked at again in the light of what came later (hindsight.py).

    Where no flow is found in most of it, particles that stay in their places are looked for too (see still.py); what
    is seen more often, counts. `clock` times the frames, s.

    Raises:
        VisionInputError: fluorescence asked for and not there.
    """
    frames, light, settings = movie
    if with_fluorescence and light is None:
        raise VisionInputError("fl", "missing", "an array `fl` (T, 1 or 2, H, W) in the npz file")
    lights = light if with_fluorescence else None
    tracker = CellTracker(settings)
    warm = min(len(frames), _WARM_FRAMES)
    if warm >= 2:
        tracker.warm_up(list(frames[:warm]),
                        fluorescence=None if lights is None else [list(pair) for pair in lights[:warm]])

    def follow(process: Callable[[int], FrameTracks]) -> tuple[list[FrameTracks], list[float]]:
        result, spent = [], []
        for index in range(len(frames)):
            start = clock()
            result.append(process(index))
            spent.append(clock() - start)
            if progress is not None:
                progress(index + 1, len(frames))
        return result, spent

    sightings: list[Sighting] = []

    def carried(index: int) -> FrameTracks:
        shown = tracker.process(frames[index], index / settings.frame_rate_hz,
                                fluorescence=None if lights is None else list(lights[index]))
        sightings.append(tracker.sighting(shown.usable))
        return shown

    result, spent = follow(carried)
    start = clock()
    result = revise(result, sightings, tracker.detector.typical.diameter_px, settings.frame_rate_hz)
    hindsight_ms = (clock() - start) * 1e3 / len(frames)
    if sum(frame.flow_known for frame in result) < _FLOWS * len(result):
        still = StillTracker(frames, settings.frame_rate_hz)
        other, took = follow(lambda index: still.process(frames[index], index / settings.frame_rate_hz))
        if _sightings(other) > _sightings(result):
            result, spent, hindsight_ms = other, took, 0.0
    milliseconds = np.array(spent) * 1e3
    report = TrackReport(len(frames), len(_kept(result)), 1e3 / (float(milliseconds.mean()) + hindsight_ms),
                         float(np.percentile(milliseconds, 50)), float(np.percentile(milliseconds, 99)), hindsight_ms)
    return result, report


def write_tracks(frames: Sequence[FrameTracks], path: Path) -> None:
    """Tracks as CSV: px and px/s, first pixel's centre (0, 0); class, state and size per track.

    Tracks seen in fewer than three frames are left out. Size and class of a cell are those known at its end; a cell
    never seen alone has the run's median diameter, and no shape.
    """
    kept = _kept(frames)
    sizes = [final.diameter_um for _, final in kept.values() if not math.isnan(final.diameter_um)]
    usual = float(np.median(sizes)) if sizes else math.nan
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(TRACK_COLUMNS)
        for index, frame in enumerate(frames):
            for cell in frame.tracks:
                if cell.track_id not in kept:
                    continue
                final = kept[cell.track_id][1]
                writer.writerow((
                    index, cell.track_id, f"{cell.x_px:.3f}", f"{cell.y_px:.3f}", f"{cell.vx_px_s:.2f}",
                    f"{cell.vy_px_s:.2f}",
                    _number(usual if math.isnan(final.diameter_um) else final.diameter_um), _number(final.deformation),
                    _number(final.area_um2), final.cell_class, "" if final.dead is None else int(final.dead),
                    int(cell.measured)))


def write_overlay(movie: Movie, frames: Sequence[FrameTracks], path: Path, rate_hz: float = 25.0) -> None:
    """The movie with its tracks drawn in, as a video file at a rate for the eye.

    Raises:
        OSError: OpenCV has no encoder for this kind of file.
    """
    height, width = movie.frames.shape[1:]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), rate_hz, (width, height))
    if not writer.isOpened():
        raise OSError(f"cannot write a video to {path}; use the ending .mp4 in a folder that can be written")
    try:
        for image, frame in zip(movie.frames, frames, strict=True):
            writer.write(annotate(image, frame, movie.settings.um_per_px))
    finally:
        writer.release()


def segment_file(path: Path, table: Path, labels: Path, progress: Callable[[int, int], None] | None = None,
                 um_per_px: float = math.nan) -> int:
    """Segment `image` (N, H, W) of an npz file (optional `image_bg`, `px_um`); writes CSV and `labels` npz.

    `um_per_px` is the scale where the file holds none. Returns the number of cells.

    Raises:
        VisionInputError: no images, or a scale that is not positive.
    """
    stored = read_arrays(path, ("image", "image_bg", "px_um"))
    if "image" not in stored:
        raise VisionInputError("image", "missing", "an array `image` (N, H, W) uint8 in the npz file")
    images, backgrounds = stored["image"], stored.get("image_bg")
    check_pixels("image", images, "(N, height, width)", 3)
    own = scalar(stored, "px_um")
    um_per_px = um_per_px if own is None else own
    if not 0.0 < um_per_px < math.inf:
        raise VisionInputError("px_um", um_per_px, "> 0 µm per px in the npz file")
    if backgrounds is not None and backgrounds.shape != images.shape:
        raise VisionInputError("image_bg", backgrounds.shape, f"{images.shape}")
    common = background_of(images)
    found = np.zeros(images.shape, np.uint16)
    count = 0
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CELL_COLUMNS)
        for index, image in enumerate(images):
            background = common if backgrounds is None else backgrounds[index]
            found[index], cells = segment_image(image, background, um_per_px)
            count += len(cells)
            for cell in cells:
                writer.writerow((index, cell.label, f"{cell.x_px:.3f}", f"{cell.y_px:.3f}", f"{cell.area_um2:.4f}",
                                 f"{cell.deformation:.5f}", f"{cell.aspect:.4f}", int(cell.edge)))
            if progress is not None:
                progress(index + 1, len(images))
    np.savez_compressed(labels, labels=found)
    return count


def _kept(frames: Sequence[FrameTracks]) -> dict[int, tuple[int, TrackedCell]]:
    """Tracks worth writing: id to (last frame in which it was seen, its last state, with the class that it had most
    often by then: a cell's last look may be half out of view, or at a neighbour)."""
    last: dict[int, tuple[int, TrackedCell]] = {}
    classes: dict[int, list[int]] = {}
    for index, frame in enumerate(frames):
        for cell in frame.tracks:
            if cell.measured:
                classes.setdefault(cell.track_id, []).append(cell.cell_class)
                last[cell.track_id] = index, cell
    return {key: (index, cell._replace(cell_class=_most_often(classes[key])))
            for key, (index, cell) in last.items() if len(classes[key]) >= CONFIRMED_FRAMES}


def _most_often(classes: Sequence[int]) -> int:
    """The most frequent of the last few; of several, the later."""
    classes = classes[-_CLASS_FRAMES:]
    return max(reversed(classes), key=classes.count)


def _sightings(frames: Sequence[FrameTracks]) -> int:
    """How often cells worth writing are seen."""
    kept = _kept(frames)
    return sum(cell.measured and cell.track_id in kept for frame in frames for cell in frame.tracks)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"
