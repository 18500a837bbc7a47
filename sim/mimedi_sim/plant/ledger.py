# SPDX-License-Identifier: Apache-2.0
"""The shared ledger: what every vessel, syringe and line of the plant holds, and nothing else.

Amounts are carried, never concentrations, and change in three ways only: `move` (liquid with what is in it),
`transfer` (an explicit part, as at the sorter's outlets) and `react` (biology and chemistry; the opposite is
booked in the account `reactions`). The same number is subtracted and added, so the grand total of every
quantity stays what it was at the start.
Source: PHYSICS §0, conservation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

QUANTITIES: tuple[str, ...] = (
    "volume_ul",
    # viable cells: resting T without and with beads, activated T without and with the transgene, other leukocytes
    "t_free", "t_bead", "t_act_neg", "t_act_pos", "lymphocyte", "monocyte",
    # dead cells without and with beads, red cells, beads free and on cells
    "dead", "dead_bead", "rbc", "bead_free", "bead_bound",
    # carried by the activated T cells: sum of activation times [cell h], vector copies, cells that show the CAR
    "activation_cell_h", "copies", "car_expressed",
    # dissolved or suspended in the liquid
    "vector_tu", "glucose_mmol", "lactate_mmol", "il2_iu", "base_mmol",
    # where the liquid came from [uL]: evaporation leaves these as they are
    "plasma_ul", "buffer_ul", "medium_ul", "excipient_ul",
    "cfu", "endotoxin_eu",
    # the strain that delivers a gene, outside cells; those of it that will enter a cell; the antibiotic against it
    "syringe_cfu", "syringe_entering", "gentamicin_ug",
    # cryoprotectant [uL]
    "dmso_ul",
    # carried by the activated T cells: bacteria taken up; cells that were reached, their signal in fresh cells' units
    "internalised", "delivered", "delivered_signal",
    # beads of the selection after transduction, free and on marked cells
    "selection_free", "selection_bound",
    # the bone lineage, and what it carries: days in differentiation [cell d], mineral; medium with its additives [uL]
    "precursor", "pre_osteoblast", "osteoblast", "commitment_cell_d", "calcium_ug", "osteogenic_ul",
)
"""Every quantity the ledger knows; the first is the volume in uL."""

INDEX: Mapping[str, int] = {name: i for i, name in enumerate(QUANTITIES)}
VOLUME = 0
T_VIABLE = ("t_free", "t_bead", "t_act_neg", "t_act_pos")
T_ACTIVATED = ("t_act_neg", "t_act_pos")
VIABLE = (*T_VIABLE, "lymphocyte", "monocyte", "precursor", "pre_osteoblast", "osteoblast")
DEAD = ("dead", "dead_bead")
NUCLEATED = (*VIABLE, *DEAD)
PARTICLES = (
    *NUCLEATED, "rbc", "bead_free", "bead_bound", "selection_free", "selection_bound", "commitment_cell_d",
    "calcium_ug",
)
WITH_ACTIVATED_T = (
    "activation_cell_h", "copies", "car_expressed", "internalised", "delivered", "delivered_signal",
)
SOLUTES = tuple(
    name for name in QUANTITIES[1:] if name not in PARTICLES and name not in WITH_ACTIVATED_T
)

LOST = "lost"
"""What left the workcell unseen: leaks, evaporation."""
REACTIONS = "reactions"
"""The opposite of everything that biology and chemistry made (negative: made, positive: used up)."""

_EMPTY_UL = 1e-9
"""A volume below this, 1 aL, is rounding: a move that would leave it takes everything."""


def indices(names: Iterable[str]) -> npt.NDArray[np.intp]:
    """Return the positions of quantities; raises KeyError on an unknown name."""
    return np.array([INDEX[name] for name in names], dtype=np.intp)


def amounts(**values: float) -> FloatArray:
    """Return a vector of amounts from quantity names; raises KeyError on an unknown name."""
    vector = np.zeros(len(QUANTITIES))
    for name, value in values.items():
        vector[INDEX[name]] = value
    return vector


class LedgerError(ValueError):
    """A booking that cannot be made; says account, value and what is allowed."""


class Ledger:
    """Accounts of the plant, each a vector of amounts in the order of QUANTITIES."""

    def __init__(self, accounts: Iterable[str]) -> None:
        self._accounts = {name: np.zeros(len(QUANTITIES)) for name in (*accounts, LOST, REACTIONS)}

    def __contains__(self, account: str) -> bool:
        return account in self._accounts

    def open(self, account: str) -> str:
        """Open an account, empty, when there is none of this name; return the name."""
        self._accounts.setdefault(account, np.zeros(len(QUANTITIES)))
        return account

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all accounts, `lost` and `reactions` included."""
        return tuple(self._accounts)

    def row(self, account: str) -> FloatArray:
        """Return the live vector of an account: read it, never write it. Raises LedgerError if unknown."""
        try:
            return self._accounts[account]
        except KeyError:
            raise LedgerError(f"account {account!r} is unknown; known: {', '.join(self._accounts)}") from None

    def get(self, account: str, quantity: str) -> float:
        """Return one amount."""
        return float(self.row(account)[INDEX[quantity]])

    def volume_ul(self, account: str) -> float:
        """Return the liquid in an account [uL]."""
        return float(self.row(account)[VOLUME])

    def sum_of(self, account: str, names: Iterable[str]) -> float:
        """Return the sum of some quantities of an account (cells of several classes)."""
        row = self.row(account)
        return float(sum(row[INDEX[name]] for name in names))

    def put(self, account: str, content: FloatArray) -> None:
        """Bring material in from outside: what is in the plant at the start, or is added by a fault."""
        self.row(account)[:] += content

    def move(
        self, source: str, destination: str, volume_ul: float, drawn_share: FloatArray | None = None
    ) -> FloatArray:
        """Move liquid with what is dissolved or suspended in it; returns the amounts moved.

        At most what is there is moved. drawn_share, one number a quantity, says how much of its fair share
        goes along (settled cells stay behind); without it the source is well mixed.
        Raises: LedgerError on a negative or non-finite volume or an unknown account.
        """
        if not 0.0 <= volume_ul < np.inf:
            raise LedgerError(f"move {source} -> {destination}: volume_ul is {volume_ul}; allowed: finite and >= 0")
        origin, target = self.row(source), self.row(destination)
        available = origin[VOLUME]
        if available <= 0.0 or volume_ul == 0.0:
            return np.zeros(len(QUANTITIES))
        share = 1.0 if volume_ul >= available - _EMPTY_UL else volume_ul / available
        taken = origin * share
        if drawn_share is not None:
            taken *= drawn_share
        elif share == 1.0:
            taken = origin.copy()
        origin -= taken
        target += taken
        return taken

    def transfer(self, source: str, destination: str, part: FloatArray) -> None:
        """Book an explicit part from one account to another."""
        self.row(source)[:] -= part
        self.row(destination)[:] += part

    def react(self, account: str, change: FloatArray) -> None:
        """Add what biology or chemistry made (negative: used up); the opposite goes to `reactions`."""
        self.row(account)[:] += change
        self._accounts[REACTIONS] -= change

    def convert(self, account: str, start: str, end: str, amount: float) -> None:
        """Turn an amount of one quantity of an account into another one (cells that die, bind or activate)."""
        change = np.zeros(len(QUANTITIES))
        change[INDEX[start]] -= amount
        change[INDEX[end]] += amount
        self.react(account, change)

    def total(self) -> FloatArray:
        """Return the grand total of every quantity over all accounts: constant but for `put`."""
        return np.sum(list(self._accounts.values()), axis=0)

    def copy(self) -> Ledger:
        """Return an independent copy (to look ahead without booking)."""
        twin = Ledger(())
        twin._accounts = {name: row.copy() for name, row in self._accounts.items()}
        return twin

    def as_dict(self, account: str) -> dict[str, float]:
        """Return the amounts of an account that are not zero, by name."""
        row = self.row(account)
        return {name: float(row[i]) for i, name in enumerate(QUANTITIES) if row[i] != 0.0}
