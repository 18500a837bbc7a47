# SPDX-License-Identifier: Apache-2.0
"""Bacteria as a syringe, and cells through freezing and thawing."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_sim.models.bacterial_syringe import (
    ENDOTOXIN_EU_PER_CFU,
    GENTAMICIN_MIC_UG_ML,
    BacterialSyringe,
    net_growth_per_h,
)
from mimedi_sim.models.cryopreservation import (
    cooling_factor,
    protected_survival,
    thawing_factor,
    toxicity_factor,
    viability_after_thaw,
)
from mimedi_sim.models.transduction import Bactofection


@given(
    st.lists(st.floats(0.01, 6.0), max_size=8), st.sampled_from([0.0, 1.0, 2.0, 50.0]), st.sampled_from([0.0, 1e6])
)
def test_a_syringe_does_not_depend_on_who_looks(looks: list[float], antibiotic: float, cells: float) -> None:
    def state(times: list[float]) -> tuple[float, ...]:
        syringe = BacterialSyringe(0.0, cells, 5e7, antibiotic_ug_ml=antibiotic)
        for time_h in [*sorted(times), 6.0]:
            syringe.advance_to(time_h)
        assert syringe.entering_cfu is not None
        return syringe.outside_cfu, syringe.entering_cfu, syringe.internalised, syringe.shed_eu

    assert state(looks) == pytest.approx(state([]), rel=1e-9)


def test_contact_delivers_as_the_closed_form_says() -> None:
    syringe = BacterialSyringe(0.0, 1e6, 5e7)
    syringe.advance_to(1.5)
    assert syringe.internalised_per_cell == pytest.approx(Bactofection().internalised_per_cell(50.0, 1.5), rel=1e-12)
    assert syringe.internalised_per_cell == pytest.approx(0.03 * 50.0 * -math.expm1(-1.5))
    # Twice the time to double: four times as many, less the three per cent that went into cells, and their offspring.
    assert 0.97 * 2e8 * 0.98 < syringe.outside_cfu < 2e8
    assert syringe.shed_eu == 0.0
    assert 0.0 < syringe.delivered_fraction() < 0.10  # PHYSICS §4: few per cent of T cells
    assert syringe.delivered_fraction(0.0) == pytest.approx(0.5 * syringe.delivered_fraction(), rel=0.05)
    assert syringe.viable_fraction == pytest.approx(math.exp(-0.01 * syringe.internalised_per_cell))
    with pytest.raises(ValueError, match="before the state's time"):
        syringe.advance_to(1.0)


def test_gentamicin_clears_the_outside_and_leaves_the_endotoxin() -> None:
    syringe = BacterialSyringe(0.0, 1e6, 1e8, entering_cfu=0.0, internalised=1e6, antibiotic_ug_ml=50.0)
    syringe.advance_to(2.0)
    assert math.log10(1e8 / syringe.outside_cfu) == pytest.approx(6.0, rel=0.03)  # PHYSICS §4: 3 log10 an hour
    assert syringe.shed_eu == pytest.approx(ENDOTOXIN_EU_PER_CFU * 1e8, rel=1e-5)
    assert syringe.internalised == 1e6, "what is inside is out of its reach"
    stopped = BacterialSyringe(0.0, 1e6, 1e8, entering_cfu=1e6, antibiotic_ug_ml=50.0)
    stopped.advance_to(5.0)
    assert stopped.internalised < 0.15 * 1e6, "killed before they could enter"


@given(st.floats(0.0, 200.0), st.floats(0.0, 200.0), st.floats(0.01, 2.0))
def test_more_antibiotic_never_helps_the_bacteria(one: float, other: float, growth: float) -> None:
    low, high = sorted((one, other))
    assert net_growth_per_h(high, growth, 3.0) <= net_growth_per_h(low, growth, 3.0) + 1e-12
    assert net_growth_per_h(0.0, growth, 3.0) == growth
    assert net_growth_per_h(GENTAMICIN_MIC_UG_ML, growth, 3.0) == pytest.approx(0.0, abs=1e-12)
    assert net_growth_per_h(high, 0.0, 3.0) == 0.0, "it kills what grows"


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
