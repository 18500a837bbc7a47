# SPDX-License-Identifier: Apache-2.0
"""Plate reader with an immunoassay: absorbances of 96 wells, over SCPI.

Wells: standards in rows A to H of columns 1 and 2, the sample in dilutions in rows A to H of columns 3 and 4, a control
of another lot in column 5, blanks in the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .spr_reader import Analyte
from .wire.measurement import MeasuringInstrument
from .wire.pacing import Pace

ROWS, COLUMNS = 8, 12
_READ_S = 60.0


@dataclass(frozen=True)
class Plate:
    """One plate: absorbances at 450 nm, shape (8, 12); standards [pg/mL] and dilution factors of rows A to H; the
    control's concentration by its certificate [pg/mL].
    """

    absorbance: npt.NDArray[np.float64]
    standards_pg_ml: npt.NDArray[np.float64]
    dilutions: npt.NDArray[np.float64]
    control_pg_ml: float

    @property
    def control(self) -> npt.NDArray[np.float64]:
        """Absorbances of the control, shape (8,)."""
        return self.absorbance[:, 4]

    @property
    def blank(self) -> float:
        """Mean absorbance of the blanks."""
        return float(self.absorbance[:, 5:].mean())


class PlateReader(MeasuringInstrument):
    """One reader."""

    async def read(self, analyte: Analyte, pace: Pace) -> Plate:
        """Run the assay of an analyte on the sample and read the plate."""
        await self.command(f"SENS:ANAL {analyte.value}")
        standards = await self.query_numbers("CAL:STAN?", ROWS)
        dilutions = await self.query_numbers("CAL:DIL?", ROWS)
        control = await self.query_number("CAL:CONT?")
        await self.measure(pace, _READ_S)
        wells = await self.query_numbers("FETC:PLAT?", ROWS * COLUMNS)
        return Plate(np.array(wells).reshape(ROWS, COLUMNS), np.array(standards), np.array(dilutions), control)
