# SPDX-License-Identifier: Apache-2.0
"""Analytical instruments on SCPI: what they share is a measurement that takes time and is fetched afterwards.

The makers' own remote interfaces are not public; headers follow SCPI 1999.0 (INITiate, ABORt, FETCh, STATus, SENSe).
docs/protocols.md is their description.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mimedi_sim.firmware.scpi import MEASURING, ScpiError, ScpiFirmware, block, choice, number

FloatArray = npt.NDArray[np.float64]
Result = TypeVar("Result")

POSITION_S, READ_PLATE_S, DROPLET_RUN_S = 15.0, 60.0, 120.0
EVENTS_PER_S = 500.0
EVENTS = (500, 30_000)
ANALYTES = ("IL2", "IFNG")
VALVE = ("BUFFer", "SAMPle", "REGenerate", "CONTrol")
TUBES = ("SAMPle", "CONTrol")
WELLS = ("SAMPle", "NTC")
_STALE = ScpiError(-230, "Data corrupt or stale")


def joined(values: Iterable[float], form: str = ".6E") -> str:
    """Return numbers as SCPI writes a list."""
    numbers = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return ",".join([f"%{form}"] * len(numbers)) % tuple(numbers)


class Measurement(ScpiFirmware, Generic[Result]):
    """INITiate takes the sample at that moment; the result can be fetched when its time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._ends_s = -math.inf
        self._measuring = False
        self._result: Result | None = None
        self.on("INITiate[:IMMediate]", lambda _, now_s: self._begin(now_s))
        self.on("ABORt", lambda _, now_s: self._abort(now_s))

    def duration_s(self) -> float:
        """Return how long a measurement takes."""
        raise NotImplementedError

    def measured(self, run: int, now_s: float) -> Result:
        """Return what a measurement begun now will show; `run` counts from 0. Raises ScpiError."""
        raise NotImplementedError

    def operation_condition(self, now_s: float) -> int:
        """Return MEASURING while a measurement goes on."""
        return MEASURING if self._measuring and now_s < self._ends_s else 0

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power: what was measured is gone."""
        super().power_cycle(now_s)
        self._abort(now_s)

    def result(self, now_s: float) -> Result:
        """Return the last result. Raises ScpiError -230 while there is none."""
        if self._result is None or self.operation_condition(now_s):
            raise _STALE
        return self._result

    def _begin(self, now_s: float) -> None:
        if self.operation_condition(now_s):
            raise ScpiError(-213, "Init ignored")
        self._result = self.measured(self._number, now_s)
        self._number += 1
        self._measuring, self._ends_s = True, now_s + self.duration_s()

    def _abort(self, now_s: float) -> None:
        self._measuring, self._result = False, None


# -- atomic force microscope -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Cantilever:
    """What the microscope believes of its cantilever: spring constant [N/m], bead radius [m]."""

    spring_n_m: float
    radius_m: float


class ForceSource(Protocol):
    """Cells under the tip."""

    def cells(self, now_s: float) -> int:
        """Return how many cells can be reached."""
        ...

    def place_m(self, cell: int) -> tuple[float, float]:
        """Return where a cell lies on the dish [m]."""
        ...

    def curve(self, run: int, cell: int, points: int, speed_m_s: float, now_s: float) -> tuple[FloatArray, FloatArray]:
        """Return tip positions [m] and forces [N] of an approach on a cell; 0 is the reference gel."""
        ...

    def gel_pa(self) -> float:
        """Return the modulus of the reference gel by its certificate [Pa]."""
        ...

    def cantilever(self) -> Cantilever:
        """Return the calibration."""
        ...


class AtomicForceMicroscope(Measurement[tuple[FloatArray, FloatArray]]):
    """Force curves on one cell after the other."""

    IDENTITY = "MiMedI,AFM-3,AF0001,1.0"

    def __init__(self, source: ForceSource) -> None:
        self._source = source
        super().__init__()
        self.reset()
        self.on("SENSe:CELL:COUNt?", lambda _, now_s: str(source.cells(now_s)))
        self.on("SENSe:CELL", self._set_cell)
        self.on("SENSe:CELL:PLACe?", lambda _, __: joined(source.place_m(self._cell), ".4E"))
        self.on("SENSe:CELL?", lambda _, __: str(self._cell))
        self.on("SENSe:POINts", self._set_points)
        self.on("SENSe:POINts?", lambda _, __: str(self._points))
        self.on("SENSe:SPEed", self._set_speed)
        self.on("SENSe:SPEed?", lambda _, __: f"{self._speed_m_s:.6E}")
        self.on("CALibration:SPRing?", lambda _, __: f"{source.cantilever().spring_n_m:.6E}")
        self.on("CALibration:RADius?", lambda _, __: f"{source.cantilever().radius_m:.6E}")
        self.on("CALibration:GEL?", lambda _, __: f"{source.gel_pa():.6E}")
        self.on("FETCh:CURVe:POSition?", lambda _, now_s: joined(self.result(now_s)[0], ".5E"))
        self.on("FETCh:CURVe:FORCe?", lambda _, now_s: joined(self.result(now_s)[1], ".5E"))

    def reset(self) -> None:
        """First cell, 1,000 points, 2 um/s."""
        self._cell, self._points, self._speed_m_s = 1, 1000, 2.0e-6

    def duration_s(self) -> float:
        """Find the cell, then approach over 1.5 um."""
        return POSITION_S + 1.5e-6 / self._speed_m_s

    def measured(self, run: int, now_s: float) -> tuple[FloatArray, FloatArray]:
        """Return a force curve."""
        if self._cell > self._source.cells(now_s):
            raise ScpiError(-241, "Hardware missing")  # no such cell under the microscope
        return self._source.curve(run, self._cell, self._points, self._speed_m_s, now_s)

    def _set_cell(self, text: str, now_s: float) -> None:
        self._cell = int(number(text, 0, 10_000))

    def _set_points(self, text: str, now_s: float) -> None:
        self._points = int(number(text, 64, 4000))

    def _set_speed(self, text: str, now_s: float) -> None:
        self._speed_m_s = number(text, 1.0e-7, 2.0e-5)


# -- surface plasmon resonance ---------------------------------------------------------------------------


class BindingSource(Protocol):
    """A flow cell with a ligand channel and a reference channel."""

    def turn(self, now_s: float, valve: str, analyte: str) -> None:
        """Let buffer, sample or regeneration solution flow (a word of VALVE) over the ligand for an analyte."""
        ...

    def readings(self, analyte: str, first: int, count: int) -> list[tuple[float, float]]:
        """Return (ligand, reference) [RU] of seconds counted from the plant's start."""
        ...

    def second(self, now_s: float) -> int:
        """Return the number of the last whole second that has been read."""
        ...

    def kinetics(self, analyte: str) -> tuple[float, float, float]:
        """Return the surface's calibration: k_a [1/M/s], k_d [1/s], R_max [RU] when fresh."""
        ...

    def control_m(self, analyte: str) -> float:
        """Return the concentration of the control solution by its certificate [mol/L]."""
        ...


