# SPDX-License-Identifier: Apache-2.0
"""Cavro/Tecan DT frames: how a host talks to one of the devices on an RS-485 line.

Source: Cavro XLP 6000 Operating Manual 734237-C, chapter 3 (DT protocol; error codes and pump status, table
3-9);
the same frames serve pumps and valves. See docs/protocols.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from .exchange import QUERY_RETRIES, REPLY_TIMEOUT_S, exchange
from .link import GarbledReply, InstrumentRefused, Link, ReplyTimeout

ADDRESSES = range(1, 16)
FRAME_END = b"\x03\r\n"
MAX_COMMANDS = 255
VALVE_TURN_S = 0.25
"""Longest turn of a valve [s] (manual 734237-C, appendix B: ≤ 250 ms between adjacent ports)."""

ERRORS = {
    1: "initialization failed; free the plunger or valve and initialize",
    2: "invalid command",
    3: "invalid operand",
    4: "invalid command sequence",
    6: "EEPROM failure; the device needs service",
    7: "not initialized; initialize it",
    8: "CAN bus failure",
    9: "plunger overload; look for a blocked line, then initialize",
    10: "valve overload; look for a blocked valve, then initialize",
    11: "plunger move not allowed while the valve is in bypass",
    15: "command overflow: still busy with the last command",
}
NOT_INITIALIZED, PLUNGER_OVERLOAD, VALVE_OVERLOAD, BUSY = 7, 9, 10, 15


@dataclass(frozen=True)
class DtReply:
    """Status and data of one answer block."""

    ready: bool
    error_code: int
    data: str


def reply_end(data: bytes) -> int | None:
    """Return the length of the first answer block (ETX CR LF), None while it is incomplete."""
    at = data.find(FRAME_END)
    return None if at < 0 else at + len(FRAME_END)


def parse_reply(data: bytes, instrument: str) -> DtReply:
    """Take an answer block apart: [FFh …] `/0` status data ETX CR LF.

    Raises:
        GarbledReply: not an answer to the host (wrong start, address, status byte or characters).
    """
    try:
        return _parsed(data)
    except ValueError as error:
        raise GarbledReply(instrument, f"{error}: {data!r}") from None


@lru_cache(maxsize=256)
def _parsed(data: bytes) -> DtReply:
    """Return what an answer block says; most are one of a few. Raises ValueError for one out of form."""
    body = data.lstrip(b"\xff")  # RS-485 turnaround: the manual allows FFh bytes before the block
    if len(body) < 6 or not body.startswith(b"/0") or not body.endswith(FRAME_END):
        raise ValueError("not an answer block")
    status, text = body[2], body[3:-3]
    if status & 0xD0 != 0x40 or not all(0x20 <= byte < 0x7F for byte in text):  # bits 7, 6, 4 are always 0, 1, 0
        raise ValueError("status byte or data out of form")
    return DtReply(bool(status & 0x20), status & 0x0F, text.decode("ascii"))


class DtDevice:
    """One addressed device (pump or valve) on a DT line.

    Args:
        address: 1 to 15, the position of the device's address switch + 1; sent as ASCII from `1`.
    """

    def __init__(self, link: Link, address: int, name: str) -> None:
        if address not in ADDRESSES:
            raise ValueError(f"{name}: address {address} refused; allowed: 1 to 15")
        self.name = name
        self.address = address
        self._link = link
        self._prefix = b"/" + bytes((0x30 + address,))
        self._parse = partial(parse_reply, instrument=name)

    async def _send(self, commands: str, retries: int) -> DtReply:
        return await exchange(
            self._link,
            self._prefix + commands.encode("ascii") + b"\r",
            reply_end,
            self._parse,
            instrument=self.name,
            timeout_s=REPLY_TIMEOUT_S,
            retries=retries,
        )

    async def status(self) -> DtReply:
        """Ask for the status (Q), the only valid source of ready and error; repeating is harmless."""
        return await self._send("Q", QUERY_RETRIES)

    async def is_busy(self) -> bool:
        """Tell whether a command is still being carried out.

        Raises:
            InstrumentRefused: the command ended with an error of the device, in words.
        """
        status = await self.status()
        if status.ready or status.error_code != NOT_INITIALIZED:  # it is not initialized yet while it initializes
            self._raise_for(status.error_code, "its last command")
        return not status.ready

    async def is_off(self) -> bool:
        """Tell whether nothing moves."""
        return (await self.status()).ready

    async def stop(self) -> None:
        """Terminate moves, loops and delays at once (T).

        A valve that turns ends its turn. Repeating is harmless.
        """
        await self._send("T", QUERY_RETRIES)

    async def identify(self) -> str:
        """Return the firmware version as the device reports it."""
        return await self._report_text("?23")

    async def _report_text(self, query: str) -> str:
        return (await self._send(query, QUERY_RETRIES)).data.strip()

    async def _report_int(self, query: str, low: int, high: int) -> int:
        """Ask for an integer.

        Out of form or range counts as garbled (DT has no checksum) and is asked again.
        """
        text = ""
        for _ in range(QUERY_RETRIES + 1):
            reply = await self._send(query, QUERY_RETRIES)
            if reply.error_code == NOT_INITIALIZED:  # it lost power: position and resolution mean nothing
                self._raise_for(reply.error_code, query)
            text = reply.data.strip()
            if text.isdecimal() and low <= int(text) <= high:
                return int(text)
        raise GarbledReply(self.name, f"{query} answered {text!r}; expected an integer from {low} to {high}")

    async def _start(self, commands: str, begun: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Have `commands` carried out (R is added); returns once the device has them.

        Never repeated blindly: after a lost or garbled answer the device is asked whether it has begun (busy,
        or what `begun` finds
        out), and only a device that did nothing gets the string again.
        """
        if len(commands) + 1 > MAX_COMMANDS:
            raise ValueError(f"{self.name}: command string of {len(commands) + 1} characters; allowed: {MAX_COMMANDS}")
        for attempt in range(QUERY_RETRIES + 1):
            try:
                reply = await self._send(commands + "R", 0)
            except (ReplyTimeout, GarbledReply):
                if not (await self.status()).ready or (begun is not None and await begun()):
                    return
                if attempt == QUERY_RETRIES:
                    raise
            else:
                self._raise_for(reply.error_code, f"{commands}R")
                return

    def _raise_for(self, error_code: int, what: str) -> None:
        if error_code:
            words = ERRORS.get(error_code, "unknown error")
            raise InstrumentRefused(self.name, f"error {error_code} after {what}: {words}")
