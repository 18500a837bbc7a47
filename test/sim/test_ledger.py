# SPDX-License-Identifier: Apache-2.0
"""The ledger conserves everything, whatever is booked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_sim.plant.ledger import LOST, QUANTITIES, VOLUME, Ledger, LedgerError, amounts

ACCOUNTS = ("a", "b", "c", "d")
_booking = st.tuples(
    st.sampled_from(["move", "transfer", "react", "convert"]), st.sampled_from(ACCOUNTS),
    st.sampled_from((*ACCOUNTS, LOST)), st.floats(0.0, 1.0), st.integers(0, len(QUANTITIES) - 1),
)


def filled() -> Ledger:
    ledger = Ledger(ACCOUNTS)
    for scale, name in zip((1.0, 37.3, 1e-3, 5.1e4), ACCOUNTS, strict=True):
        ledger.put(name, scale * (1.0 + np.arange(len(QUANTITIES)) ** 3))
    return ledger


@settings(max_examples=150, deadline=None)
@given(st.lists(_booking, max_size=60))
def test_any_course_of_bookings_keeps_the_grand_total(bookings: list[tuple[str, str, str, float, int]]) -> None:
    ledger = filled()
    before = ledger.total()
    for kind, source, destination, share, quantity in bookings:
        if kind == "move":
            ledger.move(source, destination, share * ledger.volume_ul(source))
        elif kind == "transfer":
            ledger.transfer(source, destination, ledger.row(source) * share)
        elif kind == "react":
            change = np.zeros(len(QUANTITIES))
            change[quantity] = share * 1e3
            ledger.react(source, change)
        else:
            name = QUANTITIES[quantity]
            ledger.convert(source, name, "dead", share * ledger.get(source, name))
    np.testing.assert_allclose(ledger.total(), before, rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.0, 2.0e5), min_size=1, max_size=40))
def test_draining_in_any_portions_leaves_exactly_nothing(portions: list[float]) -> None:
    ledger = filled()
    start = ledger.row("d").copy()
    for portion in portions:
        ledger.move("d", "a", portion)
        assert (ledger.row("d") >= 0.0).all()
    ledger.move("d", "a", 1e12)
    assert not ledger.row("d").any()
    np.testing.assert_allclose(ledger.row("a"), start + filled().row("a"), rtol=1e-12)


def test_a_well_mixed_move_carries_every_quantity_in_proportion() -> None:
    ledger = Ledger(("bag", "tube"))
    ledger.put("bag", amounts(volume_ul=1000.0, t_free=5e6, il2_iu=80.0))
    taken = ledger.move("bag", "tube", 250.0)
    assert taken[VOLUME] == 250.0
    assert ledger.get("tube", "t_free") == pytest.approx(1.25e6)
    assert ledger.get("bag", "il2_iu") == pytest.approx(60.0)


def test_wrong_bookings_say_what_is_wrong() -> None:
    ledger = filled()
    with pytest.raises(LedgerError, match=r"volume_ul is -1.0; allowed: finite and >= 0"):
        ledger.move("a", "b", -1.0)
    with pytest.raises(LedgerError, match="volume_ul is nan"):
        ledger.move("a", "b", math.nan)
    with pytest.raises(LedgerError, match="account 'tap' is unknown; known: a, b"):
        ledger.move("tap", "b", 1.0)
