# SPDX-License-Identifier: Apache-2.0
"""Incubator: exact propagation whatever the polling, controller faults, CO2 and humidity."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_sim.models import humidity
from mimedi_sim.models.incubator_gas import Co2Chamber, co2_fill_time
from mimedi_sim.models.thermal import (
    PiSettings,
    Temperatures,
    ThermalChamber,
    ThermalParameters,
    propagated,
    steady_temperatures,
    warm_up,
)

WARM = Temperatures(37.0, 37.0, 37.0)


def settled_chamber():
    return ThermalChamber(temperatures=WARM, integral_w=22.5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.0, 30_000.0), max_size=20), st.floats(100.0, 9_000.0), st.floats(10.0, 600.0))
def test_temperatures_do_not_depend_on_polling(polls, door_at, door_for):
    def run(read_at):
        chamber = ThermalChamber()
        events = [(door_at, lambda t: chamber.change(t, door_open=True)),
                  (door_at + door_for, lambda t: chamber.change(t, door_open=False))]
        for time, act in sorted(events + [(t, chamber.at) for t in read_at], key=lambda pair: pair[0]):
            act(time)
        return (*chamber.at(30_000.5), chamber.output_w)

    assert run(polls) == pytest.approx(run([]), rel=1e-9, abs=1e-9)


def test_runs_of_ticks_equal_single_ticks():
    quick, slow = ThermalChamber(), ThermalChamber()
    end = 20_000
    quick.advance_to(end)
    for tick in range(end + 1):
        slow.advance_to(float(tick))
    assert quick.temperatures == pytest.approx(slow.temperatures, abs=1e-9)
    assert quick.integral_w == pytest.approx(slow.integral_w, abs=1e-9)


@given(st.floats(0.0, 5_000.0), st.floats(0.0, 5_000.0), st.floats(0.0, 120.0), st.booleans())
def test_propagation_composes_and_reaches_its_steady_state(first, second, power, door):
    p = ThermalParameters()
    start = Temperatures(20.0, 40.0, 30.0)
    halfway = propagated(p, start, power, 22.0, first, door)
    end = propagated(p, halfway, power, 22.0, second, door)
    assert end == pytest.approx(propagated(p, start, power, 22.0, first + second, door), abs=1e-9)
    assert propagated(p, start, power, 22.0, 1e7, door) == pytest.approx(
        steady_temperatures(p, power, 22.0, door), abs=1e-6)


def test_liquid_reaches_its_temperature_long_after_the_air():
    chamber = ThermalChamber()
    assert abs(chamber.at(3_400.0).air_c - 37.0) < 0.1
    assert chamber.at(11_500.0).liquid_c < 36.9
    assert chamber.at(11_800.0).liquid_c > 36.9


def test_without_anti_windup_the_overshoot_exceeds_ten_kelvin():
    wound_up = warm_up(ThermalParameters(), PiSettings(tracking_time_s=1e12), 22.0, 22.0, 37.0)
    assert wound_up.highest_air_c > 47.0


def test_a_day_of_control_keeps_the_liquid_at_temperature():
    chamber = settled_chamber()
    assert chamber.at(86_400.0).liquid_c == pytest.approx(37.0, abs=1e-6)
    assert chamber.output_w == pytest.approx(22.5, abs=1e-6)


def test_heater_failure_stuck_heater_and_sensor_bias():
    broken = settled_chamber()
    broken.change(0.0, heater_works=False)
    assert broken.at(806.0).air_c > 36.0 > broken.at(808.0).air_c
    stuck = settled_chamber()
    stuck.change(0.0, stuck_output_w=120.0)
    highest = max(stuck.at(60.0 * minute).air_c for minute in range(1, 240))
    assert stuck.cut_out_tripped
    assert 38.5 < highest < 40.0
    biased = settled_chamber()
    biased.change(0.0, measurement_bias_k=0.5)
    assert biased.at(20_000.0).air_c == pytest.approx(36.5, abs=0.01)
    with pytest.raises(AttributeError, match="colour"):
        biased.change(20_000.0, colour=1.0)


def test_time_does_not_run_backwards():
    chamber = ThermalChamber()
    chamber.advance_to(100.0)
    with pytest.raises(ValueError, match="before the chamber's time"):
        chamber.advance_to(50.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 7_200.0), max_size=20))
def test_co2_does_not_depend_on_polling(polls):
    def run(read_at):
        gas = Co2Chamber()
        for time in sorted(read_at):
            gas.advance_to(time)
        gas.advance_to(7_200.0)
        return gas.fraction, gas.injected_l

    assert run(polls) == pytest.approx(run([]), rel=1e-7)


def test_two_weeks_of_co2_are_as_quick_as_an_hour_and_the_same_as_step_by_step():
    often, once = Co2Chamber(), Co2Chamber()
    for hour in range(1, 337):
        often.advance_to(3600.0 * hour)
    switchings, switch = [], Co2Chamber._time_to_switch_s
    try:
        Co2Chamber._time_to_switch_s = lambda self: switchings.append(1) or switch(self)
        once.advance_to(336 * 3600.0)
    finally:
        Co2Chamber._time_to_switch_s = switch
    assert len(switchings) < 10
    assert once.fraction == pytest.approx(often.fraction, rel=1e-6)
    assert once.injected_l == pytest.approx(often.injected_l, rel=1e-6)


def test_co2_stays_in_its_band_and_is_lost_without_supply():
    gas = Co2Chamber()
    gas.advance_to(600.0)
    for minute in range(10, 600):
        gas.advance_to(60.0 * minute)
        assert 0.0495 - 1e-12 <= gas.fraction <= 0.0505 + 1e-12
    gas.change(36_000.0, supply_empty=True)
    gas.advance_to(36_000.0 + 6 * 3600.0)
    assert gas.fraction < 0.02
    gas.change(gas.time_s, supply_empty=False, door_open=True)
    gas.advance_to(gas.time_s + 60.0)
    assert math.isfinite(gas.fraction)
    with pytest.raises(ValueError, match="end_fraction"):
        co2_fill_time(5.0, 20.0, 0.05, 0.01)


def test_humidity_recovers_and_dew_point_inverts_saturation():
    start = 0.3 * humidity.saturation_pressure_pa(22.0)
    later = humidity.chamber_humidity_pa(start, 37.0, start, 4 * 3600.0)
    assert 0.9 < later / humidity.saturation_pressure_pa(37.0) < 1.0
    dry = humidity.chamber_humidity_pa(later, 37.0, start, 86_400.0, evaporation_per_s=0.0)
    assert dry < 0.3 * later
    for rh in (0.2, 0.6, 1.0):
        vapour = rh * humidity.saturation_pressure_pa(37.0)
        assert humidity.saturation_pressure_pa(humidity.dew_point_c(37.0, rh)) == pytest.approx(vapour, rel=1e-9)
    assert 0.001 * 955 < humidity.evaporated_ml(955.0, 0.95, 86_400.0) < 0.01 * 955
