# SPDX-License-Identifier: Apache-2.0
"""Scale and pose of a camera over its chip, from marks whose places on the chip are known; kept with an expiry date."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_MARKS = 4
MAX_RESIDUAL_PX = 1.0
# A chip lies flat under the camera: pixels as high as wide, axes at right angles.
MAX_ANISOTROPY, MAX_SHEAR = 0.01, 0.01
LEAST_FOCUS = 0.5
LEAST_LIGHT = 0.3
_MIN_SPREAD_PX = 40.0


class CalibrationError(ValueError):
    """A calibration that must not be measured with: expired, of another camera, or a bad fit."""


@dataclass(frozen=True)
class CameraCalibration:
    """Chip to image: an affine transform, and what else was measured with it.

    `um_per_px` is the geometric mean of both axes; `anisotropy` their ratio - 1; `shear` the tangent of how far they
    are from a right angle. `residual_px` is the root mean square distance of the `marks` from the fit. `focus` is 1
    for a sharp edge, `light` the darkest place of the flat field over the brightest. `calibrated_at_s` and
    `valid_for_s` are in the caller's clock, s.
    """

    camera: str
    um_per_px: float
    anisotropy: float
    shear: float
    rotation_rad: float
    origin_x_px: float
    origin_y_px: float
    wall_top_px: float
    wall_bottom_px: float
    residual_px: float
    marks: int
    focus: float
    light: float
    calibrated_at_s: float
    valid_for_s: float

    def require(self, now_s: float, camera: str | None = None) -> CameraCalibration:
        """This calibration, when it may be used now.

        Raises:
            CalibrationError: expired, from the future, of another camera, or not a good fit.
        """
        if camera is not None and camera != self.camera:
            raise CalibrationError(f"calibration is of camera {self.camera!r}; allowed: {camera!r}. "
                                   "Calibrate this camera.")
        age = now_s - self.calibrated_at_s
        if not math.isfinite(age) or age < 0.0:
            raise CalibrationError(f"calibration age is {age:.0f} s; allowed: 0 to {self.valid_for_s:.0f} s. "
                                   "Check the clock, then calibrate again.")
        if age > self.valid_for_s:
            raise CalibrationError(f"calibration of {self.camera} expired {age - self.valid_for_s:.0f} s ago "
                                   f"(valid for {self.valid_for_s:.0f} s). Run CalibrateCamera.")
        for value, field, allowed, good in (
                (self.um_per_px, "um_per_px", "0 < um_per_px <= 20", 0.0 < self.um_per_px <= 20.0),
                (self.marks, "marks", f">= {MIN_MARKS}", self.marks >= MIN_MARKS),
                (self.residual_px, "residual_px", f"<= {MAX_RESIDUAL_PX} px", self.residual_px <= MAX_RESIDUAL_PX),
                (self.anisotropy, "anisotropy", f"+-{MAX_ANISOTROPY}", abs(self.anisotropy) <= MAX_ANISOTROPY),
                (self.shear, "shear", f"+-{MAX_SHEAR}", abs(self.shear) <= MAX_SHEAR),
                (self.wall_bottom_px, "wall_bottom_px", "> wall_top_px", self.wall_bottom_px > self.wall_top_px),
                (self.focus, "focus", f">= {LEAST_FOCUS}", self.focus >= LEAST_FOCUS),
                (self.light, "light", f">= {LEAST_LIGHT}", self.light >= LEAST_LIGHT)):
            if not good:
                raise CalibrationError(f"calibration of {self.camera}: {field} is {value:.4g}; allowed: {allowed}. "
                                       "Clean the chip, check which chip is mounted, focus and lamp, then run "
                                       "CalibrateCamera.")
        return self

    def frame(self) -> NDArray[np.float64]:
        """Chip (x, y, z in µm) to image (x, y in px; z in px of the mean scale) as a homogeneous matrix (4, 4)."""
        # Takes a tenth of a second to import: not for everyone who measures.
        from transforms3d import affines, euler

        root = math.sqrt(1.0 + self.anisotropy)
        scale = np.array([root, 1.0 / root, 1.0]) / self.um_per_px
        return np.asarray(affines.compose([self.origin_x_px, self.origin_y_px, 0.0],
                                          euler.euler2mat(0.0, 0.0, self.rotation_rad), scale,
                                          [self.shear, 0.0, 0.0]))

    def to_px(self, chip_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Image position (N, 2) px of chip points (N, 2) µm."""
        matrix = self.frame()
        return np.asarray(chip_um, float) @ matrix[:2, :2].T + matrix[:2, 3]

    def to_um(self, image_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Chip position (N, 2) µm of image points (N, 2) px."""
        matrix = np.linalg.inv(self.frame())
        return np.asarray(image_px, float) @ matrix[:2, :2].T + matrix[:2, 3]

    def save(self, path: Path) -> None:
        """Write as JSON, replacing the file in one step."""
        partial = path.with_suffix(path.suffix + ".part")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)


def load_calibration(path: Path, now_s: float, camera: str | None = None) -> CameraCalibration:
    """A stored calibration that may be used now.

    Raises:
        CalibrationError: no or unreadable file, missing or wrong fields, expired, other camera, bad fit.
    """
    return read_calibration(path).require(now_s, camera)


def read_calibration(path: Path) -> CameraCalibration:
    """A stored calibration, whether it may still be used or not.

    Raises:
        CalibrationError: no or unreadable file, missing or wrong fields.
    """
    try:
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CalibrationError(f"calibration file {path} cannot be read ({error}). Run CalibrateCamera.") from error
    names = [field.name for field in fields(CameraCalibration)]
    if not isinstance(stored, dict) or set(stored) != set(names):
        found = sorted(stored) if isinstance(stored, dict) else type(stored).__name__
        raise CalibrationError(f"calibration file {path} has fields {found}; allowed: exactly {sorted(names)}. "
                               "Run CalibrateCamera.")
    for name in names:
        value = stored[name]
        good = isinstance(value, str) if name == "camera" else (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))
        if not good:
            raise CalibrationError(f"calibration field {name} is {value!r}; allowed: "
                                   f"{'text' if name == 'camera' else 'a finite number'}. Run CalibrateCamera.")
    return CameraCalibration(**stored)


def calibrate(camera: str, marks_px: NDArray[np.float64], marks_um: NDArray[np.float64],
              walls_um: tuple[float, float], now_s: float, valid_for_s: float, focus: float = 1.0,
              light: float = 1.0) -> CameraCalibration:
    """Fit the affine transform to marks seen at `marks_px` (N, 2) and made at `marks_um` (N, 2).

    Least squares; taken apart into shift, rotation, scales and shear as in S. W. Thomas, "Decomposing a matrix into
    simple transformations", Graphics Gems II (1991) 320 (transforms3d). `walls_um` is where the channel's walls are on
    the chip.

    Raises:
        CalibrationError: fewer than four marks, marks too close together or in line, a mirrored image, or a fit that
            must not be measured with.
    """
    from transforms3d import affines, euler

    px, um = np.asarray(marks_px, float), np.asarray(marks_um, float)
    if px.shape != um.shape or px.ndim != 2 or px.shape[1] != 2 or len(px) < MIN_MARKS:
        raise CalibrationError(f"marks are {px.shape} and {um.shape}; allowed: two tables (N, 2), N >= {MIN_MARKS}. "
                               "Clean the chip and check that its marks are in view.")
    if not (np.isfinite(px).all() and np.isfinite(um).all()):
        raise CalibrationError("marks are not finite; allowed: finite positions. Find the marks again.")
    if not valid_for_s > 0.0:
        raise CalibrationError(f"valid_for_s is {valid_for_s}; allowed: > 0 s")
    spread = np.linalg.svd(px - px.mean(axis=0), compute_uv=False) / math.sqrt(len(px))
    if math.sqrt(2.0) * spread[0] < _MIN_SPREAD_PX or np.linalg.matrix_rank(um - um.mean(axis=0)) < 2 \
            or spread[1] < 0.02 * spread[0]:
        raise CalibrationError(f"marks lie within {_MIN_SPREAD_PX} px or on a line; allowed: spread over the image. "
                               "Use marks far from each other.")
    known = np.column_stack([um, np.ones(len(um))])
    fit = np.linalg.lstsq(known, px, rcond=None)[0]
    # Of 2 N numbers six are spent on the fit: what is left of the others is their error.
    residual = math.sqrt(float(((px - known @ fit) ** 2).sum()) / max(2 * len(px) - 6, 1))
    matrix = np.eye(4)
    matrix[:2, :2], matrix[:2, 3] = fit[:2].T, fit[2]
    if np.linalg.det(matrix) <= 0.0:
        raise CalibrationError("the image is mirrored or has no area; allowed: seen from above. Check the camera's "
                               "settings and which chip is mounted.")
    matrix[2, 2] = math.sqrt(np.linalg.det(matrix[:2, :2]))
    shift, rotation, scale, shear = affines.decompose44(matrix)
    angle = float(euler.mat2euler(rotation)[2])
    walls = np.array([[um[:, 0].mean(), wall] for wall in walls_um]) @ fit[:2] + fit[2]
    return CameraCalibration(
        camera, 1.0 / math.sqrt(scale[0] * scale[1]), float(scale[0] / scale[1]) - 1.0, float(shear[0]), angle,
        float(shift[0]), float(shift[1]), float(walls[0, 1]), float(walls[1, 1]), residual, len(px), focus, light,
        now_s, valid_for_s).require(now_s)
