# SPDX-License-Identifier: Apache-2.0
"""Labels in the label camera's picture: Data Matrix (ISO/IEC 16022) or QR, with where they were seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_CONTRAST = 25.0
"""Span of grey levels, smoothed over 5 px, below which a picture holds no code; one in a fifth of the light has 40."""


@dataclass(frozen=True)
class SeenCode:
    """One code: its text and the middle of its corners [px]."""

    text: str
    pixel: tuple[float, float]


def find_codes(image: NDArray[np.generic]) -> list[SeenCode]:
    """Return all readable codes of a picture (H, W) or (H, W, 3), uint8 or uint16.

    OpenCV evens out the light, the decoder is zxing-cpp: OpenCV itself reads no Data Matrix.
    """
    grey: Any = image
    if image.dtype != np.uint8:
        grey = np.asarray(255.0 * grey / max(1.0, float(np.max(grey))), dtype=np.uint8)
    if grey.ndim == 3:
        grey = cv2.cvtColor(grey, cv2.COLOR_BGR2GRAY)
    grey = np.ascontiguousarray(grey)
    # A picture without contrast shows no code, and is not searched for one: most docks are empty.
    if float(np.ptp(cv2.blur(grey, (5, 5)))) < LEAST_CONTRAST:
        return []
    found = _read(grey)
    return found if found else _read(cv2.createCLAHE(2.0, (4, 4)).apply(grey))


def _read(grey: NDArray[np.uint8]) -> list[SeenCode]:
    import zxingcpp

    formats = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.DataMatrix, zxingcpp.BarcodeFormat.QRCode])
    found: dict[str, SeenCode] = {}
    for code in zxingcpp.read_barcodes(grey, formats=formats, try_downscale=False, try_invert=False):
        if code.valid and code.text not in found:
            found[code.text] = SeenCode(str(code.text), _middle(code.position))
    return list(found.values())


def _middle(position: Any) -> tuple[float, float]:
    corners = (position.top_left, position.top_right, position.bottom_left, position.bottom_right)
    return sum(p.x for p in corners) / 4.0, sum(p.y for p in corners) / 4.0
