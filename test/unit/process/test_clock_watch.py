# SPDX-License-Identifier: Apache-2.0
"""A clock that was set is found; one that drifts is not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_nodes.process.clock_watch import ClockWatch


@given(st.lists(st.floats(0.01, 60.0), min_size=1, max_size=50), st.floats(-5e-4, 5e-4))
def test_time_that_passes_and_drifts_is_no_jump(steps: list[float], drift: float) -> None:
    watch, steady_s = ClockWatch(), 0.0
    for step in steps:
        steady_s += step
        assert watch.look(1.8e9 + steady_s * (1.0 + drift), steady_s) == 0.0


@given(st.floats(1.1, 1e6) | st.floats(-1e6, -1.1), st.integers(1, 20), st.integers(1, 20))
def test_a_jump_is_told_once_with_its_size(jump_s: float, before: int, after: int) -> None:
    watch = ClockWatch()
    told = [watch.look(100.0 + n + (jump_s if n >= before else 0.0), float(n)) for n in range(before + after)]
    assert told[before] == pytest.approx(jump_s)
    assert [one for place, one in enumerate(told) if place != before] == [0.0] * (before + after - 1)


def test_an_unknown_time_is_no_jump() -> None:
    watch = ClockWatch()
    assert [watch.look(t, s) for t, s in ((math.nan, 0.0), (100.0, 1.0), (math.nan, 2.0), (500.0, 3.0))] == [0.0] * 4
