# SPDX-License-Identifier: Apache-2.0
"""A byte link without a port: calls the firmware directly, for headless runs and tests."""

from __future__ import annotations

from collections.abc import Callable

from mimedi_nodes.instruments.wire.link import FrameEnd, LinkLost, ReplyTimeout


class MemoryLink:
    """Hands requests to `receive` and returns its answer at once; never suspends the caller.

    An answer that is not complete is a ReplyTimeout at once: in no process time, an instrument that has not
    answered will not.

    Args:
        receive: bytes sent to bytes answered, as `Firmware.receive` with the time filled in.
        delay_s: by how much steady time answers come late at present [s]. An answer later than the driver's patience
            is a ReplyTimeout; the driver drops it as stale before its next question, as over a port.
    """

    def __init__(
        self, name: str, receive: Callable[[bytes], bytes], delay_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.name = name
        self.plugged = True
        """False while the line is unplugged: every use raises LinkLost."""
        self._receive, self._delay_s = receive, delay_s
        self._is_open = False

    async def open(self) -> None:
        """Open the line; harmless when open. Raises LinkLost when unplugged."""
        if not self.plugged:
            raise LinkLost(self.name, "line is unplugged; plug it in")
        self._is_open = True

    async def close(self) -> None:
        """Close the line; harmless when closed."""
        self._is_open = False

    async def transact(self, request: bytes, reply_end: FrameEnd | None, timeout_s: float) -> bytes:
        """Send `request`, return one complete reply (empty when `reply_end` is None).

        Raises:
            LinkLost: unplugged or never opened.
            ReplyTimeout: no complete answer.
        """
        if not (self._is_open and self.plugged):
            raise LinkLost(self.name, "line is closed; open it first" if self.plugged else "line was unplugged")
        answer = self._receive(request)
        if reply_end is None:
            return b""
        if (delay_s := self._delay_s()) >= timeout_s:
            raise ReplyTimeout(self.name, f"no answer within {timeout_s:g} s; it came after {delay_s:g} s")
        size = reply_end(answer)
        if size is None:
            raise ReplyTimeout(self.name, f"no complete answer within {timeout_s:g} s ({len(answer)} bytes came)")
        return answer[:size]
