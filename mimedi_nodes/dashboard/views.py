# SPDX-License-Identifier: Apache-2.0
"""What the window shows and what it asks for, as plain values: its widgets know neither ROS nor messages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..process.alarms.states import ACKNOWLEDGEABLE, AlarmState
from ..process.alarms.table import Priority as AlarmPriority
from ..process.batch import BatchSnapshot

__all__ = [
    "ACKNOWLEDGEABLE",
    "ITEMS",
    "AlarmPriority",
    "AlarmState",
    "AlarmView",
    "AlarmsView",
    "AnalysisView",
    "BatchSnapshot",
    "BatchesView",
    "CassettesView",
    "HistogramView",
    "HistoryView",
    "MeasurementView",
    "ModuleView",
    "PictureView",
    "PlanView",
    "PopulationView",
    "PresenceView",
    "PromptView",
    "Reply",
    "Request",
    "RequestKind",
    "SessionView",
    "Source",
    "SpanView",
    "TracksView",
]


class Source(StrEnum):
    """Whose word a part of the window rests on."""

    COORDINATOR = "coordinator"
    SUPERVISOR = "supervisor"


@dataclass(frozen=True)
class ModuleView:
    """A module's service, as `mimedi_msgs/ModuleState` tells it; `progress` is NaN when unknown."""

    module: str
    state: int
    action: str = ""
    phase_id: str = ""
    step: str = ""
    progress: float = math.nan
    last_error: str = ""


@dataclass(frozen=True)
class AlarmView:
    """One alarm; `time_s` is the process time of its last change."""

    alarm_id: str
    state: AlarmState
    priority: AlarmPriority
    source: str = ""
    message: str = ""
    response: str = ""
    time_s: float = math.nan


@dataclass(frozen=True)
class AlarmsView:
    """All alarms that are not normal, oldest first."""

    alarms: tuple[AlarmView, ...] = ()


@dataclass(frozen=True)
class PromptView:
    """A question of a batch; no `answers` means free text."""

    batch_id: str
    prompt_id: str
    question: str
    answers: tuple[str, ...] = ()
    open: bool = True
    answer: str = ""
    answered_by: str = ""


@dataclass(frozen=True)
class MeasurementView:
    """One measured value of a module with its 95 % interval (NaN when unknown) at process time `time_s`."""

    module: str
    name: str
    value: float
    unit: str
    time_s: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class PopulationView:
    """What the cells seen so far say about the sample; intervals are 95 %, unknown values NaN."""

    sample_id: str
    cells: int
    concentration_per_ml: float = math.nan
    concentration_low_per_ml: float = math.nan
    concentration_high_per_ml: float = math.nan
    viability: float = math.nan
    viability_low: float = math.nan
    viability_high: float = math.nan
    diameter_mean_um: float = math.nan
    diameter_sd_um: float = math.nan
    frames_dropped: int = 0
    transgene: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    """Of the viable T cells: value and ends; told by both colours only."""
    other: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    """Leukocytes that are no T cells, of the viable cells."""


@dataclass(frozen=True)
class HistogramView:
    """Diameters of the cells of a sample [um]; `edges_um` has one more than `counts`."""

    sample_id: str
    edges_um: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class TracksView:
    """The cells tracked in one frame; unknown values NaN.

    Args:
        latency_ms: from the image's arrival to its tracks.
        cells: per cell diameter [um], deformation, dye intensity [DN], 1 dead, 0 alive, -1 unknown.
    """

    frame_s: float
    latency_ms: float
    cells: tuple[tuple[float, float, float, int], ...]


@dataclass(frozen=True)
class SpanView:
    """A phase of a batch in process time [s]; `end_s` is NaN while it runs."""

    path: str
    start_s: float
    end_s: float = math.nan
    failed: bool = False


@dataclass(frozen=True)
class PlanView:
    """What a recipe plans, in process time from the start of the batch [s].

    Args:
        limits: quantity → lower and upper limit of the product's specification, NaN for none.
    """

    recipe: str
    spans: tuple[SpanView, ...]
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class CassettesView:
    """Where cassettes are: (place, label), the place being a dock or `gripper`."""

    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AnalysisView:
    """A measurement that is more than a number: its columns of equal length, and what was read out of them."""

    module: str
    name: str
    time_s: float
    columns: Mapping[str, tuple[float, ...]]
    values: Mapping[str, float]


@dataclass(frozen=True)
class HistoryView:
    """What a batch's record tells: its phases so far, its alarms as (time [s], kind, id, who), and its measurements.

    Args:
        curves: (module, quantity, unit) → (process time [s], value), in order of time.
        harvest: forecasts of the soft sensor as (time [s], median day, lower day, upper day), in order.
        analyses: the last of each module and name.
    """

    batch_id: str
    spans: tuple[SpanView, ...]
    alarms: tuple[tuple[float, str, str, str], ...] = ()
    curves: Mapping[tuple[str, str, str], tuple[tuple[float, float], ...]] = field(default_factory=dict)
    harvest: tuple[tuple[float, float, float, float], ...] = ()
    analyses: tuple[AnalysisView, ...] = ()


@dataclass(frozen=True)
class PictureView:
    """A picture, `bgr` being `height_px` rows of `width_px` pixels of blue, green, red, without padding."""

    width_px: int
    height_px: int
    bgr: bytes
    time_s: float = math.nan
    camera: str = "microscope"


@dataclass(frozen=True)
class PresenceView:
    """Which sources are on the graph now, and of which nothing can be said yet: discovery goes on."""

    present: frozenset[Source]
    awaited: frozenset[Source] = frozenset()


@dataclass(frozen=True)
class BatchesView:
    """The batches that can be shown, with the states of their procedures, and which one is."""

    states: Mapping[str, str]
    shown: str = ""
    waiting: tuple[str, ...] = ()
    """Those not shown that wait for a person."""


class RequestKind(StrEnum):
    """What an operator can ask for."""

    COMMAND = "command"
    ANSWER = "answer"
    ALARM = "alarm"


@dataclass(frozen=True)
class Request:
    """An operator's act.

    Args:
        kind: what it is.
        target: empty, the question's id or the alarm's id.
        act: the procedure command, the answer, or what to do with the alarm.
        who: the person.
        why: the reason; never empty for a command.
        hours: how long an alarm is shelved [h].
        batch_id: batch that is commanded or asks; several may be in production.
    """

    kind: RequestKind
    target: str
    act: str
    who: str
    why: str = ""
    hours: float = 0.0
    batch_id: str = ""


@dataclass(frozen=True)
class Reply:
    """What became of a request."""

    request: Request
    accepted: bool
    message: str = ""


@dataclass(frozen=True)
class SessionView:
    """Who is logged in at this window.

    Args:
        accounts: whether the workcell has accounts; without, a name is enough.
        user: account with a session, empty for none.
        own: whether it is this window's session, which ends with it, and not the host's.
        message: why a login failed.
    """

    accounts: bool
    user: str = ""
    own: bool = False
    message: str = ""


ITEMS = (
    AlarmsView,
    AnalysisView,
    BatchSnapshot,
    BatchesView,
    CassettesView,
    HistogramView,
    HistoryView,
    MeasurementView,
    ModuleView,
    PictureView,
    PlanView,
    PopulationView,
    PresenceView,
    PromptView,
    Reply,
    SessionView,
    TracksView,
)
"""Every kind of value that reaches a window."""
