# SPDX-License-Identifier: Apache-2.0
"""What a whole recording tells that its frames did not tell in their turn.

A live view knows only the past. Once a recording is over, the two ends of a broken track are joined, a cell that was
found late is drawn back to where others hid it (and one lost early is drawn on), as far as the pictures are dark there,
and all places are smoothed: between two sightings of a cell that stands alone they are known better than from any
overlap in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.frame import FrameTracks, TrackedCell
from mimedi_nodes.vision.detection.detections import Detections
from mimedi_nodes.vision.tracking.linker import TRACK, Tracks
from mimedi_nodes.vision.tracking.smoothing import smooth, wander_of

FloatArray = NDArray[np.float64]

# A track is a cell when seen so often; it is drawn on only when it stood alone so often.
_LEAST_SEEN, _LEAST_ALONE = 3, 4
_LONGEST_GAP, _LONGEST_HIDDEN = 40, 60
# How far the two ends of one cell's track may be from each other, px; along the flow more with its way.
_JOIN_X_PX, _JOIN_Y_PX, _JOIN_PER_WAY = 4.0, 3.5, 0.02
_GAP_COST = 0.02
# Of a typical diameter: how near another cell disturbs a place; half of the dark core that a hidden cell needs;
# standard deviation of a place in an overlap, of one beside a hidden cell, and of a cell cut by the frame's edge.
_NEAR, _CORE = 1.05, 0.25
_OVERLAP_SD, _BESIDE_HIDDEN_SD, _CUT_SD = 0.033, 0.2, 0.27
# Standard deviation of the steady error of the steps: of the usual step along the flow; px across.
_STEP_ERROR, _DRIFT_ACROSS_PX = 0.03, 0.02


class Sighting(NamedTuple):
    """What the tracker held after one frame; `dark` is None for a frame that was not measured."""

    tracks: Tracks                          # in the order of the frame's cells
    found: Detections                       # what they are linked to
    dark: NDArray[np.uint8] | None          # packed bits of `shape`, from row `top` on: where something dark is
    shape: tuple[int, int]
    top: int
    speed_px: float                         # mean speed of the flow at this instant, px a frame; 0: unknown


@dataclass
class _Track:
    """One track in all frames from `first` on: place (n, 2), NaN where not seen; step of the flow into each frame."""

    track_id: int
    first: int
    place: FloatArray
    alone: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    step: FloatArray
    cells: dict[int, TrackedCell]

    @property
    def last(self) -> int:
        return self.first + len(self.step) - 1

    def extend(self, before: FloatArray, after: FloatArray) -> None:
        """Add frames in which it was hidden, with the flow's steps into them."""
        a, b = len(before), len(after)
        if not a + b:
            return
        self.first -= a
        self.place = np.pad(self.place, ((a, b), (0, 0)), constant_values=np.nan)
        self.alone, self.cut = np.pad(self.alone, (a, b)), np.pad(self.cut, (a, b))
        self.step = np.concatenate([before, self.step, after])

    def end(self, side: int) -> tuple[float, float, float]:
        """Place at the first (side 0) or last (-1) sighting, across as the mean of a few, and the step there, px."""
        near = (self.place[:4, 1] if side == 0 else self.place[-4:, 1]).tolist()
        seen = [y for y in near if not math.isnan(y)]
        # The step into the first frames is not measured yet.
        step = float(self.step[min(2, len(self.step) - 1)] if side == 0 else self.step[-1])
        return float(self.place[side, 0]), sum(seen) / len(seen), step


def revise(frames: Sequence[FrameTracks], sightings: Sequence[Sighting], diameter_px: float,
           frame_rate_hz: float) -> list[FrameTracks]:
    """The frames of a recording again, with tracks joined, drawn on where their cells were hidden, and smoothed.

    Tracks seen in fewer than three frames are left out, and so is what was only predicted after a last sighting.

    Args:
        frames, sightings: one each a frame.
        diameter_px: of a typical cell.
        frame_rate_hz: turns speeds into steps.
    """
    tracks = _tracks(frames, sightings, frame_rate_hz)
    if tracks:
        flow = np.array([sighting.speed_px for sighting in sightings])
        width = frames[0].width_px
        tracks = _joined(tracks, flow, width)
        for track in tracks:
            if np.count_nonzero(track.alone) >= _LEAST_ALONE:
                _draw_on(track, flow, sightings, width, _CORE * diameter_px)
        _smooth(tracks, diameter_px)
    cells: list[list[TrackedCell]] = [[] for _ in frames]
    for track in tracks:
        for index, cell in track.cells.items():
            cells[index].append(cell)
    return [replace(frame, tracks=row) for frame, row in zip(frames, cells, strict=True)]


