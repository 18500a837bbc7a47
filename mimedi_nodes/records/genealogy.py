# SPDX-License-Identifier: Apache-2.0
"""Genealogy of materials both ways: what a dose was made of, and where a lot has gone; and the balance of each move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .events import RecordEvent, twin_rows
from .facts import is_number

PRODUCT = "dose_bag"
"""Container that the dose is filled into."""
TOLERANCE_UL = 500.0
TOLERANCE_SHARE = 0.01
"""What a weight and the strokes may differ by: 0.5 mL, or a syringe's accuracy (Cavro XLP 6000: better than 1 %)."""


@dataclass(frozen=True)
class Lot:
    """A lot of a material as it was put in place."""

    container: str
    material: str
    lot: str
    supplier: str = ""
    expires: str = ""
    status: str = ""


@dataclass(frozen=True)
class Move:
    """Material that went from one container into another, or into a sample."""

    source: str
    target: str


@dataclass(frozen=True)
class Balance:
    """What a step moved, by strokes and by weight.

    Args:
        time_s: process time [s].
        step: path of the phase.
        way: from where to where, for people.
        volume_ul: by the strokes; None when unknown.
        left_ul, arrived_ul: by weight; None when the container is not weighed.
        row: number of the row of the record.
    """

    time_s: float
    step: str
    way: str
    volume_ul: float | None
    left_ul: float | None
    arrived_ul: float | None
    row: int

    @property
    def gap_ul(self) -> float | None:
        """What arrived less what left, by weight where there is a scale, else by strokes; None without two of them."""
        if self.left_ul is None and self.arrived_ul is None:
            return None
        left = self.left_ul if self.left_ul is not None else self.volume_ul
        arrived = self.arrived_ul if self.arrived_ul is not None else self.volume_ul
        return None if left is None or arrived is None else arrived - left

    @property
    def lacking(self) -> str:
        """Why there is no gap to tell."""
        return "not weighed" if self.left_ul is None and self.arrived_ul is None else "weighed on one side"

    @property
    def is_closed(self) -> bool | None:
        """Whether the balance closes within tolerance; None when nothing is weighed."""
        gap = self.gap_ul
        largest = max((v for v in (self.volume_ul, self.left_ul, self.arrived_ul) if v is not None), default=0.0)
        return None if gap is None else abs(gap) <= max(TOLERANCE_UL, TOLERANCE_SHARE * largest)


@dataclass
class Genealogy:
    """Lots, moves and balances of a batch, and what follows from them.

    `contents` names, per container, every lot and container whose material has ever been in it.
    """

    lots: list[Lot] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    contents: dict[str, set[str]] = field(default_factory=dict)

    def made_of(self, container: str) -> set[str]:
        """Return the containers whose material has gone into one, itself left out."""
        return self.contents.get(container, set()) - {container}

    def went_to(self, container: str) -> set[str]:
        """Return the containers and samples that material of one has gone into."""
        return {name for name, parts in self.contents.items() if container in parts and name != container}

    def lots_in(self, container: str) -> list[Lot]:
        """Return the lots that have gone into a container."""
        parts = self.contents.get(container, {container})
        return [lot for lot in self.lots if lot.container in parts]


def trace(events: Iterable[RecordEvent]) -> Genealogy:
    """Return the genealogy of a batch from its events, in the order of the record.

    Material of a source that was taken before something was added to it does not carry what was added later.
    """
    found = Genealogy()
    cultured_in: dict[str, str] = {}
    told = list(events)
    twins = twin_rows(told)
    for row, event in enumerate(told, start=1):
        if row - 1 in twins:
            continue
        data = event.data
        if event.kind == "material" and data.get("lot"):
            found.lots.append(_lot(event))
        elif event.kind == "material":
            _take_move(found, event, row)
        elif event.kind == "sample_taken":
            _carry(found, Move(str(data.get("container", "")), event.what))
        elif event.kind == "unit_bound":
            cultured_in.update(dict.fromkeys(data["modules"], data["vessels"][0]))
        elif event.kind == "phase_ended":
            result = data.get("result")
            if isinstance(result, Mapping) and _number(result.get("medium_used_ul")):
                # Perfusion brings medium without a move of its own.
                _carry(found, Move("medium", cultured_in.get(event.producer, "culture_vessel")))
    return found


def _lot(event: RecordEvent) -> Lot:
    data = event.data
    return Lot(
        str(data.get("to") or data.get("container") or event.what),
        str(data.get("material") or event.what),
        *(str(data.get(name) or "") for name in ("lot", "supplier", "expires", "status")),
    )


def _take_move(found: Genealogy, event: RecordEvent, row: int) -> None:
    data = event.data
    source, target = data.get("source") or data.get("from"), data.get("destination") or data.get("to")
    if not source or not target:
        return
    _carry(found, Move(str(source), str(target)))
    way, volume = f"{source} → {target}", _number(data.get("volume_ul"))
    left, arrived = _number(data.get("weighed_source_ul")), _number(data.get("weighed_destination_ul"))
    if "sample_ul" in data:
        # The chip: two come in by strokes, two go out by weight; each outlet carries both.
        for inlet in (source, data.get("buffer")):
            for outlet in (target, data.get("waste")):
                if inlet and outlet:
                    _carry(found, Move(str(inlet), str(outlet)))
        way = f"{source} + {data.get('buffer')} → {target} + {data.get('waste')}"
        volume = _sum(data.get("sample_ul"), data.get("buffer_ul"))
        left, arrived = None, _sum(data.get("volume_ul"), data.get("waste_ul"))
    step = str(data.get("phase_id") or "")
    found.balances.append(Balance(event.process_time_s, step, way, volume, left, arrived, row))


def _carry(found: Genealogy, move: Move) -> None:
    parts = found.contents.setdefault(move.source, {move.source})
    found.contents.setdefault(move.target, {move.target}).update(parts)


def _sum(*values: Any) -> float | None:
    numbers = [_number(value) for value in values]
    return None if None in numbers else sum(number for number in numbers if number is not None)


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
