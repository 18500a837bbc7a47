# SPDX-License-Identifier: Apache-2.0
"""The map of a stiffness measurement as a file of the record: one line a cell, where it lies and how stiff it is."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from .errors import RecordError

SUFFIX = ".stiffness.csv"
MEDIA_TYPE = "text/csv"


@dataclass(frozen=True)
class CellStiffness:
    """A cell's number, place on the dish [um], Young's modulus with standard error [Pa], share of the median."""

    cell: int
    x_um: float
    y_um: float
    modulus_pa: float
    sd_pa: float
    relative: float


_COLUMNS = tuple(field.name for field in fields(CellStiffness))


def to_csv(cells: Sequence[CellStiffness]) -> bytes:
    """Return the file."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for c in cells:
        rows.writerow(
            (c.cell, f"{c.x_um:.2f}", f"{c.y_um:.2f}", f"{c.modulus_pa:.2f}", f"{c.sd_pa:.2f}", f"{c.relative:.4f}")
        )
    return text.getvalue().encode("ascii")


def from_csv(content: bytes) -> list[CellStiffness]:
    """Return the cells of a file.

    Raises:
        RecordError: not such a file, or a number that is none.
    """
    try:
        head, *rows = csv.reader(io.StringIO(content.decode("ascii")))
        if tuple(head) != _COLUMNS:
            raise ValueError(f"columns {head}; wanted {list(_COLUMNS)}")
        cells = [CellStiffness(int(row[0]), *map(float, row[1:])) for row in rows]
    except (ValueError, IndexError, TypeError) as error:
        raise RecordError(f"stiffness map: {error}") from error
    for c in cells:
        if not (all(map(math.isfinite, (c.x_um, c.y_um, c.sd_pa))) and c.modulus_pa > 0.0 and c.relative > 0.0):
            raise RecordError(f"stiffness map: cell {c.cell} has no modulus or place: {c}")
    return cells
