# SPDX-License-Identifier: Apache-2.0
"""Where drivers and firmware meet: a line over memory or a real pseudo-terminal, on virtual process time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from pathlib import Path

from mimedi_nodes.instruments.wire.link import FrameEnd, Link
from mimedi_nodes.instruments.wire.serial_link import SerialLink
from mimedi_sim.firmware.cavro_pump import CavroPumpFirmware
from mimedi_sim.firmware.faulty_line import FaultyLine, LineFault
from mimedi_sim.memory_link import MemoryLink
from mimedi_sim.pty_server import PtyServer

FLIPS = (LineFault.FLIPPED_BIT, LineFault.FLIPPED_REQUEST_BIT)
"""What protocols without a checksum cannot always notice."""


class HastySerialLink(SerialLink):
    """A serial link that gives up early: pseudo-terminals answer in well under a millisecond."""

    async def transact(self, request: bytes, reply_end: FrameEnd | None, timeout_s: float) -> bytes:
        return await super().transact(request, reply_end, min(timeout_s, 0.2))


class Bench:
    """A line's firmware on virtual process time, and what its pumps really moved, integrated from their
    rates.
    """

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.time_s = 0.0
        self.lines: dict[str, FaultyLine] = {}
        self.pumps: list[CavroPumpFirmware] = []
        self.moved_ul: dict[tuple[int, str], float] = {}
        self.rates: list[tuple[float, tuple[float, ...]]] = []
        self.participants = 1
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.server = PtyServer(directory, self._receive) if kind == "pty" else None
        self.memory: dict[str, MemoryLink] = {}

    def line(self, name: str, firmware: object) -> Link:
        """Put firmware on a line of its own and return the driver's end."""
        self.lines[name] = FaultyLine(firmware, name=name)  # type: ignore[arg-type]
        if self.server is None:
            self.memory[name] = MemoryLink(name, lambda data: self._receive(name, data))
            return self.memory[name]
        return HastySerialLink(name, str(self.server.plug(name)), 38400)

    def unplug(self, name: str) -> None:
        if self.server is None:
            self.memory[name].plugged = False
        else:
            self.server.unplug(name)

    def plug(self, name: str) -> None:
        if self.server is None:
            self.memory[name].plugged = True
        else:
            self.server.plug(name)

    def watch(self, *pumps: CavroPumpFirmware) -> None:
        self.pumps += pumps

    def out_ul(self, pump: CavroPumpFirmware, valve: str = "O") -> float:
        """Return what left the syringe through a valve position (negative: what was drawn)."""
        return self.moved_ul.get((id(pump), valve), 0.0)

    def now_s(self) -> float:
        return self.time_s

    async def sleep(self, seconds: float) -> None:
        """Virtual time: moves on when every participant sleeps."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.time_s + seconds, next(self._order), woken))
        self._advance_if_quiet()
        await woken

    def leave(self) -> None:
        self.participants -= 1
        self._advance_if_quiet()

    def close(self) -> None:
        if self.server is not None:
            self.server.close()

    def advance(self, until_s: float) -> None:
        while self.time_s < until_s:
            step_end = min([until_s, *(line.next_event() for line in self.lines.values())])
            self.rates.append((self.time_s, tuple(pump.rate_ul_s for pump in self.pumps)))
            for pump in self.pumps:
                key = (id(pump), pump.valve)
                self.moved_ul[key] = self.moved_ul.get(key, 0.0) - pump.rate_ul_s * (step_end - self.time_s)
            self.time_s = step_end
            for line in self.lines.values():
                line.advance_to(step_end)

    def _advance_if_quiet(self) -> None:
        if self._sleepers and len(self._sleepers) >= self.participants:
            wake_s, _, woken = heapq.heappop(self._sleepers)
            self.advance(wake_s)
            woken.set_result(None)

    def _receive(self, name: str, data: bytes) -> bytes:
        line = self.lines[name]
        line.advance_to(self.time_s)
        return line.receive(data, self.time_s)
