# SPDX-License-Identifier: Apache-2.0
"""The look at made-up cells: it must meet everything that a real one does, or the real one loads it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys

import pytest

from mimedi_nodes.modules.vision_qc.rehearsal import rehearse
from mimedi_nodes.vision.camera.settings import VisionSettings

SITES = {
    "the site's": VisionSettings(um_per_px=0.65, wall_top_px=6.0, wall_bottom_px=122.0, channel_depth_um=30.0,
                                 frame_rate_hz=100.0, width_px=512, height_px=128),
    "another camera": VisionSettings(um_per_px=0.4, wall_top_px=20.0, wall_bottom_px=220.0, channel_depth_um=50.0,
                                     frame_rate_hz=300.0, width_px=800, height_px=240),
    "size not known": VisionSettings(um_per_px=0.8, wall_top_px=8.0, wall_bottom_px=90.0, channel_depth_um=30.0,
                                     frame_rate_hz=300.0),
}


@pytest.mark.parametrize("site", SITES)
def test_the_made_up_cells_are_seen_flowing_alive_and_dead_in_both_colours(site: str) -> None:
    told = rehearse(SITES[site])
    assert told.cells_counted >= 4
    assert told.velocity_mean_mm_s > 0.0
    assert 0.0 < told.viability < 1.0
    assert not math.isnan(told.transgene.value)


LOOK = """
import json, sys
from mimedi_nodes.modules.vision_qc.rehearsal import rehearse
from mimedi_nodes.vision.recordings.annotate import annotate
from mimedi_nodes.vision.statistics.population import PopulationEstimator
from mimedi_nodes.vision.camera.settings import VisionSettings
from mimedi_nodes.vision.tracking.tracker import CellTracker
import numpy as np
settings = VisionSettings(**json.loads(sys.argv[1]))
rehearse(settings)
before = set(sys.modules)
rng = np.random.default_rng(2)
tracker, population = CellTracker(settings), PopulationEstimator(settings)
rows, columns = np.mgrid[:settings.height_px, :settings.width_px]
cells = rng.uniform((0, 20), (settings.width_px, settings.height_px - 20), (12, 2))
for k in range(30):
    seen = sum(np.hypot(columns - (x + 9 * k) % settings.width_px, rows - y) < 7 for x, y in cells)
    frame = (120 - 40 * np.minimum(seen, 1) + rng.normal(0, 1.5, rows.shape)).astype(np.uint8)
    light = (8 + 60 * np.minimum(seen, 1) * (rows > 60)).astype(np.uint8)
    tracks = tracker.process(frame, k / settings.frame_rate_hz, light, (light, light))
    population.add(tracks)
    annotate(frame, tracks)
assert population.summary().cells_counted > 4
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_a_look_after_it_loads_nothing() -> None:
    """The first summary had taken 100 ms, in which a camera loses thirty pictures."""
    settings = json.dumps(dataclasses.asdict(SITES["the site's"]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run([sys.executable, "-c", LOOK, settings], env=environment, capture_output=True, text=True,
                         timeout=120.0)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == []
