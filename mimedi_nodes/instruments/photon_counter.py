# SPDX-License-Identifier: Apache-2.0
"""Single-photon counter over framed binary with a checksum.

Source of the dead-time correction: Knoll 2010, Radiation Detection and Measurement, section 4.7 (non-paralysable).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .wire import photon_frames as wire
from .wire.exchange import QUERY_RETRIES, check_range, exchange
from .wire.link import FrameEnd, GarbledReply, InstrumentError, InstrumentRefused, Link
from .wire.photon_frames import Command, CounterFault, GateFlag, Status

GATE_S = (wire.GATE_US[0] * 1e-6, wire.GATE_US[1] * 1e-6)
MOST_GATES = 1_000_000
_WORDS: dict[int, str] = {
    Status.UNKNOWN_COMMAND: "does not know the command",
    Status.WRONG_LENGTH: "command of the wrong length",
    Status.OUT_OF_RANGE: "a value is out of range",
    Status.BUSY: "is counting; stop it first",
    Status.NO_SUCH_RUN: "does not hold that run (power cut, or another program started one)",
    Status.DETECTOR_FAULT: "the detector is faulty; look at its state",
}


def corrected_per_s(counts: float, gate_s: float, dead_time_s: float) -> float:
    """Return the true rate [1/s] behind counts of a gate: m/(1 - m tau); inf when the detector was never free."""
    rate = counts / gate_s
    busy = rate * dead_time_s
    return math.inf if busy >= 1.0 else rate / (1.0 - busy)


@dataclass(frozen=True)
class CounterState:
    """The counter and its detector."""

    counting: bool
    laser_on: bool
    shutter_open: bool
    temperature_c: float
    dead_time_s: float
    bias_v: float
    faults: CounterFault
    run: int
    """Number of the last run begun."""
    complete: int
    """Complete gates of that run."""


@dataclass(frozen=True)
class Gate:
    """Counts of one gate."""

    number: int
    counts: int
    flags: GateFlag


@dataclass(frozen=True)
class Run:
    """A run of equal gates that was started."""

    number: int
    gate_s: float
    gates: int
    """Gates to come; 0 means until stopped."""


class PhotonCounter:
    """One counter on its own line. It counts by itself; gates are fetched afterwards, none is lost by asking late."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link
        self._sequence = 0

    async def identify(self) -> str:
        """Return manufacturer, model, serial number and firmware."""
        data = await self._ask(Command.IDENTIFY)
        text = data.decode("ascii", "replace")
        if text.count(",") != 3:
            raise GarbledReply(self.name, f"identity {text!r}; expected four fields")
        return text

    async def state(self) -> CounterState:
        """Return what the counter is doing."""
        data = await self._ask(Command.STATUS, size=wire.STATUS_FORMAT.size)
        doing, shutter, temperature, dead, bias, faults, run, complete = wire.STATUS_FORMAT.unpack(data)
        return CounterState(
            bool(doing & 1), bool(doing & 2), bool(shutter), temperature * 0.01, dead * 1e-10, bias * 0.01,
            CounterFault(faults), run, complete,
        )

    async def ensure_excitation(self, power_mw: float, seen_through: wire.Filter) -> None:
        """Have the laser shine with this power [mW] (0: off) and the filter stand before the detector.

        Raises:
            OutOfRange: not possible with this counter; nothing was sent.
            InstrumentRefused: the cover is open (laser interlock), or a run is going on.
        """
        check_range(self.name, "power_mw", power_mw, 0.0, wire.MOST_EXCITATION_MW, "mW")
        await self._ask(Command.EXCITE, wire.EXCITE_FORMAT.pack(round(100.0 * power_mw), seen_through), size=0)

    async def start(self, gate_s: float, gates: int, *, shutter_open: bool) -> Run:
        """Begin a run of gates of gate_s [s]; 0 gates means until stopped. A closed shutter counts the dark.

        Raises:
            OutOfRange: not possible with this counter; nothing was sent.
            InstrumentRefused: another run is going on, or the detector is faulty.
        """
        check_range(self.name, "gate_s", gate_s, *GATE_S, "s")
        check_range(self.name, "gates", gates, 0, MOST_GATES, "")
        number = ((await self.state()).run + 1) & 0xFFFF
        gate_us = round(gate_s * 1e6)
        # The run's number is ours: a start that is repeated after a lost answer is known as the same run.
        await self._ask(Command.START, wire.START_FORMAT.pack(number, gate_us, gates, shutter_open), size=0)
        return Run(number, gate_us * 1e-6, gates)

    async def stop(self) -> None:
        """Stop counting and close the shutter; harmless when it is so. Complete gates stay readable."""
        await self._ask(Command.STOP, size=0)

    async def is_off(self) -> bool:
        """Tell whether nothing is counted and the shutter is closed."""
        state = await self.state()
        return not state.counting and not state.shutter_open

    async def gates(self, run: Run, first: int) -> list[Gate]:
        """Return the complete gates of a run from number `first` on (possibly none yet).

        Raises:
            InstrumentRefused: the counter no longer holds that run.
            InstrumentError: a gate that was asked for is no longer in its memory.
        """
        found: list[Gate] = []
        while True:
            asked = first + len(found)
            data = await self._ask(
                Command.READ, wire.READ_FORMAT.pack(run.number, asked, wire.MOST_GATES_A_REPLY)
            )
            complete, more = self._gates(data, run, asked)
            if any(GateFlag.LOST in gate.flags for gate in more):
                raise InstrumentError(self.name, f"gates from {asked} of run {run.number} are lost: asked too late")
            found += more
            if not more or asked + len(more) >= complete:
                return found

    def _gates(self, data: bytes, run: Run, asked: int) -> tuple[int, list[Gate]]:
        head = wire.GATES_FORMAT.size
        if len(data) < head:
            raise GarbledReply(self.name, f"{len(data)} bytes of gates; expected {head} or more")
        number, complete, start, count = wire.GATES_FORMAT.unpack(data[:head])
        if number != run.number or (count and start != asked) or len(data) != head + count * wire.GATE_FORMAT.size:
            raise GarbledReply(
                self.name, f"gates of run {number} from {start}, {len(data)} bytes; asked run {run.number} from {asked}"
            )
        values = wire.GATE_FORMAT.iter_unpack(data[head:])
        return complete, [Gate(start + k, counts, GateFlag(flags)) for k, (counts, flags) in enumerate(values)]

    async def _ask(self, command: Command, data: bytes = b"", *, size: int | None = None) -> bytes:
        """Send a command and return the answer's data; every command is harmless to repeat."""
        self._sequence = sequence = (self._sequence + 1) & 0xFF
        return await exchange(
            self._link,
            wire.build(sequence, command, data),
            _frame_end(sequence, command),
            lambda reply: self._parse(reply, sequence, command, size),
            instrument=self.name,
            retries=QUERY_RETRIES,
        )

    def _parse(self, reply: bytes, sequence: int, command: Command, size: int | None) -> bytes:
        for _, chunk in wire.chunks(reply):
            frame = wire.parse(chunk)
            if frame is None or (frame.sequence, frame.command) != (sequence, command | wire.ANSWER) or not frame.data:
                continue
            status, data = frame.data[0], frame.data[1:]
            if status != Status.OK:
                words = _WORDS.get(status, f"status {status}")
                raise InstrumentRefused(self.name, f"{command.name.lower()} refused: {words}")
            if size is not None and len(data) != size:
                raise GarbledReply(self.name, f"{command.name.lower()} answered {len(data)} bytes; expected {size}")
            return data
        raise GarbledReply(self.name, f"no frame with a good checksum for {command.name.lower()}")


def _frame_end(sequence: int, command: int) -> FrameEnd:
    """Return how to find the end of the answer: of the frame that fits, else of something as long as a frame."""

    def end(data: bytes) -> int | None:
        broken: int | None = None
        for at, chunk in wire.chunks(data):
            frame = wire.parse(chunk)
            if frame is not None and (frame.sequence, frame.command) == (sequence, command | wire.ANSWER):
                return at
            if frame is None and len(chunk) >= wire.SHORTEST_FRAME:
                broken = at
        return broken

    return end