class SprReader(ScpiFirmware):
    """A biochip reader: one reading a second; valves at the program's command."""

    IDENTITY = "MiMedI,SPR-2,SP0001,1.0"
    MOST_READINGS = 600

    def __init__(self, source: BindingSource) -> None:
        super().__init__()
        self._source = source
        self._analyte, self._valve = ANALYTES[0], VALVE[0]
        self.on("SENSe:ANALyte", self._set_analyte)
        self.on("SENSe:ANALyte?", lambda _, __: self._analyte)
        self.on("ROUTe:VALVe", self._set_valve)
        self.on("ROUTe:VALVe?", lambda _, __: self._valve.upper()[:4])
        self.on("CALibration:KINetics?", lambda _, __: joined(source.kinetics(self._analyte)))
        self.on("CALibration:CONTrol?", lambda _, __: f"{source.control_m(self._analyte):.6E}")
        self.on("FETCh:SENSorgram:SECond?", lambda _, now_s: str(source.second(now_s)))
        self.on("FETCh:SENSorgram?", self._sensorgram)

    def reset(self) -> None:
        """The valve stays where it is: liquid flows on."""

    def _set_analyte(self, text: str, now_s: float) -> None:
        self._analyte = choice(text, *ANALYTES)

    def _set_valve(self, text: str, now_s: float) -> None:
        self._valve = choice(text, *VALVE)
        self._source.turn(now_s, self._valve, self._analyte)

    def _sensorgram(self, text: str, now_s: float) -> str:
        first_text, _, count_text = text.partition(",")
        last = self._source.second(now_s)
        first = int(number(first_text.strip(), 0, 1e9))
        count = int(number(count_text.strip(), 1, self.MOST_READINGS))
        if first + count - 1 > last:
            raise _STALE
        return joined((v for pair in self._source.readings(self._analyte, first, count) for v in pair), ".3f")


# -- plate reader ----------------------------------------------------------------------------------------


class PlateSource(Protocol):
    """An immunoassay on a 96-well plate."""

    def absorbances(self, run: int, analyte: str, now_s: float) -> FloatArray:
        """Return the absorbances at 450 nm, shape (8, 12): rows A to H."""
        ...

    def standards_pg_ml(self, analyte: str) -> Sequence[float]:
        """Return the concentrations of the standards in rows A to H of columns 1 and 2."""
        ...

    def dilutions(self) -> Sequence[float]:
        """Return the dilution factors of the sample in rows A to H of columns 3 and 4."""
        ...

    def control_pg_ml(self, analyte: str) -> float:
        """Return the concentration of the control in column 5 by its certificate."""
        ...


