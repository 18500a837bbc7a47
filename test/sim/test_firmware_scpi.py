# SPDX-License-Identifier: Apache-2.0
"""SCPI by the letter of SCPI 1999.0 and IEEE 488.2, and by PyVISA as somebody else's client."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pyvisa
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_sim.firmware import analytics
from mimedi_sim.firmware.generator import ScpiGenerator
from mimedi_sim.firmware.impedance import ScpiImpedanceAnalyser
from mimedi_sim.firmware.scpi import ScpiFirmware
from mimedi_sim.plant.analytics import BindingBench, CytometryBench, DropletBench, ForceBench, PlateBench
from mimedi_sim.plant.ledger import INDEX, QUANTITIES
from mimedi_sim.pty_server import PtyServer


def sample(_: float) -> np.ndarray:
    content = np.zeros(len(QUANTITIES))
    amounts = {"volume_ul": 1000.0, "t_act_neg": 3e5, "t_act_pos": 2e5, "copies": 4e5, "il2_iu": 100.0}
    for name, amount in amounts.items():
        content[INDEX[name]] = amount
    return content


def impedance(frequency_hz: np.ndarray, now_s: float) -> np.ndarray:
    omega = 2.0 * np.pi * frequency_hz
    return 50.0 + 1j * (omega * 1e-6 - 1.0 / (omega * 1e-9))


def instruments() -> dict[str, ScpiFirmware]:
    return {
        "generator": ScpiGenerator(),
        "analyser": ScpiImpedanceAnalyser(impedance),
        "afm": analytics.AtomicForceMicroscope(ForceBench(1, sample)),
        "spr": analytics.SprReader(BindingBench(1, 0.0, sample)),
        "reader": analytics.PlateReader(PlateBench(1, sample)),
        "droplets": analytics.DropletReader(DropletBench(1, sample)),
        "cytometer": analytics.FlowCytometer(CytometryBench(1, sample)),
    }


@pytest.mark.parametrize("name", list(instruments()))
def test_every_instrument_has_the_mandatory_commands(name: str) -> None:
    """IEEE 488.2 section 10.2 and SCPI 1999.0 volume 1, section 4.2.1."""
    device = instruments()[name]
    assert device.receive(b"*IDN?\n", 0.0).count(b",") == 3
    assert device.receive(b"*ESR?\n", 0.0) == b"128\n"  # power on, once
    assert device.receive(b"*CLS;*ESE 60;*ESE?;*SRE 32;*SRE?\n", 0.0) == b"60;32\n"
    assert device.receive(b"*OPC?;*TST?;*WAI;:SYST:VERS?;:STAT:OPER:COND?\n", 0.0) == b"1;0;1999.0;0\n"
    device.receive(b"NONSENSE:HEADER 1\n", 0.0)
    assert device.receive(b"*STB?\n", 0.0) == b"100\n"  # queue (4), event summary (32), master summary (64)
    assert device.receive(b"SYST:ERR:COUN?\n", 0.0) == device.receive(b"SYSTEM:ERROR:COUNT?\n", 0.0)
    assert b'-113,"Undefined header"\n' in device.receive(b"SYST:ERR?\n", 0.0)
    assert device.receive(b"*ESR?\n", 0.0) == b"32\n"  # command error
    device.receive(b"*OPC;*RST;*CLS\n", 0.0)
    assert device.receive(b"SYST:ERR:NEXT?\n", 0.0) == b'+0,"No error"\n'


def test_error_queue_tells_of_its_overflow_in_its_last_place() -> None:
    """SCPI 1999.0 volume 2, section 21.8.1."""
    device = ScpiGenerator()
    device.receive(b"FREQ 1E9\n" + b"NONSENSE\n" * 25, 0.0)
    assert device.receive(b"SYST:ERR?\n", 0.0) == b'-222,"Data out of range"\n'
    rest = [device.receive(b"SYST:ERR?\n", 0.0) for _ in range(20)]
    assert rest[:18] == [b'-113,"Undefined header"\n'] * 18
    assert rest[18:] == [b'-350,"Queue overflow"\n', b'+0,"No error"\n']


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"SOURCE1:FREQUENCY:FIXED 2.009 MHZ;:FREQ?", b"+2.009000000000000E+06\n"),
        (b"freq 10khz;volt 500 mV;:source:frequency?;:voltage:amplitude?",
         b"+1.000000000000000E+04;+5.000000000000000E-01\n"),
        (b"FREQ? MAX", b"+2.000000000000000E+07\n"),
        (b"FREQ MIN;:FREQ?", b"+1.000000000000000E-06\n"),
        (b"APPL:SIN 2.0E6,4.5;:APPL?;:OUTP?", b'"SIN +2.000000000000000E+06,+4.500000000000000E+00,'
         b'+0.0000000000000E+00";1\n'),
        (b"FUNC SINUSOID;:FUNC?;:VOLT:UNIT?;:OUTP:LOAD?", b"SIN;VPP;+5.000000000000000E+01\n"),
        (b"FREQ;:SYST:ERR?", b'-109,"Missing parameter"\n'),
        (b"FREQ abc;:SYST:ERR?", b'-104,"Data type error"\n'),
        (b"FREQ 1 V;:SYST:ERR?", b'-131,"Invalid suffix"\n'),
        (b"FUNC SQU;:SYST:ERR?", b'-224,"Illegal parameter value"\n'),
        (b"OUTP MAYBE;:SYST:ERR?", b'-224,"Illegal parameter value"\n'),
        (b"*CLS 1;:SYST:ERR?", b'-108,"Parameter not allowed"\n'),
    ],
)
def test_generator_by_its_manual(line: bytes, answer: bytes) -> None:
    assert ScpiGenerator().receive(line + b"\n", 0.0) == answer


def test_a_measurement_takes_its_time_and_cannot_be_fetched_before() -> None:
    reader = analytics.PlateReader(PlateBench(1, sample))
    assert reader.receive(b"FETC:PLAT?\nSYST:ERR?\n", 0.0) == b'-230,"Data corrupt or stale"\n'
    assert reader.receive(b"INIT;:STAT:OPER:COND?\n", 10.0) == b"16\n"
    assert reader.receive(b"INIT;:SYST:ERR?\n", 20.0) == b'-213,"Init ignored"\n'
    assert reader.receive(b"FETC:PLAT?;:SYST:ERR?\n", 69.0) == b'-230,"Data corrupt or stale"\n'
    assert reader.receive(b"STAT:OPER:COND?;:FETC:PLAT?\n", 71.0).count(b",") == 95


def test_block_has_its_length_and_its_checksum() -> None:
    cytometer = analytics.FlowCytometer(CytometryBench(1, sample))
    cytometer.receive(b"SENS:EVEN 500;:INIT\n", 0.0)
    data = cytometer.receive(b"FETC:FCS?\n", 100.0)
    digits = int(data[1:2])
    size = int(data[2 : 2 + digits])
    content = data[2 + digits : -1]
    assert data[:1] == b"#"
    assert len(content) == size
    assert cytometer.receive(b"FETC:FCS:CRC?\n", 100.0) == f"#H{zlib.crc32(content):08X}\n".encode()
    again = analytics.FlowCytometer(CytometryBench(1, sample))
    again.receive(b"SENS:EVEN 500;:INIT\n", 50.0)
    assert again.receive(b"FETC:FCS?\n", 500.0) == data  # same seed, same measurement number, same file


@settings(max_examples=100, deadline=None)
@given(data=st.lists(st.binary(max_size=40) | st.text("SENSEINITFC:?*; 1,#\n", max_size=40), max_size=8))
def test_no_bytes_whatever_break_an_instrument(data: list[bytes | str]) -> None:
    for device in instruments().values():
        for chunk in data:
            device.receive(chunk.encode() if isinstance(chunk, str) else chunk, 0.0)
        device.receive(b"\n*CLS\n", 0.0)
        assert device.receive(b"SYST:ERR?\n", 0.0) == b'+0,"No error"\n'


# somebody else's client ---------------------------------------------------------------------------------
DIALOGUE = """
spec: "1.1"
devices:
  generator:
    eom:
      ASRL INSTR: {q: "\\n", r: "\\n"}
    error: {status_register: [{q: "*ESR?", command_error: 32, query_error: 4}]}
    dialogues:
      - {q: "*IDN?", r: "Agilent Technologies,33511B,MY52100001,3.05-1.19-2.00-52-00"}
      - {q: "SYST:ERR?", r: "+0,\\"No error\\""}
    properties:
      frequency:
        default: 1000.0
        getter: {q: "SOUR1:FREQ?", r: "{:+.15E}"}
        setter: {q: "SOUR1:FREQ {:.9E}"}
        specs: {min: 1.0e-6, max: 20.0e6, type: float}
      output:
        default: 0
        getter: {q: "OUTP1?", r: "{:d}"}
        setter: {q: "OUTP1 {:d}"}
        specs: {type: int}
