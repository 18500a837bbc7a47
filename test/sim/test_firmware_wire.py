# SPDX-License-Identifier: Apache-2.0
"""The simulated instruments by the letter of their protocols, and against somebody else's client."""

from __future__ import annotations

import asyncio
import math
import os
import time
from pathlib import Path

import pytest
import serial
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import ModbusSerialClient

from mimedi_sim.firmware.cavro_bus import CavroBus
from mimedi_sim.firmware.cavro_pump import CavroPumpFirmware, CavroValveFirmware
from mimedi_sim.firmware.generator import ScpiGenerator
from mimedi_sim.firmware.modbus_bioreactor import BioreactorReadings, ModbusBioreactor
from mimedi_sim.firmware.sics import SicsBalance
from mimedi_sim.pty_server import PtyServer

READINGS = BioreactorReadings(
    36.95, 25.0, 0.05, 7.2, 0.5, 60.0, 955.0, 4_712_345.0, 11.0, 20.5, 6_700_000.0, 0.3, faults=5
)
READY, BUSY = b"/0`\x03\r\n", b"/0@\x03\r\n"


def ready_pump(syringe_ul: float = 25_000.0) -> tuple[CavroBus, CavroPumpFirmware]:
    pump = CavroPumpFirmware(syringe_ul)
    bus = CavroBus({1: pump})
    assert bus.receive(b"/1ZN2R\r", 0.0) == BUSY
    bus.advance_to(10.0)
    assert bus.receive(b"/1Q\r", 10.0) == READY
    return bus, pump


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"/1?\r", b"/0`0\x03\r\n"),
        (b"/1?6\r", b"/0`o\x03\r\n"),
        (b"/1E2000R\r", b"/0b\x03\r\n"),  # the manual's example: invalid command, at once, not busy
        (b"/1A3000E2000R\r", b"/0b\x03\r\n"),
        (b"/1A50000R\r", b"/0`\x03\r\n"),  # invalid operand is told by the next Q only
        (b"/2Q\r", b""),  # nobody there
        (b"noise/1Q\r", READY),
        (b"/1/1Q\r", READY),
        (b"/_Q\r", b""),  # to all: nobody answers
        (b"/1F\r", b"/0`0\x03\r\n"),
    ],
)
def test_dt_answers_by_the_manual(request_: bytes, answer: bytes) -> None:
    bus, _ = ready_pump()
    assert bus.receive(request_, 10.0) == answer


def test_dt_errors_of_execution_are_told_once_by_q() -> None:
    bus, _ = ready_pump()
    bus.receive(b"/1A50000R\r", 10.0)
    assert bus.receive(b"/1Q\r", 10.0) == b"/0c\x03\r\n"
    assert bus.receive(b"/1Q\r", 10.0) == READY


def test_dt_uninitialized_and_cut_initialization() -> None:
    pump = CavroPumpFirmware(10_000.0)
    bus = CavroBus({1: pump})
    assert bus.receive(b"/1A10R\r", 0.0) == b"/0g\x03\r\n"
    bus.receive(b"/1ZR\r", 0.0)
    bus.advance_to(0.1)
    bus.receive(b"/1T\r", 0.1)
    assert bus.receive(b"/1Q\r", 0.1) == b"/0g\x03\r\n"


def test_dt_loops_nest_and_count() -> None:
    """The manual's example string of table 3-7: 10 strokes inside, 5 times outside."""
    bus, pump = ready_pump()
    before = pump.plunger_moves
    bus.receive(b"/1A0gP50gP100D100G10G5R\r", 10.0)
    bus.advance_to(1e4)
    assert pump.plunger_moves - before == 1 + 5 * (1 + 10 * 2)
    assert bus.receive(b"/1?\r", 1e4) == b"/0`250\x03\r\n"


def test_dt_endless_loops_end_by_t_and_idle_ones_by_an_error() -> None:
    bus, pump = ready_pump()
    bus.receive(b"/1gV48000A48000A0G0R\r", 10.0)
    bus.advance_to(1000.4)
    assert pump.busy
    bus.receive(b"/1T\r", 1000.4)
    assert pump.next_event() == float("inf")
    assert pump.rate_ul_s == 0.0
    bus.receive(b"/1gV100G0R\r", 1000.4)
    assert bus.receive(b"/1Q\r", 1000.4) == b"/0d\x03\r\n"


