# SPDX-License-Identifier: Apache-2.0
"""Windows joined to a workcell: one node and one reader of records for all windows of a process."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path

from ..commands.parts.people import Place
from ..modules.registry import module_table
from ..process.engine import batch_choice
from .board import Board
from .boards.overview import Overview
from .feed.ros_bridge import HeardBatch, RosBridge
from .feed.run_history import RunHistory
from .feed.sessions import Sessions
from .look.qt import QtCore
from .views import (
    AnalysisView,
    BatchesView,
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
        self._wanted = ""
        self._oldest: BatchSnapshot | None = None
        self._heard: dict[str, BatchSnapshot] = {}
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
        board.batch_chosen.connect(self.choose)
        if self._sessions is not None:
            board.login_given.connect(self._sessions.login)
            board.logout_wanted.connect(self._sessions.logout)
        board.show_items(list(self._latest.values()))

    def remove(self, board: Board) -> int:
        """Feed a board no longer; return how many are left."""
        if board in self._boards:
            self._boards.remove(board)
            board.requested.disconnect(self.send)
            board.batch_chosen.disconnect(self.choose)
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
        self._show(list(self._of_one_batch(self.bridge.take())))

    def _show(self, items: Sequence[object]) -> None:
        for item in items:
            key = key_of(item)
            if key is not None:
                self._latest[key] = item
        for board in self._boards:
            board.show_items(items)

    def _of_one_batch(self, items: Sequence[object]) -> Iterator[object]:
        """Yield what boards show: of all batches the one that is chosen, with the choice there is."""
        news = False
        for item in items:
            if isinstance(item, HeardBatch):
                self._heard[item.batch.batch_id] = item.batch
                news = True
            elif isinstance(item, BatchSnapshot):
                self._oldest = item
                news = True
            else:
                yield item
        if news:
            yield from self._chosen()

    def _chosen(self) -> Iterator[object]:
        batch = batch_choice.shown(self._wanted, self._oldest, self._heard)
        known = batch_choice.choices(batch, self._oldest, self._heard)
        self._heard = {name: heard for name, heard in self._heard.items() if name in known}
        states = {name: each.state for name, each in known.items()}
        choice = BatchesView(states, batch.batch_id if batch else "", tuple(batch_choice.waiting(batch, known)))
        if choice != self._latest.get(BatchesView):
            yield choice
        if batch is not None and batch != self._latest.get(BatchSnapshot):
            if self._history is not None:
                self._history.take(batch)
            yield batch

    def choose(self, batch_id: str) -> None:
        """Show another batch on all boards."""
        self._wanted = batch_id
        self._show(list(self._chosen()))


class LiveOverview(Live):
    """The overview by itself, joined to a workcell."""

    def __init__(
        self, namespace: str = "", modules: Sequence[str] | None = None, arguments: Sequence[str] | None = None
    ) -> None:
        super().__init__(namespace, modules, arguments)
        self.widget = Overview(self.modules)
        self.add(self.widget)


__all__ = ["DRAW_PERIOD_MS", "Live", "LiveOverview", "key_of"]
