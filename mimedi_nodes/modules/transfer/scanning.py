# SPDX-License-Identifier: Apache-2.0
"""Labels in the label camera's picture: Data Matrix (ISO/IEC 16022) or QR, with where they were seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SeenCode:
    """One code: its text and the middle of its corners [px]."""

    text: str
    pixel: tuple[float, float]


def find_codes(image: NDArray[np.generic]) -> list[SeenCode]:
    """Return all readable codes of a picture (H, W) or (H, W, 3), uint8 or uint16.

    OpenCV evens out the light, the decoder is zxing-cpp: OpenCV itself reads no Data Matrix.
    """
    import zxingcpp

    grey: Any = image
    if image.dtype != np.uint8:
        grey = np.asarray(255.0 * grey / max(1.0, float(np.max(grey))), dtype=np.uint8)
    if grey.ndim == 3:
        grey = cv2.cvtColor(grey, cv2.COLOR_BGR2GRAY)
    even = cv2.createCLAHE(2.0, (4, 4)).apply(np.ascontiguousarray(grey))
    formats = zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.DataMatrix, zxingcpp.BarcodeFormat.QRCode])
    found: dict[str, SeenCode] = {}
    for picture in (grey, even):
        for code in zxingcpp.read_barcodes(np.ascontiguousarray(picture), formats=formats):
            if code.valid and code.text not in found:
                found[code.text] = SeenCode(str(code.text), _middle(code.position))
        if found:
            break
    return list(found.values())


def _middle(position: Any) -> tuple[float, float]:
    corners = (position.top_left, position.top_right, position.bottom_left, position.bottom_right)
    return sum(p.x for p in corners) / 4.0, sum(p.y for p in corners) / 4.0