@pytest.mark.parametrize(
    ("commands", "query", "answer"),
    [
        ("v500", "?1", "500"), ("c600", "?3", "600"), ("K20", "?12", "20"), ("L7", "?25", "7"),
        ("S17", "?2", "1600"), ("I", "?17", "1"), ("V20000", "?2", "20000"),
    ],
)  # fmt: skip
def test_dt_settings_are_taken_and_reported(commands: str, query: str, answer: str) -> None:
    bus, _ = ready_pump()
    bus.receive(f"/1{commands}R\r".encode(), 10.0)
    bus.advance_to(11.0)
    assert bus.receive(b"/1Q\r", 11.0) == READY
    assert bus.receive(f"/1{query}\r".encode(), 11.0) == b"/0`" + answer.encode() + b"\x03\r\n"


@pytest.mark.parametrize("commands", ["v10", "c9999", "K32", "L0", "S41"])
def test_dt_settings_out_of_range_are_invalid_operands(commands: str) -> None:
    bus, _ = ready_pump()
    bus.receive(f"/1{commands}R\r".encode(), 10.0)
    assert bus.receive(b"/1Q\r", 10.0) == b"/0c\x03\r\n"


def test_dt_last_string_is_repeated_by_x() -> None:
    bus, pump = ready_pump()
    bus.receive(b"/1IP4800R\r", 10.0)
    bus.advance_to(20.0)
    assert bus.receive(b"/1XR\r", 20.0) == BUSY
    bus.advance_to(30.0)
    assert pump.plunger_ul == 5000.0


def test_dt_groups_are_addressed_together_and_do_not_answer() -> None:
    pumps = {n: CavroPumpFirmware(1000.0) for n in (1, 2, 3, 5)}
    bus = CavroBus(dict(pumps))
    for group, meant in (("A", {1, 2}), ("C", {3}), ("U", {5}), ("_", {1, 2, 3, 5})):
        for pump in pumps.values():
            pump.power_cycle()
        assert bus.receive(f"/{group}ZR\r".encode(), bus.devices[1].now_s) == b""
        bus.advance_to(bus.devices[1].now_s + 10.0)
        assert {n for n, pump in pumps.items() if pump.initialized} == meant


def test_dt_string_can_be_stored_and_run_later() -> None:
    bus, pump = ready_pump()
    assert bus.receive(b"/1IA480\r", 10.0) == READY
    assert bus.receive(b"/1?10\r", 10.0) == b"/0`1\x03\r\n"
    assert bus.receive(b"/1R\r", 10.0) == BUSY
    bus.advance_to(20.0)
    assert (pump.valve, pump.plunger_ul) == ("I", 250.0)


def test_dt_speed_can_change_during_a_move() -> None:
    bus, pump = ready_pump()
    bus.receive(b"/1V4800A48000R\r", 10.0)
    bus.advance_to(15.0)
    assert pump.plunger_ul == pytest.approx(12_500.0)
    bus.receive(b"/1V2400R\r", 15.0)
    assert pump.next_event() == pytest.approx(25.0)
    assert pump.rate_ul_s == pytest.approx(1250.0)


def test_dt_standard_resolution() -> None:
    pump = CavroPumpFirmware(6000.0)
    bus = CavroBus({1: pump})
    bus.receive(b"/1ZR\r", 0.0)
    bus.advance_to(5.0)
    bus.receive(b"/1V1000A3000R\r", 5.0)
    assert pump.next_event() == pytest.approx(8.0)
    bus.advance_to(8.0)
    assert pump.plunger_ul == pytest.approx(3000.0)
    assert bus.receive(b"/1?\r", 8.0) == b"/0`3000\x03\r\n"


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.floats(10.0, 200.0), max_size=8),
    text=st.sampled_from(["gIV9000A20000OV3000A0G3", "IV48000A48000OV500A100", "P100M30D50gP9G7", "A1000B", "BA5"]),
)
def test_dt_state_does_not_depend_on_when_one_looks(cuts: list[float], text: str) -> None:
    looked, left_alone = ready_pump(), ready_pump()
    for bus, _ in (looked, left_alone):
        bus.receive(f"/1{text}R\r".encode(), 10.0)
    for time_s in sorted(cuts):
        looked[0].advance_to(time_s)
    for bus, _ in (looked, left_alone):
        bus.advance_to(200.0)
    assert looked[1].plunger_ul == pytest.approx(left_alone[1].plunger_ul, abs=1e-9)
    assert (looked[1].valve, looked[1].busy, looked[1].plunger_moves) == (
        left_alone[1].valve,
        left_alone[1].busy,
        left_alone[1].plunger_moves,
    )


