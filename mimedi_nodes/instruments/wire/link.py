# SPDX-License-Identifier: Apache-2.0
"""The byte link between a driver and its instrument, and the errors of that path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

FrameEnd = Callable[[bytes], int | None]
"""Given the bytes received so far, the length of the first complete reply, or None while more are needed."""


class InstrumentError(Exception):
    """An instrument or its line does not do what it was told; `instrument` names it."""

    def __init__(self, instrument: str, message: str) -> None:
        super().__init__(f"{instrument}: {message}")
        self.instrument = instrument


class LinkLost(InstrumentError):
    """The port is missing, was unplugged or cannot be opened."""


class ReplyTimeout(InstrumentError):
    """No complete reply came within the deadline."""


class GarbledReply(InstrumentError):
    """A reply came but its checksum or form is wrong."""


class InstrumentRefused(InstrumentError):
    """The instrument answered with an error of its own; says which, in words."""


class Link(Protocol):
    """Half-duplex request and reply over one line; one transaction at a time, in order of the calls."""

    name: str

    async def open(self) -> None:
        """Open the line; harmless when open. Raises LinkLost."""
        ...

    async def close(self) -> None:
        """Close the line; harmless when closed."""
        ...

    async def transact(self, request: bytes, reply_end: FrameEnd | None, timeout_s: float) -> bytes:
        """Drop stale input, send `request`, return one complete reply (empty when `reply_end` is None).

        Raises:
            LinkLost: the line is not there.
            ReplyTimeout: nothing complete within `timeout_s` [s] of steady time.
        """
        ...


@runtime_checkable
class Overhears(Protocol):
    """A link that keeps what came though nobody had asked, for instruments that push messages."""

    def take_unasked(self) -> bytes:
        """Return the last bytes that came outside of a reply, and forget them."""
        ...
