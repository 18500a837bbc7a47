# SPDX-License-Identifier: Apache-2.0
"""Atomic force microscope: force curves on single cells, over SCPI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .wire.exchange import check_range
from .wire.measurement import MeasuringInstrument
from .wire.pacing import Pace

POINTS = (64, 4000)
SPEED_M_S = (1.0e-7, 2.0e-5)
_BULK_TIMEOUT_S = 10.0
"""Steady time [s] for 4,000 numbers of text at 115,200 baud (5 s) with slack."""
_POSITION_S, _WAY_M = 15.0, 1.5e-6


@dataclass(frozen=True)
class ForceCurve:
    """An approach on one cell: tip positions [m] towards the cell and forces [N], both of shape (points,)."""

    cell: int
    position_m: npt.NDArray[np.float64]
    force_n: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cantilever:
    """The microscope's calibration: spring constant [N/m] and radius of the bead at the tip [m]."""

    spring_n_m: float
    radius_m: float


REFERENCE_GEL = 0
"""The reference gel beside the dish, by its number among the cells."""


class AtomicForceMicroscope(MeasuringInstrument):
    """One microscope; cells are numbered from 1."""

    async def cells(self) -> int:
        """Return how many cells can be reached."""
        return int(await self.query_number("SENS:CELL:COUN?"))

    async def place(self, cell: int) -> tuple[float, float]:
        """Return where a cell lies on the dish [m], from its middle."""
        check_range(self.name, "cell", cell, 1, 10_000, "")
        await self.command(f"SENS:CELL {cell}")
        x_m, y_m = await self.query_numbers("SENS:CELL:PLAC?", 2)
        return x_m, y_m

    async def cantilever(self) -> Cantilever:
        """Return the calibration of the cantilever."""
        return Cantilever(await self.query_number("CAL:SPR?"), await self.query_number("CAL:RAD?"))

    async def gel_modulus_pa(self) -> float:
        """Return the modulus of the reference gel by its certificate [Pa]."""
        return await self.query_number("CAL:GEL?")

    async def curve(self, cell: int, pace: Pace, *, points: int = 1000, speed_m_s: float = 2.0e-6) -> ForceCurve:
        """Measure one approach on a cell, or on the REFERENCE_GEL.

        Raises:
            OutOfRange: not possible with this microscope; nothing was sent.
            InstrumentRefused: there is no such cell.
        """
        check_range(self.name, "cell", cell, REFERENCE_GEL, 10_000, "")
        check_range(self.name, "points", points, *POINTS, "")
        check_range(self.name, "speed_m_s", speed_m_s, *SPEED_M_S, "m/s")
        await self.command(f"SENS:CELL {cell};POIN {points};SPE {speed_m_s:.6E}")
        await self.measure(pace, _POSITION_S + _WAY_M / speed_m_s)
        position = await self.query_numbers("FETC:CURV:POS?", points, _BULK_TIMEOUT_S)
        force = await self.query_numbers("FETC:CURV:FORC?", points, _BULK_TIMEOUT_S)
        return ForceCurve(cell, np.array(position), np.array(force))
