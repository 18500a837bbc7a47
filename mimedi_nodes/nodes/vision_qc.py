# SPDX-License-Identifier: Apache-2.0
"""The vision_qc node: the module's shell with a camera, tracks and the annotated image."""

from __future__ import annotations

import array
import math
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

from mimedi_msgs.msg import CellTrack, CellTrackArray
from mimedi_msgs.msg import PopulationSummary as PopulationSummaryMsg

from ..modules.camera import Camera, Frame
from ..modules.vision_qc.inspect import FIRST_FRAMES
from ..modules.vision_qc.rehearsal import rehearse
from ..vision.recordings.annotate import annotate
from ..vision.statistics.population import PopulationSummary
from ..vision.tracking.tracker import FrameTracks
from .frame import qos
from .frame.conversion import ros_time
from .frame.parameters import Parameter, declare
from .module.module_node import ModuleNode, run_module
from .module.ros_camera import COLOURS, RosCamera

DISPLAY_PERIOD_S = 0.2
PARAMETERS = (
    Parameter("tracks_period_s", 0.1, "steady time between two track messages [s], 0 for every frame", 0.0, 10.0),
    Parameter("dye", True, "the microscope has a dead-dye image; without one no viability is told"),
)
DIAGNOSTICS_PERIOD_S = 1.0
LATENCIES_KEPT = 1000


class LatencyMeter:
    """From the arrival of a microscope's image to its tracks, and how many images were lost, as diagnostics."""

    def __init__(self, node: ModuleNode) -> None:
        self._node = node
        self._latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._told_s = 0.0

    def note(self, latency_ms: float, tracks: FrameTracks, dropped: int) -> None:
        """Take in one frame; the first ones of a look, which wait until the empty channel is known, tell nothing."""
        if tracks.frame_index >= FIRST_FRAMES and math.isfinite(latency_ms):
            self._latencies_ms.append(latency_ms)
        now_s = time.monotonic()
        if not self._latencies_ms or now_s - self._told_s < DIAGNOSTICS_PERIOD_S:
            return
        self._told_s = now_s
        p50, p99 = np.percentile(self._latencies_ms, (50.0, 99.0))
        level = DiagnosticStatus.WARN if dropped else DiagnosticStatus.OK
        self._node.publish_diagnostics("microscope", level, f"{dropped} frames lost" if dropped else "tracking", {
            "latency_p50_ms": f"{p50:.2f}", "latency_p99_ms": f"{p99:.2f}", "frames": str(len(self._latencies_ms)),
            "frames_dropped": str(dropped),
        })


class TrackPublisher:
    """Publishes tracks at telemetry rate, population summaries, and an annotated image at display rate on demand."""

    def __init__(self, node: ModuleNode, period_s: float, camera: Camera) -> None:
        self._camera, self._latency = camera, LatencyMeter(node)
        self._tracks = node.create_publisher(CellTrackArray, "~/tracks", qos.TELEMETRY)
        self._image = node.create_publisher(Image, "~/annotated", qos.IMAGE)
        self._population = node.create_publisher(PopulationSummaryMsg, "~/population", qos.STATE)
        self._shown_s = 0.0
        self._sent_s = 0.0
        self._period_s = period_s

    def __call__(self, frame: Frame, tracks: FrameTracks) -> None:
        now_s = time.monotonic()
        latency_ms = (now_s - frame.received_s) * 1e3
        self._latency.note(latency_ms, tracks, self._camera.dropped)
        show = now_s - self._shown_s >= DISPLAY_PERIOD_S
        if show and self._image.get_subscription_count():
            self._publish_image(frame, tracks)
        if now_s - self._sent_s >= self._period_s:
            self._sent_s = now_s
            self._publish_tracks(frame, tracks, latency_ms)
        if show:
            self._shown_s = now_s

    def _publish_tracks(self, frame: Frame, tracks: FrameTracks, latency_ms: float) -> None:
        height, width = frame.bright_field.shape
        message = CellTrackArray(width_px=width, height_px=height, latency_ms=latency_ms)
        message.header.stamp = ros_time(frame.stamp_s)
        message.header.frame_id = "microscope_optical"
        message.tracks = [
            CellTrack(
                track_id=cell.track_id,
                x_px=float(cell.x_px),
                y_px=float(cell.y_px),
                vx_px_s=float(cell.vx_px_s),
                vy_px_s=float(cell.vy_px_s),
                diameter_um=float(cell.diameter_um),
                deformation=float(cell.deformation),
                dye_intensity=float(cell.dye_intensity),
                dead=-1 if cell.dead is None else int(cell.dead),
                cell_class=int(cell.cell_class) if tracks.lit else -1,
            )
            for cell in tracks.tracks
        ]
        self._tracks.publish(message)

    def show_summary(self, sample_id: str, stamp_s: float, summary: PopulationSummary, dropped: int) -> None:
        """Publish what the cells seen so far say."""
        self._population.publish(
            PopulationSummaryMsg(
                stamp=ros_time(stamp_s),
                sample_id=sample_id,
                frames=summary.frames_used,
                frames_dropped=dropped,
                cells=summary.cells_counted,
                concentration_per_ml=summary.concentration_per_ml,
                concentration_low_per_ml=summary.concentration_low_per_ml,
                concentration_high_per_ml=summary.concentration_high_per_ml,
                viability=summary.viability,
                viability_low=summary.viability_low,
                viability_high=summary.viability_high,
                diameter_mean_um=summary.diameter_mean_um,
                diameter_sd_um=summary.diameter_sd_um,
                diameter_edges_um=[float(edge) for edge in summary.diameter_edges_um],
                diameter_counts=[int(count) for count in summary.diameter_counts],
                velocity_mean_mm_s=summary.velocity_mean_mm_s,
                doublet_fraction=summary.doublet_fraction,
                transgene_fraction=summary.transgene.value,
                transgene_fraction_low=summary.transgene.low,
                transgene_fraction_high=summary.transgene.high,
                other_fraction=summary.other.value,
                other_fraction_low=summary.other.low,
                other_fraction_high=summary.other.high,
            )
        )

    def _publish_image(self, frame: Frame, tracks: FrameTracks) -> None:
        drawn = annotate(frame.bright_field, tracks)
        height, width, _ = drawn.shape
        image = Image(height=height, width=width, encoding="bgr8", step=3 * width)
        image.header.stamp = ros_time(frame.stamp_s)
        image.data = array.array("B", drawn.tobytes())
        self._image.publish(image)


def _extras(node: ModuleNode) -> Mapping[str, Any]:
    cv2.setNumThreads(1)
    given = declare(node, PARAMETERS)
    channels = ("bright", "dye", *COLOURS) if given["dye"] else ("bright", *COLOURS)
    microscope = RosCamera(node, node.loop, node.clock, "microscope", channels)
    publisher = TrackPublisher(node, given["tracks_period_s"], microscope)
    sorter_camera = RosCamera(node, node.loop, node.clock, "sorter_camera")
    return {
        "microscope": microscope,
        "sorter_camera": sorter_camera,
        "calibration_file": lambda: Path(node.settings["state_dir"]) / "microscope_calibration.json",
        "on_tracks": publisher,
        "on_summary": publisher.show_summary,
        "prepare": rehearse,
    }


def main() -> None:
    """Run the node."""
    sys.exit(run_module("vision_qc", _extras))
