# SPDX-License-Identifier: Apache-2.0
"""The boards by name: what `./workcell dashboard NAME` and the rqt plugins show."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...modules.registry import config_folder
from ...process.alarms.table import read_alarm_table
from ..board import Board
from .alarm_board import AlarmBoard
from .batch_board import BatchBoard
from .overview import Overview
from .record_board import RecordBoard
from .trend_board import TrendBoard
from .vision_board import VisionBoard
from .workcell_board import WorkcellBoard

SIX = ("workcell", "batch", "vision", "alarms", "trends", "record")
"""The six boards in the order of their tabs."""


def make(name: str, modules: Sequence[str], runs_dir: Path, now_s: Callable[[], float] = time.monotonic) -> Board:
    """Return a new board.

    Args:
        name: one of SIX, or overview.
        modules: names of the workcell's modules.
        runs_dir: folder of the runs.
        now_s: steady clock [s].

    Raises:
        KeyError: there is no such board.
        DiagnosticError: the alarm table cannot be read.
    """
    makers: Mapping[str, Callable[[], Board]] = {
        "overview": lambda: Overview(modules, now_s=now_s),
        "workcell": lambda: WorkcellBoard(now_s),
        "batch": lambda: BatchBoard(now_s=now_s),
        "vision": lambda: VisionBoard(now_s=now_s),
        "alarms": lambda: AlarmBoard(read_alarm_table(config_folder() / "alarms.yaml"), now_s),
        "trends": lambda: TrendBoard(now_s),
        "record": lambda: RecordBoard(runs_dir),
    }
    return makers[name]()
