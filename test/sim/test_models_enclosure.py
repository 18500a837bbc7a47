# SPDX-License-Identifier: Apache-2.0
"""Enclosure: particles, pressure cascade, settling, counting, decontamination."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.stats import poisson

from mimedi_sim.models import decontamination as vhp
from mimedi_sim.models import enclosure
from mimedi_sim.models.enclosure import AirBalance, EnclosureAir
from mimedi_sim.models.pressure_cascade import PressureCascade
from mimedi_sim.random_streams import stream

rates = st.floats(0.0, 1.0)


@given(
    st.floats(0.01, 10.0), rates, rates, st.floats(0.0, 1e4), st.floats(0.0, 1e7), st.floats(0, 500), st.floats(0, 500)
)
def test_particles_do_not_depend_on_polling(volume, recirculated, leak, source, start, first, second):
    balance = AirBalance(volume, source, recirculated, 0.9, leak, 3e5, 1e-3)
    whole = balance.concentration_after(start, first + second)
    halves = balance.concentration_after(balance.concentration_after(start, first), second)
    assert halves == pytest.approx(whole, rel=1e-9, abs=1e-9)


def test_particles_follow_the_balance_equation():
    b = AirBalance(0.8, 20.0, 0.02, 0.99, 0.003, 1e6, 2e-4)
    slope = lambda t, c: (b.source_per_s - (0.02 * 0.99 + 0.003 + 2e-4) * c + 0.003 * 1e6) / 0.8  # noqa: E731
    reference = solve_ivp(slope, (0, 77.0), [5e5], rtol=1e-11, atol=1e-6).y[0, -1]
    assert b.concentration_after(5e5, 77.0) == pytest.approx(reference, rel=1e-8)
    wait = b.time_to(5e5, 2e5)
    assert b.concentration_after(5e5, wait) == pytest.approx(2e5, rel=1e-9)
    assert b.time_to(5e5, 6e5) == math.inf
    still = AirBalance(1.0, 10.0)
    assert still.concentration_after(0.0, 30.0) == pytest.approx(300.0)
    assert still.time_to(0.0, 300.0) == pytest.approx(30.0)


def test_enclosure_events_burst_and_filter_leak():
    flow = enclosure.recirculated_m3_s(0.8, 120.0)
    air = EnclosureAir({0.5: AirBalance(0.8, 1000.0 / 60.0, flow), 5.0: AirBalance(0.8, 0.1, flow)})
    air.advance_to(3600.0)
    assert air.next_event() == math.inf
    assert air.concentrations_per_m3[0.5] < 3520.0
    air.burst(3600.0, 0.5, 1e5)
    back = air.next_event()
    assert 3600.0 < back < 3600.0 + enclosure.recovery_time_s(120.0)
    assert air.at(back)[0.5] == pytest.approx(3520.0)
    before = dict(air.concentrations_per_m3)
    air.at(9000.0)
    assert air.concentrations_per_m3 == before  # looking changes nothing
    air.change(back, recirculated_m3_s=0.0)  # the fan stops
    assert air.at(back + 600.0)[0.5] > 3520.0
    with pytest.raises(ValueError, match="no memory"):
        air.at(0.0)


@pytest.mark.parametrize(("number", "size", "limit"), [
    (1, 0.1, 10), (2, 0.2, 24), (3, 0.3, 102), (3, 0.5, 35), (4, 0.3, 1020), (5, 0.1, 100_000), (5, 5.0, 29),
    (6, 0.5, 35_200), (7, 1.0, 83_200), (8, 5.0, 29_300), (9, 0.5, 35_200_000), (9, 5.0, 293_000),
])  # fmt: skip
def test_iso_table(number, size, limit):
    """ISO 14644-1:2015, table 1."""
    assert enclosure.iso14644_limit_per_m3(number, size) == limit


@given(st.floats(0.0, 1e5), st.floats(1e-3, 0.1), st.floats(0.1, 10.0), st.integers(0, 400))
def test_exceed_probability_is_poisson(concentration, flow, minutes, limit):
    expected = poisson.sf(limit, concentration * flow * minutes)
    got = enclosure.exceed_probability(concentration, flow, minutes, limit)
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_settling_is_stokes_with_slip_for_small_and_slower_for_large_spheres():
    # Hinds 1999, table 3.1, unit density at 20 °C: 1 µm 35 µm/s, 10 µm 3.06 mm/s, 100 µm 248 mm/s.
    for diameter, speed, tolerance in ((1e-6, 3.48e-5, 0.02), (1e-5, 3.06e-3, 0.01), (1e-4, 0.248, 0.03)):
        got = enclosure.settling_velocity_m_s(diameter, 1000.0, 293.15, enclosure.mean_free_path_m(293.15))
        assert got == pytest.approx(speed, rel=tolerance)
    assert enclosure.settling_velocity_m_s(1e-5, 0.1, 293.15) < 0.0  # lighter than air
    assert enclosure.air_viscosity_pa_s(300.0) == pytest.approx(1.8545e-5, rel=2e-3)  # NIST


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-4, 0.05), min_size=4, max_size=4), st.floats(-0.02, 0.05), st.floats(0.0, 0.05))
def test_cascade_balances_every_room(areas, supply_a, supply_b):
    cascade = PressureCascade()
    doors = (("a", "b"), ("b", "lock"), ("lock", "outside"), ("a", "outside"))
    for (start, end), area in zip(doors, areas, strict=True):
        cascade.connect(start + end, start, end, area)
    p = cascade.pressures_pa({"a": supply_a, "b": supply_b})
    flow = {start + end: cascade.flow_m3_s(start + end, p) for start, end in doors}
    scale = abs(supply_a) + supply_b + 1e-9
    assert abs(supply_a - flow["ab"] - flow["aoutside"]) < 1e-6 * scale
    assert abs(supply_b + flow["ab"] - flow["block"]) < 1e-6 * scale
    assert abs(flow["block"] - flow["lockoutside"]) < 1e-6 * scale


def test_cascade_of_one_room_is_the_orifice_and_an_open_door_loses_the_pressure():
    cascade = PressureCascade()
    cascade.connect("gap", "room", "outside", 0.003)
    assert cascade.pressures_pa({"room": 30.0 / 3600})["room"] == pytest.approx(
        enclosure.overpressure_pa(30.0 / 3600, 0.003), rel=1e-9)
    cascade.connect("gap", "room", "outside", 0.03)
    assert cascade.pressures_pa({"room": 30.0 / 3600})["room"] < 1.0
    cascade.connect("shut", "cupboard", "drawer", 0.01)
    with pytest.raises(ValueError, match="no way to"):
        cascade.pressures_pa({})


@given(st.floats(0.0, 30.0), st.floats(0.0, 6.0))
def test_log_reduction_is_the_integral(x, exponent):
    expected, _ = quad(lambda s: (-math.expm1(-s)) ** exponent, 0.0, x, epsabs=1e-13, epsrel=1e-12, limit=200)
    got = vhp.log_reduction(700.0, 600.0, 600.0 * x, 120.0, exponent)
    assert got == pytest.approx(expected * 5.0, rel=1e-9, abs=1e-11)


def test_log_reduction_limits():
    assert vhp.log_reduction(1400.0, 0.0, 60.0, 60.0, 2.0) == pytest.approx(4.0)
    assert vhp.sterile_probability(1e6, 0.0) == 0.0
    assert vhp.sterile_probability(0.0, 0.0) == 1.0
    survivors = [vhp.survivors(stream(1, "bi", "spores"), n, 1e6, 5.0) for n in range(4000)]
    assert np.mean(survivors) == pytest.approx(10.0, abs=0.2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 3000.0), min_size=1, max_size=6), st.floats(0.0, 2.5))
def test_cycle_does_not_depend_on_polling(steps, exponent):
    polled, once = (vhp.DecontaminationCycle(exponent=exponent) for _ in range(2))
    for step in steps:
        polled.advance_to(polled.time_s + step)
    once.advance_to(polled.time_s)
    assert polled.reduction == pytest.approx(once.reduction, rel=1e-7, abs=1e-9)
    for cycle in (polled, once):
        cycle.aerate(cycle.time_s)
    end = polled.next_event()
    polled.advance_to(0.5 * (polled.time_s + end))
    assert polled.next_event() == pytest.approx(end, rel=1e-7)
    polled.advance_to(end)
    assert polled.air_ppm == pytest.approx(vhp.EXPOSURE_LIMIT_PPM, rel=1e-6) or once.air_ppm <= 1.0
    once.advance_to(end)
    assert polled.air_ppm == pytest.approx(once.air_ppm, rel=1e-6)


def test_surfaces_keep_the_enclosure_closed_longer_than_dilution_alone():
    cycle = vhp.DecontaminationCycle()
    cycle.advance_to(1800.0)
    cycle.aerate(1800.0)
    dilution = vhp.aeration_time_s(cycle.air_ppm, 0.1, 60.0)
    assert cycle.next_event(vhp.CELL_LIMIT_PPM) - 1800.0 > dilution
    # The balance with desorption, by an independent integrator.
    a, b, load = 60.0 / 3600, 1.0 / vhp.DESORPTION_TIME_S, cycle.load_ppm
    ode = solve_ivp(lambda t, y: [-a * y[0] + b * y[1], -b * y[1]], (0, 900), [cycle.air_ppm, load], rtol=1e-10)
    assert vhp.aerated_ppm(cycle.air_ppm, load, 60.0, 900.0)[0] == pytest.approx(ode.y[0, -1], rel=1e-6)
    dry = vhp.DecontaminationCycle(relative_humidity=0.2)
    dry.advance_to(1800.0)
    assert dry.reduction == pytest.approx(cycle.reduction / 1.4)
