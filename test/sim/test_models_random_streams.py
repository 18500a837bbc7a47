# SPDX-License-Identifier: Apache-2.0
"""Random streams: pure functions of the index, with the laws they claim."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mimedi_sim.random_streams import PATTERN_SCALE, OrnsteinUhlenbeck, RandomStream, stream


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=30))
def test_values_do_not_depend_on_the_order_of_the_questions(indices):
    asked = RandomStream(7, "pump", "pressure")
    forward = {i: (asked.normal(i), asked.poisson(i, 40.0), asked.binomial(i, 1000, 0.3)) for i in indices}
    for i in reversed(indices):
        fresh = RandomStream(7, "pump", "pressure")
        assert (fresh.normal(i), fresh.poisson(i, 40.0), fresh.binomial(i, 1000, 0.3)) == forward[i]


def test_vector_and_scalar_readings_agree_across_block_borders():
    source = stream(3, "camera", "noise")
    np.testing.assert_array_equal(source.normals(250, 20), [source.normal(i) for i in range(250, 270)])


def test_keys_separate_seed_device_and_channel():
    first = RandomStream(1, "a", "bc").uniforms(0, 64)
    for other in (RandomStream(2, "a", "bc"), RandomStream(1, "ab", "c"), RandomStream(1, "a", "b")):
        assert not np.any(first == other.uniforms(0, 64))


def test_uniforms_and_normals_follow_their_laws():
    source = RandomStream(11, "test", "law")
    assert stats.kstest(source.uniforms(0, 20_000), "uniform").pvalue > 1e-3
    assert stats.kstest(source.normals(20_000, 20_000), "norm").pvalue > 1e-3


@pytest.mark.parametrize("mean", [0.02, 0.8, 3.0, 99.6, 4.0e4, 3.0e9])
def test_poisson_has_the_right_mean_and_variance(mean):
    source = RandomStream(5, "counter", f"poisson {mean}")
    counts = np.array([source.poisson(i, mean) for i in range(4000)], dtype=float)
    assert abs(counts.mean() - mean) < 4.5 * math.sqrt(mean / 4000)
    assert counts.var() == pytest.approx(mean, rel=0.15 + 4.5 / math.sqrt(4000 * mean))


def test_poisson_is_the_exact_quantile():
    source = RandomStream(5, "counter", "quantile")
    for i in range(300):
        assert source.poisson(i, 3.0) == int(stats.poisson.ppf(source.uniform(i), 3.0))
        assert source.binomial(i, 40, 0.2) == int(stats.binom.ppf(source.uniform(i), 40, 0.2))


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (1000, 0.93), (240_000_000, 0.795), (10**10, 0.4)])
def test_binomial_has_the_right_mean_and_variance(n, p):
    source = RandomStream(5, "sorter", f"binomial {n} {p}")
    counts = np.array([source.binomial(i, n, p) for i in range(2000)], dtype=float)
    variance = n * p * (1 - p)
    assert abs(counts.mean() - n * p) < 4.5 * math.sqrt(variance / 2000)
    assert counts.var() == pytest.approx(variance, rel=0.16)


def test_ornstein_uhlenbeck_is_a_function_of_the_index_with_the_right_statistics():
    def drift():
        return OrnsteinUhlenbeck(RandomStream(9, "probe", "drift"), 0.05, 86_400.0, 8_640.0)

    walked = drift()
    values = np.array([walked.at_index(i) for i in range(20_000)])
    assert drift().at_index(12_345) == values[12_345]
    assert walked.at_index(3) == values[3]
    assert walked.at_time(8_640.0 * 4 + 1.0) == values[4]
    assert values.std() == pytest.approx(0.05, rel=0.08)
    assert np.corrcoef(values[:-1], values[1:])[0, 1] == pytest.approx(math.exp(-0.1), abs=0.02)


def test_refusals_name_the_value():
    source = RandomStream(0, "x", "y")
    with pytest.raises(ValueError, match="-1"):
        source.normal(-1)
    with pytest.raises(ValueError, match=r"1\.2"):
        source.binomial(0, 10, 1.2)
    with pytest.raises(ValueError, match="finite"):
        source.poisson(0, math.nan)


@given(st.integers(0, 2**40), st.integers(0, 1000))
def test_a_number_asked_alone_is_that_of_its_block(index, seed):
    alone, among = stream(seed, "device", "channel"), RandomStream(seed, "device", "channel")
    block = among.uniforms(index - index % 256, 256)
    assert RandomStream(seed, "device", "channel").uniform(index) == block[index % 256]
    first = alone.normal(index)
    assert alone.normal(index) == first == among.normals(index, 1)[0]


def test_pattern_is_normal_and_grows_by_its_end() -> None:
    stream = RandomStream(3, "camera", "noise bank")
    drawn = stream.pattern(200_001)
    assert np.array_equal(drawn[:997], stream.pattern(997)), "the length asked for changed the pattern"
    deviates = drawn / PATTERN_SCALE
    # Of 2e5 normal deviates mean, standard deviation and kurtosis have standard errors of 0.0022, 0.0016 and 0.011.
    assert abs(deviates.mean()) < 0.01
    assert deviates.std() == pytest.approx(1.0, abs=0.008)
    assert (deviates**4).mean() == pytest.approx(3.0, abs=0.06)
    assert abs(np.corrcoef(deviates[:-1], deviates[1:])[0, 1]) < 0.01
    assert not np.array_equal(RandomStream(4, "camera", "noise bank").pattern(997), drawn[:997])
    with pytest.raises(ValueError, match="count is -1"):
        stream.pattern(-1)
