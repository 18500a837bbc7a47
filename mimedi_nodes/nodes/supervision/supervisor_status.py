# SPDX-License-Identifier: Apache-2.0
"""How the workcell stands, as the supervisor shows it."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from ..frame import qos
from .watch import Watch

LEVELS = {
    "starting": DiagnosticStatus.WARN,
    "active": DiagnosticStatus.OK,
    "failed": DiagnosticStatus.ERROR,
    "stopping": DiagnosticStatus.WARN,
    "stopped": DiagnosticStatus.STALE,
}
"""Phases of the workcell and how bad they are."""


class SupervisorStatus:
    """Publishes `~/status` (DiagnosticArray, latched): the workcell first, then each node in the order of bring-up.

    The workcell's values: `phase` (one of LEVELS), `node` and `reason` of a failure, `lost` (nodes, comma list). A
    node's values: `state` (lifecycle state last told), `lost` (why it counts as lost).
    """

    def __init__(self, node: Node, watch: Watch) -> None:
        self.phase = "starting"
        self._failed_node = self._reason = ""
        self._node = node
        self._watch = watch
        self._told = dict.fromkeys(watch.nodes, "waiting")
        self._publisher = node.create_publisher(DiagnosticArray, "~/status", qos.STATE)

    def enter(self, phase: str, node: str = "", reason: str = "") -> None:
        """Show a phase, with the node and the reason of a failure."""
        self.phase, self._failed_node, self._reason = phase, node, reason
        self.publish()

    def tell(self, name: str, text: str) -> None:
        """Show what happens to a node; nothing new when the text is empty."""
        if text and text != self._told[name]:
            self._told[name] = text
            self.publish()

    def publish(self) -> None:
        """Publish all of it."""
        lost = [name for name, node in self._watch.nodes.items() if node.lost]
        level, message = LEVELS[self.phase], self.phase
        if self.phase == "active" and lost:
            level, message = DiagnosticStatus.WARN, f"active, but {', '.join(lost)} lost"
        if self._reason:
            message += f": {self._failed_node or 'workcell'}: {self._reason}"
        values = {"phase": self.phase, "node": self._failed_node, "reason": self._reason, "lost": ",".join(lost)}
        array = DiagnosticArray(status=[_row("workcell", level, message, values)])
        for name, text in self._told.items():
            watched = self._watch.nodes[name]
            bad = bool(watched.lost) or text.startswith("failed")
            level = DiagnosticStatus.ERROR if bad else DiagnosticStatus.OK
            array.status.append(_row(name, level, text, {"state": watched.state, "lost": watched.lost}))
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)


def _row(name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=level,
        name=f"/supervisor/{name}",
        message=message,
        hardware_id=name,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
