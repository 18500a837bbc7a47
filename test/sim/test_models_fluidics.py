# SPDX-License-Identifier: Apache-2.0
"""Flow: profile, balances, networks, alarms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_sim.models import fluidics
from mimedi_sim.models.fluidics import HydraulicNetwork

WIDTH_M, HEIGHT_M = 375e-6, 150e-6


def test_profile_integrates_to_the_mean_and_vanishes_at_the_walls():
    nodes, weights = np.polynomial.legendre.leggauss(60)
    y, z = np.meshgrid(nodes * WIDTH_M / 2, (nodes + 1) * HEIGHT_M / 2, indexing="ij")
    u = fluidics.velocity_over_mean(y, z, WIDTH_M, HEIGHT_M)
    assert float(weights @ u @ weights) / 4 == pytest.approx(1.0, abs=1e-4)
    assert abs(float(fluidics.velocity_over_mean(WIDTH_M / 2, HEIGHT_M / 2, WIDTH_M, HEIGHT_M))) < 1e-9
    assert np.isfinite(fluidics.velocity_over_mean(0.0, 5e-7, 1e-2, 1e-6))  # w/h = 1e4 must not overflow


def test_band_flow_adds_up_and_matches_the_profile():
    whole = fluidics.band_flow_fraction(WIDTH_M, HEIGHT_M, 0.0, WIDTH_M)
    bands = ((0.0, 5e-5), (5e-5, 2e-4), (2e-4, WIDTH_M))
    parts = [fluidics.band_flow_fraction(WIDTH_M, HEIGHT_M, a, b) for a, b in bands]
    assert whole == pytest.approx(1.0, abs=1e-4)
    assert sum(parts) == pytest.approx(whole, abs=1e-12)
    # PHYSICS §12: both sample layers carry 16 % of the flow, the centre outlet takes 46 %.
    assert 2 * fluidics.band_flow_fraction(WIDTH_M, HEIGHT_M, 20e-6, 60e-6) == pytest.approx(0.16, abs=0.002)
    assert fluidics.band_flow_fraction(WIDTH_M, HEIGHT_M, 120e-6, 255e-6) == pytest.approx(0.46, abs=0.005)


@given(st.floats(1e-10, 1e-8), st.floats(0.0, 1e4), st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_compliant_pump_is_independent_of_polling_and_conserves_volume(flow, pressure, first, second):
    r, c = 2e12, 4.9e-13
    a = fluidics.compliant_step(flow, r, c, first, pressure)
    b = fluidics.compliant_step(flow, r, c, second, a.pressure_pa)
    whole = fluidics.compliant_step(flow, r, c, first + second, pressure)
    assert b.pressure_pa == pytest.approx(whole.pressure_pa, rel=1e-9, abs=1e-9)
    assert a.volume_out_m3 + b.volume_out_m3 == pytest.approx(whole.volume_out_m3, rel=1e-9, abs=1e-20)


def test_peristaltic_volume_over_whole_turns_is_the_mean_flow():
    assert fluidics.peristaltic_volume_m3(1e-9, 0.3, 2.0, 0.25, 5.25) == pytest.approx(5e-9, rel=1e-12)


@given(st.lists(st.floats(1e10, 1e13), min_size=6, max_size=6), st.floats(-1e-8, 1e-8))
def test_network_conserves_volume_at_every_free_node(resistances, pumped):
    network = HydraulicNetwork()
    pairs = [("in", "a"), ("a", "b"), ("b", "out"), ("a", "c"), ("c", "out"), ("b", "c")]
    for (start, end), resistance in zip(pairs, resistances, strict=True):
        network.connect(start + end, start, end, resistance)
    flow = network.flows_m3_s({"in": 2e4, "out": 0.0}, {"c": pumped})
    scale = max(abs(f) for f in flow.values()) + abs(pumped)
    assert abs(flow["ina"] - flow["ab"] - flow["ac"]) < 1e-9 * scale
    assert abs(flow["ac"] + flow["bc"] + pumped - flow["cout"]) < 1e-9 * scale


def test_a_shut_valve_diverts_the_flow_and_an_isolated_node_is_refused():
    network = HydraulicNetwork()
    network.connect("left", "in", "out", 1e12)
    network.connect("right", "in", "out", 1e12)
    network.connect("right", "in", "out", 1e12 * fluidics.VALVE_CLOSED_RESISTANCE_FACTOR)
    flow = network.flows_m3_s({"in": 1e4, "out": 0.0})
    assert flow["right"] == pytest.approx(flow["left"] * 1e-6)
    network.connect("island", "x", "y", 1e12)
    with pytest.raises(ValueError, match="no path to a reservoir"):
        network.flows_m3_s({"in": 1e4, "out": 0.0})


def test_alarm_times():
    assert fluidics.occlusion_alarm_time_s(3e-9, 2e12, 5.0, 5e-13, 1e5) == math.inf
    assert fluidics.occlusion_alarm_time_s(1e-7, 2e12, 5.0, 5e-13, 1e5) == 0.0
    assert fluidics.blocked_line_alarm_time_s(1e-9, 0.0, 5e-13, 1e5) == pytest.approx(50.0)


def test_refusals_name_field_value_and_range():
    with pytest.raises(ValueError, match=r"width_m is -1.0; allowed: finite and > 0"):
        fluidics.rectangular_resistance_pa_s_m3(-1.0, 1e-4, 1.0, 1e-3)
    with pytest.raises(ValueError, match="temperature_k is 37"):
        fluidics.water_viscosity_pa_s(37.0)
