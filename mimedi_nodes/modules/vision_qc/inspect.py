# SPDX-License-Identifier: Apache-2.0
"""Inspection of a sample: counts cells until enough are seen, or until the intervals are narrow enough."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ...vision.camera.settings import VisionInputError
from ...vision.statistics.population import PopulationEstimator, PopulationSummary
from ...vision.tracking.tracker import CellTracker
from ..camera import Frame
from .camera_check import FRAME_TIMEOUT_S, check_camera, check_focus, wrong_images_hold
from .codes import VisionCode
from .instruments import VisionInstruments
from .stopping import TIME, StoppingRule

REPORT_EVERY = 5
SHOW_EVERY = 25
OUT_OF_FOCUS = "vision_qc.out_of_focus"
LEAST_CELLS = 50
"""Cells below which nothing is said about a sample."""
FIRST_FRAMES = 9
"""Frames from which the empty channel is learnt before any is measured, so that dust never counts as cells."""


async def inspect_sample(goal: Any, instruments: VisionInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Track the cells that flow through the imaging channel until `cells_wanted` distinct ones have been seen.

    Where the goal asks for intervals it goes on until they are that narrow, or the time is out.
    An interrupted inspection begins anew: nothing in it is irreversible, and half a count would be none.
    """
    settings = instruments.calibrated_settings(ctx.now_s())
    tracker = CellTracker(settings)
    population = PopulationEstimator(settings)
    enough = StoppingRule.of(goal)
    end_s = ctx.now_s() + goal.timeout_s
    frames = 0
    stamp_s = ctx.now_s()
    waiting: list[Frame] = []
    focus: list[float] = []
    ended_by: str | None = None
    await instruments.camera.set_capture(True, goal.classes)
    try:
        while True:
            await ctx.pause_point()
            waiting.append(await instruments.camera.next_frame(FRAME_TIMEOUT_S))
            late = waiting[-1].stamp_s >= end_s
            if frames == 0:
                if len(waiting) < FIRST_FRAMES and not late:
                    continue
                with wrong_images_hold(instruments.camera.name):
                    tracker.prime([frame.bright_field for frame in waiting])
            for frame in waiting:
                with wrong_images_hold(instruments.camera.name):
                    dye = dye_image(frame, enough.needs_dye)
                    tracks = tracker.process(frame.bright_field, frame.stamp_s, dye, colours(frame, goal.classes))
                population.add(tracks)
                focus.append(tracks.focus)
                instruments.on_tracks(frame, tracks)
                frames += 1
                stamp_s = frame.stamp_s
                check_camera(tracker.health, "microscope", frames)
            waiting.clear()
            if frames % REPORT_EVERY == 0:
                cells = population.cells_counted
                ended_by = enough.reached(cells, population.summary)
                ctx.feedback(*enough.progress(cells))
                if frames % SHOW_EVERY == 0:
                    if cells >= LEAST_CELLS:
                        _focus(focus)
                    _show(goal, instruments, population, stamp_s)
            if ended_by is None and late:
                ended_by = enough.reached(population.cells_counted, population.summary, last=True) or TIME
            if ended_by is not None:
                break
    finally:
        await instruments.camera.set_capture(False)
    summary = _show(goal, instruments, population, stamp_s)
    least = min(LEAST_CELLS, goal.cells_wanted)
    if summary.cells_counted < least:
        raise PhaseError(
            VisionCode.TOO_FEW,
            f"{summary.cells_counted} cells in {frames} frames, at least {least} are needed; "
            "take the sample again and look for air in the imaging channel",
        )
    ctx.measured("focus", _focus(focus), "1")
    return _result(goal, summary, ended_by, ctx)


def _focus(seen: Sequence[float]) -> float:
    """How sharp the cells are: hold when too soft to be measured; `seen` of each frame, NaN where no outline was."""
    known = [value for value in seen if not math.isnan(value)]
    return check_focus(statistics.median(known) if known else 0.0, OUT_OF_FOCUS,
                       "focus the microscope, or let CalibrateCamera look at chip, lamp and focus")


def _show(
    goal: Any, instruments: VisionInstruments, population: PopulationEstimator, stamp_s: float
) -> PopulationSummary:
    summary = population.summary()
    instruments.on_summary(goal.sample_id, stamp_s, summary, instruments.camera.dropped)
    return summary


def _result(goal: Any, summary: PopulationSummary, ended_by: str, ctx: PhaseContext) -> Mapping[str, Any]:
    factor = goal.dilution
    concentration = summary.concentration_per_ml * factor
    low, high = summary.concentration_low_per_ml * factor, summary.concentration_high_per_ml * factor
    ctx.measured("concentration_per_ml", concentration, "1/mL", low, high)
    ctx.measured("viability", summary.viability, "1", summary.viability_low, summary.viability_high)
    return {
        "cells": summary.cells_counted,
        "ended_by": ended_by,
        "frames": summary.frames_used,
        "concentration_per_ml": concentration,
        "concentration_low_per_ml": low,
        "concentration_high_per_ml": high,
        "viability": summary.viability,
        "viability_low": summary.viability_low,
        "viability_high": summary.viability_high,
        "viable_per_ml": concentration * summary.viability,
        "diameter_mean_um": summary.diameter_mean_um,
        "diameter_sd_um": summary.diameter_sd_um,
        "diameter_edges_um": [float(edge) for edge in summary.diameter_edges_um],
        "diameter_counts": [int(count) for count in summary.diameter_counts],
        **_classes(goal, summary, ctx),
    }


def colours(frame: Frame, wanted: bool) -> tuple[NDArray[np.generic], NDArray[np.generic]] | None:
    """The fluorescence images of a frame, None when nobody asks for classes.

    Raises:
        VisionInputError: they are asked for, and the frame has none.
    """
    if not wanted:
        return None
    if frame.fluorescence is None:
        raise VisionInputError("fluorescence", "no images", "two images of each exposure", "Look at both lamps.")
    return frame.fluorescence


def dye_image(frame: Frame, needed: bool) -> NDArray[np.generic] | None:
    """The dead-dye image of a frame.

    Raises:
        VisionInputError: viability is asked for, and the frame has none.
    """
    if needed and frame.dye is None:
        raise VisionInputError("dye", "no image", "one image of each exposure", "Look at the dye's lamp.")
    return frame.dye


def _classes(goal: Any, summary: PopulationSummary, ctx: PhaseContext) -> Mapping[str, float]:
    shares = {"transgene_fraction": summary.transgene, "other_fraction": summary.other}
    if goal.classes:
        for name, share in shares.items():
            ctx.measured(name, share.value, "1", share.low, share.high)
    return {
        f"{name}{end}": value
        for name, share in shares.items()
        for end, value in (("", share.value), ("_low", share.low), ("_high", share.high))
    }
