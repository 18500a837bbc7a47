# SPDX-License-Identifier: Apache-2.0
"""The boards by name: what `./workcell dashboard NAME` and the rqt plugins show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..modules.registry import config_folder
from ..process.alarm_table import read_alarm_table
from .alarm_board import AlarmBoard
from .batch_board import BatchBoard
from .board import Board
from .overview import Overview
from .record_board import RecordBoard
from .trend_board import TrendBoard
from .vision_board import VisionBoard
from .workcell_board import WorkcellBoard

SIX = ("workcell", "batch", "vision", "alarms", "trends", "record")
"""The six boards in the order of their tabs."""


def make(name: str, modules: Sequence[str], runs_dir: Path) -> Board:
    """Return a new board.

    Args:
        name: one of SIX, or overview.
        modules: names of the workcell's modules.
        runs_dir: folder of the runs.

    Raises:
        KeyError: there is no such board.
        DiagnosticError: the alarm table cannot be read.
    """
    makers: Mapping[str, Callable[[], Board]] = {
        "overview": lambda: Overview(modules),
        "workcell": WorkcellBoard,
        "batch": BatchBoard,
        "vision": VisionBoard,
        "alarms": lambda: AlarmBoard(read_alarm_table(config_folder() / "alarms.yaml")),
        "trends": TrendBoard,
        "record": lambda: RecordBoard(runs_dir),
    }
    return makers[name]()
