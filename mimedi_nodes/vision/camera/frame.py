# SPDX-License-Identifier: Apache-2.0
"""What the tracker says about one frame, and the checks that a frame passes before it is believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.kernels import kernel


class TrackedCell(NamedTuple):
    """One cell in one frame; shape values are means over the frames in which it stood alone, NaN before.

    `confirmed`: linked often enough to be a cell (three frames), or carried too fast to be seen so often.
    `measured`: seen in this frame, not only predicted. `dead`: None without a dye image. `cell_class`: 0 none, 1 or 2
    the fluorescence image it lights up. `lights`: light in both above background, grey levels; NaN without them.
    """

    track_id: int
    x_px: float                 # centre, px; the first pixel's centre is (0, 0)
    y_px: float
    vx_px_s: float              # px/s, positive to the right
    vy_px_s: float
    diameter_um: float          # of the disc of equal area, µm
    deformation: float          # 1 - 2 sqrt(pi A)/P of the convex hull
    area_um2: float             # convex hull, µm²
    aspect: float               # length along the flow / across
    focus: float                # 0 blurred .. 1 as sharp as the sharper cells of this run
    brightness: float           # transmitted light, 1 = empty channel
    dye_intensity: float        # dead dye above background, grey levels of 8 bits; NaN without a dye image
    dead: bool | None
    cell_class: int
    edge: bool                  # cut by the frame's edge
    confirmed: bool = True
    measured: bool = True
    lights: tuple[float, float] = (float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class FrameTracks:
    """All cells of one frame.

    `usable` is False for a frame that was not measured (black, saturated, frozen camera). `flow_known` tells
    whether cells could be linked at all; without it each detection stands for itself. `flow_speed_px_s` is the
    mean over the channel's width, px/s, NaN while unknown. `dye_noise` is the standard deviation of a cell's
    dye signal where there is no cell, grey levels. `focus` is how many times as wide as its outline's rise from light
    to dark a cell is (median of those in view, without beads and specks where there are cells; NaN without any): 6 and
    more for sharp pictures. `lit` tells whether there were fluorescence images: without them no class is known.
    `bubbles` are gas bubbles in view; none of them is a cell.
    """

    stamp_s: float
    frame_index: int
    tracks: list[TrackedCell]
    width_px: int
    height_px: int
    usable: bool = True
    flow_known: bool = False
    flow_speed_px_s: float = float("nan")
    dye_noise: float = float("nan")
    focus: float = float("nan")
    bubbles: int = 0
    lit: bool = False


@dataclass
class CameraHealth:
    """Counts of what the camera sent, and what is wrong with its last frame."""

    frames: int = 0
    dropped: int = 0
    black: bool = False
    saturated: bool = False
    frozen: bool = False
    black_frames: int = 0
    saturated_frames: int = 0
    frozen_frames: int = 0
    range_end: int = 255
    """Highest grey level that the camera can give, as its pictures have shown so far."""
    _identical: int = field(default=0, repr=False)
    _last: NDArray[Any] | None = field(default=None, repr=False)
    _seen: NDArray[np.float64] = field(default_factory=lambda: np.empty(3), repr=False)

    @property
    def good(self) -> bool:
        """True when the last frame can be measured."""
        return not (self.black or self.saturated or self.frozen)

    def look_at(self, image: NDArray[Any]) -> None:
        """Judge one frame (H, W): black below 2 % of the range, saturated above 10 % of pixels at its end.

        Two identical frames in a row can happen to a noiseless camera; the third says that it is frozen.
        """
        self.frames += 1
        if not image.flags.c_contiguous:
            image = np.ascontiguousarray(image)
        last = self._last if self._last is not None and self._last.shape == image.shape \
            and self._last.dtype == image.dtype else None
        compiled = kernel.compiled("look_at_frame")
        if compiled is None:
            mean, highest, full, same = _look(image, last)
        else:
            same = compiled(image.ctypes.data, None if last is None else last.ctypes.data, image.shape[1],
                            image.shape[0], image.itemsize, self._seen.ctypes.data)
            mean, highest, full = self._seen.tolist()
        self.range_end = max(self.range_end, int(highest))
        self.black = mean < 0.02 * highest
        self.saturated = full > 0.10
        self._identical = self._identical + 1 if same else 0
        self.frozen = self._identical >= 2
        self.black_frames += self.black
        self.saturated_frames += self.saturated
        self.frozen_frames += self.frozen
        self._last = image


def _look(image: NDArray[Any], last: NDArray[Any] | None) -> tuple[float, int, float, bool]:
    """Mean, end of range and share of pixels at that end, from every fourth pixel of every fourth row (as the compiled
    kernel has it), and whether the image is the last one."""
    height, width = image.shape
    sample = image[:height // 4 * 4:4, :width // 4 * 4:4]
    # A 10 or 12 bit camera in a 16 bit image never reaches 65535: its own end of range is the next power of 2.
    highest = 255 if image.dtype == np.uint8 else (1 << max(int(sample.max()).bit_length(), 10)) - 1
    same = last is not None and np.array_equal(image, last)
    return float(sample.mean()), highest, np.count_nonzero(sample >= highest) / sample.size, same


def check_image(name: str, image: object, shape: tuple[int, int] | None) -> NDArray[Any]:
    """The image as an array, or VisionInputError naming the field, its value and what is allowed."""
    if not isinstance(image, np.ndarray):
        raise VisionInputError(name, type(image).__name__, "a NumPy array (height, width)")
    if image.dtype != np.uint8 and image.dtype != np.uint16:
        raise VisionInputError(f"{name} encoding", image.dtype, "uint8 (mono8) or uint16 (mono16)",
                               "Set the camera to a monochrome format.")
    if image.ndim != 2:
        raise VisionInputError(f"{name} size", image.shape, "two dimensions (height, width)",
                               "Set the camera to a monochrome format.")
    if min(image.shape) < 16:
        raise VisionInputError(f"{name} size", image.shape, "at least 16x16 px")
    if shape is not None and image.shape != shape:
        raise VisionInputError(f"{name} size", image.shape, f"{shape} (height, width)",
                               "Set the camera's region of interest as configured, or start a new measurement.")
    return image
