# SPDX-License-Identifier: Apache-2.0
"""Speed of the flow across the channel, learnt from the cells that it carries.

The profile is piecewise linear across the channel. The parabola of plane Poiseuille flow is only its prior:
a smooth deviation is learnt from the links, and a common factor follows pulsation frame by frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.medians import median
from mimedi_nodes.vision.kernels import kernel

FloatArray = NDArray[np.float64]

_KNOTS = 15
_MEMORY_LINKS = 3000.0
_PRIOR_LINKS = 1.5
_REFIT_EVERY = 8
_USUAL_RATE = 0.02
_STILL_PX = 0.7
# Few cells need many frames to agree.
_VOTES = 60


class FlowProfile:
    """Downstream speed v(y) in px/s between two walls; `known` once the links agree on one.

    Args:
        wall_top_px, wall_bottom_px: rows of the walls, px.
        frame_rate_hz: nominal rate, Hz: turns the tolerance of a vote from px into px/s.
    """

    def __init__(self, wall_top_px: float, wall_bottom_px: float, frame_rate_hz: float) -> None:
        self._top, self._bottom = wall_top_px, wall_bottom_px
        self._rate = frame_rate_hz
        self._knots = np.linspace(-1.0, 1.0, _KNOTS)
        self._prior = np.maximum(1.0 - self._knots**2, 0.0)
        self._values = np.zeros(_KNOTS)
        # Changed in place only: the compiled kernel keeps their addresses.
        self._normal = np.zeros((_KNOTS, _KNOTS))
        self._right = np.zeros(_KNOTS)
        self._work = np.empty(0)
        self._values_at, self._normal_at, self._right_at = (
            a.ctypes.data for a in (self._values, self._normal, self._right))
        second = np.diff(np.eye(_KNOTS), 2, axis=0)
        self._smooth = second.T @ second
        self._votes: list[tuple[FloatArray, FloatArray]] = []
        self._still_places: NDArray[np.complex128] = np.empty(0, complex)
        self._trust = 1.0
        self._frames = 0
        self.factor = 1.0
        self._usual_factor = 1.0
        self.known = False

    def eta(self, y_px: FloatArray) -> FloatArray:
        """Position across the channel, -1 at the upper wall, 1 at the lower one."""
        position = (2.0 * y_px - self._top - self._bottom) / (self._bottom - self._top)
        return np.maximum(np.minimum(position, 1.0), -1.0)

    def speed(self, y_px: FloatArray) -> FloatArray:
        """Speed at rows y, px/s, this instant's pulsation included."""
        return self.factor * np.interp(self.eta(y_px), self._knots, self._values)

    @property
    def for_kernel(self) -> tuple[float, float, int, int, float]:
        """The profile as the compiled kernel takes it: walls, address and number of its values, factor."""
        return self._top, self._bottom, self._values_at, _KNOTS, self.factor

    def mean_speed_px_s(self) -> float:
        """Mean over the channel's width, px/s, without this instant's pulsation."""
        # Trapezoidal rule over the knots.
        return float((self._values[:-1] + self._values[1:]).sum() / 2.0 / (_KNOTS - 1))

    def vote(self, x0: FloatArray, y0: FloatArray, x1: FloatArray, y1: FloatArray, dt_s: float) -> None:
        """Look for the common speed in all pairs of detections of two successive frames, dt_s apart."""
        dx, dy = x1[None, :] - x0[:, None], y1[None, :] - y0[:, None]
        shape = np.maximum(1.0 - self.eta(np.broadcast_to(y0[:, None], dx.shape)) ** 2, 0.02)
        near = (np.abs(dy) < 3.5) & (shape > 0.25)
        if not near.any():
            return
        peak_speed = dx[near] / shape[near] / dt_s
        tolerance = (1.2 / shape[near]) / dt_s + 0.04 * np.abs(peak_speed)
        # What stands still may be dirt: one place has one vote, however many frames show it.
        still = np.abs(dx[near]) < _STILL_PX
        place = np.rint(np.broadcast_to(x0[:, None], dx.shape)[near] / 4.0) \
            + 1j * np.rint(np.broadcast_to(y0[:, None], dx.shape)[near] / 4.0)
        fresh = ~still | ~np.isin(place, self._still_places)
        self._still_places = np.union1d(self._still_places, place[still])
        peak_speed, tolerance = peak_speed[fresh], tolerance[fresh]
        if not len(peak_speed):
            return
        self._votes.append((peak_speed, tolerance))
        self._votes = self._votes[-_VOTES:]
        speeds = np.concatenate([v for v, _ in self._votes])
        widths = np.concatenate([w for _, w in self._votes])
        if len(speeds) > 3000:
            speeds, widths = speeds[-3000:], widths[-3000:]
        order = np.argsort(speeds)
        sorted_speeds = speeds[order]
        support = (np.searchsorted(sorted_speeds, speeds + widths) - np.searchsorted(sorted_speeds, speeds - widths))
        # Chance pairs are spread evenly: a wide window collects more of them.
        span = max(float(np.percentile(speeds, 95) - np.percentile(speeds, 5)), 1e-9)
        chance = len(speeds) * np.minimum(2.0 * widths / span, 1.0)
        score = (support - chance) / np.sqrt(chance + 1.0)
        best = int(score.argmax())
        if support[best] < 5 or score[best] < 3.0:
            return
        inside = np.abs(speeds - speeds[best]) < widths[best]
        self._values[:] = median(speeds[inside]) * self._prior
        self.known = True

    def judge(self, linked: int, expected: int) -> None:
        """Learn how many expected cells were found; a flow that finds fewer than half is dropped and sought anew."""
        if not self.known or not expected:
            return
        self._trust += 0.02 * min(expected, 10) * (linked / expected - self._trust)
        if self._trust < 0.45:
            self.known = False
            self._trust = 1.0
            self._votes.clear()
            self._values[:] = 0.0
            self._normal[:] = 0.0
            self._right[:] = 0.0
            self.factor = self._usual_factor = 1.0

    def learn(self, y_px: FloatArray, speed_px_s: FloatArray) -> None:
        """Take in the measured speeds of linked cells of one frame pair (cells already held for some frames)."""
        if not len(y_px):
            return
        self._frames += 1
        compiled = kernel.compiled("flow_learn")
        if compiled is None:
            self._learn_numpy(y_px, speed_px_s)
        else:
            y, speed = np.ascontiguousarray(y_px), np.ascontiguousarray(speed_px_s)
            if len(self._work) < len(y):
                self._work = np.empty(2 * len(y))
            ratio = compiled(len(y), y.ctypes.data, speed.ctypes.data, self._top, self._bottom, _KNOTS,
                             self._values_at, self.factor, _MEMORY_LINKS, self._normal_at, self._right_at,
                             self._work.ctypes.data)
            if ratio > 0.0:
                self._follow(ratio)
        if self._frames % _REFIT_EVERY == 0 or self._frames < 4:
            self._refit()

    def _follow(self, ratio: float) -> None:
        self.factor = ratio
        self._usual_factor += max(_USUAL_RATE, 1.0 / (self._frames + 1.0)) * (self.factor - self._usual_factor)

    def _learn_numpy(self, y_px: FloatArray, speed_px_s: FloatArray) -> None:
        now = self.speed(y_px)
        moving = np.abs(now) > 0.2 * np.abs(self._values).max() + 1e-9
        if moving.sum() >= 3:
            ratio = median(speed_px_s[moving] / now[moving])
            self._follow(self.factor * (1.0 + 0.5 * (min(max(ratio, 0.8), 1.25) - 1.0)))
        position = (self.eta(y_px) + 1.0) / 2.0 * (_KNOTS - 1)
        lower = np.minimum(position.astype(int), _KNOTS - 2)
        part = position - lower
        weights = np.zeros((len(y_px), _KNOTS))
        rows = np.arange(len(y_px))
        weights[rows, lower] = 1.0 - part
        weights[rows, lower + 1] = part
        forget = 1.0 - len(y_px) / _MEMORY_LINKS
        self._normal[:] = forget * self._normal + weights.T @ weights
        self._right[:] = forget * self._right + weights.T @ (speed_px_s / self.factor)

    def _refit(self) -> None:
        # Slow changes of the flow belong to the profile, fast ones to the factor.
        self._right *= self._usual_factor
        self.factor /= self._usual_factor
        self._usual_factor = 1.0
        links = float(self._normal.sum())
        if links < 4.0:
            return
        # Scale of the prior: what fits the links best.
        scale = float(self._prior @ self._right) / max(float(self._prior @ self._normal @ self._prior), 1e-9)
        guess = scale * self._prior
        system = self._normal + 4.0 * self._smooth + _PRIOR_LINKS * np.eye(_KNOTS)
        self._values[:] = guess + np.linalg.solve(system, self._right - self._normal @ guess)
