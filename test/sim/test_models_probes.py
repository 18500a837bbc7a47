# SPDX-License-Identifier: Apache-2.0
"""Force curves and sensorgrams."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, curve_fit

from mimedi_sim.models import afm, spr
from mimedi_sim.models.afm import Probe
from mimedi_sim.models.spr import Binding, SprChannel
from mimedi_sim.plant.analytics import BindingBench
from mimedi_sim.plant.ledger import QUANTITIES


@given(st.floats(1.0, 1e6), st.floats(1e-7, 1e-4), st.floats(1e-8, 5.0), st.floats(0.0, 0.5))
def test_exact_sphere_by_another_root(modulus, radius, relative, nu):
    """Sneddon's contact radius found by bracketing in a/R, evaluated directly."""
    depth = relative * radius
    got = afm.sneddon_sphere_n(modulus, radius, depth, nu)
    assert got > 0.0
    if relative < 1e-3:  # the direct form cancels here
        assert got == pytest.approx(afm.hertz_sphere_n(modulus, radius, depth, nu), rel=2e-4)
        return
    a = brentq(lambda u: 0.5 * u * math.log((1 + u) / (1 - u)) - relative, 1e-6, 1 - 1e-15, xtol=1e-15)
    if a < 1 - 1e-4:
        direct = (a * a + 1) / 2 * math.log((1 + a) / (1 - a)) - a
        assert got == pytest.approx(modulus / (1 - nu**2) * radius**2 * direct, rel=1e-6)


def test_hertz_is_within_four_percent_at_large_indentation_and_continuous_with_the_exact_law():
    ratio = [afm.hertz_sphere_n(1.0, 1.0, depth) / afm.sneddon_sphere_n(1.0, 1.0, depth) for depth in (0.4, 0.1)]
    assert 1.03 < ratio[0] < 1.05
    assert ratio[1] < 1.012
    depths = np.geomspace(1e-9, 1e-1, 2000)
    forces = np.array([afm.sneddon_sphere_n(1.0, 1.0, d) for d in depths]) / depths**1.5
    assert np.abs(np.diff(np.log(forces))).max() < 1e-3
    assert afm.hertz_sphere_n(500.0, 1e-6, -1e-7) == 0.0
    assert afm.pyramid_n(500.0, 35.0, 5e-7) / afm.cone_n(500.0, 35.0, 5e-7) == pytest.approx(0.7453 * math.pi / 2)


@given(st.floats(1e-9, 3e-6), st.floats(10.0, 1e5), st.floats(1e-3, 10.0))
def test_indentation_balances_cell_and_cantilever(approach, modulus, spring):
    stiffness = afm.hertz_stiffness(modulus, 2.5e-6)
    (depth,) = afm.indentation_m([approach], stiffness, spring)
    assert 0.0 <= depth <= approach
    assert stiffness * depth**1.5 == pytest.approx(spring * (approach - depth), rel=1e-6, abs=1e-15)


@settings(max_examples=15, deadline=None)
@given(st.floats(150.0, 4000.0), st.integers(0, 1000), st.floats(-3e-7, 1e-7), st.floats(-1e-10, 1e-10))
def test_fit_finds_what_the_curve_was_made_of(modulus, seed, contact, baseline):
    probe = Probe(force_noise_n=5e-12, baseline_n=baseline)
    curve = probe.curve(modulus, seed=seed, name="cell", contact_m=contact, end_m=1.5e-6)
    fit = afm.fit_modulus(curve)
    assert fit.modulus_pa == pytest.approx(modulus, rel=0.02, abs=6.0 * fit.modulus_sd_pa)
    assert fit.contact_m == pytest.approx(contact, abs=5e-8)
    assert fit.baseline_n == pytest.approx(baseline, abs=5e-12)
    assert fit.r_squared > 0.95


def test_fit_agrees_with_a_general_least_squares_routine():
    curve = Probe().curve(500.0, seed=4, name="x", rigid=True)
    unit = afm.hertz_stiffness(1.0, 2.5e-6)

    def model(z, modulus, contact_nm, baseline_pn):
        return unit * modulus * np.maximum(z - contact_nm * 1e-9, 0.0) ** 1.5 * 1e12 + baseline_pn

    best, covariance = curve_fit(model, curve.position_m, curve.force_n * 1e12, p0=(400.0, 20.0, 1.0))
    fit = afm.fit_modulus(curve, force_limit_n=math.inf)
    assert fit.modulus_pa == pytest.approx(best[0], rel=1e-4)
    assert fit.modulus_sd_pa == pytest.approx(math.sqrt(covariance[0, 0]), rel=0.01)


@pytest.mark.parametrize(
    ("modulus", "noise", "points", "radius"), [(500, 2e-11, 1000, 2.5e-6), (2500, 1e-11, 400, 1e-6)]
)
def test_expected_error_is_the_spread_of_fits(modulus, noise, points, radius):
    fitted = afm.fitted_moduli_pa(Probe(radius_m=radius, force_noise_n=noise), modulus, 150, 9, points)
    expected = afm.expected_modulus_sd_pa(modulus, radius, noise, points)
    assert fitted.std() == pytest.approx(expected, rel=0.25)
    assert fitted.mean() == pytest.approx(modulus, abs=4.0 * expected / math.sqrt(150))


