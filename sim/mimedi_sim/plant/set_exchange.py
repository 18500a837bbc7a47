# SPDX-License-Identifier: Apache-2.0
"""Hands at the twin: a single-use set is taken out of a unit and another one put in.

What a set held lies in accounts of its own in the ledger, so that conservation holds over an exchange. A set that comes
back is as it was when it left, but for time: bags in the store neither grow nor die here, as they are cold
[simplification; PHYSICS has no model of storage].
"""

from __future__ import annotations

from collections.abc import Mapping

from mimedi_nodes.process.errors import WorkcellError
from mimedi_nodes.process.units.units import Unit
from mimedi_sim.plant.ledger import FloatArray, Ledger

DISPOSED = "disposed"
"""What was thrown away with a set."""
BAGS = ("buffer", "medium", "waste", "sorter_waste")
"""Bags on the scales: each batch has its own, and its culture stays connected to them wherever they hang."""
HATCH, PLACE = "hatch", "fluidics"
"""Docks where a person puts a new cassette, and where the one at work stands."""


class ExchangeError(WorkcellError):
    """A set that cannot be exchanged now; says why."""


class Sets:
    """Which batch's set is in each unit of the plant, and what lies in the store.

    Args:
        ledger: of the plant.
        lines: accounts that belong to the cassette beside its vessels: syringes, chip, columns.
        cassettes: label of each cassette → the dock where it stands.
    """

    def __init__(self, ledger: Ledger, lines: tuple[str, ...], cassettes: dict[str, str]) -> None:
        self._ledger, self._lines, self._cassettes = ledger, lines, cassettes
        self._labels: dict[str, str] = {}
        self._inside: dict[str, str] = {}
        self._aside: set[str] = set()
        ledger.open(DISPOSED)

    def exchange(self, unit: Unit, old: str, batch_id: str, kit: Mapping[str, FloatArray]) -> bool:
        """Put a batch's set into a unit; return whether it is a new one.

        Args:
            old: the batch whose set is taken out.
            kit: what is in the vessels and bags of a new set.

        Raises:
            ExchangeError: another batch's set is in the unit, or the one that is to come in.
        """
        before = self._inside.get(unit.name, old)
        if before != old:
            raise ExchangeError(f"{unit.name} has the {unit.set} of batch {before}, not that of batch {old}")
        if before == batch_id:
            raise ExchangeError(f"the {unit.set} of batch {batch_id} is in {unit.name} already")
        self._inside[unit.name] = batch_id
        accounts = [name for name in unit.vessels if name in self._ledger]
        if unit.kind == "staying":
            for account in accounts:
                self._move(account, DISPOSED)
            return True
        self._carry(old, batch_id)
        accounts += [*self._lines, *BAGS]
        for account in accounts:
            self._move(account, self._ledger.open(f"set {old}: {account}"))
        self._aside.add(old)
        if batch_id in self._aside:
            self._aside.remove(batch_id)
            for account in accounts:
                self._move(f"set {batch_id}: {account}", account)
            return False
        for vessel, content in kit.items():
            if vessel in accounts:
                self._ledger.put(vessel, content)
        return True

    def bag_of(self, bag: str, batch_id: str) -> str:
        """Return the account of a batch's bag: on its scale, or beside it while another batch's cassette is in."""
        return f"set {batch_id}: {bag}" if batch_id in self._aside else bag

    def _carry(self, old: str, batch_id: str) -> None:
        """Take the cassette of a batch out, wherever it stands, and put the other one in."""
        taken = next((label for label, dock in self._cassettes.items() if dock in (PLACE, HATCH)), None)
        if taken is not None:
            del self._cassettes[taken]
            self._labels[old] = taken
        known = self._labels.get(batch_id)
        if known is not None:
            self._cassettes[known] = PLACE
        elif self._cassettes or self._labels:
            self._labels[batch_id] = f"CASSETTE-{len(self._labels) + 1}"
            self._cassettes[self._labels[batch_id]] = HATCH

    def _move(self, source: str, destination: str) -> None:
        self._ledger.transfer(source, destination, self._ledger.row(source).copy())
