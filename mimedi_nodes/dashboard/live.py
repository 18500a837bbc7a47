# SPDX-License-Identifier: Apache-2.0
"""The overview joined to a workcell."""

from __future__ import annotations

from collections.abc import Sequence

from ..modules.registry import module_table
from .overview import Overview
from .qt import QtCore
from .ros_bridge import RosBridge

DRAW_PERIOD_MS = 150
"""Shortest time between two drawings: faster changes are shown by their last state."""


class LiveOverview(QtCore.QObject):
    """Overview and bridge, the one drawing what the other brings at no more than the display rate.

    Args:
        namespace: the workcell's namespace, empty for none.
        modules: names of its modules, those of config/modules.yaml when None.
        arguments: ROS arguments, None for the process' own.
    """

    def __init__(
        self, namespace: str = "", modules: Sequence[str] | None = None, arguments: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        names = tuple(module_table()) if modules is None else tuple(modules)
        self.widget = Overview(names)
        if namespace.strip("/"):
            self.widget.setWindowTitle(f"Workcell {namespace.strip('/')}")
        self.bridge = RosBridge(namespace, names, arguments)
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DRAW_PERIOD_MS)
        self._timer.timeout.connect(self._draw)
        self.bridge.arrived.connect(self._timer.start, QtCore.Qt.QueuedConnection)
        self.widget.requested.connect(self.bridge.send)
        # What arrived between the bridge's start and the connection above.
        self._timer.start()

    def close(self) -> None:
        """Leave the graph."""
        self._timer.stop()
        self.bridge.close()

    def _draw(self) -> None:
        self.widget.show_items(self.bridge.take())
