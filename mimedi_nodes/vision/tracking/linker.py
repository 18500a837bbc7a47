# SPDX-License-Identifier: Apache-2.0
"""Cells through time: predict with the flow, assign within a gate, coast through what hides a cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.detections import Detections
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.tracking.flow import FlowProfile

TRACK = np.dtype([
    ("id", "i8"), ("x", "f8"), ("y", "f8"),      # last estimate, px
    ("ratio", "f8"),                             # own speed / profile's speed
    ("vx", "f8"), ("vy", "f8"),                  # px/s
    ("hits", "i4"), ("missed", "i4"), ("born", "i4"),
    ("last_x", "f8"), ("last_s", "f8"),          # last measured position and its time
    ("detection", "i4"),                         # row of this frame's detection, -1 when coasting
    ("blob_px", "f8"), ("diameter_px", "f8"), ("sized", "i4"),
    ("area_px2", "f8"), ("deformation", "f8"), ("aspect", "f8"),
    ("contrast", "f8"), ("sharpness", "f8"), ("shapes", "i4"), ("edge", "?"),
    ("dye", "f8"), ("dye_frames", "i4"),         # mean dead-dye signal, grey levels above background
    ("fluorescence", "f8", (2,)), ("fluorescence_frames", "i4"),
    ("apart", "?"),                              # was once well away from every other track
], align=True)
Tracks = NDArray[np.void]

_GATE_X_PX, _GATE_Y_PX = 5.0, 3.5
_NEW_GATE_SHARE, _OLD_GATE_SHARE = 0.10, 0.03
_COAST_GATE_X_PX, _COAST_GATE_Y_PX = 0.5, 0.2
_GATES = np.array([_GATE_X_PX, _GATE_Y_PX, _NEW_GATE_SHARE, _OLD_GATE_SHARE, _COAST_GATE_X_PX, _COAST_GATE_Y_PX])
_COAST_FRAMES = 10
_COAST_NEW = 2
_TWIN_PX = 2.5
_PATIENCE = np.array([_COAST_FRAMES, _COAST_NEW, 1], np.int32)
_GATES_AT, _PATIENCE_AT = _GATES.ctypes.data, _PATIENCE.ctypes.data
# A cell that the view shows fewer times cannot prove itself by many links.
_BRIEF_FRAMES = 16.0


def _match(tracks: Tracks, found: Detections, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int32]:
    """Row of the detection that each track predicted at (x, y) is linked to, -1 for none."""
    match = np.full(len(tracks), -1, np.int32)
    if not len(tracks) or not len(found):
        return match
    # Costs a third of a second to import.
    from scipy.optimize import linear_sum_assignment

    young = tracks["hits"] < 2
    gate_x = (_GATE_X_PX + np.abs(x - tracks["x"]) * np.where(young, _NEW_GATE_SHARE, _OLD_GATE_SHARE)
              + _COAST_GATE_X_PX * tracks["missed"])[:, None]
    gate_y = (_GATE_Y_PX + _COAST_GATE_Y_PX * tracks["missed"])[:, None]
    cost = ((found["x"][None, :] - x[:, None]) / gate_x) ** 2
    cost += ((found["y"][None, :] - y[:, None]) / gate_y) ** 2
    # A track seen often outbids one seen once.
    cost = np.where(cost < 1.0, cost + np.where(young, 0.3, 0.0)[:, None]
                    + 0.02 * np.minimum(tracks["missed"], 10)[:, None] - 3.0, 0.0)
    own = np.flatnonzero(found["owner"] >= 0)
    # A fitted detection belongs to its track; it is nobody else's.
    cost[:, own] = np.minimum(cost[:, own] + 1.5, 0.0)
    cost[found["owner"][own], own] = -4.0
    rows, columns = linear_sum_assignment(cost)
    linked = cost[rows, columns] < 0.0
    match[rows[linked]] = columns[linked]
    return match


class Linker:
    """Holds the tracks of one camera; `step` takes one frame's detections and returns all living tracks."""

    def __init__(self, flow: FlowProfile, width_px: int) -> None:
        self.flow = flow
        self._width = width_px
        self._next = 1
        self._tracks: Tracks = np.zeros(0, TRACK)
        self._previous: Detections | None = None
        self._stamp = 0.0
        self._step_s = 0.0
        self._frame = -1
        self._room, self._work, self._seen = 0, np.empty(0), np.empty(2, np.int32)
        self._predicted: tuple[float, NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def tracks(self) -> Tracks:
        """Living tracks after the last step."""
        return self._tracks

    @property
    def found(self) -> Detections | None:
        """The detections of the last step."""
        return self._previous

    def restart(self) -> None:
        """Forget the tracks, keep the flow."""
        self._tracks = np.zeros(0, TRACK)
        self._previous = self._predicted = None

    def predict(self, stamp_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the tracks should be at stamp_s, px."""
        if self._predicted is None or self._predicted[0] != stamp_s:
            t = self._tracks
            dt = stamp_s - self._stamp
            compiled = kernel.compiled("predict_tracks")
            if compiled is not None:
                place = np.empty((2, len(t)))
                x_at = place.ctypes.data
                compiled(len(t), t.ctypes.data, *self.flow.for_kernel, dt, x_at, x_at + 8 * len(t))
                self._predicted = stamp_s, place[0], place[1]
                return place[0], place[1]
            y = t["y"].copy()
            self._predicted = stamp_s, t["x"] + self.flow.speed(y) * t["ratio"] * dt, y
        return self._predicted[1], self._predicted[2]

    def step(self, found: Detections, stamp_s: float) -> Tracks:
        """Link one frame's detections; tracks that left or were lost are gone from the answer."""
        self._frame += 1
        dt = stamp_s - self._stamp
        if not self.flow.known and self._previous is not None and dt > 0.0:
            before = self._previous
            self.flow.vote(before["x"], before["y"], found["x"], found["y"], dt)
        x, y = self.predict(stamp_s)
        self._predicted = None
        step = self._step_numpy if kernel.compiled("advance_tracks") is None else self._step_compiled
        self._tracks = step(found, x, y, stamp_s, dt)
        self._previous, self._stamp, self._step_s = found, stamp_s, dt
        return self._tracks

    def _step_compiled(self, found: Detections, x: NDArray[np.float64], y: NDArray[np.float64], stamp_s: float,
                       dt: float) -> Tracks:
        advance: Any = kernel.compiled("advance_tracks")
        settle: Any = kernel.compiled("settle_tracks")
        tracks = self._tracks
        count, more = len(tracks), len(found)
        if count + more >= self._room:
            self._make_room(2 * (count + more) + 32)
        work = (3 + count) * (count + more + 1)
        if len(self._work) < work:
            self._work = np.empty(2 * work)
        tracks_at, found_at = tracks.ctypes.data, found.ctypes.data
        place_at, match_at, ints_at, seen_at, taken_at = self._scratch
        steady = advance(count, tracks_at, more, found_at, x.ctypes.data, y.ctypes.data, _GATES_AT, self._width, dt,
                         place_at, self._room, match_at, self._work.ctypes.data, ints_at, seen_at)
        expected, linked = self._seen.tolist()
        self.flow.judge(linked, expected)
        if dt > 0.0:
            self.flow.learn(self._place[4, :steady], self._place[5, :steady])
        # Tables are never reused: who looks at those of a frame may keep them.
        settled = np.empty(count + more, TRACK)
        alive = settle(count, tracks_at, more, found_at, place_at, self._room, match_at, *self.flow.for_kernel,
                       stamp_s, dt, self._width, self._next, self._frame, _PATIENCE_AT, _TWIN_PX,
                       place_at + 8 * 6 * self._room, taken_at, settled.ctypes.data)
        settled = settled[:alive]
        if alive and settled["id"][-1] >= self._next:
            self._next = int(settled["id"][-1]) + 1
        return settled

    def _make_room(self, room: int) -> None:
        self._room = room
        self._place, self._match = np.empty((7, room)), np.empty(room, np.int32)
        self._ints, self._taken = np.empty(5 * (room + 1), np.int32), np.empty(room, np.uint8)
        self._scratch = tuple(a.ctypes.data for a in (self._place, self._match, self._ints, self._seen, self._taken))

    def _step_numpy(self, found: Detections, x: NDArray[np.float64], y: NDArray[np.float64], stamp_s: float,
                    dt: float) -> Tracks:
        """The same as the compiled kernel's."""
        tracks = self._tracks
        match = _match(tracks, found, x, y)
        away = (x > 15.0) & (x < self._width - 16.0) & (tracks["missed"] == 0)
        expected = int(np.count_nonzero(away))
        self.flow.judge(int(np.count_nonzero(away & (match >= 0))), expected)
        self._update_numpy(match, found, x, y, stamp_s, dt)
        fresh = np.ones(len(found), bool)
        fresh[match[match >= 0]] = False
        alive = self._alive()
        return np.concatenate([alive, self._born(found, np.flatnonzero(fresh), stamp_s)])

    def _update_numpy(self, match: NDArray[np.int32], found: Detections, x: NDArray[np.float64],
                      y: NDArray[np.float64], stamp_s: float, dt: float) -> None:
        tracks = self._tracks
        rows = np.flatnonzero(match >= 0)
        columns = match[rows]
        tracks["detection"] = -1
        tracks["missed"] += 1
        old_x, old_y = tracks["x"].copy(), tracks["y"].copy()
        tracks["x"], tracks["y"] = x, y
        if not len(rows):
            return
        seen = found[columns]
        lone = seen["lone"] & ~seen["edge"]
        gain = np.where(lone, 0.9, 0.6)
        new_x = x[rows] + gain * (seen["x"] - x[rows])
        new_y = y[rows] + gain * (seen["y"] - y[rows])
        hits = tracks["hits"][rows]
        steady = (tracks["missed"][rows] == 1) & lone & (hits >= 2)
        if dt > 0.0:
            speed = (new_x - old_x[rows]) / dt
            self.flow.learn(old_y[rows][steady], speed[steady])
            expected = self.flow.speed(new_y)
            usable = np.abs(expected) * dt > 1.0
            ratio_gain = np.maximum(1.0 / (hits + 1.0), 0.12) * np.where(lone, 1.0, 0.4)
            since = np.maximum(stamp_s - tracks["last_s"][rows], 1e-9)
            measured = (new_x - tracks["last_x"][rows]) / since / np.where(usable, expected, 1.0)
            ratio_now = np.clip(np.where(usable, measured, 1.0), 0.6, 1.4)
            tracks["ratio"][rows] += ratio_gain * (ratio_now - tracks["ratio"][rows])
            tracks["vx"][rows] = np.where(hits >= 2, expected * tracks["ratio"][rows], speed)
            tracks["vy"][rows] += 0.2 * ((new_y - old_y[rows]) / dt - tracks["vy"][rows])
        tracks["x"][rows], tracks["y"][rows] = new_x, new_y
        tracks["last_x"][rows], tracks["last_s"][rows] = new_x, stamp_s
        tracks["hits"][rows] += 1
        tracks["missed"][rows] = 0
        tracks["detection"][rows] = columns
        tracks["edge"][rows] = seen["edge"]
        self._shapes(rows[lone], seen[lone])

    def _shapes(self, rows: NDArray[np.int_], seen: Detections) -> None:
        """Keep a running mean of the shape over the frames in which the cell stood alone."""
        tracks = self._tracks
        tracks["shapes"][rows] += 1
        gain = 1.0 / np.minimum(tracks["shapes"][rows], 20)
        for name in ("blob_px", "area_px2", "deformation", "aspect", "contrast"):
            tracks[name][rows] += gain * (seen[name] - tracks[name][rows])
        measured = seen["diameter_px"] > 0.0
        rows, seen = rows[measured], seen[measured]
        tracks["sized"][rows] += 1
        for name in ("diameter_px", "sharpness"):
            tracks[name][rows] += (seen[name] - tracks[name][rows]) / tracks["sized"][rows]

    def _alive(self) -> Tracks:
        """The tracks that are still in view and not missed for too long."""
        tracks = self._tracks
        x = tracks["x"]
        keep = (x > -6.0) & (x < self._width + 5.0)
        hidden = np.flatnonzero(tracks["missed"])
        if len(hidden):
            lost = tracks[hidden]
            patience = np.where(lost["hits"] >= 4, _COAST_FRAMES, np.where(lost["hits"] < 2, 1, _COAST_NEW))
            shown = tracks[tracks["missed"] == 0]
            if len(shown):
                # What a newer track has taken over is gone.
                close = ((np.abs(lost["x"][:, None] - shown["x"]) < _TWIN_PX)
                         & (np.abs(lost["y"][:, None] - shown["y"]) < _TWIN_PX)
                         & (lost["hits"][:, None] <= shown["hits"]))
                patience[close.any(axis=1)] = 0
            keep[hidden] &= lost["missed"] <= patience
        return tracks if keep.all() else tracks[keep]

    @property
    def brief_speed_px_s(self) -> float:
        """A cell faster than this is seen in few frames only, px/s."""
        return self._width / (self._step_s * _BRIEF_FRAMES) if self._step_s > 0.0 else math.inf

    def sure(self, frames: int) -> NDArray[np.bool_]:
        """Which living tracks are cells: seen in so many frames, or carried too fast to be seen in so many."""
        brief = np.abs(self.flow.speed(self._tracks["y"])) > self.brief_speed_px_s
        return brief | (self._tracks["hits"] >= frames)

    def _born(self, found: Detections, rows: NDArray[np.int_], stamp_s: float) -> Tracks:
        new = np.zeros(len(rows), TRACK)
        if not len(rows):
            return new
        seen = found[rows]
        new["id"] = np.arange(self._next, self._next + len(rows))
        self._next += len(rows)
        for name in ("x", "y", "blob_px", "diameter_px", "area_px2", "deformation", "aspect", "contrast",
                     "sharpness", "edge"):
            new[name] = seen[name]
        new["last_x"], new["last_s"] = seen["x"], stamp_s
        new["ratio"], new["hits"], new["born"], new["detection"] = 1.0, 1, self._frame, rows
        new["shapes"] = (seen["lone"] & ~seen["edge"]).astype(np.int32)
        new["sized"] = seen["diameter_px"] > 0.0
        new["vx"] = self.flow.speed(seen["y"])
        return new
