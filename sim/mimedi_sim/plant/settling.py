# SPDX-License-Identifier: Apache-2.0
"""Cells and beads that sink in a vessel nobody mixes, and what the outlet then draws.

Each particle class has a share that lies on the floor. It grows at the Stokes speed over the liquid's height,
falls when a jet of inflow stirs it up, and is zero in a stirred vessel. Outlets draw the suspended share, and of
what lies on the floor a fifth of its fair share: the drawn concentration falls while the vessel is not mixed and
what was left behind stays in the vessel.
Source: PROCESS step 5 (beaded cells sink 52 mm in 78 min); the height of 40 mL in the sorter's tube is 52 mm,
entrainment and jet strength are calibration.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mimedi_sim.models import species as kinds
from mimedi_sim.models.transduction import sedimentation_speed_m_s
from mimedi_sim.plant.ledger import INDEX, QUANTITIES, WITH_ACTIVATED_T, FloatArray

FLOOR_ENTRAINMENT = 0.2
"""Share of its fair part that an outlet draws of what lies on the floor [calibration]."""
JET_STRENGTH = 20.0
"""Inflow of 1/20 of the content leaves e^-1 of the sediment [calibration]."""
STIRRING_THRESHOLD_RPM = 20.0
"""Stirring that keeps cells suspended [calibration]."""

_NOMINAL_BEADS = 3


def _speed(kind: kinds.Species) -> float:
    return sedimentation_speed_m_s(
        kind.mean_radius_m, kind.density_kg_m3 - kinds.PBS_DENSITY_KG_M3, 1.0, kinds.PBS_VISCOSITY_PA_S
    )


def _speeds_m_s() -> FloatArray:
    resting, activated = kinds.RESTING_LYMPHOCYTE, kinds.ACTIVATED_T_CELL
    beaded = _speed(resting.with_beads(_NOMINAL_BEADS))
    by_name = {
        "t_free": _speed(resting), "t_bead": beaded, "t_act_neg": _speed(activated),
        "t_act_pos": _speed(activated), "lymphocyte": _speed(resting), "monocyte": _speed(kinds.MONOCYTE),
        "dead": _speed(kinds.DEAD_CELL), "dead_bead": _speed(kinds.DEAD_CELL.with_beads(_NOMINAL_BEADS)),
        "rbc": _speed(kinds.RED_BLOOD_CELL), "bead_free": _speed(kinds.BEAD), "bead_bound": beaded,
        **dict.fromkeys(WITH_ACTIVATED_T, _speed(activated)),
    }
    speeds = np.zeros(len(QUANTITIES))
    for name, value in by_name.items():
        speeds[INDEX[name]] = value
    return speeds


SETTLING_SPEED_M_S = _speeds_m_s()
"""Stokes speed of every quantity [m/s]; what is dissolved does not sink."""


class Settling:
    """Floor shares of the vessels in which cells can sink.

    Args: height_m_per_ul: vessel name to liquid height per volume [m/uL].
    """

    def __init__(self, height_m_per_ul: Mapping[str, float]) -> None:
        self._height = dict(height_m_per_ul)
        self._floor = {name: np.zeros(len(QUANTITIES)) for name in height_m_per_ul}
        self._stirred = dict.fromkeys(height_m_per_ul, False)
        self._still = dict.fromkeys(height_m_per_ul, True)

    @property
    def vessels(self) -> tuple[str, ...]:
        """Vessels in which cells can sink."""
        return tuple(self._height)

    def copy(self) -> Settling:
        """Return an independent copy."""
        twin = Settling(self._height)
        twin._floor = {name: share.copy() for name, share in self._floor.items()}
        twin._stirred, twin._still = dict(self._stirred), dict(self._still)
        return twin

    def exchanged(self, vessel: str) -> None:
        """Note that a vessel is another one by now: what is in it has just been moved, so nothing lies on its floor."""
        if vessel in self._floor:
            self._floor[vessel][:] = 0.0
            self._still[vessel] = True

    def set_stirring(self, vessel: str, rpm: float) -> None:
        """Tell how fast a vessel is stirred; at STIRRING_THRESHOLD_RPM nothing lies on the floor."""
        if vessel in self._stirred:
            self._stirred[vessel] = rpm >= STIRRING_THRESHOLD_RPM
            if self._stirred[vessel]:
                self._floor[vessel][:] = 0.0
                self._still[vessel] = True

    def advance(self, vessel: str, volume_ul: float, duration_s: float) -> None:
        """Let duration_s pass at a volume."""
        if vessel not in self._floor or self._stirred[vessel] or volume_ul <= 0.0 or duration_s <= 0.0:
            return
        sunk = SETTLING_SPEED_M_S * (duration_s / (volume_ul * self._height[vessel]))
        np.minimum(self._floor[vessel] + sunk, 1.0, out=self._floor[vessel])
        self._still[vessel] = False

    def drawn_share(self, vessel: str) -> FloatArray | None:
        """Return how much of its fair share of each quantity the outlet draws; None: well mixed."""
        if self._still.get(vessel, True):
            return None
        return 1.0 - (1.0 - FLOOR_ENTRAINMENT) * self._floor[vessel]

    def drawn(self, vessel: str, share: float) -> None:
        """Take note that `share` of the vessel's liquid was drawn with `drawn_share`."""
        if self._still.get(vessel, True):
            return
        floor = self._floor[vessel]
        left = 1.0 - share * (1.0 - (1.0 - FLOOR_ENTRAINMENT) * floor)
        with np.errstate(divide="ignore", invalid="ignore"):
            updated = floor * (1.0 - share * FLOOR_ENTRAINMENT) / left
        self._floor[vessel] = np.where(left > 1e-12, np.minimum(updated, 1.0), 0.0)

    def received(self, vessel: str, volume_before_ul: float, added_ul: float) -> None:
        """Take note of an inflow: it brings suspended cells and its jet stirs the floor up."""
        if self._still.get(vessel, True) or added_ul <= 0.0:
            return
        after = volume_before_ul + added_ul
        self._floor[vessel] *= np.exp(-JET_STRENGTH * added_ul / after) * (volume_before_ul / after)

    def floor_share(self, vessel: str, quantity: str) -> float:
        """Return the share of a quantity that lies on the floor."""
        return float(self._floor[vessel][INDEX[quantity]]) if vessel in self._floor else 0.0
