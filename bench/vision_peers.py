# SPDX-License-Identifier: Apache-2.0
"""One peer on one movie, in an environment that has the peers: bench/vision.py starts it.

    PYTHON bench/vision_peers.py METHOD LEVEL MOVIE.npz TRACKS.csv

Writes the tracks (frame, id, x, y) and prints p50 and p99 of the processor time per frame as JSON. Detectors were
tuned on seed 77; search radii are 1.3 times the level's top speed, which is told to them.
"""

from __future__ import annotations

import csv
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

METHODS = ("trackpy", "trackpy_nearest_velocity", "opencv_laptrack", "opencv_constant_velocity")
TOP_SPEED_PX = {"sparse": 10.0, "medium": 14.0, "dense": 14.0, "fast": 34.0, "hard": 20.0}
REACH = 1.3
MEMORY_FRAMES = 3

Points = np.ndarray
Tracks = list[tuple[int, int, float, float]]


def background_of(movie: np.ndarray) -> np.ndarray:
    """High percentile in time: cells only darken."""
    sample = movie[:: max(1, len(movie) // 50)]
    return np.percentile(sample, 70.0, axis=0).astype(np.float32)


def opencv_split(frame: np.ndarray, background: np.ndarray) -> Points:
    """Centres (N, 2): background difference, threshold, morphology, peaks of the distance transform."""
    import cv2

    smooth = cv2.GaussianBlur(frame, (5, 5), 0).astype(np.float32)
    dark = np.maximum(background - smooth, 0.0)
    mask = (dark > 12.0).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, contours, -1, 1, -1)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc)
    depth = cv2.GaussianBlur(cv2.distanceTransform(mask, cv2.DIST_L2, 3), (0, 0), 1.0)
    peak = ((depth >= cv2.dilate(depth, np.ones((9, 9), np.uint8))) & (depth > 3.0)).astype(np.uint8)
    count, _, _, centres = cv2.connectedComponentsWithStats(peak)
    return centres[1:] if count > 1 else np.empty((0, 2))


def trackpy_locate(frame: np.ndarray, background: np.ndarray) -> Points:
    """Centres (N, 2) by trackpy's centroid finder on the dark side of the background difference."""
    import trackpy

    found = trackpy.locate(np.maximum(background - frame, 0.0), 23, minmass=500.0, separation=9)
    return found[["x", "y"]].to_numpy()


class ConstantVelocity:
    """Optimal assignment within a radius of where each track would be at its last velocity."""

    def __init__(self, reach_px: float) -> None:
        self._reach, self._next = reach_px, 0
        self._ids, self._missed = np.empty(0, int), np.empty(0, int)
        self._places, self._speeds = np.empty((0, 2)), np.empty((0, 2))
        self._known = np.empty(0, bool)

    def step(self, points: Points) -> np.ndarray:
        """Identity of each point."""
        from scipy.optimize import linear_sum_assignment

        expected = self._places + self._speeds
        far = np.hypot(*(expected[:, None] - points[None]).transpose(2, 0, 1))
        gate = np.where(self._known, 8.0, self._reach)[:, None]
        rows, columns = linear_sum_assignment(np.where(far < gate, far, 1e4))
        good = far[rows, columns] < gate[rows, 0]
        rows, columns = rows[good], columns[good]
        ids = np.full(len(points), -1)
        ids[columns] = self._ids[rows]
        step = (points[columns] - self._places[rows]) / (1 + self._missed[rows])[:, None]
        self._speeds[rows] = np.where(self._known[rows, None], 0.5 * (self._speeds[rows] + step), step)
        self._missed += 1
        self._places = expected
        self._places[rows], self._known[rows], self._missed[rows] = points[columns], True, 0
        keep = self._missed <= MEMORY_FRAMES
        fresh = np.flatnonzero(ids < 0)
        ids[fresh] = self._next + np.arange(len(fresh))
        self._next += len(fresh)
        self._ids = np.concatenate([self._ids[keep], ids[fresh]])
        self._missed = np.concatenate([self._missed[keep], np.zeros(len(fresh), int)])
        self._places = np.concatenate([self._places[keep], points[fresh]])
        self._speeds = np.concatenate([self._speeds[keep], np.zeros((len(fresh), 2))])
        self._known = np.concatenate([self._known[keep], np.zeros(len(fresh), bool)])
        return ids


def link_trackpy(points: list[Points], reach_px: float, nearest_velocity: bool) -> Tracks:
    """Tracks by trackpy's linker, alone or with its nearest-velocity prediction."""
    import pandas
    import trackpy

    table = pandas.concat([pandas.DataFrame({"x": p[:, 0], "y": p[:, 1], "frame": k}) for k, p in enumerate(points)])
    linker: Any = trackpy.predict.NearestVelocityPredict() if nearest_velocity else trackpy
    found = linker.link_df(table, reach_px, memory=MEMORY_FRAMES, adaptive_stop=2.0, adaptive_step=0.9)
    return [(int(r.frame), int(r.particle), r.x, r.y) for r in found.itertuples()]


def link_laptrack(points: list[Points], reach_px: float) -> Tracks:
    """Tracks by laptrack with gap closing."""
    import pandas
    from laptrack import LapTrack

    table = pandas.concat([pandas.DataFrame({"x": p[:, 0], "y": p[:, 1], "frame": k}) for k, p in enumerate(points)])
    tracker = LapTrack(cutoff=reach_px**2, gap_closing_cutoff=reach_px**2, gap_closing_max_frame_count=MEMORY_FRAMES)
    found, _, _ = tracker.predict_dataframe(table, ["x", "y"], frame_col="frame", only_coordinate_cols=True)
    found = found.reset_index()
    return [(int(frame), int(track), x, y) for frame, track, x, y in
            zip(found["frame"], found["track_id"], found["x"], found["y"], strict=True)]


def run(method: str, movie: np.ndarray, reach_px: float) -> tuple[Tracks, list[float]]:
    """Tracks of a movie (T, H, W), and the time of each frame, ms; a batch linker's time is spread over the frames."""
    background = background_of(movie)
    detect: Callable[[np.ndarray, np.ndarray], Points] = opencv_split if method.startswith("opencv") else trackpy_locate
    detect(movie[0], background)
    points, spent, tracks = [], [], []
    online = ConstantVelocity(REACH * reach_px) if method == "opencv_constant_velocity" else None
    for index, frame in enumerate(movie):
        start = time.thread_time()
        points.append(detect(frame, background))
        if online is not None:
            tracks += [(index, int(k), x, y) for k, (x, y) in zip(online.step(points[-1]), points[-1], strict=True)]
        spent.append((time.thread_time() - start) * 1e3)
    if online is None:
        start = time.thread_time()
        if method == "opencv_laptrack":
            tracks = link_laptrack(points, REACH * reach_px)
        else:
            tracks = link_trackpy(points, REACH * reach_px, method == "trackpy_nearest_velocity")
        share = (time.thread_time() - start) * 1e3 / len(movie)
        spent = [value + share for value in spent]
    return tracks, spent


def main() -> int:
    """Run one method on one movie."""
    warnings.simplefilter("ignore")
    method, level, path, out = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    if "opencv" in method:
        import cv2

        cv2.setNumThreads(1)
    else:
        import trackpy

        trackpy.quiet()
    with np.load(path) as stored:
        movie = stored["movie"]
    tracks, spent = run(method, movie, TOP_SPEED_PX[level])
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("frame", "id", "x", "y"))
        writer.writerows(tracks)
    print(json.dumps({"p50_ms": float(np.percentile(spent, 50)), "p99_ms": float(np.percentile(spent, 99))}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
