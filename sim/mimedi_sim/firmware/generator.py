# SPDX-License-Identifier: Apache-2.0
"""A function generator with the Keysight 33500B command set, as far as the sorter uses it.

Source: Keysight 33500 Series Operating and Service Guide, SCPI: SOURce:FREQuency, SOURce:VOLTage, OUTPut.
"""

from __future__ import annotations

from .scpi import Answer, ScpiFirmware, choice, number, switch

FREQUENCY_HZ, AMPLITUDE_V = (1e-6, 20.0e6), (1e-3, 10.0)


class ScpiGenerator(ScpiFirmware):
    """Sine generator; the plant reads `frequency_hz`, `amplitude_vpp` and `output_on`. Off after power-up."""

    IDENTITY = "Agilent Technologies,33511B,MY52100001,3.05-1.19-2.00-52-00"

    def __init__(self) -> None:
        super().__init__()
        self.reset()
        self.on("[SOURce[1]:]FREQuency[:FIXed]", self._set_frequency)
        self.on("[SOURce[1]:]FREQuency[:FIXed]?", lambda text, _: _asked(text, self.frequency_hz, FREQUENCY_HZ))
        self.on("[SOURce[1]:]VOLTage[:AMPLitude]", self._set_amplitude)
        self.on("[SOURce[1]:]VOLTage[:AMPLitude]?", lambda text, _: _asked(text, self.amplitude_vpp, AMPLITUDE_V))
        self.on("[SOURce[1]:]VOLTage:UNIT", lambda text, _: self._only(text, "VPP"))
        self.on("[SOURce[1]:]VOLTage:UNIT?", lambda _, __: "VPP")
        self.on("[SOURce[1]:]FUNCtion[:SHAPe]", lambda text, _: self._only(text, "SINusoid"))
        self.on("[SOURce[1]:]FUNCtion[:SHAPe]?", lambda _, __: "SIN")
        self.on("[SOURce[1]:]APPLy:SINusoid", self._apply)
        self.on("[SOURce[1]:]APPLy?", self._applied)
        self.on("OUTPut[1][:STATe]", self._set_output)
        self.on("OUTPut[1][:STATe]?", lambda _, __: str(int(self.output_on)))
        self.on("OUTPut[1]:LOAD?", lambda _, __: "+5.000000000000000E+01")

    def reset(self) -> None:
        """Go back to the power-up state: 1 kHz, 0.1 V, output off."""
        self.frequency_hz = 1000.0
        self.amplitude_vpp = 0.1
        self.output_on = False

    def _set_frequency(self, text: str, now_s: float) -> None:
        self.frequency_hz = number(text, *FREQUENCY_HZ, "HZ")

    def _set_amplitude(self, text: str, now_s: float) -> None:
        self.amplitude_vpp = number(text, *AMPLITUDE_V, "V")

    def _set_output(self, text: str, now_s: float) -> None:
        self.output_on = switch(text)

    def _only(self, text: str, word: str) -> None:
        choice(text, word)

    def _apply(self, text: str, now_s: float) -> None:
        """Take frequency and amplitude at once, and switch on."""
        frequency, _, rest = text.partition(",")
        amplitude = rest.partition(",")[0].strip()
        wanted_hz = number(frequency.strip(), *FREQUENCY_HZ, "HZ")
        wanted_v = number(amplitude, *AMPLITUDE_V, "V") if amplitude else self.amplitude_vpp
        self.frequency_hz, self.amplitude_vpp, self.output_on = wanted_hz, wanted_v, True

    def _applied(self, text: str, now_s: float) -> Answer:
        return f'"SIN {self.frequency_hz:+.15E},{self.amplitude_vpp:+.15E},+0.0000000000000E+00"'


def _asked(text: str, value: float, limits: tuple[float, float]) -> str:
    """Return a value, or its limit for `? MIN` and `? MAX`."""
    return f"{number(text, *limits) if text else value:+.15E}"
