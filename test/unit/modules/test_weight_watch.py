# SPDX-License-Identifier: Apache-2.0
"""A culture's weight: evaporation is allowed for, a leak shows with its size, and an unknown weight decides nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_nodes.modules.bioreactor.weight_watch import EVAPORATION_PER_DAY, GAP_LIMIT_UL, WINDOW_S, gap_ul

HALF_HOUR_S = 1800.0
NOISE_UL = 200.0


def course(volume_ul: float, hours: float, leak_ul_h: float = 0.0, seed: int = 1) -> list[float]:
    """The gaps seen while a volume evaporates, leaks at a rate and is weighed with noise."""
    rng, history = np.random.default_rng(seed), []
    seen = []
    for look in range(int(hours * 2)):
        now_s = look * HALF_HOUR_S
        true_ul = volume_ul * (1.0 - EVAPORATION_PER_DAY * now_s / 86_400.0) - leak_ul_h * now_s / 3600.0
        seen.append(gap_ul(history, now_s, true_ul + rng.normal(0.0, NOISE_UL)))
    assert all(then_s >= now_s - WINDOW_S for then_s, _ in history)
    return seen


@given(st.floats(5_000.0, 1.1e6), st.integers(0, 1000))
def test_a_culture_that_only_evaporates_never_alarms(volume_ul: float, seed: int) -> None:
    assert max(map(abs, course(volume_ul, 120.0, seed=seed))) < 0.5 * GAP_LIMIT_UL


def test_a_lost_volume_shows_with_its_size() -> None:
    rng = np.random.default_rng(4)
    gaps = []
    for _ in range(200):
        history: list[tuple[float, float]] = []
        for look in range(12):
            gap_ul(history, look * HALF_HOUR_S, 950_000.0 + rng.normal(0.0, NOISE_UL))
        gaps.append(gap_ul(history, 12 * HALF_HOUR_S, 945_000.0 + rng.normal(0.0, NOISE_UL)))
    assert np.mean(gaps) == pytest.approx(-4_870.0, abs=50.0)  # evaporation of 3 h is allowed for
    assert np.std(gaps) < 1.2 * NOISE_UL
    assert max(gaps) < -GAP_LIMIT_UL


def test_a_slow_leak_shows_within_a_few_hours() -> None:
    assert min(course(950_000.0, 8.0, leak_ul_h=1_000.0)) < -GAP_LIMIT_UL


def test_an_unknown_weight_decides_nothing_and_is_not_remembered() -> None:
    history = [(0.0, 100_000.0)]
    assert math.isnan(gap_ul(history, 60.0, math.nan))
    assert history == [(0.0, 100_000.0)]
    assert gap_ul([], 0.0, 100_000.0) == 0.0
