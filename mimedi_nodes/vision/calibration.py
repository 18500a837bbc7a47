# SPDX-License-Identifier: Apache-2.0
"""Scale and pose of a camera over its chip, from the chip's fiducial marks; kept with an expiry date."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.frame import check_image
from mimedi_nodes.vision.opencv import cv2

MIN_MARKS = 3
MAX_RESIDUAL_PX = 1.0
_MIN_SPREAD_PX = 40.0
_FIELDS = ("camera", "um_per_px", "rotation_rad", "origin_x_px", "origin_y_px", "residual_px", "marks",
           "calibrated_at_s", "valid_for_s")


class CalibrationError(ValueError):
    """A calibration that must not be measured with: expired, of another camera, or a bad fit."""


@dataclass(frozen=True)
class CameraCalibration:
    """Chip to image: pixel = origin + rotate(rotation, chip µm) / um_per_px.

    `calibrated_at_s` and `valid_for_s` are in the caller's clock (s); `residual_px` is the root mean square
    distance of the marks from the fit.
    """

    camera: str
    um_per_px: float
    rotation_rad: float
    origin_x_px: float
    origin_y_px: float
    residual_px: float
    marks: int
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
        _require_fit(self.um_per_px, self.residual_px, self.marks)
        return self

    def to_px(self, chip_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Image position (N, 2) px of chip points (N, 2) µm."""
        c, s = math.cos(self.rotation_rad), math.sin(self.rotation_rad)
        return np.asarray(chip_um, float) @ np.array([[c, s], [-s, c]]) / self.um_per_px \
            + np.array([self.origin_x_px, self.origin_y_px])

    def to_um(self, image_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Chip position (N, 2) µm of image points (N, 2) px."""
        c, s = math.cos(self.rotation_rad), math.sin(self.rotation_rad)
        moved = np.asarray(image_px, float) - np.array([self.origin_x_px, self.origin_y_px])
        return moved @ np.array([[c, -s], [s, c]]) * self.um_per_px

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
    try:
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CalibrationError(f"calibration file {path} cannot be read ({error}). Run CalibrateCamera.") from error
    if not isinstance(stored, dict) or set(stored) != set(_FIELDS):
        found = sorted(stored) if isinstance(stored, dict) else type(stored).__name__
        raise CalibrationError(f"calibration file {path} has fields {found}; allowed: exactly {sorted(_FIELDS)}. "
                               "Run CalibrateCamera.")
    for name in _FIELDS:
        value = stored[name]
        good = isinstance(value, str) if name == "camera" else (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))
        if not good:
            raise CalibrationError(f"calibration field {name} is {value!r}; allowed: "
                                   f"{'text' if name == 'camera' else 'a finite number'}. Run CalibrateCamera.")
    return CameraCalibration(**stored).require(now_s, camera)


def calibrate(camera: str, marks_px: NDArray[np.float64], marks_um: NDArray[np.float64], now_s: float,
              valid_for_s: float) -> CameraCalibration:
    """Fit scale, rotation and origin to fiducial marks seen at `marks_px` (N, 2) and made at `marks_um` (N, 2).

    Least-squares similarity without reflection (Umeyama, IEEE Trans. PAMI 13 (1991) 376).

    Raises:
        CalibrationError: fewer than three marks, marks too close together, or a residual above 1 px.
    """
    px, um = np.asarray(marks_px, float), np.asarray(marks_um, float)
    if px.shape != um.shape or px.ndim != 2 or px.shape[1] != 2 or len(px) < MIN_MARKS:
        raise CalibrationError(f"marks are {px.shape} and {um.shape}; allowed: two tables (N, 2), N >= {MIN_MARKS}. "
                               "Clean the chip and check that its marks are in view.")
    if not (np.isfinite(px).all() and np.isfinite(um).all()):
        raise CalibrationError("marks are not finite; allowed: finite positions. Find the marks again.")
    if valid_for_s <= 0.0:
        raise CalibrationError(f"valid_for_s is {valid_for_s}; allowed: > 0 s")
    centre_px, centre_um = px.mean(axis=0), um.mean(axis=0)
    a, b = um - centre_um, px - centre_px
    if float(np.sqrt((b**2).sum(axis=1)).max()) < _MIN_SPREAD_PX or float((a**2).sum()) == 0.0:
        raise CalibrationError(f"marks lie within {_MIN_SPREAD_PX} px; allowed: spread over the image. "
                               "Use marks far from each other.")
    # In the complex plane the similarity is one multiplication.
    source, target = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    turn = complex((np.conj(source) @ target) / (np.abs(source) ** 2).sum())
    if abs(turn) == 0.0:
        raise CalibrationError("marks do not match the chip's pattern at all. Check which chip is mounted.")
    scale = 1.0 / abs(turn)
    error = target - turn * source
    residual = float(np.sqrt((np.abs(error) ** 2).mean()))
    _require_fit(scale, residual, len(px))
    origin = complex(*centre_px) - turn * complex(*centre_um)
    return CameraCalibration(camera, scale, math.atan2(turn.imag, turn.real), origin.real, origin.imag, residual,
                             len(px), now_s, valid_for_s)


def find_marks(image: NDArray[Any], diameter_px: float) -> NDArray[np.float64]:
    """Centres (N, 2) x, y in px of dark round marks of about `diameter_px` in an image (H, W), left to right.

    Raises:
        VisionInputError: not a mono8 or mono16 image.
    """
    grey = check_image("calibration image", image, None).astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    level = float(np.median(smooth))
    depth = np.maximum(level - smooth, 0.0)
    mask = (depth > 0.5 * float(depth.max())).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    centres = []
    for contour in contours:
        left, top, wide, high = cv2.boundingRect(contour)
        if not (0.7 * diameter_px < wide < 1.4 * diameter_px and 0.7 * diameter_px < high < 1.4 * diameter_px):
            continue
        if left == 0 or top == 0 or left + wide >= grey.shape[1] or top + high >= grey.shape[0]:
            continue
        x0, y0 = max(0, left - 3), max(0, top - 3)
        part = depth[y0:top + high + 3, x0:left + wide + 3]
        y, x = np.mgrid[0:part.shape[0], 0:part.shape[1]]
        weight = float(part.sum())
        centres.append((x0 + float((part * x).sum()) / weight, y0 + float((part * y).sum()) / weight))
    return np.array(sorted(centres)).reshape(-1, 2)


def _require_fit(um_per_px: float, residual_px: float, marks: int) -> None:
    if marks < MIN_MARKS:
        raise CalibrationError(f"calibration rests on {marks} marks; allowed: >= {MIN_MARKS}. Run CalibrateCamera.")
    if not 0.0 < um_per_px <= 20.0:
        raise CalibrationError(f"um_per_px is {um_per_px}; allowed: 0 < um_per_px <= 20. Run CalibrateCamera.")
    if not residual_px <= MAX_RESIDUAL_PX:
        raise CalibrationError(f"calibration residual is {residual_px:.2f} px; allowed: <= {MAX_RESIDUAL_PX} px. "
                               "Clean the chip, check which chip is mounted, then run CalibrateCamera.")
