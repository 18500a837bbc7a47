# SPDX-License-Identifier: Apache-2.0
"""The camera as a phase sees it: frames in order, and how many were lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One exposure: bright field and, when there are some, the dye channel and the two fluorescence images.

    Args:
        stamp_s: process time [s] of the exposure.
        bright_field: (H, W) uint8 or uint16.
        dye: (H, W) of the same type, or None.
        fluorescence: two images (H, W) of the same type, in which cells of class 1 and of class 2 are lit, or None.
        received_s: steady time [s] (`time.monotonic`) at which it came, NaN where nothing is received.
    """

    stamp_s: float
    bright_field: NDArray[np.generic]
    dye: NDArray[np.generic] | None = None
    fluorescence: tuple[NDArray[np.generic], NDArray[np.generic]] | None = None
    received_s: float = math.nan


class Camera(Protocol):
    """A camera over a channel, behind image topics in a node."""

    name: str
    dropped: int
    """Frames lost since capture was switched on."""

    async def set_capture(self, on: bool, fluorescence: bool = False) -> None:
        """Start or stop the exposures; harmless to repeat. Raises InstrumentError when the camera does not answer.

        fluorescence: with the lamps of the two fluorescence images on; they bleach the stains and cost time.
        """
        ...

    async def next_frame(self, timeout_s: float) -> Frame:
        """Return the next frame; raises ReplyTimeout when none comes within `timeout_s` [s] of steady time."""
        ...


class FrameTaken(Protocol):
    """Told of each frame that was taken off the queue or dropped from it."""

    def __call__(self, stamp: Any) -> None: ...