def _tracks(frames: Sequence[FrameTracks], sightings: Sequence[Sighting], frame_rate_hz: float) -> list[_Track]:
    """The tracker's own tracks, without those too short and without what was only predicted at their end."""
    counts = [len(sighting.tracks) for sighting in sightings]
    if not sum(counts):
        return []
    # np.concatenate would work out the rows' common type for each frame anew.
    table = np.empty(sum(counts), TRACK)
    index = np.repeat(np.arange(len(counts)), counts)
    row = np.concatenate([np.arange(count) for count in counts])
    place = np.full((len(table), 2), np.nan)
    alone, cut = np.zeros(len(table), bool), np.zeros(len(table), bool)
    begin = 0
    for count, sighting in zip(counts, sightings, strict=True):
        part = slice(begin, begin + count)
        table[part] = sighting.tracks
        seen = np.flatnonzero(table["detection"][part] >= 0) + begin
        found = sighting.found[table["detection"][seen]]
        place[seen, 0], place[seen, 1] = found["x"], found["y"]
        cut[seen] = found["edge"]
        alone[seen] = found["lone"] & ~found["edge"]
        begin += count
    speed = table["vx"] / np.where(table["hits"] >= 2, table["ratio"], 1.0) / frame_rate_hz
    order = np.lexsort((index, table["id"]))
    ids = table["id"][order]
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    result = []
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=True):
        rows = order[start:stop]
        seen = np.flatnonzero(~np.isnan(place[rows, 0]))
        if len(seen) < _LEAST_SEEN:
            continue
        rows = rows[:seen[-1] + 1]
        first = int(index[rows[0]])
        at = index[rows] - first
        length = int(at[-1]) + 1
        step = np.interp(np.arange(length), at, speed[rows] * table["ratio"][rows[-1]])
        track = _Track(int(ids[start]), first, np.full((length, 2), np.nan), np.zeros(length, bool),
                       np.zeros(length, bool), step, {})
        track.place[at], track.alone[at], track.cut[at] = place[rows], alone[rows], cut[rows]
        track.cells = {frame: frames[frame].tracks[k] for frame, k in zip(index[rows].tolist(), row[rows].tolist(),
                                                                          strict=True)}
        result.append(track)
    return result


def _way(track: _Track, side: int, flow: FloatArray, most: int) -> Iterator[tuple[int, float, float, float]]:
    """Frame, place and step of a track before its first sighting (side 0) or after its last (-1), by the flow."""
    x, y, step = track.end(side)
    at = track.first if side == 0 else track.last
    usual = flow[at] if flow[at] != 0.0 else 1.0
    for _ in range(most):
        into = at if side == 0 else at + 1
        at += 1 if side else -1
        if not 0 <= at < len(flow):
            return
        now = step * (flow[into] / usual if flow[into] != 0.0 else 1.0)
        x += now if side else -now
        yield at, x, y, now


def _joined(tracks: list[_Track], flow: FloatArray, width: int) -> list[_Track]:
    """The tracks with those joined that end where another one begins later."""
    def inside(x: float) -> bool:
        return 0.0 < x < width - 1

    births: dict[int, list[int]] = {}
    for k, track in enumerate(tracks):
        x, _, step = track.end(0)
        if track.first > 0 and inside(x - 1.5 * step):
            births.setdefault(track.first, []).append(k)
    pairs = []
    for k, track in enumerate(tracks):
        x, _, step = track.end(-1)
        if track.last + 1 >= len(flow) or not inside(x + 1.5 * step) or len(track.cells) <= _LEAST_SEEN:
            continue
        for gap, (frame, px, py, _) in enumerate(_way(track, -1, flow, _LONGEST_GAP), start=1):
            for other in births.get(frame, []):
                bx, by, _ = tracks[other].end(0)
                cost = ((bx - px) / (_JOIN_X_PX + _JOIN_PER_WAY * gap * abs(step))) ** 2 + ((by - py) / _JOIN_Y_PX) ** 2
                if cost < 1.0:
                    pairs.append((cost + _GAP_COST * gap, k, other))
    follows: dict[int, int] = {}
    taken: set[int] = set()
    for _, k, other in sorted(pairs):
        if k not in follows and other not in taken:
            follows[k] = other
            taken.add(other)
    heads = [k for k in range(len(tracks)) if k not in taken]
    for head in heads:
        k = head
        while k in follows:
            k = follows[k]
            _append(tracks[head], tracks[k], flow)
    return [tracks[head] for head in heads]


def _append(track: _Track, later: _Track, flow: FloatArray) -> None:
    gap = later.first - track.last - 1
    track.extend(np.empty(0), np.array([step for _, _, _, step in _way(track, -1, flow, gap)]))
    for name in ("place", "alone", "cut", "step"):
        setattr(track, name, np.concatenate([getattr(track, name), getattr(later, name)]))
    track.cells |= later.cells