class PlateReader(Measurement[FloatArray]):
    """An absorbance reader with an assay prepared by its pipettor."""

    IDENTITY = "MiMedI,PR-96,PR0001,1.0"

    def __init__(self, source: PlateSource) -> None:
        super().__init__()
        self._source = source
        self._analyte = ANALYTES[1]
        self.on("SENSe:ANALyte", self._set_analyte)
        self.on("SENSe:ANALyte?", lambda _, __: self._analyte)
        self.on("SENSe:WAVelength?", lambda _, __: "450")
        self.on("CALibration:STANdards?", lambda _, __: joined(source.standards_pg_ml(self._analyte)))
        self.on("CALibration:CONTrol?", lambda _, __: f"{source.control_pg_ml(self._analyte):.6E}")
        self.on("CALibration:DILutions?", lambda _, __: joined(source.dilutions()))
        self.on("FETCh:PLATe?", lambda _, now_s: joined(self.result(now_s).ravel(), ".4f"))

    def duration_s(self) -> float:
        """Read 96 wells."""
        return READ_PLATE_S

    def measured(self, run: int, now_s: float) -> FloatArray:
        """Return a plate."""
        return self._source.absorbances(run, self._analyte, now_s)

    def _set_analyte(self, text: str, now_s: float) -> None:
        self._analyte = choice(text, *ANALYTES)


# -- droplet reader --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Droplets:
    """Droplets of a well: accepted, positive for the transgene, for the reference gene, for both."""

    accepted: int
    transgene: int
    reference: int
    both: int


class DropletSource(Protocol):
    """A digital PCR well with the sample's DNA, and one without any."""

    def droplets(self, run: int, now_s: float) -> Droplets:
        """Return what the reader counts."""
        ...

    def no_template(self, run: int) -> Droplets:
        """Return what the reader counts in the well without DNA."""
        ...


class DropletReader(Measurement[Droplets]):
    """A droplet digital PCR reader with a transgene and a reference channel."""

    IDENTITY = "MiMedI,DR-2,DR0001,1.0"
    DROPLET_NL = 0.85

    def __init__(self, source: DropletSource) -> None:
        self._source = source
        super().__init__()
        self.reset()
        self.on("SENSe:WELL", self._set_well)
        self.on("SENSe:WELL?", lambda _, __: self._well.upper()[:4])
        self.on("CALibration:DROPlet:VOLume?", lambda _, __: f"{self.DROPLET_NL * 1e-9:.3E}")  # L
        self.on("FETCh:DROPlets?", lambda _, now_s: ",".join(str(v) for v in vars(self.result(now_s)).values()))

    def duration_s(self) -> float:
        """Read one well."""
        return DROPLET_RUN_S

    def measured(self, run: int, now_s: float) -> Droplets:
        """Return a well's droplets."""
        return self._source.no_template(run) if self._well == WELLS[1] else self._source.droplets(run, now_s)

    def reset(self) -> None:
        """The sample's well."""
        self._well = WELLS[0]

    def _set_well(self, text: str, now_s: float) -> None:
        self._well = choice(text, *WELLS)


# -- flow cytometer --------------------------------------------------------------------------------------


class CytometrySource(Protocol):
    """A stained sample, and control beads stained with the same cocktail."""

    def fcs(self, run: int, events: int, now_s: float) -> bytes:
        """Return a measurement as an FCS file. Raises ScpiError when there is nothing to measure."""
        ...

    def control_fcs(self, run: int, events: int) -> bytes:
        """Return a measurement of the control beads as an FCS file."""
        ...


class FlowCytometer(Measurement[bytes]):
    """A cytometer that exports FCS files as blocks, with a CRC-32 beside them."""

    IDENTITY = "MiMedI,FC-7,FC0001,1.0"

    def __init__(self, source: CytometrySource) -> None:
        self._source = source
        super().__init__()
        self.reset()
        self.on("SENSe:EVENts", self._set_events)
        self.on("SENSe:EVENts?", lambda _, __: str(self._events_wanted))
        self.on("SENSe:TUBE", self._set_tube)
        self.on("SENSe:TUBE?", lambda _, __: self._tube.upper()[:4])
        self.on("FETCh:FCS?", lambda _, now_s: block(self.result(now_s)))
        self.on("FETCh:FCS:CRC?", lambda _, now_s: f"#H{zlib.crc32(self.result(now_s)):08X}")

    def reset(self) -> None:
        """20,000 events of the sample."""
        self._events_wanted, self._tube = 20_000, TUBES[0]

    def duration_s(self) -> float:
        """Sip, then 500 events a second."""
        return POSITION_S + self._events_wanted / EVENTS_PER_S

    def measured(self, run: int, now_s: float) -> bytes:
        """Return an FCS file."""
        if self._tube == TUBES[1]:
            return self._source.control_fcs(run, self._events_wanted)
        return self._source.fcs(run, self._events_wanted, now_s)

    def _set_tube(self, text: str, now_s: float) -> None:
        self._tube = choice(text, *TUBES)

    def _set_events(self, text: str, now_s: float) -> None:
        self._events_wanted = int(number(text, *EVENTS))


