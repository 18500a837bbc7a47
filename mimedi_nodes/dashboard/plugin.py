# SPDX-License-Identifier: Apache-2.0
"""The boards as rqt plugins; the only file that knows rqt."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, ClassVar

from rqt_gui_py.plugin import Plugin

from ..commands.parts.people import Place
from .boards import by_name as boards
from .boards.record_board import RecordBoard
from .live import Live
from .look import language

_NAMESPACE = "namespace"


class BoardPlugin(Plugin):
    """Shows one board of one workcell; `rqt --args --namespace NAME --runs FOLDER` chooses it and is remembered.

    All boards of a process and a namespace share one node.
    """

    NAME: ClassVar[str] = "overview"
    _shared: ClassVar[dict[str, Live]] = {}

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.setObjectName(type(self).__name__)
        parser = argparse.ArgumentParser(prog=f"workcell {self.NAME}", add_help=False)
        parser.add_argument("--namespace", default="")
        parser.add_argument("--runs", type=Path, default=Path("runs"))
        parser.add_argument("--language", choices=language.LANGUAGES, default=language.preferred())
        given, _ = parser.parse_known_args(context.argv())
        language.choose(given.language)
        self._context = context
        self._runs: Path = given.runs
        self._namespace: str = given.namespace
        self._chosen = bool(given.namespace)
        self._board = self._show()

    def _show(self) -> Any:
        live = self._shared.get(self._namespace)
        if live is None:
            live = Live(self._namespace, None, [], self._runs, Place(self._runs))
            self._shared[self._namespace] = live
        board = boards.make(self.NAME, live.modules, self._runs)
        board.setObjectName(f"{board.objectName()}_{self._context.serial_number()}")
        title = " ".join(filter(None, (board.windowTitle(), self._namespace.strip("/"))))
        number = self._context.serial_number()
        board.setWindowTitle(f"{title} ({number})" if number > 1 else title)
        self._context.add_widget(board)
        live.add(board)
        return board

    def _leave(self) -> None:
        if isinstance(self._board, RecordBoard):
            self._board.close_reader()
        live = self._shared.get(self._namespace)
        if live is not None and live.remove(self._board) == 0:
            del self._shared[self._namespace]
            live.close()

    def shutdown_plugin(self) -> None:
        """Leave the graph with the last board; called by rqt."""
        self._leave()

    def save_settings(self, plugin_settings: Any, instance_settings: Any) -> None:
        """Keep namespace and what the board remembers; called by rqt."""
        instance_settings.set_value(_NAMESPACE, self._namespace)
        for key, value in self._board.settings().items():
            instance_settings.set_value(key, value)

    def restore_settings(self, plugin_settings: Any, instance_settings: Any) -> None:
        """Take up namespace, unless one was given on the command line, and what the board remembers; called by rqt."""
        kept = instance_settings.value(_NAMESPACE, "") or ""
        if not self._chosen and kept != self._namespace:
            self._leave()
            self._context.remove_widget(self._board)
            self._board.deleteLater()
            self._namespace = kept
            self._board = self._show()
        keys = self._board.settings()
        self._board.restore({key: str(instance_settings.value(key, "") or "") for key in keys})


class OverviewPlugin(BoardPlugin):
    """Everything an operator needs on one screen."""

    NAME = "overview"


class WorkcellPlugin(BoardPlugin):
    """Mimic diagram."""

    NAME = "workcell"


class BatchPlugin(BoardPlugin):
    """Progress against plan, forecast, questions, commands."""

    NAME = "batch"


class VisionPlugin(BoardPlugin):
    """Cameras, cells, counts."""

    NAME = "vision"


class AlarmsPlugin(BoardPlugin):
    """Alarm list, acts, history, flood meter."""

    NAME = "alarms"


class TrendsPlugin(BoardPlugin):
    """Any quantity over process time."""

    NAME = "trends"


class RecordPlugin(BoardPlugin):
    """Batch records: exceptions, rows, signatures, verification."""

    NAME = "record"