resources:
  ASRL1::INSTR: {device: generator}
"""
"""A generator written from the manual alone, for PyVISA-sim."""


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[dict[str, str]]:
    devices = instruments()
    server = PtyServer(tmp_path / "ports", lambda name, data: devices[name].receive(data, 1000.0))
    yield {name: f"ASRL{server.plug(name)}::INSTR" for name in devices}
    server.close()


def opened(manager: pyvisa.ResourceManager, resource: str) -> pyvisa.resources.MessageBasedResource:
    found = manager.open_resource(resource, read_termination="\n", write_termination="\n", timeout=2000)
    assert isinstance(found, pyvisa.resources.MessageBasedResource)
    return found


def conversation(generator: pyvisa.resources.MessageBasedResource) -> list[str]:
    said = [generator.query("*IDN?")]
    generator.write("SOUR1:FREQ 2.009000000E+06")
    said.append(generator.query("SOUR1:FREQ?"))
    generator.write("OUTP1 1")
    said += [generator.query("OUTP1?"), generator.query("SYST:ERR?")]
    return said


def test_pyvisa_talks_to_our_generator_as_to_one_written_from_the_manual(ports: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "generator.yaml").write_text(DIALOGUE, encoding="utf-8")
    simulated = pyvisa.ResourceManager(f"{tmp_path / 'generator.yaml'}@sim")
    real = pyvisa.ResourceManager("@py")
    try:
        by_manual = conversation(opened(simulated, "ASRL1::INSTR"))
        ours = conversation(opened(real, ports["generator"]))
    finally:
        simulated.close()
        real.close()
    assert ours == by_manual


def test_pyvisa_sweeps_the_analyser_and_fetches_a_block(ports: dict[str, str]) -> None:
    manager = pyvisa.ResourceManager("@py")
    try:
        analyser = opened(manager, ports["analyser"])
        for line in ("*RST;*CLS", "INIT1:CONT OFF;:TRIG:SOUR BUS;:CALC1:PAR1:DEF R", "SENS1:SWE:POIN 5",
                     "SENS1:FREQ:STAR 1.9 MHZ;STOP 2.1 MHZ", "INIT1:IMM"):
            analyser.write(line)
        assert analyser.query("TRIG:SING;*OPC?") == "1"
        swept = analyser.query_ascii_values("SENS1:FREQ:DATA?")
        assert swept == pytest.approx([1.9e6, 1.95e6, 2.0e6, 2.05e6, 2.1e6])
        resistance = analyser.query_ascii_values("CALC1:PAR1:SEL;:CALC1:DATA:FDAT?")
        assert resistance[::2] == pytest.approx([50.0] * 5)
        assert analyser.query("SYST:ERR?") == '+0,"No error"'
        for name in ("afm", "spr", "reader", "droplets", "cytometer"):
            assert opened(manager, ports[name]).query("*IDN?").startswith("MiMedI,")
        spr = opened(manager, ports["spr"])
        assert len(spr.query_ascii_values("FETC:SENS? 100,50")) == 100
    finally:
        manager.close()
