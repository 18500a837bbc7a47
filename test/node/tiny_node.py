# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node with a fault that a test can switch: `tiny_node.py NAME FOLDER`.

Writes its transitions to FOLDER/transitions.txt. While FOLDER/NAME.refuse exists it cannot be configured; while
FOLDER/NAME.hang exists its activation does not end.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mimedi_msgs.msg import Alarm, ModuleState
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.nodes.frame.managed_node import ManagedNode
from mimedi_nodes.nodes.frame.running import run_node


class TinyNode(ManagedNode):
    """Does nothing but live, and tell."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder
        self._state = self.create_publisher(ModuleState, "~/state", qos.STATE)
        self._alarms = self.create_publisher(Alarm, "alarm_events", qos.EVENT)
        self.managed_timer(0.2, lambda: self._state.publish(ModuleState(module=name)))

    def _tell(self, what: str) -> None:
        with (self._folder / "transitions.txt").open("a") as file:
            file.write(f"{self.get_name()}.{what}\n")

    def configure(self) -> None:
        self._tell("configure")
        if (self._folder / f"{self.get_name()}.refuse").exists():
            raise OSError("no such port: /dev/nothing")

    def activate(self) -> None:
        self._tell("activate")
        while (self._folder / f"{self.get_name()}.hang").exists():
            time.sleep(0.05)
        self._alarms.publish(
            Alarm(alarm_id="fluidics.balance_gap", source=self.get_name(), state=Alarm.UNACKNOWLEDGED, message="gap")
        )

    def deactivate(self) -> None:
        self._tell("deactivate")

    def clean_up(self) -> None:
        self._tell("clean_up")


if __name__ == "__main__":
    sys.exit(run_node(lambda: TinyNode(sys.argv[1], Path(sys.argv[2]))))
