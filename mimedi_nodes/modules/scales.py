# SPDX-License-Identifier: Apache-2.0
"""Vessels on load cells: how much is in each, by weight."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..instruments.balance import NotStable, SicsBalance
from ..instruments.wire.pacing import Pace
from ..process.calibrations import CalibrationBook
from .site import Site

SETTLE_EVERY_S = 2.0
SETTLE_PATIENCE_S = 300.0
"""How long [s] a weight is waited for that does not come to rest, because a pump draws from the vessel, say."""


class Scales:
    """The scales of one module, by the vessel that stands on each.

    Args:
        balances: driver by line name, as the site file names it under `vessels.*.scale`.
        calibrations: corrects what they say by the offset [g] that was found.
    """

    def __init__(
        self, balances: Mapping[str, SicsBalance], site: Site, calibrations: CalibrationBook | None = None
    ) -> None:
        self._by_vessel = {
            name: (balances[vessel.scale], vessel.density_g_ml)
            for name, vessel in site.vessels.items()
            if vessel.scale is not None and vessel.scale in balances
        }
        known = calibrations or CalibrationBook(None)
        self._offset_g = {vessel: known.offset(balance.name) for vessel, (balance, _) in self._by_vessel.items()}

    async def identify(self) -> None:
        """Ask every balance who it is; raises InstrumentError."""
        for balance, _ in self._by_vessel.values():
            await balance.identify()

    def weighs(self, vessel: str) -> bool:
        """Tell whether this module weighs a vessel."""
        return vessel in self._by_vessel

    def line_of(self, vessel: str) -> str:
        """Return the instrument line of the load cell under a vessel."""
        return self._by_vessel[vessel][0].name

    def offset_g(self, vessel: str) -> float:
        """Return what is added to what the load cell says [g]."""
        return self._offset_g[vessel]

    def correct(self, vessel: str, offset_g: float) -> None:
        """Add `offset_g` [g] to what the load cell says from now on."""
        self._offset_g[vessel] = offset_g

    async def volume_ul(self, vessel: str, pace: Pace) -> float:
        """Return the volume in a vessel by its stable weight [uL], waiting for rest; NaN when it is not weighed here.

        Raises:
            NotStable: no rest within five minutes.
        """
        if vessel not in self._by_vessel:
            return math.nan
        return await self.mass_g(vessel, pace) / self._by_vessel[vessel][1] * 1000.0

    async def mass_g(self, vessel: str, pace: Pace) -> float:
        """Return the stable, corrected mass on the load cell under a weighed vessel [g], waiting for rest.

        Raises:
            NotStable: no rest within five minutes.
        """
        balance, _ = self._by_vessel[vessel]
        deadline_s = pace.now_s() + SETTLE_PATIENCE_S
        while True:
            try:
                return await balance.stable_mass_g() + self._offset_g[vessel]
            except NotStable:
                if pace.now_s() >= deadline_s:
                    raise
            await pace.sleep(SETTLE_EVERY_S)

    async def volumes_ul(self) -> dict[str, float]:
        """Return the volumes in all weighed vessels at this moment [uL], stable or not."""
        return {
            vessel: (await balance.mass_g() + self._offset_g[vessel]) / density_g_ml * 1000.0
            for vessel, (balance, density_g_ml) in self._by_vessel.items()
        }
