# SPDX-License-Identifier: Apache-2.0
"""Function generator with SCPI (Keysight 33500B command set) that drives the sorter's amplifier.

Source: Keysight 33500 Series Operating and Service Guide, SCPI: SOURce:FREQuency, SOURce:VOLTage, OUTPut.
"""

from __future__ import annotations

from .wire.exchange import QUERY_RETRIES, check_range
from .wire.link import GarbledReply, InstrumentError, Link
from .wire.scpi import ScpiInstrument

FREQUENCY_HZ = (1.0, 20.0e6)
AMPLITUDE_VPP = (1.0e-3, 10.0)
"""Allowed amplitude into 50 ohm [V peak to peak]."""

_RELATIVE_TOLERANCE = 1e-6


class FunctionGenerator(ScpiInstrument):
    """Sine output with a frequency, an amplitude and a switch."""

    def __init__(self, link: Link, name: str) -> None:
        super().__init__(link, name)

    async def ensure_output(self, frequency_hz: float, amplitude_vpp: float) -> None:
        """Have the output on with this sine; read back. Repeating is harmless and leaves the output on.

        Raises:
            OutOfRange: not possible with this generator; nothing was sent.
            InstrumentError: what is read back differs from what was set.
        """
        check_range(self.name, "frequency_hz", frequency_hz, *FREQUENCY_HZ, "Hz")
        check_range(self.name, "amplitude_vpp", amplitude_vpp, *AMPLITUDE_VPP, "V")
        await self._ensure_value("SOUR1:FREQ", frequency_hz, "Hz")
        await self._ensure_value("SOUR1:VOLT", amplitude_vpp, "V")
        await self._ensure_switch(on=True)

    async def output_off(self) -> None:
        """Switch the output off and confirm; repeating is harmless."""
        await self._ensure_switch(on=False)

    async def is_off(self) -> bool:
        """Tell whether the output is off."""
        return not await self._is_on()

    async def frequency_hz(self) -> float:
        """Return the frequency that is set [Hz]."""
        return await self.query_number("SOUR1:FREQ?")

    async def amplitude_vpp(self) -> float:
        """Return the amplitude that is set [V peak to peak]."""
        return await self.query_number("SOUR1:VOLT?")

    async def _ensure_value(self, header: str, value: float, unit: str) -> None:
        found = await self.query_number(f"{header}?")
        for _ in range(QUERY_RETRIES + 1):
            if abs(found - value) <= _RELATIVE_TOLERANCE * abs(value):
                return
            await self.command(f"{header} {value:.9E}")
            found = await self.query_number(f"{header}?")
        raise InstrumentError(self.name, f"{header} reads {found:g} {unit} after being set to {value:g} {unit}")

    async def _ensure_switch(self, *, on: bool) -> None:
        for _ in range(QUERY_RETRIES + 1):
            await self.command(f"OUTP1 {'ON' if on else 'OFF'}")
            if await self._is_on() == on:
                return
        raise InstrumentError(
            self.name, f"output stays {'off' if on else 'on'} after being switched {'on' if on else 'off'}"
        )

    async def _is_on(self) -> bool:
        answer = ""
        for _ in range(QUERY_RETRIES + 1):
            answer = await self.query("OUTP1?")
            if answer in ("0", "1"):
                return answer == "1"
        raise GarbledReply(self.name, f"OUTP1? answered {answer!r}; expected 0 or 1")
