# SPDX-License-Identifier: Apache-2.0
"""Flow cytometer: FCS files over SCPI, read by flowio.

Source: FCS 3.1 data file standard, Spidlen et al. 2010, Cytometry A 77A:97.
"""

from __future__ import annotations

import enum
import io
import zlib
from dataclasses import dataclass
from struct import error as StructError

import flowio
import numpy as np
import numpy.typing as npt

from .wire.exchange import QUERY_RETRIES, check_range
from .wire.link import GarbledReply
from .wire.measurement import MeasuringInstrument
from .wire.pacing import Pace

EVENTS = (500, 30_000)
_SIP_S, _PER_S = 15.0, 500.0
_BULK_TIMEOUT_S = 180.0
"""Steady time [s] for 30,000 events of 8 floats at 115,200 baud (83 s) with slack."""


class Tube(enum.Enum):
    """What is sipped: the sample, or control beads stained with the same cocktail."""

    SAMPLE = "SAMP"
    CONTROL = "CONT"


@dataclass(frozen=True)
class Cytometry:
    """One measurement: names of the channels, events of shape (events, channels), and the file itself."""

    channels: tuple[str, ...]
    events: npt.NDArray[np.float64]
    fcs: bytes

    def channel(self, name: str) -> npt.NDArray[np.float64]:
        """Return one channel, shape (events,); raises KeyError naming those there are."""
        if name not in self.channels:
            raise KeyError(f"channel {name!r} is not there; there are {', '.join(self.channels)}")
        return self.events[:, self.channels.index(name)]


class FlowCytometer(MeasuringInstrument):
    """One cytometer."""

    async def acquire(self, events: int, pace: Pace, tube: Tube = Tube.SAMPLE) -> Cytometry:
        """Measure so many events of a tube and return them.

        Raises:
            OutOfRange: not possible with this cytometer; nothing was sent.
            InstrumentRefused: there is nothing to measure.
            GarbledReply: the file came wrong each time, or holds something else.
        """
        check_range(self.name, "events", events, *EVENTS, "")
        await self.command(f"SENS:EVEN {events};TUBE {tube.value}")
        await self.measure(pace, _SIP_S + events / _PER_S)
        for _ in range(QUERY_RETRIES + 1):
            data = await self.query_block("FETC:FCS?", _BULK_TIMEOUT_S)
            if await self.query("FETC:FCS:CRC?") == f"#H{zlib.crc32(data):08X}":
                return self._parsed(data, events)
        raise GarbledReply(self.name, "the FCS file has another checksum than the cytometer tells, each time")

    def _parsed(self, data: bytes, events: int) -> Cytometry:
        try:
            file = flowio.FlowData(io.BytesIO(data))
            table = np.asarray(file.as_array(preprocess=False), dtype=np.float64)
        except (flowio.exceptions.FCSParsingError, StructError, ValueError, KeyError) as error:
            raise GarbledReply(self.name, f"sent a file that is no FCS file: {error}") from error
        if table.shape[0] != events or not np.all(np.isfinite(table)):
            raise GarbledReply(self.name, f"{table.shape[0]} events came, {events} were wanted, or not all are numbers")
        return Cytometry(tuple(file.pnn_labels), table, data)
