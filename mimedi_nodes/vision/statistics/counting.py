# SPDX-License-Identifier: Apache-2.0
"""Cells that cross a line, each once: a track that broke on its way is still the same cell."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from mimedi_nodes.vision.camera.frame import FrameTracks
from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.statistics.intervals import Interval, poisson_interval

_SAME_FRAMES = 3
_SAME_PX = 5.0
_RECENT = 100


class Crossing(NamedTuple):
    """One cell over the line: frame (with its part), row px, +1 to the right or -1 to the left, and which track."""

    frame: float
    y_px: float
    direction: int
    track_id: int = 0


class CountingLine:
    """Counts tracks over the line x = x_px between two rows, an outlet's for example.

    A track that breaks near the line goes on under another number, and its new start may lie up to five pixels back,
    before the line: it crosses again in the same direction. Such a crossing, in the same row to five pixels and within
    the time for that way and three frames, by a track that was not there three frames before the one counted, is the
    same cell.

    Args:
        x_px: column of the line.
        y_from_px, y_to_px: rows between which it counts.
    """

    def __init__(self, x_px: float, y_from_px: float = float("-inf"), y_to_px: float = float("inf")) -> None:
        if not y_to_px > y_from_px:
            raise VisionInputError("y_to_px", y_to_px, f"> y_from_px ({y_from_px})")
        self._x, self._rows = x_px, (y_from_px, y_to_px)
        self._last: dict[int, tuple[int, float, float]] = {}
        self._born: dict[int, int] = {}
        self._recent: deque[Crossing] = deque()
        self.crossings: list[Crossing] = []

    @property
    def net(self) -> int:
        """Cells that went to the right less those that went to the left."""
        return sum(crossing.direction for crossing in self.crossings)

    def interval(self, confidence: float = 0.95) -> Interval:
        """The mean number of cells in so much liquid, with its interval: cells cross independently (Poisson)."""
        return poisson_interval(len(self.crossings), confidence)

    def add(self, frame: FrameTracks) -> None:
        """Take in the confirmed tracks of one frame."""
        now = frame.frame_index
        while len(self._recent) > _RECENT:
            self._recent.popleft()
        seen: dict[int, tuple[int, float, float]] = {}
        for cell in frame.tracks:
            if not cell.confirmed:
                continue
            born = self._born.setdefault(cell.track_id, now)
            seen[cell.track_id] = now, cell.x_px, cell.y_px
            before = self._last.get(cell.track_id)
            if before is None or (before[1] < self._x) == (cell.x_px < self._x):
                continue
            part = (self._x - before[1]) / (cell.x_px - before[1])
            crossing = Crossing(before[0] + part * (now - before[0]), before[2] + part * (cell.y_px - before[2]),
                                1 if cell.x_px >= self._x else -1, cell.track_id)
            frames_back = _SAME_FRAMES + _SAME_PX * (now - before[0]) / abs(cell.x_px - before[1])
            if not self._rows[0] <= crossing.y_px <= self._rows[1] or self._known(crossing, born, frames_back):
                continue
            self.crossings.append(crossing)
            self._recent.append(crossing)
        self._last = seen
        self._born = {track: born for track, born in self._born.items() if track in seen}

    def _known(self, crossing: Crossing, born: int, frames_back: float) -> bool:
        for other in self._recent:
            if other.track_id != crossing.track_id and other.direction == crossing.direction \
                    and born >= other.frame - _SAME_FRAMES and crossing.frame - other.frame <= frames_back \
                    and abs(other.y_px - crossing.y_px) <= _SAME_PX:
                return True
        return False
