# SPDX-License-Identifier: Apache-2.0
"""Genealogy of materials both ways: what a dose was made of, and where a lot has gone; and the balance of each move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .events import RecordEvent
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
    """Liquid that went from one container into another.

    Args:
        time_s: process time [s].
        step: path of the phase.
        volume_ul: by the strokes; None when unknown.
        left_ul, arrived_ul: by weight; None when the container is not weighed.
        row: number of the row of the record.
    """

    time_s: float
    step: str
    source: str
    target: str
    volume_ul: float | None
    left_ul: float | None = None
    arrived_ul: float | None = None
    row: int = 0
    label: str = ""

    @property
    def gap_ul(self) -> float | None:
        """What arrived less what left, by weight where there is a scale, else by strokes; None without any scale."""
        if self.left_ul is None and self.arrived_ul is None:
            return None
        left = self.left_ul if self.left_ul is not None else self.volume_ul
        arrived = self.arrived_ul if self.arrived_ul is not None else self.volume_ul
        return None if left is None or arrived is None else arrived - left

    @property
    def is_closed(self) -> bool | None:
        """Whether the balance closes within tolerance; None when nothing is weighed."""
        gap = self.gap_ul
        largest = max((v for v in (self.volume_ul, self.left_ul, self.arrived_ul) if v is not None), default=0.0)
        return None if gap is None else abs(gap) <= max(TOLERANCE_UL, TOLERANCE_SHARE * largest)


@dataclass
class Genealogy:
    """Lots and moves of a batch, and what follows from them.

    `contents` names, per container, every lot and container whose material has ever been in it.
    """

    lots: list[Lot] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
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
    for row, event in enumerate(events, start=1):
        data = event.data
        if event.kind == "material" and data.get("lot"):
            found.lots.append(_lot(event))
        elif event.kind == "material":
            for move in _moves(event, row):
                _carry(found, move)
        elif event.kind == "sample_taken":
            source, label = str(data.get("container", "")), event.what
            volume = _number(data.get("volume_ul"))
            _carry(found, Move(event.process_time_s, _step(data), source, label, volume, row=row, label=label))
        elif event.kind == "phase_ended":
            result = data.get("result")
            used = _number(result.get("medium_used_ul")) if isinstance(result, Mapping) else None
            if used:
                # Perfusion brings medium without a move of its own.
                _carry(found, Move(event.process_time_s, _step(data), "medium", "culture_vessel", used, row=row))
    return found


def _lot(event: RecordEvent) -> Lot:
    data = event.data
    return Lot(
        str(data.get("to") or data.get("container") or event.what),
        str(data.get("material") or event.what),
        *(str(data.get(name) or "") for name in ("lot", "supplier", "expires", "status")),
    )


def _moves(event: RecordEvent, row: int) -> Iterable[Move]:
    data = event.data
    source, target = data.get("source") or data.get("from"), data.get("destination") or data.get("to")
    if not source or not target:
        return
    time_s, step = event.process_time_s, _step(data)
    left, arrived = _number(data.get("weighed_source_ul")), _number(data.get("weighed_destination_ul"))
    if "sample_ul" in data:
        # The chip: two come in, two go out; each outlet carries both.
        sample, buffer = _number(data.get("sample_ul")), _number(data.get("buffer_ul"))
        out, waste = _number(data.get("volume_ul")), _number(data.get("waste_ul"))
        yield Move(time_s, step, str(source), str(target), sample, row=row)
        yield Move(time_s, step, str(data.get("buffer")), str(target), buffer, row=row)
        yield Move(time_s, step, "chip", str(target), None, None, out, row)
        yield Move(time_s, step, str(source), str(data.get("waste")), None, None, waste, row)
        return
    yield Move(time_s, step, str(source), str(target), _number(data.get("volume_ul")), left, arrived, row)


def _carry(found: Genealogy, move: Move) -> None:
    found.moves.append(move)
    parts = found.contents.setdefault(move.source, {move.source})
    found.contents.setdefault(move.target, {move.target}).update(parts)


def _step(data: Mapping[str, Any]) -> str:
    return str(data.get("phase_id") or "")


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
