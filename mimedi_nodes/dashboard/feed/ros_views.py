# SPDX-License-Identifier: Apache-2.0
"""ROS messages to what the window shows."""

from __future__ import annotations

import json
from enum import IntEnum
from typing import TypeVar

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image

from mimedi_msgs.msg import (
    AlarmList,
    BatchStatus,
    CellTrackArray,
    ModuleState,
    PopulationSummary,
    Prompt,
    RecordEvent,
    Telemetry,
)

from ...nodes.frame.conversion import message_fields, seconds
from ..views import (
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
    AnalysisView,
    BatchSnapshot,
    CassettesView,
    HistogramView,
    MeasurementView,
    ModuleView,
    PictureView,
    PopulationView,
    PromptView,
    TracksView,
)
from . import analyses

Code = TypeVar("Code", bound=IntEnum)

_CHANNELS = {"bgr8": 3, "rgb8": 3, "mono8": 1}


class PictureError(ValueError):
    """An image message cannot be shown."""


def module_view(message: ModuleState) -> ModuleView:
    """Return a module's state."""
    return ModuleView(
        module=message.module,
        state=message.state,
        action=message.action,
        phase_id=message.phase_id,
        step=message.step,
        progress=message.progress,
        last_error=message.last_error,
    )


def batch_view(message: BatchStatus) -> BatchSnapshot:
    """Return where a batch stands; the fields are the message's own."""
    fields = message_fields(message)
    del fields["stamp"]
    return BatchSnapshot(time_s=seconds(message.stamp), **fields)


def alarms_view(message: AlarmList) -> AlarmsView:
    """Return the alarms; a state or priority that is no constant of the message counts as the most urgent one."""
    return AlarmsView(
        tuple(
            AlarmView(
                alarm_id=alarm.alarm_id,
                state=_known(AlarmState, alarm.state, AlarmState.UNACKNOWLEDGED),
                priority=_known(AlarmPriority, alarm.priority, AlarmPriority.HIGH),
                source=alarm.source,
                message=alarm.message,
                response=alarm.response,
                time_s=seconds(alarm.stamp),
            )
            for alarm in message.alarms
        )
    )


def prompt_view(message: Prompt) -> PromptView:
    """Return a question."""
    return PromptView(
        batch_id=message.batch_id,
        prompt_id=message.prompt_id,
        question=message.question,
        answers=tuple(message.answers),
        open=message.open,
        answer=message.answer,
        answered_by=message.answered_by,
    )


def measurement_views(message: Telemetry) -> list[MeasurementView]:
    """Return the values of a telemetry message."""
    time_s = seconds(message.stamp)
    return [
        MeasurementView(message.module, value.name, value.value, value.unit, time_s, value.low, value.high)
        for value in message.values
    ]


def population_view(message: PopulationSummary) -> PopulationView:
    """Return what is shown of a population summary."""
    return PopulationView(
        sample_id=message.sample_id,
        cells=message.cells,
        concentration_per_ml=message.concentration_per_ml,
        concentration_low_per_ml=message.concentration_low_per_ml,
        concentration_high_per_ml=message.concentration_high_per_ml,
        viability=message.viability,
        viability_low=message.viability_low,
        viability_high=message.viability_high,
        diameter_mean_um=message.diameter_mean_um,
        diameter_sd_um=message.diameter_sd_um,
        frames_dropped=message.frames_dropped,
        transgene=(message.transgene_fraction, message.transgene_fraction_low, message.transgene_fraction_high),
        other=(message.other_fraction, message.other_fraction_low, message.other_fraction_high),
    )


def histogram_view(message: PopulationSummary) -> HistogramView:
    """Return the diameters of a population summary."""
    return HistogramView(message.sample_id, tuple(message.diameter_edges_um), tuple(message.diameter_counts))


def analysis_view(message: RecordEvent) -> AnalysisView | None:
    """Return what the recorder tells of an analysis, None for one that no board draws; raises ValueError."""
    data = json.loads(message.data_json)
    if not isinstance(data, dict):
        raise ValueError(f"analysis {message.what} of {message.producer} is {type(data).__name__}, not an object")
    return analyses.analysis_view(message.producer, message.what, message.process_time_s, data)


def cassettes_view(message: DiagnosticStatus) -> CassettesView:
    """Return where the transfer module knows cassettes to be."""
    return CassettesView(tuple((value.key, value.value) for value in message.values))


def tracks_view(message: CellTrackArray) -> TracksView:
    """Return the cells of one frame."""
    cells = tuple((t.diameter_um, t.deformation, t.dye_intensity, t.dead) for t in message.tracks)
    return TracksView(seconds(message.header.stamp), message.latency_ms, cells)


def picture_view(message: Image, camera: str = "microscope") -> PictureView:
    """Return a picture of a bgr8, rgb8 or mono8 image, padding removed.

    Raises:
        PictureError: another encoding, or a size that does not fit the data.
    """
    channels = _CHANNELS.get(message.encoding)
    if channels is None:
        raise PictureError(f"encoding {message.encoding!r} is not one of {', '.join(_CHANNELS)}")
    width, height, step = message.width, message.height, message.step
    if not width or not height or step < width * channels or len(message.data) != step * height:
        raise PictureError(
            f"{width} x {height} pixels in steps of {step} bytes do not fit {len(message.data)} bytes of data"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)[:, : width * channels]
    pixels = rows.reshape(height, width, channels)
    if message.encoding == "rgb8":
        pixels = pixels[:, :, ::-1]
    elif channels == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return PictureView(width, height, pixels.tobytes(), seconds(message.header.stamp), camera)


def _known(kind: type[Code], code: int, otherwise: Code) -> Code:
    try:
        return kind(code)
    except ValueError:
        return otherwise
