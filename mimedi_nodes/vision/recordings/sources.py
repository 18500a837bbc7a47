# SPDX-License-Identifier: Apache-2.0
"""Grey pictures from whatever OpenCV can read: a camera device, a video file, a folder of images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.opencv import cv2

IMAGES = {".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg"}
VIDEOS = {".avi", ".mp4", ".mkv", ".mov"}


class FrameSource(Protocol):
    """Pictures one after the other; `live` when they come at their own rate."""

    live: bool
    rate_hz: float
    """As the source states it; 0 where it does not."""

    def read(self) -> NDArray[Any] | None:
        """The next picture (H, W) uint8 or uint16; None at the end. A device waits for its next exposure."""
        ...

    def rewind(self) -> None:
        """Begin anew; a device cannot."""
        ...

    def close(self) -> None:
        """Let go of the device or file."""
        ...


def open_source(source: str) -> FrameSource:
    """A source by the number or path of a device (`0`, `/dev/video0`), the path of a video, or of a folder of images.

    Raises:
        VisionInputError: nothing there, or nothing that OpenCV can read.
    """
    path = Path(source)
    if path.is_dir():
        return ImageFolder(path)
    if source.isdigit() or source.startswith("/dev/"):
        return _Video(source, live=True)
    if path.suffix.lower() in VIDEOS and path.is_file():
        return _Video(source, live=False)
    raise VisionInputError("source", source, f"a device (0, /dev/video0), a video {sorted(VIDEOS)} or a folder of "
                           f"images {sorted(IMAGES)} that exists")


class ImageFolder:
    """The images of a folder in the order of their names."""

    live, rate_hz = False, 0.0

    def __init__(self, folder: Path) -> None:
        self._files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES)
        if not self._files:
            raise VisionInputError("source", folder, f"a folder with images {sorted(IMAGES)}")
        self.rewind()

    def read(self) -> NDArray[Any] | None:
        """The next picture; None after the last."""
        path = next(self._left, None)
        return None if path is None else _read_image(path)

    def rewind(self) -> None:
        """Begin with the first picture."""
        self._left: Iterator[Path] = iter(self._files)

    def close(self) -> None:
        """Nothing is held open."""


class _Video:
    """A device or a video file."""

    def __init__(self, source: str, live: bool) -> None:
        self._source, self.live = source, live
        self._video = cv2.VideoCapture(int(source) if source.isdigit() else source)
        if not self._video.isOpened():
            raise VisionInputError("source", source, "a device or video that OpenCV can open", "Look at cable, driver "
                                   "and permissions.")
        rate = float(self._video.get(cv2.CAP_PROP_FPS))
        self.rate_hz = rate if np.isfinite(rate) and rate > 0.0 else 0.0

    def read(self) -> NDArray[Any] | None:
        good, image = self._video.read()
        if not good:
            return None
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image)

    def rewind(self) -> None:
        self._video.set(cv2.CAP_PROP_POS_FRAMES, 0)

    def close(self) -> None:
        self._video.release()


def frames_of(source: FrameSource) -> Iterator[NDArray[Any]]:
    """All pictures up to the end of a recording; closes it."""
    try:
        while (image := source.read()) is not None:
            yield image
    finally:
        source.close()


class Pacer:
    """Waits so that pictures of a recording come at a rate.

    Args:
        rate_hz: pictures per second, > 0.
    """

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1.0 / rate_hz
        self._due_s = time.monotonic()

    def left_s(self) -> float:
        """Steady time until the next picture is due, s; what was missed is not made up for."""
        self._due_s = max(self._due_s + self._period_s, time.monotonic() - self._period_s)
        return max(0.0, self._due_s - time.monotonic())


def _read_image(path: Path) -> NDArray[Any]:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise VisionInputError("image", path, "an image file that OpenCV can read")
    return np.asarray(image)
