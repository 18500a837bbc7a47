# SPDX-License-Identifier: Apache-2.0
"""SCPI instruments that measure for a while: begin, wait in process time, fetch."""

from __future__ import annotations

from .link import InstrumentRefused, Link
from .pacing import Pace, settle
from .scpi import ScpiInstrument


class MeasuringInstrument(ScpiInstrument):
    """An instrument whose INITiate begins a measurement that it carries on by itself."""

    def __init__(self, link: Link, name: str) -> None:
        super().__init__(link, name)

    async def is_busy(self) -> bool:
        """Tell whether a measurement is going on."""
        return await self.is_measuring()

    async def is_off(self) -> bool:
        """Tell whether nothing is measured."""
        return not await self.is_measuring()

    async def abort(self) -> None:
        """Stop measuring; harmless when nothing is measured."""
        await self.command("ABOR")

    async def measure(self, pace: Pace, expected_s: float) -> None:
        """Measure once and wait for the end.

        Raises:
            InstrumentRefused: the instrument cannot measure now; it says why.
            InstrumentError: it takes far longer than expected_s [s].
        """
        if not await self.is_measuring():
            await self._begin()
        await settle(self, pace, expected_s=expected_s, every_s=1.0, patience_s=60.0)

    async def _begin(self) -> None:
        try:
            await self.command("INIT")
        except InstrumentRefused:
            # A repeated INIT of which only the answer was lost is refused: what counts is whether it measures.
            if not await self.is_measuring():
                raise
