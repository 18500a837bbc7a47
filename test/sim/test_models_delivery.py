# SPDX-License-Identifier: Apache-2.0
"""Bacteria as a syringe, and cells through freezing and thawing."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_sim.models.bacterial_syringe import ENDOTOXIN_EU_PER_CFU, BacterialSyringe
from mimedi_sim.models.cryopreservation import (
    cooling_factor,
    protected_survival,
    thawing_factor,
    toxicity_factor,
    viability_after_thaw,
)


@given(st.lists(st.floats(0.01, 6.0), max_size=8), st.floats(0.5, 3.0))
def test_a_syringe_does_not_depend_on_who_looks(looks: list[float], gentamicin_h: float) -> None:
    def state(times: list[float]) -> tuple[float, ...]:
        syringe = BacterialSyringe(0.0, 1e6, 5e7)
        for time_h in sorted(t for t in times if t < gentamicin_h):
            syringe.advance_to(time_h)
        syringe.add_gentamicin(gentamicin_h)
        for time_h in sorted(t for t in times if t >= gentamicin_h):
            syringe.advance_to(time_h)
        syringe.advance_to(6.0)
        return (syringe.extracellular_cfu, syringe.internalised_per_cell, syringe.endotoxin_eu, syringe.cleared_log10)

    assert state(looks) == pytest.approx(state([]), rel=1e-9)


def test_gentamicin_clears_the_outside_and_leaves_the_endotoxin() -> None:
    syringe = BacterialSyringe(0.0, 1e6, 5e7)
    syringe.add_gentamicin(1.5)
    before = (syringe.extracellular_cfu, syringe.endotoxin_eu, syringe.internalised_per_cell)
    assert before[0] == pytest.approx(5e7 * 2.0 ** (1.5 / 0.75))
    assert before[1] == pytest.approx(ENDOTOXIN_EU_PER_CFU * before[0])
    assert before[2] == pytest.approx(0.03 * 50.0 * -math.expm1(-1.5))
    syringe.advance_to(3.5)
    assert syringe.cleared_log10 == pytest.approx(6.0)
    assert (syringe.endotoxin_eu, syringe.internalised_per_cell) == before[1:]
    assert 0.0 < syringe.delivered_fraction < 0.10  # PHYSICS §4: few per cent of T cells
    resting = BacterialSyringe(0.0, 1e6, 5e7, dividing_fraction=0.0)
    resting.advance_to(1.5)
    assert resting.delivered_fraction == pytest.approx(0.5 * syringe.delivered_fraction, rel=0.05)
    with pytest.raises(ValueError, match="before the state's time"):
        syringe.advance_to(1.0)


def test_the_nominal_freeze_keeps_what_is_published_and_flatters_at_first() -> None:
    fresh = viability_after_thaw(0.95)
    later = viability_after_thaw(0.95, hours_after=24.0)
    assert 0.80 < fresh < 0.90
    assert 0.70 < later < fresh


@given(st.floats(0.02, 50.0))
def test_survival_has_its_maximum_at_one_kelvin_a_minute(rate: float) -> None:
    assert cooling_factor(rate) <= cooling_factor(1.0) == 1.0
    assert viability_after_thaw(0.9, cooling_k_min=rate) <= viability_after_thaw(0.9)


@given(st.lists(st.floats(0.0, 0.2), min_size=2, max_size=6))
def test_dmso_protects_and_poisons(shares: list[float]) -> None:
    for low, high in pairwise(sorted(shares)):
        assert protected_survival(low) <= protected_survival(high) <= 0.92
        assert toxicity_factor(high, 2.0, 22.0) <= toxicity_factor(low, 2.0, 22.0) <= 1.0
    assert viability_after_thaw(0.95, dmso_fraction=0.0) < 0.02
    assert toxicity_factor(0.1, 1.0, 22.0) < toxicity_factor(0.1, 1.0, 4.0)
    assert thawing_factor(2.0) < 0.3 < 0.99 < thawing_factor(100.0)
