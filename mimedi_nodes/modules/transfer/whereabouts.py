# SPDX-License-Identifier: Apache-2.0
"""Where each cassette is and how the wrist stands, as far as is known: on disk before anything depends on it.

It begins with what the site says and is put right by every label that is read. What the jaws hold is known through a
restart and a power cut: a cassette is taken up again by its name, never as something that nobody told of. The wrist's
servo reports nothing: what it was last told is all that is known of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from ...process.durable_file import write_durably
from ...process.errors import WorkcellError

GRIPPER = "gripper"


class WhereaboutsError(WorkcellError):
    """The file of the whereabouts cannot be used; says why."""


class Whereabouts:
    """Place (dock, or `gripper`) → label of the cassette there.

    Args:
        known: what the site says, used while nothing was kept.
        path: file that keeps them; in memory only when None.

    Raises:
        WhereaboutsError: the file is there and cannot be read: unknown is not fine.
    """

    def __init__(self, known: Mapping[str, str], path: Path | None = None) -> None:
        self._path = path
        self._places = dict(known)
        self._wrist_rad = 0.0
        self.changed: Callable[[], None] = lambda: None
        """Called after each change."""
        if path is not None and path.is_file():
            self._places, self._wrist_rad = _read(path)

    def at(self, place: str) -> str:
        """Return the label at a place; empty when none is known to be there."""
        return self._places.get(place, "")

    @property
    def places(self) -> dict[str, str]:
        """All that is known, by place."""
        return dict(self._places)

    @property
    def docks(self) -> list[str]:
        """Docks at which a cassette stands."""
        return [place for place in self._places if place != GRIPPER]

    def put(self, place: str, label: str) -> None:
        """A cassette is at a place, and nowhere else; on disk when this returns."""
        if self._places.get(place) != label or list(self._places.values()).count(label) != 1:
            others = {known: text for known, text in self._places.items() if text != label}
            self._set({**others, place: label})

    def clear(self, place: str) -> None:
        """No cassette is at a place; on disk when this returns."""
        if place in self._places:
            self._set({known: label for known, label in self._places.items() if known != place})

    @property
    def wrist_rad(self) -> float:
        """The angle that the wrist was last told."""
        return self._wrist_rad

    def turn(self, angle_rad: float) -> None:
        """The wrist is about to be told an angle; on disk when this returns."""
        if angle_rad != self._wrist_rad:
            self._write(self._places, angle_rad)
            self._wrist_rad = angle_rad

    def _set(self, places: dict[str, str]) -> None:
        self._write(places, self._wrist_rad)
        self._places = places
        self.changed()

    def _write(self, places: dict[str, str], wrist_rad: float) -> None:
        if self._path is not None:
            write_durably(self._path, json.dumps({"cassettes": places, "wrist_rad": wrist_rad}, indent=1) + "\n")


def _read(path: Path) -> tuple[dict[str, str], float]:
    advice = "look where every cassette is and turn the wrist straight, then remove the file"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        places, wrist_rad = dict(data["cassettes"]), float(data["wrist_rad"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WhereaboutsError(f"{path}: cannot be read: {error!r}; {advice}") from error
    if not math.isfinite(wrist_rad) or not all(isinstance(label, str) and label for label in places.values()):
        raise WhereaboutsError(f"{path}: holds {str(data)[:120]}; allowed: place to label, a finite angle; {advice}")
    return places, wrist_rad
