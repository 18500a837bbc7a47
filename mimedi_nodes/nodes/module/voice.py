# SPDX-License-Identifier: Apache-2.0
"""What a module says on its topics: its measured values and its alarms."""

from __future__ import annotations

from collections.abc import Mapping

from mimedi_msgs.msg import Alarm, Measurement, Telemetry

from ..frame import qos
from ..frame.clocks import NodeClock
from ..frame.conversion import ros_time
from ..frame.managed_node import ManagedNode


class ModuleVoice:
    """Publishes `~/telemetry` and `alarm_events` in the module's name.

    Args:
        node: the module's node.
        name: name of the module, the source of its alarms.
        clock: gives the stamps.
    """

    def __init__(self, node: ManagedNode, name: str, clock: NodeClock) -> None:
        self._name, self._clock, self._logger = name, clock, node.get_logger()
        self._told_alarms: dict[str, tuple[str, bool]] = {}
        self._telemetry = node.create_publisher(Telemetry, "~/telemetry", qos.TELEMETRY)
        self._alarms = node.create_publisher(Alarm, "alarm_events", qos.EVENT)

    def telemetry(self, values: Mapping[str, tuple[float, str, float, float]]) -> None:
        """Publish values: name → value, unit, and the ends of its 95 % interval, NaN where there is none."""
        self._telemetry.publish(
            Telemetry(
                stamp=ros_time(self._clock.now_s()),
                module=self._name,
                values=[
                    Measurement(name=name, value=float(value), unit=unit, low=low, high=high)
                    for name, (value, unit, low, high) in values.items()
                ],
            )
        )

    def measured(self, name: str, value: float, unit: str, low: float, high: float) -> None:
        """Publish one value that a phase has measured."""
        self.telemetry({name: (value, unit, low, high)})

    def alarm(self, alarm_id: str, message: str, active: bool) -> None:
        """Tell that an alarm has come or gone; one that comes is logged too."""
        self.tell_alarm(alarm_id, message, active)
        if active:
            self._logger.error(f"ALARM {alarm_id}: {message}")

    def tell_alarm(self, alarm_id: str, message: str, active: bool) -> None:
        """Publish the present state of an alarm, whether it is news or not."""
        self._told_alarms[alarm_id] = (message, active)
        self._alarms.publish(
            Alarm(
                stamp=ros_time(self._clock.now_s()),
                alarm_id=alarm_id,
                source=self._name,
                state=Alarm.UNACKNOWLEDGED if active else Alarm.NORMAL,
                priority=Alarm.MEDIUM,
                message=message,
            )
        )

    def tell_alarms_again(self) -> None:
        """For a supervisor that was not there when they came or went."""
        for alarm_id, (message, active) in list(self._told_alarms.items()):
            self.tell_alarm(alarm_id, message, active)