def test_calibration_errors_do_not_average_out_and_no_cell_is_refused():
    probe = Probe(spring_error=0.10)
    moduli = [afm.fit_modulus(probe.curve(500.0, seed=1, name=f"{n}", end_m=1.5e-6)).modulus_pa for n in range(10)]
    assert np.mean(moduli) == pytest.approx(550.0, rel=0.03)
    with pytest.raises(ValueError, match=r"no contact|allowed: >= 8"):
        afm.fit_modulus(Probe(force_noise_n=0.0).curve(500.0, seed=1, name="air", contact_m=1.0))


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1e3, 1e7), st.floats(1e-5, 1e-1), st.floats(0.0, 1e-6), st.floats(1.0, 500.0), st.floats(1e5, 1e12),
    st.floats(0.0, 1.0), st.floats(0.0, 2000.0), st.floats(0.0, 2000.0),
)  # fmt: skip
def test_binding_is_independent_of_polling_and_bounded(k_a, k_d, conc, capacity, k_t, share, first, second):
    for transport in (math.inf, k_t):
        binding = Binding(k_a, k_d, capacity, transport)
        start = share * capacity
        middle = binding.response_ru(start, conc, first)
        assert -1e-9 * capacity <= middle <= capacity * (1 + 1e-9)
        halves = binding.response_ru(min(max(middle, 0.0), capacity), conc, second)
        assert halves == pytest.approx(binding.response_ru(start, conc, first + second), rel=1e-7, abs=1e-9 * capacity)


@pytest.mark.parametrize(("start", "conc"), [(0.0, 2e-9), (80.0, 2e-9), (80.0, 0.0), (100.0, 1e-7)])
def test_transport_limited_binding_solves_its_equation(start, conc):
    b = Binding(1e6, 1e-3, 100.0, 2e7)

    def slope(_, r):
        return (b.association_per_m_s * conc * (100.0 - r) - 1e-3 * r) / (1 + b.association_per_m_s * (100.0 - r) / 2e7)

    for seconds in (1.0, 60.0, 3000.0):
        reference = solve_ivp(slope, (0, seconds), [start], method="LSODA", rtol=1e-10, atol=1e-10).y[0, -1]
        assert b.response_ru(start, conc, seconds) == pytest.approx(reference, rel=1e-6, abs=1e-7)


def test_quasi_steady_transport_is_close_to_two_compartments():
    """Myszka 1998: concentration at the surface as its own state."""
    k_a, k_d, capacity, k_t, conc = 5e5, 5e-4, 80.0, 4e7, 3e-9

    def slopes(_, y):
        surface, r = y
        binding = k_a * surface * (capacity - r) - k_d * r
        return [(k_t * (conc - surface) - binding) / 1e4, binding]  # a thin layer: 1e4 RU/M of it

    reference = solve_ivp(slopes, (0, 600), [0.0, 0.0], method="Radau", rtol=1e-9, atol=1e-15).y[1, -1]
    assert Binding(k_a, k_d, capacity, k_t).response_ru(0.0, conc, 600.0) == pytest.approx(reference, rel=1e-3)


def test_sensorgram_cycle():
    channel = SprChannel(Binding(), seed=2)
    channel.inject(60.0, 5e-9, bulk_ru=30.0, protein_mg_ml=2.0)
    bound = channel.bound_at(360.0)
    assert bound == channel.bound_at(360.0)
    signal, reference = channel.reading_ru(360)
    assert signal - reference == pytest.approx(bound, abs=6 * math.sqrt(2) * spr.NOISE_RU)
    assert reference == pytest.approx(32.0, abs=6.0)
    assert channel.reading_ru(360) == (signal, reference)
    channel.wash(360.0)
    assert channel.bound_at(660.0) == pytest.approx(bound * math.exp(-5e-4 * 300.0))
    channel.regenerate(700.0)
    assert channel.bound_ru == 0.0
    channel.inject(700.0, 5e-9)
    assert channel.bound_at(1000.0) == pytest.approx(0.99 * bound)


def test_slope_quantifies_and_the_detection_limit_is_what_noise_allows():
    binding = Binding()
    assert binding.concentration_from_slope_m(binding.initial_slope_ru_s(2e-9)) == pytest.approx(2e-9)
    # 100 IU/mL of IL-2 (0.4 nM) gives 0.02 RU/s (PHYSICS §10) and is found within 300 s.
    assert binding.initial_slope_ru_s(0.4e-9) == pytest.approx(0.02)
    limit = spr.slope_detection_limit_m(binding)
    rng, t = np.random.default_rng(1), np.arange(301.0)
    slopes = [np.polyfit(t, rng.normal(0, spr.NOISE_RU, 301), 1)[0] for _ in range(2000)]
    assert limit == pytest.approx(binding.concentration_from_slope_m(3 * np.std(slopes)), rel=0.06)
    assert spr.theoretical_rmax_ru(1000.0, 15_500.0, 150_000.0, 1) == pytest.approx(103.33, rel=1e-4)
    with pytest.raises(ValueError, match="capacity"):
        binding.response_ru(101.0, 0.0, 1.0)


def test_the_baseline_of_a_rested_biochip_reader_is_of_the_run_that_follows():
    jumps = []
    for seed in range(8):
        bench = BindingBench(seed, 0.0, lambda now_s: np.zeros(len(QUANTITIES)))
        bench.turn(9.0e5, "CONTrol", "IFNG")
        readings = np.array(bench.readings("IFNG", 899_980, 40))[:, 1]  # the reference: drift and noise only
        jumps.append(readings[20:].mean() - readings[:20].mean())
    # 0.2 RU of noise over 20 readings and 20 s of drift; between two runs lie some 3 RU
    assert np.abs(jumps).max() < 1.0, jumps
