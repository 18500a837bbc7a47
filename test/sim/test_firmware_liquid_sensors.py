# SPDX-License-Identifier: Apache-2.0
"""Flow and pressure sensors by the letter of their protocols, by Sensirion's own client, and the lines they sit on."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from sensirion_shdlc_driver import ShdlcConnection, ShdlcDevice, ShdlcSerialPort
from sensirion_shdlc_driver.command import ShdlcCommand
from sensirion_shdlc_driver.errors import ShdlcDeviceError

from mimedi_sim.firmware.ppt import PptLine, PressureTransducer
from mimedi_sim.firmware.shdlc import FlowCable, FlowSample, ShdlcLine
from mimedi_sim.models.constants import UL_PER_MIN_IN_M3_S
from mimedi_sim.plant.liquid_sensors import LINE_COMPLIANCE_M3_PA, LineFlow, LiquidLine, LiquidSensors
from mimedi_sim.plant.occlusion import LINE_RESISTANCE_PA_S_M3
from mimedi_sim.pty_server import PtyServer


def test_shdlc_by_bytes() -> None:
    """Frames with the checksum reckoned by hand; 11h, 13h, 7Dh and 7Eh are stuffed."""
    line = ShdlcLine({0: FlowCable(lambda _: FlowSample(0.0, 20.0), 0x11)})
    assert line.receive(bytes.fromhex("7E 00 24 00 DB 7E"), 0.0) == bytes.fromhex("7E 00 24 00 01 03 D7 7E")
    assert line.receive(bytes.fromhex("7E 00 33 00 CC 7E"), 0.0) == bytes.fromhex("7E 00 33 00 00 CC 7E")
    assert line.receive(bytes.fromhex("7E 00 24 00 DA 7E"), 0.0) == b""  # wrong checksum
    assert line.receive(bytes.fromhex("7E 00 99 00 66 7E"), 0.0) == bytes.fromhex("7E 00 99 02 00 64 7E")
    assert line.receive(bytes.fromhex("7E 01 24 00 DA 7E"), 0.0) == b""  # nobody there
    for asked in ("7E 00 D0 01 7D 33 1B 7E", "7E 00 D0 01 7D 33 7D 3B 7E"):  # 13h must be, 1Bh may be escaped
        assert line.receive(bytes.fromhex(asked), 0.0) == bytes.fromhex("7E 00 D0 04 00 2B 7E")


def test_sensirions_own_client_reads_the_cable(tmp_path: Path) -> None:
    line = ShdlcLine({3: FlowCable(lambda _: FlowSample(2500.0, 23.5, air_in_line=True), 0x7E7D1113)})
    server = PtyServer(tmp_path, lambda name, data: line.receive(data, 0.0))
    try:
        with ShdlcSerialPort(port=str(server.plug("flow")), baudrate=115200) as port:
            device = ShdlcDevice(ShdlcConnection(port), slave_address=3)
            assert device.get_product_name() == "SCC1-RS485"
            assert device.get_article_code() == "1-101094-01"
            assert device.get_serial_number() == "7E7D1113"
            assert str(device.get_version().firmware) == "1.7"
            ask = device.execute
            assert struct.unpack(">HHH", ask(ShdlcCommand(0x53, b"\x36\x08", 0.5))) == (500, 0x0845, 0)
            ask(ShdlcCommand(0x33, struct.pack(">HH", 100, 0x3608), 0.5))
            assert ask(ShdlcCommand(0x33, b"", 0.5)) == b"\x00\x64"
            assert struct.unpack(">hhH", ask(ShdlcCommand(0x35, b"\x03", 0.5))) == (1250, 4700, 1)
            with pytest.raises(ShdlcDeviceError):
                ask(ShdlcCommand(0x33, struct.pack(">HH", 100, 0x3608), 0.5))  # measures already: 43h
            assert device.get_error_state(clear=True, as_exception=False) == (0, 0x43)
            ask(ShdlcCommand(0x34, b"", 0.5))
            assert not ask(ShdlcCommand(0x35, b"\x03", 0.5))
    finally:
        server.close()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"*01P1\r", b"?01CP=20.000\r\n"),
        (b"*01p1\r", b"?01CP=20.000\r\n"),
        (b"*02P1\r", b""),
        (b"*01DU=PSI\r*01DU=\r", b"?01DU=KPA\r\n"),  # no WE before it
        (b"*01WE\r*01DU=MBAR\r*01P1\r", b"?01CP=200.00\r\n"),
        (b"*01RS\r", b"?01RS=0000\r\n"),
        (b"*99ID\r", b"?01ID=01\r\n"),
        (b"noise*01S=\r\n*01T1\r", b"?01S=00000042\r\n?01CT=22.0\r\n"),
    ],
)
def test_ppt_answers_by_the_manual(request_: bytes, answer: bytes) -> None:
    line = PptLine({1: PressureTransducer(lambda _: 20_000.0, serial_number=42)})
    assert line.receive(request_, 0.0) == answer


@settings(max_examples=200, deadline=None)
@given(data=st.lists(st.binary(max_size=60), max_size=10))
def test_no_bytes_whatever_break_a_sensor(data: list[bytes]) -> None:
    for firmware in (
        ShdlcLine({0: FlowCable(lambda _: FlowSample(0.0, 20.0), 1)}), PptLine({1: PressureTransducer(lambda _: 0.0)})
    ):
        for chunk in data:
            firmware.receive(chunk, 0.0)
        firmware.receive(b"\x7e\r", 0.0)


def test_pressure_of_a_line_against_an_integrator() -> None:
    """C dP/dt = Q - P/R with R times 2,000 from 4 s on and the pump stopped at 9 s."""
    line = LiquidLine(1, "fluidics", 0.0)

    def rate(t: float, p: list[float]) -> list[float]:
        flow = 200.0 * 60.0 * UL_PER_MIN_IN_M3_S if 1.0 <= t < 9.0 else 0.0
        resistance = LINE_RESISTANCE_PA_S_M3 * (2000.0 if t >= 4.0 else 1.0)
        return [(flow - p[0] / resistance) / LINE_COMPLIANCE_M3_PA]

    pushes = {1.0: (200.0, 1.0), 4.0: (200.0, 2000.0), 9.0: (0.0, 2000.0)}
    pressure, at = 0.0, 0.0
    for until in (1.0, 4.0, 6.5, 9.0, 10.0):
        solved = solve_ivp(rate, (at, until - 1e-12), [pressure], method="LSODA", rtol=1e-9, atol=1e-6)
        pressure, at = float(solved.y[0, -1]), until
        assert line.pressure_pa(until) == pytest.approx(pressure, rel=1e-4, abs=1.0)
        if until in pushes:
            line.push(until, *pushes[until])


def test_sensors_do_not_depend_on_who_looks() -> None:
    def sensors() -> LiquidSensors:
        made = LiquidSensors(4, 0.0)
        made.adopt(2.0, {"pump": 100.0}, {})
        return made

    looked, left_alone = sensors(), sensors()
    for k in range(50):
        looked.lines["fluidics"].measured_pa(2.0 + 0.37 * k)
        looked.lines["fluidics"].measured_flow(LineFlow(100.0), 2.0 + 0.37 * k)
    for made in (looked, left_alone):
        made.adopt(25.0, {"pump": 100.0, "sample_a": 8.5}, {"pump": 50.0})
    for name in ("fluidics", "sample"):
        assert looked.lines[name].measured_pa(30.0) == left_alone.lines[name].measured_pa(30.0)
    assert looked.lines["sample"].pressure_pa(30.0) > 200.0
    assert looked.lines["buffer"].pressure_pa(30.0) == 0.0


def test_gas_in_the_line_is_seen() -> None:
    line = LiquidLine(1, "fluidics", 0.0)
    assert not line.measured_flow(LineFlow(100.0, 0.0), 1.0).air_in_line
    assert line.measured_flow(LineFlow(100.0, 0.2), 1.0).air_in_line
