# SPDX-License-Identifier: Apache-2.0
"""Cells through time: predict with the flow, assign within a gate, coast through what hides a cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision import kernel
from mimedi_nodes.vision.detections import Detections
from mimedi_nodes.vision.flow import FlowProfile

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
# A cell that the view shows fewer times cannot prove itself by many links.
_BRIEF_FRAMES = 16.0


def _match(tracks: Tracks, found: Detections, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int32]:
    """Row of the detection that each track predicted at (x, y) is linked to, -1 for none."""
    match = np.full(len(tracks), -1, np.int32)
    if not len(tracks) or not len(found):
        return match
    compiled = kernel.compiled("link_cells")
    if compiled is not None:
        count, most = len(tracks), len(tracks) + len(found) + 1
        work, ints = np.empty(count * len(found) + 3 * most), np.empty(5 * most, np.int32)
        compiled(count, tracks.ctypes.data, len(found), found.ctypes.data, x.ctypes.data, y.ctypes.data,
                 _GATES.ctypes.data, match.ctypes.data, work.ctypes.data, ints.ctypes.data)
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
        self._predicted: tuple[float, NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def tracks(self) -> Tracks:
        """Living tracks after the last step."""
        return self._tracks

    def restart(self) -> None:
        """Forget the tracks, keep the flow."""
        self._tracks = np.zeros(0, TRACK)
        self._previous = self._predicted = None

    def predict(self, stamp_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the tracks should be at stamp_s, px."""
        if self._predicted is None or self._predicted[0] != stamp_s:
            t = self._tracks
            dt, y = stamp_s - self._stamp, t["y"].copy()
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
        tracks = self._tracks
        match = _match(tracks, found, x, y)
        away = (x > 15.0) & (x < self._width - 16.0) & (tracks["missed"] == 0)
        expected = int(np.count_nonzero(away))
        self.flow.judge(int(np.count_nonzero(away & (match >= 0))), expected)
        self._update(match, found, x, y, stamp_s, dt)
        fresh = np.ones(len(found), bool)
        fresh[match[match >= 0]] = False
        alive = self._alive()
        if fresh.any():
            born = self._born(found, np.flatnonzero(fresh), stamp_s)
            # np.concatenate takes longer to look at the fields than to copy them.
            both = np.empty(len(alive) + len(born), TRACK)
            both[:len(alive)], both[len(alive):] = alive, born
            alive = both
        self._tracks = alive
        self._previous, self._stamp, self._step_s = found, stamp_s, dt
        return self._tracks

    def _update(self, match: NDArray[np.int32], found: Detections, x: NDArray[np.float64], y: NDArray[np.float64],
                stamp_s: float, dt: float) -> None:
        """Move the tracks to their predictions, or to the detections `match` (rows of found, -1 for none)."""
        tracks = self._tracks
        move, update = kernel.compiled("move_tracks"), kernel.compiled("update_tracks")
        if move is None or update is None:
            self._update_numpy(match, found, x, y, stamp_s, dt)
            return
        count = len(tracks)
        block = np.empty((6, max(count, 1)))
        old_x, old_y, now_x, now_y, row, speed = (block.ctypes.data + 8 * block.shape[1] * k for k in range(6))
        steady = move(count, tracks.ctypes.data, found.ctypes.data, match.ctypes.data, x.ctypes.data, y.ctypes.data,
                      dt, old_x, old_y, now_x, now_y, row, speed)
        self.flow.learn(block[4, :steady], block[5, :steady])
        expected = self.flow.speed(block[3, :count])
        update(count, tracks.ctypes.data, found.ctypes.data, old_x, old_y, now_x, now_y, expected.ctypes.data,
               stamp_s, dt)

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

    def sure(self, frames: int) -> NDArray[np.bool_]:
        """Which living tracks are cells: seen in so many frames, or carried too fast to be seen in so many."""
        brief = np.abs(self.flow.speed(self._tracks["y"])) * self._step_s * _BRIEF_FRAMES > self._width
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
