# SPDX-License-Identifier: Apache-2.0
"""Why a phase of the vision module was aborted."""

from __future__ import annotations

from enum import IntEnum


class VisionCode(IntEnum):
    """Error codes of the vision module."""

    TOO_FEW = 510
    """Too few cells in the time allowed: the sample is empty, or did not reach the channel."""
    CALIBRATION = 511
    """The microscope's calibration has expired, or its marks, walls, focus or light do not fit: nothing is measured."""
