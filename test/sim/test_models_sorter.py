# SPDX-License-Identifier: Apache-2.0
"""Acoustic sorting, the transducer that drives it, and the beads that make it work."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_sim.models import acoustics
from mimedi_sim.models.beads import bead_count_distribution, bound_fraction_after, deplete
from mimedi_sim.models.piezo import TransducerModel, tracking_step_hz, warmed_temperature_c
from mimedi_sim.models.sorter import SorterGeometry, default_population, population_recovery, recovery_to_centre
from mimedi_sim.models.species import ACTIVATED_T_CELL, BEAD, RED_BLOOD_CELL, RESTING_LYMPHOCYTE

CHIP = SorterGeometry()
PEOPLE = default_population()


def shares(energy, **options):
    return population_recovery(PEOPLE, energy, 0.6, **options)


@pytest.mark.parametrize(
    ("energy", "recovery", "red_cells"),
    [(10, 0.59, 0.0), (12, 0.71, 0.0), (14, 0.80, 0.002), (18, 0.88, 0.05), (25, 0.94, 0.37)],
)
def test_published_trade_off(energy, recovery, red_cells):
    out = shares(energy)
    assert out["t_cell"] == pytest.approx(recovery, abs=0.011)
    assert out["red_blood_cell"] == pytest.approx(red_cells, abs=0.003)


def test_recovery_grows_with_energy_for_every_species():
    rows = [shares(e) for e in (0.0, 3.0, 7.0, 14.0, 25.0, 60.0)]
    for name in PEOPLE:
        column = [row[name] for row in rows]
        assert column == sorted(column)
        assert column[0] == 0.0


def test_label_free_sorting_fails_because_red_cells_move_faster():
    bare = shares(30.0, bound_fraction=0.0)
    assert bare["red_blood_cell"] > bare["t_cell"]
    assert RED_BLOOD_CELL.mobility_m2() > RESTING_LYMPHOCYTE.mobility_m2()
    with_beads = [RESTING_LYMPHOCYTE.with_beads(n).mobility_m2() * 1e12 for n in (1, 2, 3)]
    assert with_beads == pytest.approx([1.56, 2.31, 2.98], abs=0.01)


def test_acoustics_cannot_take_beads_from_activated_cells():
    assert BEAD.mobility_m2() * 1e12 == pytest.approx(1.46, abs=0.01)
    assert ACTIVATED_T_CELL.mobility_m2() * 1e12 == pytest.approx(1.54, abs=0.01)


def test_detuning_by_the_half_width_halves_the_energy_and_ruins_the_sort():
    f0 = CHIP.resonance_hz(25.0)
    assert f0 == pytest.approx(2.0093e6, rel=1e-4)
    tuned, detuned = CHIP.energy_j_m3(5.3, f0, 25.0), CHIP.energy_j_m3(5.3, f0 + 10e3, 25.0)
    assert tuned == pytest.approx(14.0, rel=0.01)
    assert detuned / tuned == pytest.approx(0.5, abs=0.01)
    assert shares(detuned)["t_cell"] < 0.5 * shares(tuned)["t_cell"]
    # Driving at the transducer's own maximum leaves a tenth; 3 K of untracked warming halve the energy.
    assert CHIP.energy_j_m3(5.3, 1.98e6, 25.0) / tuned == pytest.approx(0.105, abs=0.005)
    assert CHIP.energy_j_m3(5.3, f0, 28.0) / tuned == pytest.approx(0.5, abs=0.03)


def test_nominal_residence_time_and_its_scaling():
    assert CHIP.residence_time_s(3200.0) == pytest.approx(0.600, abs=0.002)
    assert CHIP.residence_time_s(1600.0) == pytest.approx(2.0 * CHIP.residence_time_s(3200.0))


@given(st.floats(0.02, 0.35), st.floats(2e-6, 7e-6), st.floats(0.05, 0.3), st.floats(1.0, 60.0))
def test_quadrature_agrees_with_counting_particles(contrast, radius, cv, energy):
    rng = np.random.default_rng(1)
    n = 20_000
    sigma = math.sqrt(math.log1p(cv * cv))
    a = radius * np.exp(sigma * rng.standard_normal(n) - 0.5 * sigma**2)
    y0 = rng.uniform(20e-6, 60e-6, n)
    k = math.pi / CHIP.width_m
    angle = np.tan(k * y0) * np.exp(0.6 * 4 * contrast * (k * a) ** 2 * energy / (3 * 0.89e-3))
    counted = float((angle > math.tan(k * 120e-6)).mean())
    got = recovery_to_centre(
        contrast, radius, cv, width_m=CHIP.width_m, energy_j_m3=energy, viscosity_pa_s=0.89e-3,
        lamella_start_m=20e-6, lamella_end_m=60e-6, split_m=120e-6, residence_time_s=0.6,
    )[0]
    assert got == pytest.approx(counted, abs=5.0 * math.sqrt(0.25 / n))


def test_negative_contrast_never_reaches_the_centre_and_followers_stay():
    kw = dict(width_m=CHIP.width_m, energy_j_m3=50.0, viscosity_pa_s=0.89e-3, lamella_start_m=20e-6,
              lamella_end_m=60e-6, split_m=120e-6, residence_time_s=0.6)
    assert recovery_to_centre([-0.4, 0.0], [5e-6, 5e-6], [0.1, 0.1], **kw).tolist() == [0.0, 0.0]


@given(st.floats(1e-6, 186e-6), st.floats(0.001, 5.0), st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_trajectory_composes_and_mirrors(start, constant, first, second):
    width = CHIP.width_m
    halfway = acoustics.lateral_position_m(start, first, constant, width)
    if 0.0 < halfway < width:
        end = acoustics.lateral_position_m(halfway, second, constant, width)
        assert end == pytest.approx(acoustics.lateral_position_m(start, first + second, constant, width), rel=1e-6)
    mirrored = acoustics.lateral_position_m(width - start, first, constant, width)
    assert mirrored == pytest.approx(width - halfway, rel=1e-9)


# -- transducer ---------------------------------------------------------------------------------------------


def test_the_channel_shows_no_conductance_maximum_of_its_own():
    model = TransducerModel()
    f = np.linspace(1.9e6, 2.1e6, 20_001)
    g = model.at(25.0).admittance_s(f).real
    peaks = f[1:-1][(g[1:-1] > g[:-2]) & (g[1:-1] > g[2:])]
    assert peaks.tolist() == pytest.approx([1.98e6], rel=1e-4)
    assert model.channel_resonance_hz(25.0) == pytest.approx(2.0094e6, rel=1e-4)
    # Yet the branch is there: it changes the conductance near its resonance and vanishes when dry.
    dry = TransducerModel(channel_filled=False).at(25.0)
    assert len(dry.branches) == 1
    assert model.at(25.0).branches[1].resonance_hz == pytest.approx(2.0094e6, rel=1e-4)


def test_the_two_branches_drift_in_opposite_directions():
    cold, warm = TransducerModel().at(25.0), TransducerModel().at(35.0)
    drift = warm.branches[0].resonance_hz - cold.branches[0].resonance_hz
    assert drift == pytest.approx(-150e-6 * 10 * 1.98e6, rel=1e-6)
    assert warm.branches[1].resonance_hz > cold.branches[1].resonance_hz + 25e3


def test_defects_have_their_signature():
    sound = TransducerModel().at(25.0)
    assert TransducerModel(delaminated=True).at(25.0).branches[0].quality == pytest.approx(100.0)
    assert len(TransducerModel(delaminated=True).at(25.0).branches) == 1
    assert TransducerModel(bubble=True).at(25.0).branches[1].quality == pytest.approx(20.0)
    depoled = TransducerModel(depoled=True).at(25.0)
    assert depoled.parallel_resonance_hz() < sound.parallel_resonance_hz() - 5e4


@given(st.floats(1.97e6, 1.99e6), st.floats(0.2, 0.9))
def test_tracking_converges_to_the_series_resonance(start, gain):
    transducer = TransducerModel(channel_filled=False, loss_tangent=0.0).at(25.0)
    quality, target = transducer.branches[0].quality, transducer.branches[0].resonance_hz
    f = start
    for _ in range(80):
        f = tracking_step_hz(transducer, f, gain, target, quality)
    assert f == pytest.approx(target, abs=2.0)
    with pytest.raises(ValueError, match=r"gain is 2\.5"):
        tracking_step_hz(transducer, start, 2.5, target, quality)


def test_self_heating_of_ten_volts_exceeds_three_kelvin_and_does_not_depend_on_polling():
    power = TransducerModel().at(25.0).dissipated_power_w(1.98e6, 10.0)
    assert power == pytest.approx(0.86, abs=0.02)
    whole = warmed_temperature_c(25.0, 25.0, power, 300.0)
    halves = warmed_temperature_c(warmed_temperature_c(25.0, 25.0, power, 120.0), 25.0, power, 180.0)
    assert whole == pytest.approx(halves, rel=1e-12)
    assert whole > 28.0


# -- beads --------------------------------------------------------------------------------------------------


@given(st.floats(0.0, 6.0), st.floats(0.0, 1.0))
def test_bead_numbers_are_a_distribution_with_the_right_mean(mean, bound):
    p = bead_count_distribution(mean, bound)
    assert sum(p) == pytest.approx(1.0, abs=1e-12)
    assert min(p) >= -1e-12
    if mean > 0.1:
        expected = bound * mean / -math.expm1(-mean)
        assert sum(n * q for n, q in enumerate(p)) == pytest.approx(expected, rel=0.01)


def test_labelling_reaches_its_plateau_in_half_an_hour():
    assert bound_fraction_after(0.0) == 0.0
    assert bound_fraction_after(1800.0) == pytest.approx(0.93)
    assert bound_fraction_after(300.0) < 0.6


def test_depletion_reaches_the_specification_and_costs_cells():
    done = deplete(bead_count=4e5, cell_count=3e6, unbinding_s=1800.0)
    assert done.residual_beads < 100.0
    assert done.log10_reduction >= 3.6
    assert 0.93 * 3e6 < done.kept_cells < 0.99 * 3e6
    hasty = deplete(bead_count=4e5, cell_count=3e6, unbinding_s=60.0)
    assert hasty.kept_cells < done.kept_cells
    assert deplete(4e5, 3e6, 1800.0, magnet_passes=0).residual_beads == 4e5