def _draw_on(track: _Track, flow: FloatArray, sightings: Sequence[Sighting], width: int, core: float) -> None:
    """Add the frames before and after in which something dark is where the flow would have had it."""
    parts = []
    for side in (0, -1):
        x, _, _ = track.end(side)
        steps = []
        for at, x, y, step in _way(track, side, flow, _LONGEST_HIDDEN):
            if not (-2.0 <= x <= width + 1.0 and _is_dark(sightings[at], x, y, core)):
                break
            steps.append(step)
        parts.append(np.array(steps[::-1] if side == 0 else steps))
    track.extend(*parts)


def _is_dark(sighting: Sighting, x: float, y: float, core: float) -> bool:
    if sighting.dark is None:
        return False
    rows, columns = sighting.shape
    for dx, dy in ((0.0, 0.0), (core, 0.0), (-core, 0.0), (0.0, core), (0.0, -core)):
        column = min(max(round(x + dx), 0), columns - 1)
        row = min(max(round(y + dy) - sighting.top, 0), rows - 1)
        bit = row * columns + column
        if not sighting.dark[bit >> 3] >> (7 - (bit & 7)) & 1:
            return False
    return True


def _smooth(tracks: list[_Track], diameter_px: float) -> None:
    """Give each track its smoothed places, and a cell in each of its frames."""
    length = np.array([len(track.step) for track in tracks])
    shape = int(length.max()), len(tracks)
    place, step = np.full((*shape, 2), np.nan), np.zeros((*shape, 2))
    alone, cut = np.zeros((2, *shape), bool)
    for k, track in enumerate(tracks):
        part = slice(0, len(track.step)), k
        place[part], step[(*part, 0)] = track.place, track.step
        alone[part], cut[part] = track.alone, track.cut
    beside = _beside_hidden(tracks, place, alone, _NEAR * diameter_px)
    variance = np.empty((*shape, 2))
    wander = np.empty((len(tracks), 2))
    for axis in (0, 1):
        one = place[1:, :, axis] - place[:-1, :, axis] - step[1:, :, axis]
        clear = alone[1:] & alone[:-1]
        wander[:, axis], lone = wander_of(one[clear], (one[1:] + one[:-1])[clear[1:] & clear[:-1]])
        variance[:, :, axis] = np.where(alone, lone, (_OVERLAP_SD * diameter_px) ** 2)
    # What the frame's end cuts off is missing along the flow only.
    variance[cut, 0] = (_CUT_SD * diameter_px) ** 2
    variance[beside] = (_BESIDE_HIDDEN_SD * diameter_px) ** 2
    usual = np.maximum([float(np.median(np.abs(track.step))) for track in tracks], 1.0)
    error = np.stack([_STEP_ERROR * usual, np.full(len(tracks), _DRIFT_ACROSS_PX)], axis=1)
    flat = (shape[0], 2 * shape[1])
    smoothed = smooth(place.reshape(flat), variance.reshape(flat), step.reshape(flat), np.repeat(length, 2),
                      wander.ravel(), error.ravel()).reshape(*shape, 2)
    for k, track in enumerate(tracks):
        seen = (~np.isnan(track.place[:, 0])).tolist()
        cells = {}
        cell = next(iter(track.cells.values()))
        for at, ((x, y), measured) in enumerate(zip(smoothed[:length[k], k].tolist(), seen, strict=True), track.first):
            cell = track.cells.get(at, cell)
            cells[at] = TrackedCell._make((track.track_id, x, y, *cell[3:-2], measured, cell.lights))
        track.cells = cells


def _beside_hidden(tracks: list[_Track], place: FloatArray, alone: NDArray[np.bool_],
                   near_px: float) -> NDArray[np.bool_]:
    """Who stood alone while somebody was hidden nearby: what was seen of it was both, (L, N)."""
    beside = np.zeros(alone.shape, bool)
    row, column = np.nonzero(alone)
    frame = row + np.array([track.first for track in tracks])[column]
    order = np.argsort(frame, kind="stable")
    row, column, frame = row[order], column[order], frame[order]
    x, y = place[row, column].T
    for track in tracks:
        hidden = np.isnan(track.place[:, 0])
        if not hidden.any():
            continue
        at, known = np.flatnonzero(hidden), np.flatnonzero(~hidden)
        carried = np.cumsum(track.step)
        hidden_x = np.interp(at, known, track.place[known, 0] - carried[known]) + carried[at]
        hidden_y = np.interp(at, known, track.place[known, 1])
        begin, end = (np.searchsorted(frame, at + track.first, side) for side in ("left", "right"))
        for a, b, hx, hy in zip(begin.tolist(), end.tolist(), hidden_x.tolist(), hidden_y.tolist(), strict=True):
            near = (x[a:b] - hx) ** 2 + (y[a:b] - hy) ** 2 < near_px**2
            beside[row[a:b][near], column[a:b][near]] = True
    return beside
