# SPDX-License-Identifier: Apache-2.0
"""Lots of the supplies that stand in the workcell, and the calibrations of its instruments, as a batch begins."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .calibrations import Calibration
from .errors import WorkcellError
from .yaml_tree import Reader, Tree, read_document


class SupplyError(WorkcellError):
    """Something that a batch would use is out of date; names every one."""


@dataclass(frozen=True)
class SupplyLot:
    """A lot in its vessel.

    Args:
        vessel: where it stands.
        expires: last day of use, ISO 8601.
    """

    vessel: str
    material: str
    lot: str
    supplier: str
    expires: str


def supplies_file(site_file: Path, site: str) -> Path:
    """Return where the lots of a site stand: config/supplies/<site>.yaml beside config/site."""
    return site_file.resolve().parent.parent / "supplies" / f"{site}.yaml"


def read_supplies(path: Path) -> tuple[SupplyLot, ...]:
    """Return the lots of a file.

    Raises:
        DiagnosticError: the file cannot be read or is wrong, with every line that is.
    """
    reader, top = read_document(path, required=("lots",))
    lots = [_lot(reader, vessel, tree) for vessel, tree in reader.mapping(top.get("lots"), optional=None).items()]
    reader.finish()
    return tuple(lots)


def out_of_date(lots: tuple[SupplyLot, ...], calibrations: Mapping[str, str], today: datetime.date) -> list[str]:
    """Return what a batch must not begin with: expired lots, overdue calibrations.

    Args:
        calibrations: instrument → ISO date until which its calibration holds.
    """
    day = today.isoformat()
    found = [f"{lot.material}, lot {lot.lot}, expired {lot.expires}" for lot in lots if lot.expires < day]
    found += [f"{name}: calibration was due {due}" for name, due in calibrations.items() if due < day]
    return found


def start_facts(
    lots: tuple[SupplyLot, ...], calibrations: Mapping[str, str], made: Mapping[str, Calibration] | None = None
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what the record says of supplies and instruments at the start: kind, subject, data.

    Args:
        calibrations: instrument → ISO date until which its calibration holds.
        made: the calibrations that were made here, of which the record says by whom and what was found.
    """
    for lot in lots:
        data = {"material": lot.material, "lot": lot.lot, "supplier": lot.supplier, "expires": lot.expires}
        yield "material", lot.material, {**data, "to": lot.vessel}
    for name, due in calibrations.items():
        known = (made or {}).get(name)
        yield "calibration", name, {"due": due} if known is None else {**asdict(known), "due": due}


def _lot(reader: Reader, vessel: str, tree: Tree) -> SupplyLot:
    items = reader.mapping(tree, required=("material", "lot", "supplier", "expires"))
    expires = items.get("expires")
    text = str(expires.value) if expires is not None and isinstance(expires.value, datetime.date) else ""
    text = text or reader.text(expires)
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        if expires is not None:
            reader.wrong(expires, "no date", "year-month-day, such as 2027-03-31", value=text)
    material, lot, supplier = (reader.text(items.get(name)) for name in ("material", "lot", "supplier"))
    return SupplyLot(vessel, material, lot, supplier, text)
