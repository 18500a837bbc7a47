# SPDX-License-Identifier: Apache-2.0
"""The enclosure by bytes of the Modbus standard, by pymodbus' own client, and as a plant of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import ModbusSerialClient
from scipy.integrate import quad

from mimedi_nodes.instruments.enclosure_map import Door, Refusal
from mimedi_sim.firmware.modbus_enclosure import EnclosureLine
from mimedi_sim.models.enclosure import AirBalance
from mimedi_sim.plant.enclosure import Enclosure
from mimedi_sim.plant.enclosure_air import AirHistory
from mimedi_sim.pty_server import PtyServer

ADDRESSES = {"particle_counter": 1, "controller": 2, "vhp_generator": 3, "safety_relay": 4}


def test_pymodbus_own_client_runs_the_enclosure(tmp_path: Path) -> None:
    enclosure = Enclosure(1, 0.0)
    line = EnclosureLine(enclosure, ADDRESSES)
    now = {"s": 0.0}
    server = PtyServer(tmp_path, lambda name, data: line.receive(data, now["s"]))
    client = ModbusSerialClient(str(server.plug("enclosure")), baudrate=115200, timeout=1.0, retries=0)
    try:
        assert client.connect()
        assert client.read_input_registers(0, count=2, device_id=1).registers == [0x5043, 1]
        assert not client.write_registers(0, [1, 36], device_id=1).isError()
        now["s"] = 2160.0
        block = client.read_input_registers(2, count=17, device_id=1).registers
        assert block[:5] == [1, 2830, 60, 0, 36]
        assert block[9] == 36
        assert block[14] << 16 | block[15] == 1_018_800  # mL of 36 minutes at 28.3 L/min
        assert client.read_input_registers(0, count=1, device_id=2).registers == [0x4543]
        assert client.read_holding_registers(0, count=4, device_id=2).registers == [450, 330, 0, 0]
        assert client.write_register(0, 700, device_id=2).exception_code == 3  # 0.7 m/s is out of range
        assert client.write_register(2, 6, device_id=2).exception_code == 4  # both hatch doors: interlock
        assert client.read_input_registers(11, count=1, device_id=2).registers == [Refusal.DOOR_UNLOCKED]
        assert not client.write_registers(0, [700, 600, 4000, 10, 1], device_id=3).isError()
        assert client.read_input_registers(2, count=1, device_id=3).registers == [1]
        assert client.read_holding_registers(4, count=1, device_id=3).registers == [0]
        assert not client.write_register(0, 1, device_id=4).isError()  # trip
        assert client.read_input_registers(2, count=4, device_id=4).registers == [0, 0, 1, 1]
        assert client.read_input_registers(2, count=1, device_id=3).registers == [6]  # aborted: nothing was dosed yet
        assert client.read_input_registers(19, count=1, device_id=1).exception_code == 2
    finally:
        client.close()
        server.close()


@settings(max_examples=40, deadline=None)
@given(polls=st.lists(st.floats(0.0, 7200.0), max_size=12))
def test_enclosure_does_not_depend_on_who_looks(polls: list[float]) -> None:
    looked, left_alone = Enclosure(3, 0.0), Enclosure(3, 0.0)
    moments = sorted([*polls, 1000.0, 1500.5, 2000.0, 7200.0])
    for enclosure, times in ((looked, moments), (left_alone, [1000.0, 1500.5, 2000.0, 7200.0])):
        enclosure.set_sampling(0.0, True, 20)
        for time_s in times:
            if time_s == 1000.0:
                enclosure.start_vhp(time_s, 600.0, 600.0, 0.35, 0.2)
            if time_s == 1500.5:
                enclosure.set_filter(time_s, 0.97)
            if time_s == 2000.0:
                enclosure.open_door(time_s, Door.MAIN, force=True)
            enclosure.counter_readings(time_s)
            enclosure.climate_readings(time_s)
            enclosure.vhp_readings(time_s)
    for read in ("counter_readings", "climate_readings", "vhp_readings", "safety_readings"):
        assert getattr(looked, read)(7200.0) == getattr(left_alone, read)(7200.0)
    assert looked.vhp.log_reduction(7200.0) == left_alone.vhp.log_reduction(7200.0)


def test_mean_of_a_sample_is_the_integral_over_whatever_happened() -> None:
    first = AirBalance(0.8, source_per_s=10.0, recirculated_m3_s=0.02)
    second = AirBalance(0.8, source_per_s=200.0, recirculated_m3_s=0.001)
    history = AirHistory(0.0, {0.5: first})
    history.change(30.0, {0.5: second}, {0.5: 500.0})
    history.change(47.0, {0.5: first})
    expected, _ = quad(lambda t: history.at(0.5, t), 0.0, 60.0, points=[30.0, 47.0], epsabs=1e-9)
    assert history.mean(0.5, 0.0, 60.0) == pytest.approx(expected / 60.0, rel=1e-9)


@pytest.mark.parametrize(("efficiency", "limit"), [(0.99995, 3520.0), (0.97, None)])
def test_hole_in_the_filter_costs_the_grade(efficiency: float, limit: float | None) -> None:
    enclosure = Enclosure(1, 0.0)
    enclosure.set_filter(0.0, efficiency)
    after = enclosure.particles_per_m3(3600.0)[0.5]
    assert (after < 3520.0) == (limit is not None)


def test_fan_failure_lets_the_room_in() -> None:
    enclosure = Enclosure(1, 0.0)
    enclosure.set_fan(0.0, False)
    readings = enclosure.climate_readings(60.0)
    assert abs(readings["chamber_pressure_pa"]) < 1.0
    assert readings["faults"] == 1.0
    assert enclosure.particles_per_m3(3600.0)[0.5] > 3520.0


def test_unknown_devices_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"enclosure devices door are unknown; known: particle_counter"):
        EnclosureLine(Enclosure(1, 0.0), {"door": 3})
