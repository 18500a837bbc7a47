# SPDX-License-Identifier: Apache-2.0
"""The plant's cameras in the same process."""

from __future__ import annotations

from mimedi_nodes.instruments.wire.link import ReplyTimeout
from mimedi_nodes.modules.camera import Frame
from mimedi_nodes.process.clock import ProcessClock
from mimedi_sim.plant.twin import Plant


class PlantCamera:
    """A Camera that takes each exposure when process time has come to it."""

    def __init__(self, plant: Plant, clock: ProcessClock, name: str) -> None:
        self.name = name
        self.dropped = 0
        self._plant = plant
        self._clock = clock

    async def set_capture(self, on: bool, fluorescence: bool = False) -> None:
        """Start or stop the exposures."""
        self._plant.set_fluorescence(self.name, on and fluorescence)
        self._plant.set_capture(self.name, on, self._clock.now_s())

    async def next_frame(self, timeout_s: float) -> Frame:
        """Return the next exposure; raises ReplyTimeout when the camera does not expose."""
        due_s = self._plant.next_frame_s(self.name)
        if due_s == float("inf"):
            raise ReplyTimeout(self.name, "the camera does not capture; switch capture on first")
        await self._clock.sleep_until(due_s)
        frame = self._plant.frame(self.name, due_s)
        return Frame(frame.stamp_s, frame.bright_field, frame.dye, frame.fluorescence)
