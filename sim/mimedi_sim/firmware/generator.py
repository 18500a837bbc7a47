# SPDX-License-Identifier: Apache-2.0
"""A function generator with the Keysight 33500B command set, as far as the sorter uses it.

Source: Keysight 33500 Series Operating and Service Guide, SCPI: SOURce:FREQuency, SOURce:VOLTage, OUTPut.
"""

from __future__ import annotations

from .scpi import ScpiFirmware, number, switch


class ScpiGenerator(ScpiFirmware):
    """Sine generator; the plant reads `frequency_hz`, `amplitude_vpp` and `output_on`. Off after power-up."""

    IDENTITY = "Agilent Technologies,33511B,MY52100001,3.05-1.19-2.00-52-00"

    def __init__(self) -> None:
        super().__init__()
        self.reset()
        self.on("*RST", lambda _, __: self.reset())
        self.on("[SOURce[1]:]FREQuency", self._set_frequency)
        self.on("[SOURce[1]:]FREQuency?", lambda _, __: f"{self.frequency_hz:+.15E}")
        self.on("[SOURce[1]:]VOLTage", self._set_amplitude)
        self.on("[SOURce[1]:]VOLTage?", lambda _, __: f"{self.amplitude_vpp:+.15E}")
        self.on("OUTPut[1][:STATe]", self._set_output)
        self.on("OUTPut[1][:STATe]?", lambda _, __: str(int(self.output_on)))

    def reset(self) -> None:
        """Go back to the power-up state: 1 kHz, 0.1 V, output off."""
        self.frequency_hz = 1000.0
        self.amplitude_vpp = 0.1
        self.output_on = False

    def _set_frequency(self, text: str, now_s: float) -> None:
        self.frequency_hz = number(text, 1e-6, 20.0e6)

    def _set_amplitude(self, text: str, now_s: float) -> None:
        self.amplitude_vpp = number(text, 1e-3, 10.0)

    def _set_output(self, text: str, now_s: float) -> None:
        self.output_on = switch(text)
