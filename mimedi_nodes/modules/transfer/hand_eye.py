# SPDX-License-Identifier: Apache-2.0
"""Where the label camera sits on the carriage, from fiducials at known places (hand-eye calibration).

The carriage only translates, so a fiducial at f seen with the carriage at p is a point f - p in the carriage's frame:
all views together are one perspective-n-point problem (Hartley & Zisserman 2004, section 7.3; OpenCV's solvePnP).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from transforms3d.affines import compose
from transforms3d.axangles import mat2axangle

from ...process.errors import WorkcellError
from .description import Array

LEAST_POINTS = 8
MOST_RESIDUAL_PX = 1.0
LEAST_SPREAD_M = 0.015
"""Least extent of the points across: fewer than this does not fix the camera's rotation."""


class CalibrationError(WorkcellError):
    """The camera's place cannot be told from these views; says why."""


@dataclass(frozen=True)
class LabelOptics:
    """The label camera's picture: size and focal length [px], principal point in the middle, no distortion."""

    width_px: int = 1280
    height_px: int = 960
    focal_px: float = 2100.0

    @property
    def matrix(self) -> Array:
        """Camera matrix (3, 3)."""
        return np.array([
            [self.focal_px, 0.0, 0.5 * self.width_px], [0.0, self.focal_px, 0.5 * self.height_px], [0.0, 0.0, 1.0],
        ])  # fmt: skip

    def project(self, points_m: Array, camera: Array) -> Array:
        """Return the pixels (N, 2) of points (N, 3) [m], both in the frame of the camera's pose (4, 4)."""
        local = (np.asarray(points_m) - camera[:3, 3]) @ camera[:3, :3]
        pixels: Array = self.focal_px * local[:, :2] / local[:, 2:] + (0.5 * self.width_px, 0.5 * self.height_px)
        return pixels


@dataclass(frozen=True)
class Sighting:
    """A fiducial at a known place [m] seen at a pixel while the carriage stood at a place [m], all in one frame."""

    fiducial_m: tuple[float, float, float]
    carriage_m: tuple[float, float, float]
    pixel: tuple[float, float]


@dataclass(frozen=True)
class HandEye:
    """Pose (4, 4) of the camera in the carriage's frame, with the residual of its views [px, root mean square]."""

    pose: Array
    residual_px: float

    def deviation(self, nominal: Array) -> tuple[float, float]:
        """Return how far [m] and by which angle [rad] the camera sits from its nominal pose."""
        _, angle = mat2axangle(nominal[:3, :3].T @ self.pose[:3, :3])
        return float(np.linalg.norm(self.pose[:3, 3] - nominal[:3, 3])), abs(float(angle))


def calibrate(sightings: Sequence[Sighting], optics: LabelOptics) -> HandEye:
    """Return where the camera sits.

    Raises:
        CalibrationError: too few or too close views, or a residual above `MOST_RESIDUAL_PX`.
    """
    if len(sightings) < LEAST_POINTS:
        raise CalibrationError(f"{len(sightings)} sightings; at least {LEAST_POINTS} are needed")
    points = np.array([np.subtract(s.fiducial_m, s.carriage_m) for s in sightings])
    pixels = np.array([s.pixel for s in sightings], dtype=np.float64)
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False) / np.sqrt(len(points))
    if spread[1] < LEAST_SPREAD_M:
        raise CalibrationError(
            f"the fiducials lie on a line: {1e3 * spread[1]:.0f} mm across, at least {1e3 * LEAST_SPREAD_M:.0f} needed"
        )
    found, turn, shift = cv2.solvePnP(points, pixels, optics.matrix, None, flags=cv2.SOLVEPNP_SQPNP)
    if found:
        turn, shift = cv2.solvePnPRefineLM(points, pixels, optics.matrix, None, turn, shift)
    if not found or not np.all(np.isfinite(turn)):
        raise CalibrationError("no pose of the camera explains the sightings; are fiducials mixed up?")
    rotation = cv2.Rodrigues(turn)[0].T  # of the camera in the carriage's frame
    pose = compose(-rotation @ shift.ravel(), rotation, np.ones(3))
    misses = optics.project(points, pose) - pixels
    residual_px = float(np.sqrt(np.mean(np.sum(misses**2, axis=1))))
    if not residual_px <= MOST_RESIDUAL_PX:
        worst = int(np.argmax(np.sum(misses**2, axis=1)))
        raise CalibrationError(
            f"residual {residual_px:.2f} px, allowed {MOST_RESIDUAL_PX:g}; the worst is sighting {worst} at "
            f"{tuple(np.round(pixels[worst], 1))} px"
        )
    return HandEye(pose, residual_px)
