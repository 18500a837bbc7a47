# SPDX-License-Identifier: Apache-2.0
"""T-cell culture: independence of polling, balances, and the direction of its faults; transduction statistics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_sim.models import transduction
from mimedi_sim.models.medium_chemistry import dissolved_oxygen_mm, medium_ph
from mimedi_sim.models.osteoblast import alp_peak_day, alp_positive_fraction, mature_fraction
from mimedi_sim.models.tcell import CultureConditions, TCellCulture
from mimedi_sim.models.thermal import Temperatures, ThermalChamber


def culture(**conditions):
    return TCellCulture.seeded(9.2e7, 8e6, 100.0, conditions=CultureConditions(**conditions))


def expanded(**changes):
    """Dilute 1:5 on day 2, perfuse from day 4: the culture of the nominal batch."""
    grown = culture(**changes)
    grown.add_medium(48.0, 400.0)
    grown.set_conditions(96.0, perfusion_vvd=1.0)
    return grown


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.0, 150.0), max_size=40), st.floats(1.0, 60.0), st.floats(61.0, 140.0))
def test_results_do_not_depend_on_how_often_the_culture_is_read(polls, fed_at, perfused_at):
    def run(read_at):
        grown = culture(transfer_per_h=4.0)
        events = [(fed_at, lambda t: grown.add_medium(t, 150.0)),
                  (perfused_at, lambda t: grown.set_conditions(t, perfusion_vvd=0.7))]
        for time, act in sorted(events + [(t, grown.at) for t in read_at], key=lambda pair: pair[0]):
            act(time)
        return grown.at(150.0)

    assert run(polls) == run([])


def test_reading_between_grid_points_is_continuous_with_them():
    grown = culture()
    before, at, after = grown.at(71.99999).viable_cells, grown.at(72.0).viable_cells, grown.at(72.00001).viable_cells
    assert before == pytest.approx(at, rel=1e-6)
    assert after == pytest.approx(at, rel=1e-6)
    with pytest.raises(ValueError, match="before the culture's time"):
        grown.at(10.0)


def test_cells_glucose_and_lactate_balance():
    start = culture().at(0.0)
    grown = expanded()
    taken = grown.withdraw(130.0, 20.0)
    end = grown.at(240.0)
    assert end.viable_cells == pytest.approx(
        start.viable_cells + end.cells_born - end.cells_died - taken.viable_cells, rel=1e-3)
    assert end.dead_cells == pytest.approx(
        start.dead_cells + end.cells_died - end.cells_lysed - taken.dead_cells, rel=1e-9)
    assert end.glucose_mmol == pytest.approx(
        start.glucose_mmol + end.glucose_in_mmol - end.glucose_out_mmol - end.glucose_consumed_mmol, rel=1e-9)
    assert end.lactate_mmol == pytest.approx(1.7 * end.glucose_consumed_mmol - end.lactate_out_mmol, rel=1e-9)
    assert end.medium_perfused_ml == pytest.approx(500.0 * 34 / 24 + 480.0 * 110 / 24, rel=1e-9)
    with pytest.raises(ValueError, match="volume_ml is 1000"):
        grown.withdraw(240.0, 1000.0)


def test_faults_point_the_right_way():
    nominal = expanded().at(240.0)
    assert nominal.viability > 0.80
    cold = expanded(temperature_c=33.0).at(240.0)
    assert cold.viable_cells < nominal.viable_cells / 3.0
    starved = culture()
    starved.add_medium(48.0, 400.0)
    assert starved.at(240.0).viability < 0.70
    without_il2 = expanded(feed_il2_iu_ml=0.0).at(240.0)
    assert without_il2.viable_cells < nominal.viable_cells
    without_co2 = expanded(pco2_mmhg=2.0).at(240.0)
    assert without_co2.viable_cells < 0.2 * nominal.viable_cells
    feverish = expanded(temperature_c=41.5).at(240.0)
    assert feverish.viability < 0.5
    breathless = expanded(transfer_per_h=0.05, oxygen_mm=0.2).at(240.0)
    assert breathless.viable_cells < 0.7 * nominal.viable_cells


def test_day_five_culture_with_its_heater_off_dies_as_the_process_says():
    grown = expanded()
    fresh = grown.commit(120.0).viable_cells
    chamber = ThermalChamber(temperatures=Temperatures(37.0, 37.0, 37.0), integral_w=22.5)
    chamber.change(0.0, heater_works=False)
    grown.set_conditions(120.0, perfusion_vvd=0.0)
    time = 120.0
    kept = {}
    while time < 144.0:
        grown.set_conditions(time, temperature_c=chamber.at((time - 120.0) * 3600.0).liquid_c)
        time = grown.next_grid_time_h(time)
        kept[round(time - 120.0, 4)] = grown.at(time).viable_cells / fresh
    assert kept[8.0] == pytest.approx(0.80, abs=0.06)
    assert kept[24.0] == pytest.approx(0.44, abs=0.02)


def test_ph_falls_with_lactate_and_co2_and_survives_exhaustion():
    assert medium_ph(23.8, 0.0, 35.65) > medium_ph(23.8, 5.0, 35.65) > medium_ph(23.8, 5.0, 60.0)
    assert medium_ph(23.8, 30.0, 35.65) < 5.0
    with pytest.raises(ValueError, match="pco2_mmhg"):
        medium_ph(23.8, 0.0, 0.0)


@given(st.floats(1.0, 60.0), st.floats(0.0, 25.0), st.floats(5.0, 90.0), st.floats(0.1, 40.0))
def test_ph_solves_the_charge_balance(ions, lactate, pco2, buffer):
    if lactate < ions - 0.1:
        ph = medium_ph(ions, lactate, pco2, buffer)
        rest = ions - lactate - 0.0307 * pco2 * 10 ** (ph - 6.1) - buffer / (1 + 10 ** (7.3 - ph))
        assert abs(rest) < 1e-6 * ions


def test_oxygen_is_exact_and_never_negative():
    whole = dissolved_oxygen_mm(5.0, 0.2, 4e-11, 5e6, 0.2, 0.5)
    halves = dissolved_oxygen_mm(5.0, 0.2, 4e-11, 5e6, dissolved_oxygen_mm(5.0, 0.2, 4e-11, 5e6, 0.2, 0.2), 0.3)
    assert whole == pytest.approx(halves, rel=1e-12)
    assert dissolved_oxygen_mm(0.0, 0.2, 4e-11, 5e7, 0.2, 5.0) == 0.0


# -- transduction -------------------------------------------------------------------------------------------


@given(st.floats(0.001, 20.0), st.floats(0.3, 50.0))
def test_copy_numbers_are_a_distribution(mean, dispersion):
    p = transduction.copy_distribution(mean, 400, dispersion)
    assert sum(p) == pytest.approx(1.0, abs=1e-9)
    assert p[0] == pytest.approx(1.0 - transduction.transduced_fraction(mean, dispersion), abs=1e-12)
    if dispersion > 2.0:
        assert float(np.dot(p, range(400))) == pytest.approx(mean, rel=1e-3)


def test_overdispersion_lowers_the_positive_fraction_and_raises_the_copies():
    assert transduction.transduced_fraction(0.57, 2.0) < transduction.transduced_fraction(0.57, None)
    assert transduction.copies_per_positive_cell(0.57, 2.0) > transduction.copies_per_positive_cell(0.57, None)
    assert transduction.copies_per_positive_cell(0.0) == 1.0


@given(st.lists(st.floats(0.0, 4.0), min_size=1, max_size=8))
def test_vector_contact_is_independent_of_polling_and_balances(durations):
    def contact():
        return transduction.VectorContact(24.0, 5e8, 1e8, 100.0)

    polled = contact()
    for duration in durations:
        polled.advance_to(polled.time_h + duration)
    single = contact()
    single.advance_to(polled.time_h)
    assert polled.mean_copies == pytest.approx(single.mean_copies, rel=1e-9, abs=1e-12)
    assert polled.free_tu + polled.adsorbed_tu + polled.decayed_tu == pytest.approx(5e8, rel=1e-12)
    closed = transduction.adsorbed_per_cell(5.0, 1e6, 1.3e-8, transduction.VECTOR_DECAY_PER_H, sum(durations))
    assert single.mean_copies == pytest.approx(closed, rel=1e-9, abs=1e-12)


def test_a_still_deep_layer_gives_a_fifth_of_a_thin_one():
    d = transduction.virus_diffusivity_m2_s(310.15, 0.0006913)
    thin = transduction.diffusion_limited_fraction(d, 150e-6, 7200.0)
    deep = transduction.diffusion_limited_fraction(d, 3e-3, 7200.0)
    assert thin > 0.95
    assert deep < 0.2 * thin
    # The short-time form and the series meet.
    for fourier in (0.0399, 0.0401):
        assert transduction.diffusion_limited_fraction(1.0, 1.0, fourier) == pytest.approx(
            2.0 * math.sqrt(fourier / math.pi), rel=1e-9)


def test_bacterial_delivery_and_clearance():
    model = transduction.Bactofection()
    inside = model.internalised_per_cell(50.0, 1.5)
    assert 0.0 < model.delivered_fraction(inside, 0.0) < model.delivered_fraction(inside, 1.0) < 0.1
    assert model.extracellular_cfu(1e6, 1.5, 3.0) < 1e-1 < 1e6 < model.extracellular_cfu(1e6, 1.5, 0.0)


# -- osteoblasts --------------------------------------------------------------------------------------------


@given(st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.floats(0.0, 40.0))
def test_bateman_fractions_stay_fractions_and_alp_peaks_where_it_says(k1, k2, t):
    alp, mature = alp_positive_fraction(k1, k2, t), mature_fraction(k1, k2, t)
    assert 0.0 <= alp <= 1.0
    assert 0.0 <= mature <= 1.0
    assert alp + mature == pytest.approx(1.0 - math.exp(-k1 * t), abs=1e-12)
    peak = alp_peak_day(k1, k2)
    assert alp_positive_fraction(k1, k2, peak) >= alp - 1e-12
