# SPDX-License-Identifier: Apache-2.0
"""The contract of the flow and pressure sensors of the liquid lines."""

from __future__ import annotations

import math

import pytest
from instrument_bench import FLIPS, Bench

from mimedi_nodes.instruments.flow_sensor import FlowSensor
from mimedi_nodes.instruments.pressure_sensor import PressureSensor
from mimedi_nodes.instruments.wire.link import GarbledReply, InstrumentRefused, ReplyTimeout
from mimedi_sim.firmware.faulty_line import LineFault
from mimedi_sim.firmware.ppt import PptLine, PressureTransducer
from mimedi_sim.firmware.shdlc import FlowCable, FlowSample, ShdlcLine


async def ready_flow(bench: Bench, now: dict[str, FlowSample]) -> tuple[FlowSensor, FlowCable]:
    cable = FlowCable(lambda _: now["sample"], 0x7E7D1113)
    link = bench.line("flow", ShdlcLine({0: FlowCable(lambda _: FlowSample(0.0, 20.0), 1), 5: cable}))
    await link.open()
    return FlowSensor(link, 5, "flow_sensor"), cable


async def test_flow_sensor_reads_flow_temperature_and_air(bench: Bench) -> None:
    now = {"sample": FlowSample(-3210.5, 22.25)}
    sensor, cable = await ready_flow(bench, now)
    assert await sensor.identify() == "product 00070302, serial number 007E7D1113"
    for _ in range(2):
        await sensor.ensure_measuring()
    reading = await sensor.reading()
    assert reading.flow_ul_min == pytest.approx(-3210.0, abs=1.1)
    assert reading.temperature_c == pytest.approx(22.25)
    assert not reading.air_in_line
    assert not reading.high_flow
    now["sample"] = FlowSample(80_000.0, 22.25, air_in_line=True)
    full = await sensor.reading()
    assert (full.flow_ul_min, full.air_in_line, full.high_flow) == (65_000.0, True, True)
    await sensor.stop()
    cable.power_cycle()
    assert (await sensor.reading()).high_flow  # starts measuring again by itself


async def test_flow_sensor_that_is_not_there_is_a_timeout(bench: Bench) -> None:
    sensor, _ = await ready_flow(bench, {"sample": FlowSample(0.0, 20.0)})
    link = sensor._link
    with pytest.raises(ReplyTimeout, match="nobody: no answer"):
        await FlowSensor(link, 9, "nobody").identify()
    with pytest.raises(ValueError, match="SHDLC address 255 refused"):
        FlowSensor(link, 255, "nobody")


@pytest.mark.parametrize("fault", list(LineFault))
async def test_flow_sensor_survives_a_bad_line(bench: Bench, fault: LineFault) -> None:
    sensor, _ = await ready_flow(bench, {"sample": FlowSample(1234.0, 20.0)})
    bench.lines["flow"].inject(fault, None, fault)
    assert (await sensor.reading()).flow_ul_min == pytest.approx(1234.0, abs=1.1)


async def test_noisy_line_never_gives_a_wrong_flow(bench: Bench) -> None:
    sensor, _ = await ready_flow(bench, {"sample": FlowSample(1234.0, 20.0)})
    await sensor.ensure_measuring()
    bench.lines["flow"].bit_error_rate = 2e-3
    right = wrong = 0
    for _ in range(200 if bench.kind == "memory" else 5):
        try:
            reading = await sensor.reading()
        except (ReplyTimeout, GarbledReply):
            continue
        if reading.flow_ul_min == pytest.approx(1234.0, abs=1.1):
            right += 1
        else:
            wrong += 1
    assert right > 0
    assert wrong == 0


async def ready_pressure(bench: Bench, now: dict[str, float]) -> tuple[PressureSensor, PptLine]:
    read = PressureTransducer(lambda _: now["pa"], serial_number=5137)
    line = PptLine({1: PressureTransducer(lambda _: 0.0), 7: read})
    link = bench.line("pressure", line)
    await link.open()
    return PressureSensor(link, 7, "pressure_sensor"), line


async def test_pressure_sensor_reads_in_whatever_unit_it_shows(bench: Bench) -> None:
    now = {"pa": 12_345.6}
    sensor, line = await ready_pressure(bench, now)
    assert await sensor.identify() == "serial number 00005137"
    assert await sensor.pressure_pa() == pytest.approx(12_346.0)
    assert await sensor.temperature_c() == 22.0
    await sensor.check()
    assert line.receive(b"*07WE\r*07DU=PSI\r*07DU=\r", 0.0) == b"?07DU=PSI\r\n"
    again = PressureSensor(sensor._link, 7, "pressure_sensor")
    assert await again.pressure_pa() == pytest.approx(12_345.6, abs=0.4)
    now["pa"] = -50.0
    assert await again.pressure_pa() == pytest.approx(-50.0, abs=0.4)


async def test_pressure_out_of_range_is_no_number(bench: Bench) -> None:
    now = {"pa": 2.0e6}
    sensor, _ = await ready_pressure(bench, now)
    with pytest.raises(InstrumentRefused, match="out of range"):
        await sensor.pressure_pa()
    with pytest.raises(InstrumentRefused, match=r"pressure out of range \(1000h\)"):
        await sensor.check()
    now["pa"] = math.nan
    with pytest.raises(InstrumentRefused, match="temperature out of range"):
        await sensor.check()


@pytest.mark.parametrize("fault", [f for f in LineFault if f not in FLIPS])
async def test_pressure_sensor_survives_a_bad_line(bench: Bench, fault: LineFault) -> None:
    sensor, _ = await ready_pressure(bench, {"pa": 5000.0})
    bench.lines["pressure"].inject(fault, fault)
    assert await sensor.pressure_pa() == 5000.0
