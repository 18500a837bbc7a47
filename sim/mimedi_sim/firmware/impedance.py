# SPDX-License-Identifier: Apache-2.0
"""An impedance analyser with the Keysight E4990A command set, as far as the sorter uses it.

Simplified against the device: a triggered sweep is over in no process time.
Source: Keysight E4990A Programming Guide (SENSe, CALCulate, INITiate, TRIGger).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .scpi import ScpiError, ScpiFirmware, number, switch

Impedance = Callable[[npt.NDArray[np.float64], float], npt.NDArray[np.complex128]]
"""Frequencies [Hz], shape (n,), and process time [s] to impedances [ohm], shape (n,)."""

_FORMATS: dict[str, Callable[[npt.NDArray[np.complex128]], npt.NDArray[np.float64]]] = {
    "R": np.real,
    "X": np.imag,
    "Z": np.abs,
}


class ScpiImpedanceAnalyser(ScpiFirmware):
    """Linear sweeps of `impedance`, measured when triggered, kept until the next trigger."""

    IDENTITY = "Keysight Technologies,E4990A,MY54100001,A.02.12"

    def __init__(self, impedance: Impedance) -> None:
        super().__init__()
        self._impedance = impedance
        self.reset()
        self.on("SENSe[1]:FREQuency:STARt", self._set_start)
        self.on("SENSe[1]:FREQuency:STARt?", lambda _, __: f"{self._start_hz:.12E}")
        self.on("SENSe[1]:FREQuency:STOP", self._set_stop)
        self.on("SENSe[1]:FREQuency:STOP?", lambda _, __: f"{self._stop_hz:.12E}")
        self.on("SENSe[1]:FREQuency:DATA?", lambda _, __: _join(self._sweep_hz()))
        self.on("SENSe[1]:SWEep:POINts", self._set_points)
        self.on("SENSe[1]:SWEep:POINts?", lambda _, __: str(self._points))
        self.on("SENSe[1]:SWEep:TYPE", self._only("LIN", "LINEAR"))
        self.on("CALCulate[1]:PARameter:COUNt", self._only("2"))
        self.on("CALCulate[1]:PARameter[1]:DEFine", lambda text, _: self._define(1, text))
        self.on("CALCulate[1]:PARameter2:DEFine", lambda text, _: self._define(2, text))
        self.on("CALCulate[1]:PARameter[1]:SELect", lambda _, __: self._select(1))
        self.on("CALCulate[1]:PARameter2:SELect", lambda _, __: self._select(2))
        self.on("CALCulate[1][:SELected]:DATA:FDATa?", lambda _, __: self._formatted())
        self.on("INITiate[1]:CONTinuous", self._set_continuous)
        self.on("INITiate[1][:IMMediate]", lambda _, __: self._arm())
        self.on("TRIGger[:SEQuence]:SOURce", self._only("BUS"))
        self.on("TRIGger[:SEQuence]:SINGle", self._trigger)
        self.on("FORMat:DATA", self._only("ASC", "ASCII"))

    def reset(self) -> None:
        """Go back to the state of *RST: 20 Hz to 20 MHz, 201 points, continuous, nothing measured."""
        self._start_hz, self._stop_hz, self._points = 20.0, 20.0e6, 201
        self._traces = {1: "Z", 2: "X"}
        self._selected = 1
        self._armed, self._continuous = False, True
        self._swept_hz: npt.NDArray[np.float64] | None = None
        self._measured: npt.NDArray[np.complex128] | None = None

    def _set_start(self, text: str, now_s: float) -> None:
        self._start_hz = number(text, 20.0, 120.0e6, "HZ")

    def _set_stop(self, text: str, now_s: float) -> None:
        self._stop_hz = number(text, 20.0, 120.0e6, "HZ")

    def _set_points(self, text: str, now_s: float) -> None:
        self._points = int(number(text, 2, 1601))

    def _set_continuous(self, text: str, now_s: float) -> None:
        self._continuous = switch(text)

    def _only(self, *allowed: str) -> Callable[[str, float], None]:
        """Return a handler for a setting of which only one value exists here."""

        def check(text: str, now_s: float) -> None:
            if text.upper() not in allowed:
                raise ScpiError(-224, "Illegal parameter value")

        return check

    def _define(self, trace: int, text: str) -> None:
        if text.upper() not in _FORMATS:
            raise ScpiError(-224, "Illegal parameter value")
        self._traces[trace] = text.upper()

    def _select(self, trace: int) -> None:
        self._selected = trace

    def _arm(self) -> None:
        if self._continuous:
            raise ScpiError(-213, "Init ignored")
        self._armed = True

    def _trigger(self, text: str, now_s: float) -> None:
        if not self._armed:
            raise ScpiError(-211, "Trigger ignored")
        self._armed = False
        self._swept_hz = self._sweep_hz()
        self._measured = np.asarray(self._impedance(self._swept_hz, now_s), dtype=np.complex128)

    def _sweep_hz(self) -> npt.NDArray[np.float64]:
        return np.linspace(self._start_hz, self._stop_hz, self._points)

    def _formatted(self) -> str:
        if self._measured is None:
            raise ScpiError(-230, "Data corrupt or stale")
        values = _FORMATS[self._traces[self._selected]](self._measured)
        return ",".join(map("{:.11E},0.00000000000E+00".format, values.tolist()))


def _join(values: npt.NDArray[np.float64]) -> str:
    return ",".join(map("{:.11E}".format, values.tolist()))
