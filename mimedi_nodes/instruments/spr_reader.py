# SPDX-License-Identifier: Apache-2.0
"""Surface plasmon resonance reader: sensorgrams of an analyte over its ligand, over SCPI."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .wire.exchange import check_range
from .wire.link import GarbledReply, InstrumentRefused
from .wire.scpi import ScpiInstrument

MOST_READINGS = 600
_BULK_TIMEOUT_S = 5.0


class Valve(enum.Enum):
    """What flows over the chip."""

    BUFFER = "BUFF"
    SAMPLE = "SAMP"
    REGENERATION = "REG"
    CONTROL = "CONT"


class Analyte(enum.Enum):
    """What the chip's ligands bind."""

    IL2 = "IL2"
    IFN_GAMMA = "IFNG"


@dataclass(frozen=True)
class Kinetics:
    """The surface's calibration: association [1/M/s], dissociation [1/s], capacity of a fresh surface [RU]."""

    association_per_m_s: float
    dissociation_per_s: float
    capacity_ru: float


@dataclass(frozen=True)
class Sensorgram:
    """Readings at 1 Hz: number of the first second, ligand and reference channel [RU], shape (seconds,)."""

    first_second: int
    ligand_ru: npt.NDArray[np.float64]
    reference_ru: npt.NDArray[np.float64]


class SprReader(ScpiInstrument):
    """One reader; it reads once a second by itself, seconds are counted from its power-up."""

    async def select(self, analyte: Analyte) -> None:
        """Look at the channel of an analyte."""
        await self.command(f"SENS:ANAL {analyte.value}")

    async def kinetics(self) -> Kinetics:
        """Return the calibration of the selected channel."""
        association, dissociation, capacity = await self.query_numbers("CAL:KIN?", 3)
        return Kinetics(association, dissociation, capacity)

    async def control_m(self) -> float:
        """Return the concentration of the selected channel's control solution by its certificate [mol/L]."""
        return await self.query_number("CAL:CONT?")

    async def ensure_flow(self, valve: Valve) -> None:
        """Let this flow over the chip; read back. Repeating is harmless."""
        if await self.flowing() is not valve:
            await self.command(f"ROUT:VALV {valve.value}")

    async def flowing(self) -> Valve:
        """Return what flows over the chip."""
        text = await self.query("ROUT:VALV?")
        for valve in Valve:
            if text.startswith(valve.value):
                return valve
        raise GarbledReply(self.name, f"ROUT:VALV? answered {text!r}")

    async def is_off(self) -> bool:
        """Tell whether only buffer flows."""
        return await self.flowing() is Valve.BUFFER

    async def second(self) -> int:
        """Return the number of the last second that was read."""
        return int(await self.query_number("FETC:SENS:SEC?"))

    async def sensorgram(self, first_second: int, seconds: int) -> Sensorgram:
        """Return the readings of `seconds` seconds from first_second on.

        Raises InstrumentRefused: they are not all read yet.
        """
        check_range(self.name, "first_second", first_second, 0, 1e9, "s")
        check_range(self.name, "seconds", seconds, 1, 86_400, "s")
        last = await self.second()
        if first_second + seconds - 1 > last:
            wanted = first_second + seconds - 1
            raise InstrumentRefused(self.name, f"second {wanted} is not read yet; the last is {last}")
        found: list[float] = []
        while len(found) < 2 * seconds:
            count = min(MOST_READINGS, seconds - len(found) // 2)
            query = f"FETC:SENS? {first_second + len(found) // 2},{count}"
            found += await self.query_numbers(query, 2 * count, _BULK_TIMEOUT_S)
        pairs = np.array(found).reshape(-1, 2)
        return Sensorgram(first_second, pairs[:, 0], pairs[:, 1])
