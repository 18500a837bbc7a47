# SPDX-License-Identifier: Apache-2.0
"""Vessels on load cells: how much is in each, by weight."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..instruments.balance import NotStable, SicsBalance
from ..instruments.pacing import Pace
from .site import Site

SETTLE_EVERY_S = 2.0
SETTLE_PATIENCE_S = 300.0
"""How long [s] a weight is waited for that does not come to rest, because a pump draws from the vessel, say."""


class Scales:
    """The scales of one module, by the vessel that stands on each.

    Args:
        balances: driver by line name, as the site file names it under `vessels.*.scale`.
    """

    def __init__(self, balances: Mapping[str, SicsBalance], site: Site) -> None:
        self._by_vessel = {
            name: (balances[vessel.scale], vessel.density_g_ml)
            for name, vessel in site.vessels.items()
            if vessel.scale is not None and vessel.scale in balances
        }

    async def identify(self) -> None:
        """Ask every balance who it is; raises InstrumentError."""
        for balance, _ in self._by_vessel.values():
            await balance.identify()

    def weighs(self, vessel: str) -> bool:
        """Tell whether this module weighs a vessel."""
        return vessel in self._by_vessel

    async def volume_ul(self, vessel: str, pace: Pace) -> float:
        """Return the volume in a vessel by its stable weight [uL], waiting for rest; NaN when it is not weighed here.

        Raises:
            NotStable: no rest within five minutes.
        """
        if vessel not in self._by_vessel:
            return math.nan
        balance, density_g_ml = self._by_vessel[vessel]
        deadline_s = pace.now_s() + SETTLE_PATIENCE_S
        while True:
            try:
                return await balance.stable_mass_g() / density_g_ml * 1000.0
            except NotStable:
                if pace.now_s() >= deadline_s:
                    raise
            await pace.sleep(SETTLE_EVERY_S)

    async def volumes_ul(self) -> dict[str, float]:
        """Return the volumes in all weighed vessels at this moment [uL], stable or not."""
        return {
            vessel: await balance.mass_g() / density_g_ml * 1000.0
            for vessel, (balance, density_g_ml) in self._by_vessel.items()
        }
