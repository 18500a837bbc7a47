# SPDX-License-Identifier: Apache-2.0
"""Hands at the twin: a single-use set is taken out of a unit and another one put in.

What a set held lies in accounts of its own in the ledger, so that conservation holds over an exchange. A set that comes
back is as it was when it left, but for time: bags in the store neither grow nor die here, as they are cold
[simplification; PHYSICS has no model of storage].
"""

from __future__ import annotations

from collections.abc import Mapping

from mimedi_nodes.process.errors import WorkcellError
from mimedi_nodes.process.units import Unit
from mimedi_sim.plant.ledger import FloatArray, Ledger

DISPOSED = "disposed"
"""What was thrown away with a set, or taken out when supplies and waste were exchanged."""
BULK = ("buffer", "medium")
"""Supplies that a person replaces when a new cassette is put in."""
WASTES = ("waste", "sorter_waste")


class ExchangeError(WorkcellError):
    """A set that cannot be exchanged now; says why."""


class Sets:
    """Which batch's set is in each unit of the plant, and what lies in the store.

    Args:
        ledger: of the plant.
        lines: accounts that belong to the cassette beside its vessels: syringes, chip, columns.
    """

    def __init__(self, ledger: Ledger, lines: tuple[str, ...]) -> None:
        self._ledger, self._lines = ledger, lines
        self.inside: dict[str, str] = {}
        self._stored: set[tuple[str, str]] = set()
        ledger.open(DISPOSED)

    def exchange(self, unit: Unit, old: str, batch_id: str, kit: Mapping[str, FloatArray]) -> bool:
        """Put a batch's set into a unit; return whether it is a new one.

        Args:
            old: the batch whose set is taken out.
            kit: what is in the vessels of a new set, and of new bulk supplies.

        Raises:
            ExchangeError: another batch's set is in the unit, or the one that is to come in.
        """
        before = self.inside.get(unit.name, old)
        if before != old:
            raise ExchangeError(f"{unit.name} has the {unit.set} of batch {before}, not that of batch {old}")
        if before == batch_id:
            raise ExchangeError(f"the {unit.set} of batch {batch_id} is in {unit.name} already")
        accounts = [name for name in unit.vessels if name in self._ledger]
        accounts += list(self._lines) if unit.kind == "shared" else []
        for account in accounts:
            if unit.kind == "shared":
                self._move(account, self._ledger.open(f"set {before}: {account}"))
            else:
                self._move(account, DISPOSED)
        self._stored.add((unit.name, before))
        self.inside[unit.name] = batch_id
        if unit.kind == "shared" and (unit.name, batch_id) in self._stored:
            for account in accounts:
                self._move(f"set {batch_id}: {account}", account)
            return False
        for vessel, content in kit.items():
            if vessel in unit.vessels and vessel in self._ledger:
                self._ledger.put(vessel, content)
        if unit.kind == "shared":
            for vessel in (*BULK, *WASTES):
                self._move(vessel, DISPOSED)
                if vessel in kit:
                    self._ledger.put(vessel, kit[vessel])
        return True

    def _move(self, source: str, destination: str) -> None:
        self._ledger.transfer(source, destination, self._ledger.row(source).copy())
