# SPDX-License-Identifier: Apache-2.0
"""Calibrations that were made here: on disk, with what was found, what was left, by whom, and until when they hold."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .durable_file import write_durably
from .errors import WorkcellError

FOLDER = "calibrations"


class CalibrationError(WorkcellError):
    """A calibration that cannot be read or must not be kept; says which and why."""


@dataclass(frozen=True)
class Calibration:
    """One calibration of one quantity of an instrument.

    What is true is taken as `factor` times what the instrument says, plus `offset`.

    Args:
        instrument: line of the site file, or device on it.
        quantity: what was calibrated, with its unit.
        found: deviation before, in the unit of `quantity` or as a share.
        left: deviation after.
        factor, offset: the correction from now on.
        reference: what it was compared with.
        by: who did it.
        made: day, ISO 8601.
        due: day until which it holds, ISO 8601.
    """

    instrument: str
    quantity: str
    found: float
    left: float
    factor: float
    offset: float
    reference: str
    by: str
    made: str
    due: str

    def __post_init__(self) -> None:
        which = f"calibration of {self.instrument}"
        for name in ("found", "left", "factor", "offset"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise CalibrationError(f"{which}: {name} is {value!r}; allowed: a finite number")
        if not 0.5 <= self.factor <= 2.0:
            raise CalibrationError(f"{which}: factor is {self.factor:g}; allowed: 0.5 to 2")
        try:
            made, due = datetime.date.fromisoformat(self.made), datetime.date.fromisoformat(self.due)
        except ValueError as error:
            raise CalibrationError(f"{which}: {error}; allowed: year-month-day") from error
        if due < made:
            raise CalibrationError(f"{which}: due {self.due} is before it was made, {self.made}")


class CalibrationBook:
    """The calibrations of one module, in one file that its node writes and the coordinator reads.

    Args:
        path: the file; None keeps them in memory.
        today: the day it is.

    Raises:
        CalibrationError: the file is there and cannot be used.
    """

    def __init__(self, path: Path | None, today: Callable[[], datetime.date] | None = None) -> None:
        self._path = path
        self._today = today or (lambda: datetime.datetime.now(datetime.UTC).date())
        self._known = {c.instrument: c for c in _read(path)} if path is not None and path.is_file() else {}

    def of(self, instrument: str) -> Calibration | None:
        """Return the last calibration of an instrument; None when it was never calibrated here."""
        return self._known.get(instrument)

    def factor(self, instrument: str) -> float:
        """Return the factor that corrects an instrument; 1 when it was never calibrated here."""
        known = self.of(instrument)
        return 1.0 if known is None else known.factor

    def offset(self, instrument: str) -> float:
        """Return the offset that corrects an instrument; 0 when it was never calibrated here."""
        known = self.of(instrument)
        return 0.0 if known is None else known.offset

    def keep(
        self,
        instrument: str,
        quantity: str,
        *,
        found: float,
        left: float,
        reference: str,
        by: str,
        valid_d: float,
        factor: float = 1.0,
        offset: float = 0.0,
    ) -> Calibration:
        """Keep a calibration made today that holds `valid_d` days; on disk when this returns."""
        today = self._today()
        due = today + datetime.timedelta(days=valid_d)
        made = Calibration(
            instrument, quantity, found, left, factor, offset, reference, by, today.isoformat(), due.isoformat()
        )
        known = {**self._known, instrument: made}
        if self._path is not None:
            write_durably(self._path, json.dumps([asdict(c) for c in known.values()], indent=1) + "\n")
        self._known = known
        return made

    def __iter__(self) -> Iterator[Calibration]:
        return iter(self._known.values())


def book_file(state_dir: Path, module: str) -> Path:
    """Return where a module keeps its calibrations."""
    return state_dir / FOLDER / f"{module}.json"


def made_here(state_dir: Path) -> dict[str, Calibration]:
    """Return the calibrations that the modules keep, by instrument.

    Raises:
        CalibrationError: a module's calibrations cannot be read: unknown is not fine.
    """
    files = sorted((state_dir / FOLDER).glob("*.json"))
    return {calibration.instrument: calibration for path in files for calibration in _read(path)}


def due_dates(site_due: Mapping[str, str], made: Mapping[str, Calibration]) -> dict[str, str]:
    """Return instrument → ISO date until which it is calibrated: the site file's, and what was calibrated since.

    A calibration made here counts for the line of the site file of its name, and as an instrument of its own else.
    """
    return {**site_due, **{name: calibration.due for name, calibration in made.items()}}


def _read(path: Path) -> list[Calibration]:
    names = {field.name for field in fields(Calibration)}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        for item in data:
            if set(item) != names:
                raise CalibrationError(f"{path}: fields {sorted(item)}; allowed: {sorted(names)}")
        return [Calibration(**item) for item in data]
    except (OSError, ValueError, TypeError) as error:
        raise CalibrationError(f"{path}: cannot be read: {error}; restore a copy or calibrate anew") from error
