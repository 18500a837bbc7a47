# SPDX-License-Identifier: Apache-2.0
"""Windows joined to a workcell: one node and one reader of records for all windows of a process."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

from ..commands.people import Place
from ..modules.registry import module_table
from .board import Board
from .overview import Overview
from .qt import QtCore
from .ros_bridge import RosBridge
from .run_history import RunHistory
from .sessions import Sessions
from .views import (
    AnalysisView,
    BatchSnapshot,
    HistoryView,
    MeasurementView,
    ModuleView,
    PictureView,
    PlanView,
    PromptView,
    Reply,
    Request,
    SessionView,
    TracksView,
)

DRAW_PERIOD_MS = 150
"""Shortest time between two drawings: faster changes are shown by their last state."""


def key_of(item: object) -> Hashable | None:
    """Return under what an item is kept for a window that opens later; None for what has gone by then."""
    if isinstance(item, Reply | TracksView):
        return None
    if isinstance(item, ModuleView):
        return ("module", item.module)
    if isinstance(item, MeasurementView):
        return ("measured", item.module, item.name)
    if isinstance(item, AnalysisView):
        return ("analysis", item.module, item.name)
    if isinstance(item, PictureView):
        return ("picture", item.camera)
    if isinstance(item, PromptView):
        return ("prompt", item.batch_id, item.prompt_id)
    return type(item)


class Live(QtCore.QObject):
    """Brings what the workcell tells to any number of boards at no more than the display rate, and back what they ask.

    Args:
        namespace: the workcell's namespace, empty for none.
        modules: names of its modules, those of config/modules.yaml when None.
        arguments: ROS arguments, None for the process' own.
        runs_dir: folder of the runs where it is on this machine; its record gives the batch's history.
        place: folders of the workcell where they are on this machine: its accounts let people log in.
    """

    def __init__(
        self,
        namespace: str = "",
        modules: Sequence[str] | None = None,
        arguments: Sequence[str] | None = None,
        runs_dir: Path | None = None,
        place: Place | None = None,
    ) -> None:
        super().__init__()
        self.namespace = namespace.strip("/")
        self.modules = tuple(module_table()) if modules is None else tuple(modules)
        self._boards: list[Board] = []
        self._latest: dict[Hashable, object] = {}
        self.bridge = RosBridge(namespace, self.modules, arguments)
        self._sessions = Sessions(place, self._post) if place is not None else None
        self._history = RunHistory(runs_dir, self._post) if runs_dir is not None else None
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DRAW_PERIOD_MS)
        self._timer.timeout.connect(self._draw)
        self.bridge.arrived.connect(self._timer.start, QtCore.Qt.QueuedConnection)
        # What arrived between the bridge's start and the connection above.
        self._timer.start()

    def add(self, board: Board) -> None:
        """Feed a board from now on; it begins with what is known."""
        self._boards.append(board)
        board.requested.connect(self.send)
        if self._sessions is not None:
            board.login_given.connect(self._sessions.login)
            board.logout_wanted.connect(self._sessions.logout)
        board.show_items(list(self._latest.values()))

    def remove(self, board: Board) -> int:
        """Feed a board no longer; return how many are left."""
        if board in self._boards:
            self._boards.remove(board)
            board.requested.disconnect(self.send)
            if self._sessions is not None:
                board.login_given.disconnect(self._sessions.login)
                board.logout_wanted.disconnect(self._sessions.logout)
        return len(self._boards)

    def send(self, request: Request) -> None:
        """Send a request, under the session of the person that it names where she has one here."""
        self.bridge.send(request, self._sessions.token(request.who) if self._sessions is not None else request.who)

    def close(self) -> None:
        """Leave the graph."""
        self._timer.stop()
        if self._sessions is not None:
            self._sessions.close()
            self._sessions = None
        if self._history is not None:
            self._history.close()
            self._history = None
        self.bridge.close()

    def _post(self, item: PlanView | HistoryView | SessionView) -> None:
        self.bridge.post(type(item), item)

    def _draw(self) -> None:
        items = self.bridge.take()
        for item in items:
            if isinstance(item, BatchSnapshot) and self._history is not None:
                self._history.take(item)
            key = key_of(item)
            if key is not None:
                self._latest[key] = item
        for board in self._boards:
            board.show_items(items)


class LiveOverview(Live):
    """The overview by itself, joined to a workcell."""

    def __init__(
        self, namespace: str = "", modules: Sequence[str] | None = None, arguments: Sequence[str] | None = None
    ) -> None:
        super().__init__(namespace, modules, arguments)
        self.widget = Overview(self.modules)
        self.add(self.widget)


__all__ = ["DRAW_PERIOD_MS", "Live", "LiveOverview", "key_of"]
