# SPDX-License-Identifier: Apache-2.0
"""A camera's calibration from the file that camera_calibration writes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ruamel.yaml.error import YAMLError

from ..records.yaml_text import load
from ..vision.camera.lens import LensModel
from ..vision.camera.settings import VisionInputError


def read_camera_info(path: Path) -> dict[str, Any]:
    """Fields of sensor_msgs/CameraInfo from a YAML file as camera_calibration writes it.

    Raises:
        VisionInputError: no such file, or a field that is missing or wrong.
    """
    try:
        stored = load(path.read_text(encoding="utf-8"))
        fields: dict[str, Any] = {
            "width": int(stored["image_width"]),
            "height": int(stored["image_height"]),
            "distortion_model": str(stored["distortion_model"]),
            "d": [float(v) for v in stored["distortion_coefficients"]["data"]],
            "k": [float(v) for v in stored["camera_matrix"]["data"]],
        }
    except (OSError, YAMLError, KeyError, TypeError, ValueError) as error:
        wanted = "a YAML file with image_width, image_height, camera_matrix, distortion_model, distortion_coefficients"
        raise VisionInputError("camera_info", path, f"{wanted} ({error!r})") from error
    if len(fields["k"]) != 9:
        raise VisionInputError("camera_info camera_matrix", fields["k"], "9 numbers")
    LensModel.from_camera_info(SimpleNamespace(**fields))
    return fields
