# SPDX-License-Identifier: Apache-2.0
"""A single-photon counter that speaks COBS frames with a CRC-32; format: docs/protocols.md.

A run counts by itself in gates of equal length from the moment it was started; its last 65,536 gates stay in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from mimedi_nodes.instruments.wire import photon_frames as wire
from mimedi_nodes.instruments.wire.photon_frames import Command, CounterFault, Filter, GateFlag, Status

IDENTITY = "MiMedI,PC-28,SP0001,1.0"
MEMORY_GATES = 65_536
_LONGEST_FRAME = 512


class PhotonDetector(Protocol):
    """What the counter counts with; every call with process times [s]."""

    def counts(self, start_s: float, gate_s: float, *, shutter_open: bool) -> tuple[int, bool]:
        """Return the counts of a gate and whether the detector was saturated; the same whoever asks when."""
        ...

    def excite(self, now_s: float, power_mw: float, seen_through: Filter) -> None:
        """Let the laser shine (0 mW: off), with a filter before the detector."""
        ...

    def health(self, now_s: float) -> tuple[float, float, float, CounterFault]:
        """Return temperature [degC], dead time [s], bias [V], faults."""
        ...


class PhotonCounterFirmware:
    """One counter on its line."""

    def __init__(self, detector: PhotonDetector) -> None:
        self._detector = detector
        self._buffer = b""
        self._run = 0
        self._start_s, self._gate_s, self._gates = 0.0, 1.0, 0
        self._stop_s: float | None = 0.0
        self._shutter_open, self._laser_on = False, False
        self._do: dict[int, Callable[[bytes, float], tuple[Status, bytes]]] = {
            Command.IDENTIFY: lambda data, now_s: (Status.OK, IDENTITY.encode("ascii")),
            Command.STATUS: self._status,
            Command.START: self._start,
            Command.STOP: self._stop,
            Command.READ: self._read,
            Command.EXCITE: self._excite,
        }

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line; answer every frame with a good checksum, stay silent otherwise."""
        self._buffer += data
        answers, used = b"", 0
        for end, chunk in wire.chunks(self._buffer):
            used = end
            frame = wire.parse(chunk)
            if frame is not None and not frame.command & wire.ANSWER:
                status, reply = self._carry_out(frame.command, frame.data, now_s)
                answers += wire.build(frame.sequence, frame.command | wire.ANSWER, bytes((status,)) + reply)
        self._buffer = self._buffer[used:][-_LONGEST_FRAME:]
        return answers

    def advance_to(self, time_s: float) -> None:
        """Nothing is stored as time passes: gates are computed when they are read."""

    def next_event(self) -> float:
        """Return inf: counting changes nothing that the plant would have to know."""
        return math.inf

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power: no run, shutter closed."""
        self._laser_on = False
        self._detector.excite(now_s, 0.0, Filter.OPEN)
        self._run, self._gates, self._stop_s = 0, 0, 0.0
        self._start_s, self._shutter_open, self._buffer = 0.0, False, b""

    def _carry_out(self, command: int, data: bytes, now_s: float) -> tuple[Status, bytes]:
        do = self._do.get(command)
        return do(data, now_s) if do is not None else (Status.UNKNOWN_COMMAND, b"")

    def _complete(self, now_s: float) -> int:
        until_s = now_s if self._stop_s is None else min(now_s, self._stop_s)
        done = max(0, int((until_s - self._start_s) / self._gate_s + 1e-9))
        return min(done, self._gates) if self._gates else done

    def _counting(self, now_s: float) -> bool:
        return self._stop_s is None and (not self._gates or self._complete(now_s) < self._gates)

    def _status(self, data: bytes, now_s: float) -> tuple[Status, bytes]:
        temperature_c, dead_time_s, bias_v, faults = self._detector.health(now_s)
        counting = self._counting(now_s)
        return Status.OK, wire.STATUS_FORMAT.pack(
            counting | 2 * self._laser_on, self._shutter_open and counting, round(temperature_c * 100),
            round(dead_time_s * 1e10), round(bias_v * 100), faults, self._run, self._complete(now_s),
        )

    def _start(self, data: bytes, now_s: float) -> tuple[Status, bytes]:
        if len(data) != wire.START_FORMAT.size:
            return Status.WRONG_LENGTH, b""
        run, gate_us, gates, shutter = wire.START_FORMAT.unpack(data)
        if not wire.GATE_US[0] <= gate_us <= wire.GATE_US[1] or shutter > 1 or (run == 0 and self._run == 0):
            return Status.OUT_OF_RANGE, b""
        if run == self._run:  # the same start once more, its answer was lost
            same = (gate_us * 1e-6, gates, bool(shutter)) == (self._gate_s, self._gates, self._shutter_open)
            return (Status.OK if same else Status.OUT_OF_RANGE), b""
        if self._counting(now_s):
            return Status.BUSY, b""
        if CounterFault.BIAS in self._detector.health(now_s)[3]:
            return Status.DETECTOR_FAULT, b""
        self._run, self._gate_s, self._gates = run, gate_us * 1e-6, gates
        self._start_s, self._stop_s, self._shutter_open = now_s, None, bool(shutter)
        return Status.OK, b""

    def _stop(self, data: bytes, now_s: float) -> tuple[Status, bytes]:
        if self._stop_s is None:
            self._stop_s = now_s
        return Status.OK, b""

    def _excite(self, data: bytes, now_s: float) -> tuple[Status, bytes]:
        if len(data) != wire.EXCITE_FORMAT.size:
            return Status.WRONG_LENGTH, b""
        centi_mw, number = wire.EXCITE_FORMAT.unpack(data)
        if centi_mw > 100.0 * wire.MOST_EXCITATION_MW or number not in list(Filter):
            return Status.OUT_OF_RANGE, b""
        if self._counting(now_s):
            return Status.BUSY, b""
        if centi_mw and CounterFault.COVER_OPEN in self._detector.health(now_s)[3]:
            return Status.DETECTOR_FAULT, b""  # the laser's interlock
        self._laser_on = centi_mw > 0
        self._detector.excite(now_s, 0.01 * centi_mw, Filter(number))
        return Status.OK, b""

    def _read(self, data: bytes, now_s: float) -> tuple[Status, bytes]:
        if len(data) != wire.READ_FORMAT.size:
            return Status.WRONG_LENGTH, b""
        run, first, most = wire.READ_FORMAT.unpack(data)
        if run != self._run:
            return Status.NO_SUCH_RUN, b""
        complete = self._complete(now_s)
        count = max(0, min(most, wire.MOST_GATES_A_REPLY, complete - first))
        gates = b"".join(self._gate(k, complete) for k in range(first, first + count))
        return Status.OK, wire.GATES_FORMAT.pack(run, complete, first, count) + gates

    def _gate(self, number: int, complete: int) -> bytes:
        if number < complete - MEMORY_GATES:
            return wire.GATE_FORMAT.pack(0, GateFlag.LOST)
        counts, saturated = self._detector.counts(
            self._start_s + number * self._gate_s, self._gate_s, shutter_open=self._shutter_open
        )
        return wire.GATE_FORMAT.pack(min(counts, 0xFFFFFFFF), GateFlag.SATURATED if saturated else GateFlag(0))
