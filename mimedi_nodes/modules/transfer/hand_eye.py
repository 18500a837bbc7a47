# SPDX-License-Identifier: Apache-2.0
"""Where the label camera sits on the carriage, from fiducials at known places (hand-eye calibration).

The carriage only translates, so a fiducial at f seen with the carriage at p is a point f - p in the carriage's frame:
all views together are one perspective-n-point problem (Hartley & Zisserman 2004, section 7.3; OpenCV's solvePnP).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from transforms3d.affines import compose
from transforms3d.axangles import mat2axangle

from ...process.durable_file import write_durably
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

    width_px: int
    height_px: int
    focal_px: float

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


def calibrate(
    sightings: Sequence[Sighting], optics: LabelOptics, residual_max_px: float = MOST_RESIDUAL_PX
) -> HandEye:
    """Return where the camera sits.

    Raises:
        CalibrationError: too few or too close views, or a residual above `residual_max_px`.
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
    if not residual_px <= residual_max_px:
        worst = int(np.argmax(np.sum(misses**2, axis=1)))
        raise CalibrationError(
            f"residual {residual_px:.2f} px, allowed {residual_max_px:g}; the worst is sighting {worst} at "
            f"{tuple(np.round(pixels[worst], 1))} px"
        )
    return HandEye(pose, residual_px)


class HandEyeFile:
    """The camera's place as it was last calibrated, on disk, until it expires.

    Args:
        path: the file; in memory only when None.

    Raises:
        CalibrationError: the file is there and cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.known: HandEye | None = None
        self.expires_s = math.inf
        """Process time [s] until which it holds."""
        if path is not None and path.is_file():
            self.known, self.expires_s = _read(path)

    def keep(self, found: HandEye, expires_s: float) -> None:
        """Use it from now on; on disk when this returns."""
        if self._path is not None:
            content = {"pose": found.pose.tolist(), "residual_px": found.residual_px, "expires_s": expires_s}
            write_durably(self._path, json.dumps(content, indent=1) + "\n")
        self.known, self.expires_s = found, expires_s


def _read(path: Path) -> tuple[HandEye, float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pose = np.array(content["pose"], dtype=np.float64)
        residual_px, expires_s = float(content["residual_px"]), float(content["expires_s"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CalibrationError(f"{path}: cannot be read: {error!r}; remove it and calibrate anew") from error
    rotation = pose[:3, :3] if pose.shape == (4, 4) else np.zeros((3, 3))
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6) or not math.isfinite(residual_px + expires_s):
        raise CalibrationError(f"{path}: holds no pose of a camera; remove it and calibrate anew")
    return HandEye(pose, residual_px), expires_s
