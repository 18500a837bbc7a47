# SPDX-License-Identifier: Apache-2.0
"""Droplet digital PCR reader: counts of droplets with transgene and reference gene, over SCPI."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .wire.link import GarbledReply
from .wire.measurement import MeasuringInstrument
from .wire.pacing import Pace

_RUN_S = 120.0


class Well(enum.Enum):
    """What is read: the sample, or the same reagents without any DNA."""

    SAMPLE = "SAMP"
    NO_TEMPLATE = "NTC"


@dataclass(frozen=True)
class DropletCounts:
    """Droplets of one well; positives of one gene include those of both."""

    accepted: int
    transgene: int
    reference: int
    both: int
    droplet_l: float
    """Volume of a droplet [L]."""


class DropletReader(MeasuringInstrument):
    """One reader; the reference gene has two copies a cell."""

    async def count(self, pace: Pace, well: Well = Well.SAMPLE) -> DropletCounts:
        """Run a well and return the counts. Raises GarbledReply for counts that cannot be."""
        volume = await self.query_number("CAL:DROP:VOL?")
        await self.command(f"SENS:WELL {well.value}")
        await self.measure(pace, _RUN_S)
        accepted, transgene, reference, both = (int(v) for v in await self.query_numbers("FETC:DROP?", 4))
        if not (0 <= both <= min(transgene, reference) and max(transgene, reference) <= accepted):
            raise GarbledReply(self.name, f"droplets {accepted}, {transgene}, {reference}, {both} do not fit together")
        return DropletCounts(accepted, transgene, reference, both, volume)
