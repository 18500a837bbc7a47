# SPDX-License-Identifier: Apache-2.0
"""An RS-485 line with Cavro DT devices: takes frames apart and answers for whoever is addressed.

Source: Cavro XLP 6000 Operating Manual 734237-C, chapter 3, DT protocol.
"""

from __future__ import annotations

from collections.abc import Mapping

from .cavro_device import CavroDevice, is_query

_GROUPS = {0x5F: tuple(range(1, 16))}
_GROUPS |= {0x41 + 2 * k: (1 + 2 * k, 2 + 2 * k) for k in range(8)}
_GROUPS |= {0x51 + 4 * k: tuple(range(1 + 4 * k, 5 + 4 * k)) for k in range(4)}
"""Addresses of several devices: two from A, C, E … on, four from Q, U, Y, ] on, all."""
_LONGEST_FRAME = 300


class CavroBus:
    """All devices of one DT line; `devices` maps bus addresses (1 to 15) to devices."""

    def __init__(self, devices: Mapping[int, CavroDevice]) -> None:
        self.devices = dict(devices)
        self._devices = tuple(self.devices.values())
        self.orders = 0
        """Frames taken so far that may change what a device does; a query does not."""
        self._buffer = b""

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line; answer every complete frame for a device that exists."""
        self._buffer += data
        answers = b""
        while (end := self._buffer.find(b"\r")) >= 0:
            frame, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
            start = frame.rfind(b"/")  # what stands before the last start character is noise
            if start >= 0 and len(frame) - start >= 2:
                answers += self._answer(frame[start + 1], frame[start + 2 :], now_s)
        self._buffer = self._buffer[-_LONGEST_FRAME:]
        return answers

    def advance_to(self, time_s: float) -> None:
        """Carry every device on to `time_s`."""
        for device in self._devices:
            device.advance_to(time_s)

    def next_event(self) -> float:
        """Return the time [s] of the first change of any device; inf when there is none."""
        return min([device.next_event() for device in self._devices], default=float("inf"))

    def _answer(self, address: int, commands: bytes, now_s: float) -> bytes:
        text = commands.decode("ascii", "replace")
        if not is_query(text):
            self.orders += 1
        if address in _GROUPS:  # several devices: all do it, none answers
            for number in _GROUPS[address]:
                if number in self.devices:
                    self.devices[number].command(text, now_s)
            return b""
        target = self.devices.get(address - 0x30)
        if target is None:
            return b""
        error, report = target.command(text, now_s)
        status = 0x40 | (0 if target.busy else 0x20) | error
        return b"/0" + bytes((status,)) + report.encode("ascii") + b"\x03\r\n"
