# SPDX-License-Identifier: Apache-2.0
"""Pressures of rooms that leak into each other through orifices: the cascade of the enclosure. Units: Pa, m³/s, m²."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mimedi_sim.models.enclosure import AIR_DENSITY_KG_M3, ORIFICE_DISCHARGE
from mimedi_sim.models.validation import require_positive

# Below this difference an orifice is taken as linear: the square root has no finite slope at 0.
_LINEAR_PA = 1e-6
_NEWTON_STEPS = 200


@dataclass
class PressureCascade:
    """Rooms joined by orifices; each may be supplied with air. Pressures are relative to the one of `outside`."""

    density_kg_m3: float = AIR_DENSITY_KG_M3
    discharge: float = ORIFICE_DISCHARGE
    _openings: dict[str, tuple[str, str, float]] = field(default_factory=dict)

    def connect(self, name: str, start: str, end: str, area_m2: float) -> None:
        """Add an orifice, or change its area: a door or glove event makes it 5–20 times as large."""
        require_positive(area_m2=area_m2)
        self._openings[name] = (start, end, area_m2)

    def _flow(self, area_m2: float, difference_pa: float) -> tuple[float, float]:
        """Return flow and its slope against the pressure difference."""
        factor = self.discharge * area_m2 * math.sqrt(2.0 / self.density_kg_m3)
        size = abs(difference_pa)
        if size < _LINEAR_PA:
            slope = factor / math.sqrt(_LINEAR_PA)
            return slope * difference_pa, slope
        root = math.sqrt(size)
        return math.copysign(factor * root, difference_pa), 0.5 * factor / root

    def pressures_pa(self, net_supply_m3_s: dict[str, float], outside: str = "outside") -> dict[str, float]:
        """Return the pressure of every room when so much air is blown into the rooms (negative: drawn out).

        Quasi-static; damped Newton on the balance of every room.
        Raises: ValueError if a room has no way to the outside or an unknown room is supplied.
        """
        rooms = sorted({r for start, end, _ in self._openings.values() for r in (start, end)} - {outside})
        unknown = set(net_supply_m3_s) - set(rooms)
        if unknown:
            raise ValueError(f"supply of unknown room(s) {sorted(unknown)}; there are {rooms}")
        self._require_paths(rooms, outside)
        index = {room: n for n, room in enumerate(rooms)}
        supply = np.array([net_supply_m3_s.get(room, 0.0) for room in rooms])
        scale = max(float(np.abs(supply).sum()), 1e-12)

        def residual(pressure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            balance, jacobian = supply.copy(), np.zeros((len(rooms), len(rooms)))
            for start, end, area in self._openings.values():
                ends = [(index[r], sign) for r, sign in ((start, 1.0), (end, -1.0)) if r in index]
                flow, slope = self._flow(area, sum(sign * pressure[n] for n, sign in ends))
                for n, sign in ends:
                    balance[n] -= sign * flow
                    for m, other in ends:
                        jacobian[n, m] -= sign * other * slope
            return balance, jacobian

        pressure = np.full(len(rooms), 1.0)
        balance, jacobian = residual(pressure)
        for _ in range(_NEWTON_STEPS):
            if float(np.abs(balance).max(initial=0.0)) <= 1e-12 * scale:
                break
            step, damping = np.linalg.solve(jacobian, -balance), 1.0
            while True:
                trial = pressure + damping * step
                new_balance, new_jacobian = residual(trial)
                if np.abs(new_balance).sum() < np.abs(balance).sum() or damping < 1e-6:
                    break
                damping *= 0.5
            pressure, balance, jacobian = trial, new_balance, new_jacobian
        return {outside: 0.0, **{room: float(pressure[n]) for room, n in index.items()}}

    def flow_m3_s(self, name: str, pressures_pa: dict[str, float]) -> float:
        """Return the flow through an orifice from its start to its end at given pressures."""
        start, end, area = self._openings[name]
        return self._flow(area, pressures_pa[start] - pressures_pa[end])[0]

    def _require_paths(self, rooms: list[str], outside: str) -> None:
        reached, grew = {outside}, True
        while grew:
            grew = False
            for start, end, _ in self._openings.values():
                if (start in reached) != (end in reached):
                    reached |= {start, end}
                    grew = True
        closed = sorted(set(rooms) - reached)
        if closed:
            raise ValueError(f"room(s) {closed} have no way to {outside!r}; connect them")
