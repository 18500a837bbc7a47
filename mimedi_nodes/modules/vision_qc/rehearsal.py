# SPDX-License-Identifier: Apache-2.0
"""A look at made-up cells before any real ones flow.

What a process does for the first time it loads and compiles for a while: 130 ms of processor time together, most of it
at the first summary, in which a camera takes forty pictures and eight wait. Where pictures do not wait for whoever
looks at them, that is done beforehand.
"""

from __future__ import annotations

import numpy as np

from ...vision.camera.settings import VisionSettings
from ...vision.kernels.kernel import prepare
from ...vision.opencv import cv2
from ...vision.recordings.annotate import annotate
from ...vision.statistics.population import PopulationEstimator, PopulationSummary
from ...vision.tracking.tracker import CellTracker

FRAMES = 30
_GREY, _DARKER, _LIT, _NOISE = 128.0, 50.0, 100.0, 1.5
"""Grey levels of the picture, of a cell below it, of a stain and of the noise."""
_CELLS, _DIAMETER_UM, _STEP_SHARE = 8, 10.0, 0.02
"""Cells in view, their diameter [um], and their way from frame to frame over the picture's width."""


def rehearse(settings: VisionSettings) -> PopulationSummary:
    """Track, count and draw cells of a made-up movie with everything lit; what it tells is of no sample."""
    prepare()
    height, width = settings.image_shape or (round(settings.wall_bottom_px) + 10, 512)
    rng = np.random.default_rng(1)
    radius = max(2, round(_DIAMETER_UM / settings.um_per_px / 2.0))
    x = rng.uniform(0.0, width, _CELLS)
    y = rng.uniform(settings.wall_top_px + radius, settings.wall_bottom_px - radius, _CELLS)
    noise = rng.normal(0.0, _NOISE, (height, width))
    exposures = []
    for k in range(FRAMES):
        cells, lit = np.zeros((2, height, width), np.float32)
        for n, (across, down) in enumerate(zip((x + k * _STEP_SHARE * width) % width, y, strict=True)):
            for image in (cells, lit)[: 1 + n % 2]:
                cv2.circle(image, (round(across), round(down)), radius, 1.0, -1, cv2.LINE_AA)
        moved = np.roll(noise, 7 * k)
        made = (_GREY - _DARKER * cells, 10.0 + _LIT * lit, 10.0 + _LIT * (cells - lit))
        exposures.append([np.clip(image + moved, 0, 255).astype(np.uint8) for image in made])
    tracker, population = CellTracker(settings), PopulationEstimator(settings)
    tracker.prime([frame for frame, _, _ in exposures[:9]])
    for k, (frame, dye, colour) in enumerate(exposures):
        tracks = tracker.process(frame, k / settings.frame_rate_hz, dye, (colour, dye))
        population.add(tracks)
        annotate(frame, tracks)
    return population.summary()
