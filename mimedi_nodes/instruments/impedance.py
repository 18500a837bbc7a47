# SPDX-License-Identifier: Apache-2.0
"""Impedance analyser with SCPI (Keysight E4990A command set) on the sorter's transducer.

Source: Keysight E4990A Programming Guide: SENSe:FREQuency, SENSe:SWEep:POINts, CALCulate:PARameter:DEFine (R,
X),
INITiate, TRIGger:SINGle, CALCulate:DATA:FDATa?.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .wire.exchange import QUERY_RETRIES, OutOfRange, check_range
from .wire.link import GarbledReply, InstrumentError, Link
from .wire.scpi import ScpiInstrument

FREQUENCY_HZ = (20.0, 120.0e6)
POINTS = (2, 1601)
_BULK_TIMEOUT_S = 20.0
"""Steady time [s] for 1,601 points of text at 115,200 baud (6 s) with slack."""


@dataclass(frozen=True)
class ImpedanceSweep:
    """One sweep: frequencies [Hz] and complex impedances [ohm], both of shape (points,)."""

    frequency_hz: npt.NDArray[np.float64]
    impedance_ohm: npt.NDArray[np.complex128]


class ImpedanceAnalyser(ScpiInstrument):
    """Linear frequency sweeps of a complex impedance R + jX."""

    def __init__(self, link: Link, name: str) -> None:
        super().__init__(link, name)

    async def sweep(self, start_hz: float, stop_hz: float, points: int) -> ImpedanceSweep:
        """Measure once from `start_hz` to `stop_hz` [Hz] at `points` frequencies with equal steps.

        Raises:
            OutOfRange: not possible with this analyser; nothing was sent.
            InstrumentError: the analyser measured something else than was asked.
        """
        check_range(self.name, "start_hz", start_hz, *FREQUENCY_HZ, "Hz")
        check_range(self.name, "stop_hz", stop_hz, *FREQUENCY_HZ, "Hz")
        check_range(self.name, "points", points, *POINTS, "")
        if stop_hz <= start_hz:
            raise OutOfRange(self.name, f"stop_hz = {stop_hz:g} Hz refused; allowed: above start_hz = {start_hz:g} Hz")
        await self.command("*CLS")
        await self.command(
            "INIT1:CONT OFF;:TRIG:SOUR BUS;:CALC1:PAR:COUN 2;:CALC1:PAR1:DEF R;:CALC1:PAR2:DEF X;:FORM:DATA ASC"
        )
        await self.command(f"SENS1:FREQ:STAR {start_hz:.9E};STOP {stop_hz:.9E};:SENS1:SWE:TYPE LIN;POIN {points}")
        await self.command("INIT1:IMM")
        if await self.query("TRIG:SING;*OPC?", _BULK_TIMEOUT_S) not in ("1", "+1"):
            raise GarbledReply(self.name, "*OPC? did not answer 1 after the sweep")
        frequency_hz = await self._numbers("SENS1:FREQ:DATA?", points)
        asked_hz = np.linspace(start_hz, stop_hz, points)
        if not np.allclose(frequency_hz, asked_hz, rtol=1e-6, atol=0.0):
            raise InstrumentError(
                self.name, f"swept {frequency_hz[0]:g} to {frequency_hz[-1]:g} Hz instead of what was asked"
            )
        # A formatted trace has two numbers a point; the second is zero for the real formats R and X.
        resistance = (await self._numbers("CALC1:PAR1:SEL;:CALC1:DATA:FDAT?", 2 * points))[::2]
        reactance = (await self._numbers("CALC1:PAR2:SEL;:CALC1:DATA:FDAT?", 2 * points))[::2]
        return ImpedanceSweep(asked_hz, resistance + 1j * reactance)

    async def _numbers(self, query: str, count: int) -> npt.NDArray[np.float64]:
        found = 0
        for _ in range(QUERY_RETRIES + 1):
            answer = await self.query(query, _BULK_TIMEOUT_S)
            try:
                values = np.array(list(map(float, answer.split(","))), dtype=np.float64)
            except ValueError:
                continue
            found = values.size
            if found == count and bool(np.all(np.isfinite(values))):
                return values
        raise GarbledReply(self.name, f"{query} gave {found} numbers; expected {count}")
