# SPDX-License-Identifier: Apache-2.0
"""Photon counting, sequential tests and growth from single cells."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_sim.models import bacteria, photon
from mimedi_sim.models.bacteria import Colony
from mimedi_sim.models.photon import Detector, PhotonCounter
from mimedi_sim.models.sequential_tests import Cusum, Sprt, SprtRun


@given(st.floats(0.0, 1e9), st.floats(0.0, 1e-6))
def test_dead_time_is_undone_by_its_correction(rate, dead_time):
    counted = photon.dead_time_rate_per_s(rate, dead_time)
    assert counted <= rate
    if counted * dead_time < 0.9:
        assert photon.corrected_rate_per_s(counted, dead_time) == pytest.approx(rate, rel=1e-9)


def test_dead_time_against_a_renewal_simulation():
    """Every count blinds the detector for tau; the next one comes an exponential time after."""
    rng = np.random.default_rng(3)
    for rate, tau in ((2e5, 5e-7), (5e6, 1e-7)):
        gaps = tau + rng.exponential(1.0 / rate, 400_000)
        assert photon.dead_time_rate_per_s(rate, tau) == pytest.approx(1.0 / gaps.mean(), rel=5e-3)
        counter = Detector(dead_time_s=tau, afterpulse=0.0, dark_at_20_c_per_s=0.0)
        window = 200.0 * gaps.mean()
        counts = np.diff(np.searchsorted(np.cumsum(gaps), np.arange(0.0, gaps.sum(), window)))
        fano = counts.var() / counts.mean()
        assert counter.variance_factor(counter.rate_per_s(rate)) == pytest.approx(fano, rel=0.2)


def test_window_counts_have_the_stated_mean_and_variance_and_do_not_depend_on_order():
    counter = PhotonCounter(7, detector=Detector(afterpulse=0.03), window_s=1.0)
    light = 500.0
    counts = [counter.counts(n, light) for n in range(6000)]
    rate = counter.detector.rate_per_s(light)
    assert np.mean(counts) == pytest.approx(rate, rel=3e-3)
    assert np.var(counts) / np.mean(counts) == pytest.approx(counter.detector.variance_factor(rate), rel=0.08)
    assert counter.counts(5999, light) == counts[-1]
    other = PhotonCounter(8, detector=Detector(afterpulse=0.03), window_s=1.0)
    assert [other.counts(n, light) for n in range(20)] != counts[:20]


def test_faults_have_their_signatures():
    light = PhotonCounter(1).light_per_s(0.0)
    assert Detector(dead=True).rate_per_s(light) == 0.0
    assert Detector(light_leak_per_s=1e4).rate_per_s(light) > 1e4
    warm, cold = (Detector().rate_per_s(0.0, t) for t in (28.0, 20.0))
    assert warm == pytest.approx(2.0 * cold, rel=1e-4)
    old = PhotonCounter(1).light_per_s(100.0, reagent_age_days=30.0)
    assert old == pytest.approx(PhotonCounter(1).light_per_s(100.0) * math.exp(-0.6))
    # 1 mL of culture at 5e6/mL looks like 2.5e9 CFU before the somatic ATP is removed (PHYSICS §8).
    assert photon.somatic_cfu_equivalents(5e6, 0.0) == pytest.approx(2.5e9)
    assert photon.somatic_cfu_equivalents(5e6, 6.0) == pytest.approx(2.5e3)


@settings(max_examples=12, deadline=None)
@given(st.floats(2.0, 200.0), st.floats(1.1, 2.0), st.floats(0.001, 0.1), st.floats(0.001, 0.1), st.booleans())
def test_sprt_run_length_against_simulation(rate0, ratio, alpha, beta, upwards):
    rates = (rate0, rate0 * ratio) if upwards else (rate0 * ratio, rate0)
    test = Sprt(*rates, alpha, beta)
    rng = np.random.default_rng(11)
    for truth in rates:
        exact, accepted = test.operating_point(truth)
        total, length, decided = np.zeros(4000), np.zeros(4000), np.zeros(4000, dtype=int)
        for _ in range(5000):
            going = decided == 0
            if not going.any():
                break
            total[going] += test.evidence(rng.poisson(truth, going.sum()))
            length[going] += 1
            decided[going & (total >= test.upper)] = 1
            decided[going & (total <= test.lower)] = -1
        assert exact == pytest.approx(length.mean(), abs=5.0 * length.std() / math.sqrt(4000) + 0.003)
        spread = math.sqrt(max(accepted * (1.0 - accepted), 1e-4) / 4000)
        assert accepted == pytest.approx((decided == 1).mean(), abs=5.0 * spread)


def test_sprt_keeps_its_risks_and_decides_once():
    test = Sprt(100.0, 115.0, 0.001, 0.01)
    assert test.operating_point(100.0)[1] <= 0.001
    assert 1.0 - test.operating_point(115.0)[1] <= 0.01
    run = SprtRun(test)
    while run.decision is None:
        run.add(130)
    assert run.decision == 1
    windows = run.windows
    assert run.add(0) == 1
    assert run.windows == windows
    with pytest.raises(ValueError, match="no test has such risks"):
        Sprt(1.0, 2.0, 0.6, 0.5)


@pytest.mark.parametrize(("chart", "rate"), [
    (Cusum.between(4.0, 8.0, 6.0), 8.0), (Cusum.between(4.0, 8.0, 6.0), 4.5), (Cusum(5.5, 7.25), 6.0),
    (Cusum(0.3, 2.0), 0.2), (Cusum(107.3, 60.0), 110.0), (Cusum(math.pi, 3.3), 3.0),
])  # fmt: skip
def test_cusum_run_length_against_simulation(chart, rate):
    rng = np.random.default_rng(2)
    sums, lengths, going = np.zeros(3000), np.zeros(3000), np.ones(3000, dtype=bool)
    while going.any():
        lengths[going] += 1
        sums[going] = np.maximum(0.0, sums[going] + rng.poisson(rate, going.sum()) - chart.reference)
        going &= sums < chart.threshold
    assert chart.run_length(rate) == pytest.approx(lengths.mean(), abs=4.0 * lengths.std() / math.sqrt(3000))


def test_cusum_of_two_steps_is_known():
    # Reference 0, threshold 1: the alarm comes with the first count, 1/(1-e^-rate) windows on average.
    assert Cusum(0.0, 1.0).run_length(0.1) == pytest.approx(1.0 / -math.expm1(-0.1), rel=1e-12)
    assert Cusum(2.0, 5.0).add(1.0, 6.0) == (5.0, True)


@given(st.integers(2, 100_000), st.integers(1, 50), st.floats(0.05, 5.0))
def test_yule_moments_are_sums_over_divisions(target, start, growth):
    sizes = np.arange(min(start, target), target)
    mean = np.sum(1.0 / (growth * sizes))
    assert bacteria.mean_time_to_number_h(target, growth, start) == pytest.approx(mean, rel=1e-9, abs=1e-12)
    expected = math.sqrt(np.sum((growth * sizes) ** -2.0))
    assert bacteria.sd_time_to_number_h(target, growth, start) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_colonies_are_pure_birth():
    growth, target = bacteria.growth_rate_per_h(0.5), 200
    times = []
    for seed in range(400):
        colony = Colony(seed, "e_coli", 1, 500.0, growth, lag_h=2.0)
        low, high = 2.0, 40.0
        for _ in range(50):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if colony.cells_at(middle) < target else (low, middle)
        times.append(high - 2.0)
    mean, sd = (law(target, growth) for law in (bacteria.mean_time_to_number_h, bacteria.sd_time_to_number_h))
    assert np.mean(times) == pytest.approx(mean, abs=4.0 * sd / 20.0)
    assert np.std(times) == pytest.approx(sd, rel=0.2)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 20_000), st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 2.0)), max_size=6), st.integers(0, 9)
)
def test_a_colony_does_not_depend_on_polling(inoculum, changes, seed):
    looked, left = (Colony(seed, "x", inoculum, 500.0, 1.0, lag_h=1.5) for _ in range(2))
    time_h = 0.0
    for wait, rate in changes:
        for part in (0.3, 0.6):
            looked.cells_at(time_h + part * wait)
            looked.change(time_h + part * wait, looked.growth_per_h)
        time_h += wait
        looked.change(time_h, rate)
        left.change(time_h, rate)
    got, expected = looked.cells_at(time_h + 3.0), left.cells_at(time_h + 3.0)
    assert abs(got - expected) <= 1e-9 * expected + (1.0 if expected < bacteria.STOCHASTIC_LIMIT else 0.0)
    assert expected >= inoculum
    assert expected <= max(500.0 * bacteria.CAPACITY_PER_ML, inoculum)


def test_colony_events_capacity_and_antibiotic():
    colony = Colony(3, "e_coli", 1, 10.0, 1.4)
    event = colony.next_event()
    assert event > 2.0
    assert colony.cells_at(event - 1e-9) == 1
    assert colony.cells_at(event + 1e-9) == 2
    assert colony.cells_at(200.0) == pytest.approx(10.0 * bacteria.CAPACITY_PER_ML)
    colony.change(event + 1.0, 0.0)
    assert colony.next_event() == math.inf
    assert colony.cells_at(1e3) == colony.cells_at(event + 1.0)
    assert Colony(3, "none", 0, 10.0, 1.4).cells_at(100.0) == 0.0


def test_detection_is_seven_to_ten_hours_after_one_cell_in_a_litre():
    """PHYSICS §12: E. coli, 1 CFU in 1 L, aliquots of 1 mL, doubling 0.5–0.75 h, lag 2 h."""
    for doubling in (0.5, 0.75):
        assert 6.5 < bacteria.detection_time_h(1.0, 1000.0, 1.0, 2.5, 100.0, 300.0, doubling) < 10.0
    assert bacteria.detection_time_h(1e6, 500.0, 1.0, 2.5, 100.0, 300.0, 0.75) == 0.0