@settings(max_examples=200, deadline=None)
@given(data=st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_whatever_break_an_instrument(data: list[bytes]) -> None:
    for firmware in (
        CavroBus({1: CavroPumpFirmware(1000.0), 2: CavroValveFirmware()}),
        SicsBalance(lambda _: 1.0),
        ScpiGenerator(),
        ModbusBioreactor(lambda _: READINGS),
    ):
        for chunk in data:
            firmware.receive(chunk, 0.0)
        firmware.receive(b"\r\n", 0.0)
        firmware.advance_to(1.0)


def test_sics_level_0_by_the_manual() -> None:
    load = {"g": 12.345, "moved_s": -math.inf}
    balance = SicsBalance(
        lambda _: load["g"], moved_s=lambda _: load["moved_s"], capacity_g=200.0, resolution_g=0.001
    )

    def ask(command: str, now_s: float = 0.0) -> list[str]:
        return balance.receive(command.encode() + b"\r\n", now_s).decode().split("\r\n")[:-1]

    listed = ask("I0")
    assert listed[0] == 'I0 B 0 "@"'
    assert listed[-1] == 'I0 A 0 "ZI"'
    assert ask("I1")[0].startswith('I1 A "0"')
    assert ask("I2") == ['I2 A "WKC 200.000 g"']
    assert ask("I3")[0].startswith('I3 A "2.30')
    assert ask("@") == ask("I4") == ['I4 A "B000000000"']
    assert ask("S") == ["S S     12.345 g"]
    load["moved_s"] = 0.0
    assert (ask("S"), ask("SI"), ask("Z")) == (["S I"], ["S D     12.345 g"], ["Z I"])
    assert (ask("ZI"), ask("SI")) == (["ZI D"], ["S D      0.000 g"])
    load.update(g=150.0)
    # At rest again, but not yet for a second: a balance that calls itself stable at once weighs what still swings.
    assert (ask("S", 0.9), ask("SI", 0.9)) == (["S I"], ["S D    137.655 g"])
    assert ask("S", 1.0) == ["S S    137.655 g"]
    load["moved_s"] = -math.inf
    assert ask("Z") == ["Z +"]
    assert (ask("SIX"), ask("")) == (["ES"], ["ES"])


def rtu(text: str) -> bytes:
    """Return a frame from hexadecimal text, its CRC computed bit by bit as in the serial line standard,
    appendix B.
    """
    data = bytes.fromhex(text)
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return data + crc.to_bytes(2, "little")


def test_modbus_by_bytes_of_the_standard() -> None:
    """Set 36.50 degC (0E42h) by function 06h, read it by 03h; stay silent on a wrong CRC."""
    assert rtu("01 03 0000 0001").hex() == "010300000001840a"  # a frame printed in many manuals
    controller = ModbusBioreactor(lambda _: READINGS)
    assert controller.receive(rtu("01 06 0000 0E42"), 0.0) == rtu("01 06 0000 0E42")
    assert controller.receive(rtu("01 03 0000 0001"), 0.0) == rtu("01 03 02 0E42")
    assert controller.receive(bytes.fromhex("01 03 0000 0001 840B"), 0.0) == b""
    assert controller.receive(rtu("01 03 0000 0001"), 0.0) == rtu("01 03 02 0E42")
    assert controller.receive(rtu("02 03 0000 0001"), 0.0) == b""
    assert controller.receive(rtu("00 06 0000 0E10"), 0.0) == b""  # to all: done, not answered
    assert controller.temperature_c == pytest.approx(36.0)


def test_modbus_broken_frame_costs_only_itself() -> None:
    controller = ModbusBioreactor(lambda _: READINGS)
    assert controller.receive(bytes.fromhex("01 10 0000 00FF FF 00"), 0.0) == b""
    assert controller.receive(rtu("01 03 0000 0001"), 0.0) == rtu("01 03 02 0E74")
    assert controller.receive(bytes.fromhex("01 03 0000"), 0.0) == b""
    assert controller.receive(bytes.fromhex("0001 840A"), 0.0) == rtu("01 03 02 0E74")


def test_pymodbus_own_client_reads_and_writes_the_controller(tmp_path: Path) -> None:
    controller = ModbusBioreactor(lambda _: READINGS)
    server = PtyServer(tmp_path, lambda line, data: controller.receive(data, 0.0))
    client = ModbusSerialClient(str(server.plug("controller")), baudrate=115200, timeout=1.0, retries=0)
    try:
        assert client.connect()
        block = client.read_input_registers(0, count=18, device_id=1)
        cells, perfused = 4_712_345, 6_700_000
        assert block.registers == [
            *(0x4D42, 1, 3695, 2500, 500, 7200, 5000, 600),
            *(95_500 >> 16, 95_500 & 0xFFFF, cells >> 16, cells & 0xFFFF),
            *(11_000, 20_500, perfused >> 16, perfused & 0xFFFF, 3000, 5),
        ]
        assert client.read_holding_registers(0, count=5, device_id=1).registers == [3700, 500, 600, 0, 0]
        assert not client.write_register(0, 3650, device_id=1).isError()
        assert not client.write_registers(3, [0, 6632], device_id=1).isError()
        assert (controller.temperature_c, controller.perfusion_ul_min) == pytest.approx((36.5, 663.2))
        assert client.write_register(0, 9999, device_id=1).exception_code == 3
        assert client.read_input_registers(17, count=2, device_id=1).exception_code == 2
        assert client.read_coils(0, count=1, device_id=1).exception_code == 1
    finally:
        client.close()
        server.close()


# the server ---------------------------------------------------------------------------------------
def test_lines_survive_clients_that_come_and_go(tmp_path: Path) -> None:
    server = PtyServer(tmp_path, lambda line, data: f"{line}:".encode() + data)
    try:
        for name in ("one", "two"):
            server.plug(name)
        for i in range(3):
            with serial.Serial(str(tmp_path / "one"), exclusive=True, timeout=2.0) as port:
                port.write(b"x%d" % i)
                assert port.read_until(b"x%d" % i).endswith(b"x%d" % i)
                port.write(b"left unread")
        with serial.Serial(str(tmp_path / "two"), timeout=1.0) as port:
            port.write(b"y")
            assert port.read(5) == b"two:y"
    finally:
        server.close()
    assert list(tmp_path.iterdir()) == []


def test_long_answers_pass_whole(tmp_path: Path) -> None:
    answer = bytes(range(256)) * 1000
    server = PtyServer(tmp_path, lambda line, data: answer)
    try:
        with serial.Serial(str(server.plug("bulk")), timeout=5.0) as port:
            port.write(b"go")
            assert port.read(len(answer)) == answer
    finally:
        server.close()


def test_idle_server_uses_no_processor_time(tmp_path: Path) -> None:
    server = PtyServer(tmp_path, lambda line, data: data)
    try:
        for i in range(20):
            server.plug(f"line_{i}")
        before_s = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before_s < 0.02
    finally:
        server.close()


async def test_server_in_an_event_loop(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    server = PtyServer(tmp_path, lambda line, data: data[::-1], loop=loop)
    port = os.open(server.plug("line"), os.O_RDWR | os.O_NOCTTY)
    readable = asyncio.Event()
    loop.add_reader(port, readable.set)
    os.write(port, b"abc")
    await asyncio.wait_for(readable.wait(), 2.0)
    assert os.read(port, 10) == b"cba"
    loop.remove_reader(port)
    os.close(port)
    server.close()
