# SPDX-License-Identifier: Apache-2.0
"""Lens distortion as a camera's `camera_info` states it, taken out of places and images."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.opencv import cv2

# Coefficients that each distortion model of sensor_msgs/CameraInfo has.
_COEFFICIENTS = {"plumb_bob": 5, "rational_polynomial": 8}


@dataclass(frozen=True)
class LensModel:
    """Brown-Conrady distortion: camera matrix (3, 3) px and coefficients (k1, k2, p1, p2, k3, ...).

    Source: D. C. Brown, Photogrammetric Engineering 37 (1971) 855; ROS REP 104.
    """

    width_px: int
    height_px: int
    matrix: NDArray[np.float64]
    coefficients: NDArray[np.float64]

    @classmethod
    def from_camera_info(cls, info: Any) -> LensModel | None:
        """The lens of a sensor_msgs/CameraInfo, or of anything with its fields; None when it is not calibrated.

        Raises:
            VisionInputError: unknown model, wrong number of coefficients, or a matrix without focal lengths.
        """
        matrix = np.asarray(info.k, float).reshape(3, 3)
        coefficients = np.asarray(info.d, float)
        # REP 104: a first element of 0 means an uncalibrated camera.
        if matrix[0, 0] == 0.0 or not np.any(coefficients):
            return None
        wanted = _COEFFICIENTS.get(info.distortion_model)
        if wanted is None:
            raise VisionInputError("camera_info distortion_model", info.distortion_model, str(sorted(_COEFFICIENTS)))
        if len(coefficients) != wanted or not np.isfinite(coefficients).all():
            raise VisionInputError("camera_info d", coefficients.tolist(), f"{wanted} finite numbers")
        if not (np.isfinite(matrix).all() and matrix[0, 0] > 0.0 and matrix[1, 1] > 0.0):
            raise VisionInputError("camera_info k", matrix.ravel().tolist(), "focal lengths > 0")
        return cls(int(info.width), int(info.height), matrix, coefficients)

    def straighten(self, image: NDArray[Any]) -> NDArray[Any]:
        """The image (H, W) without distortion.

        Raises:
            VisionInputError: another size than the camera_info says.
        """
        if image.shape[:2] != (self.height_px, self.width_px):
            raise VisionInputError("image size", image.shape,
                                   f"({self.height_px}, {self.width_px}), as camera_info says")
        return np.asarray(cv2.remap(image, *self._maps, interpolation=cv2.INTER_LINEAR))

    @functools.cached_property
    def _maps(self) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
        """Where each pixel of a straight image comes from: made once, for every frame."""
        size = self.width_px, self.height_px
        first, second = cv2.initUndistortRectifyMap(self.matrix, self.coefficients, None, self.matrix, size,
                                                    cv2.CV_16SC2)
        return first, second

    def straighten_places(self, places_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places (N, 2) px as they would be without distortion."""
        places = np.asarray(places_px, float).reshape(-1, 1, 2)
        if not len(places):
            return places.reshape(-1, 2)
        return np.asarray(cv2.undistortPoints(places, self.matrix, self.coefficients, P=self.matrix)).reshape(-1, 2)
