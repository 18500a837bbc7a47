# SPDX-License-Identifier: Apache-2.0
"""The microscope by hand: calibrated against its chip, as the phase does it."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ...process.context import PhaseContext
from ..service.manual import ManualAct, ManualValue
from .calibrate import calibrate_camera
from .instruments import VisionInstruments


async def calibrate_microscope(
    target: str, values: Mapping[str, Any], instruments: VisionInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Measure scale, walls, focus and light, and keep them with their expiry."""
    expected = instruments.settings.um_per_px
    goal = SimpleNamespace(um_per_px_expected=expected, tolerance=0.02, valid_h=24.0 * values["valid_d"])
    result = await calibrate_camera(goal, instruments, ctx)
    deviation = result["um_per_px"] / expected - 1.0
    made = instruments.calibrations.keep(
        "microscope", "scale (share)", found=deviation, left=deviation, reference="marks or walls of the chip",
        by=ctx.header.requested_by, valid_d=values["valid_d"],
    )  # fmt: skip
    return {**result, "deviation": deviation, "due": made.due}


ACTS = (
    ManualAct(
        "calibrate", ("microscope",), "measures scale, walls, focus and light on the chip", calibrate_microscope,
        (ManualValue("valid_d", "days until the calibration is due", 1.0, 365.0, default=30.0),),
    ),
)  # fmt: skip
