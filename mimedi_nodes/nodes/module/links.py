# SPDX-License-Identifier: Apache-2.0
"""Serial links of a node's instruments, made from the site file; the clock waits for what they carry."""

from __future__ import annotations

from pathlib import Path

from ...instruments.wire.link import FrameEnd, Link
from ...instruments.wire.serial_link import SerialLink
from ...modules.site import Site
from ..frame.clocks import NodeClock


class HeldLink:
    """A link under which process time does not pass: the transaction runs in a thread that the clock cannot see."""

    def __init__(self, link: Link, clock: NodeClock) -> None:
        self.name = link.name
        self._link = link
        self._clock = clock

    async def open(self) -> None:
        """Open the line."""
        self._clock.hold()
        try:
            await self._link.open()
        finally:
            self._clock.release()

    async def close(self) -> None:
        """Close the line."""
        await self._link.close()

    async def transact(self, request: bytes, reply_end: FrameEnd | None, timeout_s: float) -> bytes:
        """Send a request and return the reply, as `Link.transact`."""
        self._clock.hold()
        try:
            return await self._link.transact(request, reply_end, timeout_s)
        finally:
            self._clock.release()


def make_links(site: Site, module: str, port_dir: Path, clock: NodeClock, capture_dir: Path | None) -> dict[str, Link]:
    """Return the links of all lines that a module owns, by line name; none is opened yet."""
    links: dict[str, Link] = {}
    for name, line in site.lines_of(module).items():
        capture = capture_dir / f"{name}.jsonl" if capture_dir else None
        serial = SerialLink(name, str(port_dir / line.port), line.baud, capture=capture)
        links[name] = HeldLink(serial, clock)
    return links
