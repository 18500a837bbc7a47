# SPDX-License-Identifier: Apache-2.0
"""What a node hears of interlocks, straight from their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rclpy.node import Node

from mimedi_msgs.msg import Alarm

from ...modules.registry import config_folder, known_modules
from ...process.alarms.interlocks import Interlocks, causes_of, read_interlocks
from ...process.alarms.table import read_alarm_table
from . import qos


class InterlockListener:
    """Hears `alarm_events` and tells what interlocks one module, or the batches, whenever that changes.

    Args:
        node: the node that is to hold.
        name: a module's, or `process.interlocks.BATCHES`.
        changed: called in the executor's thread with alarm → what was seen, of those whose cause stands.

    Raises:
        DiagnosticError: config/interlocks.yaml or config/alarms.yaml is wrong.
    """

    def __init__(self, node: Node, name: str, changed: Callable[[Mapping[str, str]], object]) -> None:
        config = config_folder()
        table = read_interlocks(config / "interlocks.yaml", known_modules(), read_alarm_table(config / "alarms.yaml"))
        self._node, self._changed = node, changed
        self._interlocks = Interlocks(causes_of(name, table))
        self._subscription = node.create_subscription(Alarm, "alarm_events", self._hear, qos.EVENT)

    @property
    def standing(self) -> Mapping[str, str]:
        """Alarms whose cause stands, with what was seen."""
        return self._interlocks.standing

    def close(self) -> None:
        """Hear no more."""
        self._node.destroy_subscription(self._subscription)

    def _hear(self, message: Alarm) -> None:
        active = message.state != Alarm.NORMAL
        if self._interlocks.hear(message.alarm_id, message.source, message.message, active):
            self._changed(self._interlocks.standing)
