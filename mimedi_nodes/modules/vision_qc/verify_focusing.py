# SPDX-License-Identifier: Apache-2.0
"""Verification of the focusing: where the cells flow in the sorter while it sorts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ...vision.statistics.focusing import FocusingEstimator
from ..camera import Frame
from .camera_check import FRAME_TIMEOUT_S, check_camera, check_focus, wrong_images_hold
from .codes import VisionCode
from .instruments import VisionInstruments

OUT_OF_FOCUS = "vision_qc.sorter_out_of_focus"
FIRST_FRAMES = 9
"""Flashes from which the empty channel is learnt before any is measured."""
LEAST_CELLS = 50
"""Cells below which nothing is said about the focusing."""
TELL_FOCUS = 10
"""Measured cells from which on their focus is believed, though they are too few for anything else."""
LOOK_AGAIN_S = 10.0
"""Process time [s] between two looks while no cells flow: a syringe fills, or the sort has not begun."""


async def verify_focusing(goal: Any, instruments: VisionInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Flash the sorter's channel until `cells_wanted` cells were seen; waits up to `timeout_s` for them to flow.

    An interrupted verification begins anew.
    """
    band_um = goal.centre_band_um or instruments.centre_band_um
    end_s = ctx.now_s() + goal.timeout_s
    estimator = FocusingEstimator(instruments.sorter_settings, band_um)
    while estimator.cells < goal.cells_wanted:
        seen_before, still_before = estimator.cells, estimator.still_frames
        await _look(goal, instruments, ctx, estimator)
        if ctx.now_s() >= end_s:
            break
        if estimator.cells == seen_before or estimator.still_frames > still_before:
            await ctx.sleep(min(LOOK_AGAIN_S, end_s - ctx.now_s()))
    least = min(LEAST_CELLS, goal.cells_wanted)
    told = estimator.focused >= TELL_FOCUS
    if told or estimator.cells >= least:
        # A picture that is out of focus loses cells: this comes before their number.
        check_focus(estimator.focus if told else 0.0, OUT_OF_FOCUS, "focus the sorter's camera on the channel")
    if estimator.cells < least:
        raise PhaseError(
            VisionCode.TOO_FEW,
            f"{estimator.cells} cells flowed through the sorter's channel in {estimator.frames} flashes within "
            f"{goal.timeout_s:g} s ({estimator.still_frames} flashes showed those of the flash before), at least "
            f"{least} are needed; start the sort, and look at its pumps, the sample line and the camera",
        )
    return _result(estimator, ctx)


async def _look(
    goal: Any, instruments: VisionInstruments, ctx: PhaseContext, estimator: FocusingEstimator
) -> None:
    """One look: as many flashes as it takes, ended by enough cells or by a flash that shows nothing new."""
    waiting: list[Frame] = []
    camera = instruments.sorter_camera
    await camera.set_capture(True)
    try:
        while estimator.cells < goal.cells_wanted:
            await ctx.pause_point()
            waiting.append(await camera.next_frame(FRAME_TIMEOUT_S))
            if len(waiting) < FIRST_FRAMES and estimator.frames == 0:
                continue
            if estimator.frames == 0:
                with wrong_images_hold(camera.name):
                    estimator.prime([frame.bright_field for frame in waiting])
            before, still = estimator.cells, estimator.still_frames
            for frame in waiting:
                with wrong_images_hold(camera.name):
                    estimator.add(frame.bright_field)
                check_camera(estimator.health, "sorter camera", estimator.health.frames)
            waiting.clear()
            share = min(1.0, estimator.cells / goal.cells_wanted)
            ctx.feedback(share, f"{estimator.cells} of {goal.cells_wanted} cells")
            if estimator.cells == before or estimator.still_frames > still:
                break
    finally:
        await camera.set_capture(False)


def _result(estimator: FocusingEstimator, ctx: PhaseContext) -> Mapping[str, Any]:
    seen = estimator.result()
    centre = seen.centre_fraction
    ctx.measured("sorter_focus", estimator.focus, "1")
    ctx.measured("centre_fraction", centre.value, "1", centre.low, centre.high)
    ctx.measured("focus_spread_um", seen.spread_um, "um")
    return {
        "centre_fraction": centre.value,
        "centre_fraction_low": centre.low,
        "centre_fraction_high": centre.high,
        "focus_spread_um": seen.spread_um,
        "focus_offset_um": seen.offset_um,
        "cells": seen.cells,
        "centre_cells": seen.centre_cells,
        "side_cells": seen.cells - seen.centre_cells,
        "focus": estimator.focus,
        "frames": estimator.frames,
        "position_edges_um": [float(edge) for edge in seen.histogram_edges_um],
        "position_counts": [int(count) for count in seen.histogram_counts],
    }
