# SPDX-License-Identifier: Apache-2.0
"""The contract of balance, generator, analyser and controller, over memory and over real pseudo-terminals alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from instrument_bench import FLIPS, Bench

from mimedi_nodes.instruments.balance import NotStable, SicsBalance
from mimedi_nodes.instruments.bioreactor import BioreactorController
from mimedi_nodes.instruments.generator import FunctionGenerator
from mimedi_nodes.instruments.impedance import ImpedanceAnalyser
from mimedi_nodes.instruments.wire.exchange import OutOfRange
from mimedi_nodes.instruments.wire.link import (
    GarbledReply,
    InstrumentRefused,
    ReplyTimeout,
)
from mimedi_sim.firmware import sics as sics_firmware
from mimedi_sim.firmware.faulty_line import LineFault
from mimedi_sim.firmware.generator import ScpiGenerator
from mimedi_sim.firmware.impedance import ScpiImpedanceAnalyser
from mimedi_sim.firmware.modbus_bioreactor import BioreactorReadings, ModbusBioreactor


# balances -----------------------------------------------------------------------------------------
async def test_balance_weighs(bench: Bench) -> None:
    load = {"mass_g": 123.456, "moved_s": 0.0}
    firmware = sics_firmware.SicsBalance(
        lambda _: float(load["mass_g"]),
        moved_s=lambda _: float(load["moved_s"]),
        capacity_g=1000.0,
        serial_number="B12",
    )
    link = bench.line("scale", firmware)
    await link.open()
    balance = SicsBalance(link, "scale")
    assert await balance.identify() == "B12"
    assert await balance.mass_g() == pytest.approx(123.46)
    with pytest.raises(NotStable):
        await balance.stable_mass_g()
    await bench.sleep(0.5 * sics_firmware.REST_S)
    with pytest.raises(NotStable):
        await balance.stable_mass_g()
    await bench.sleep(0.5 * sics_firmware.REST_S)
    assert await balance.stable_mass_g() == pytest.approx(123.46)
    await balance.zero()
    load["mass_g"] = 120.0
    assert await balance.mass_g() == pytest.approx(-3.46)
    load["mass_g"] = 5000.0
    with pytest.raises(InstrumentRefused, match="overload"):
        await balance.mass_g()
    load["mass_g"] = -500.0
    with pytest.raises(InstrumentRefused, match="underload"):
        await balance.mass_g()
    load["mass_g"] = math.nan
    with pytest.raises(InstrumentRefused, match="cannot weigh"):
        await balance.mass_g()


@pytest.mark.parametrize("fault", [f for f in LineFault if f not in FLIPS])
async def test_balance_survives_a_bad_line(bench: Bench, fault: LineFault) -> None:
    link = bench.line("scale", sics_firmware.SicsBalance(lambda _: 10.0))
    await link.open()
    bench.lines["scale"].inject(fault)
    assert await SicsBalance(link, "scale").mass_g() == 10.0


# SCPI ---------------------------------------------------------------------------------------------
async def test_generator_sets_and_reads_back(bench: Bench) -> None:
    firmware = ScpiGenerator()
    link = bench.line("generator", firmware)
    await link.open()
    generator = FunctionGenerator(link, "generator")
    assert "33511B" in await generator.identify()
    assert await generator.is_off()
    for _ in range(2):
        await generator.ensure_output(2.009e6, 4.5)
        assert (firmware.frequency_hz, firmware.amplitude_vpp, firmware.output_on) == (2.009e6, 4.5, True)
        assert not await generator.is_off()
    with pytest.raises(OutOfRange, match=r"amplitude_vpp = 40 V refused; allowed: 0\.001 to 10 V"):
        await generator.ensure_output(2.0e6, 40.0)
    with pytest.raises(InstrumentRefused, match=r"Undefined header \(-113\)"):
        await generator.command("SOUR1:FREK 1")
    await generator.output_off()
    assert await generator.is_off()
    assert not firmware.output_on


@pytest.mark.parametrize("fault", list(LineFault))
async def test_generator_survives_a_bad_line(bench: Bench, fault: LineFault) -> None:
    firmware = ScpiGenerator()
    link = bench.line("generator", firmware)
    await link.open()
    generator = FunctionGenerator(link, "generator")
    bench.lines["generator"].inject(None, fault, None, fault)
    await generator.ensure_output(1.98e6, 2.0)
    assert (firmware.frequency_hz, firmware.amplitude_vpp, firmware.output_on) == (1.98e6, 2.0, True)


async def test_analyser_sweeps(bench: Bench) -> None:
    def impedance(frequency_hz: np.ndarray, now_s: float) -> np.ndarray:
        omega = 2 * np.pi * frequency_hz
        return 50.0 + 1j * (omega * 1e-6 - 1.0 / (omega * 1e-9))

    link = bench.line("analyser", ScpiImpedanceAnalyser(impedance))
    await link.open()
    analyser = ImpedanceAnalyser(link, "analyser")
    assert "E4990A" in await analyser.identify()
    sweep = await analyser.sweep(1.9e6, 2.1e6, 801)
    assert sweep.frequency_hz.shape == (801,) == sweep.impedance_ohm.shape
    np.testing.assert_allclose(sweep.impedance_ohm, impedance(sweep.frequency_hz, 0.0), rtol=1e-10)
    with pytest.raises(OutOfRange, match="points = 2000"):
        await analyser.sweep(1.9e6, 2.1e6, 2000)
    with pytest.raises(OutOfRange, match="stop_hz"):
        await analyser.sweep(2.1e6, 1.9e6, 10)


# bioreactor ---------------------------------------------------------------------------------------
READINGS = BioreactorReadings(
    liquid_temperature_c=36.95,
    air_temperature_c=-1.25,
    co2_fraction=0.0501,
    ph=7.234,
    dissolved_oxygen_fraction=0.8765,
    stirring_rpm=59.9,
    weight_g=959.78,
    viable_cells_per_ml=4_712_345.0,
    glucose_mm=11.357,
    lactate_mm=math.nan,
    perfused_ul=6_700_000.0,
    heater_fraction=0.3141,
    faults=8,
)


async def ready_controller(
    bench: Bench, sensors: Callable[[float], BioreactorReadings] = lambda _: READINGS
) -> tuple[BioreactorController, ModbusBioreactor]:
    firmware = ModbusBioreactor(sensors)
    link = bench.line("controller", firmware)
    await link.open()
    return BioreactorController(link, 1, "culture_controller"), firmware


async def test_controller_reports_its_state(bench: Bench) -> None:
    controller, _ = await ready_controller(bench)
    assert "4D42h" in await controller.identify()
    state = await controller.state()
    assert state.liquid_temperature_c == pytest.approx(36.95)
    assert state.air_temperature_c == pytest.approx(-1.25)
    assert state.co2_fraction == pytest.approx(0.0501)
    assert state.ph == pytest.approx(7.234)
    assert state.dissolved_oxygen_fraction == pytest.approx(0.8765)
    assert state.volume_ul == pytest.approx(959.78 / 1.005 * 1000.0)
    assert state.viable_cells_per_ml == 4_712_345.0
    assert state.glucose_mm == pytest.approx(11.357)
    assert math.isnan(state.lactate_mm)
    assert state.perfused_ul == 6_700_000.0
    assert state.heater_fraction == pytest.approx(0.3141)
    assert state.faults.name == "PH_PROBE"


async def test_controller_holds_set_points_and_reads_them_back(bench: Bench) -> None:
    controller, firmware = await ready_controller(bench)
    before = await controller.set_points()
    assert (before.temperature_c, before.co2_fraction, before.perfusion_ul_min) == pytest.approx((37.0, 0.05, 0.0))
    assert await controller.perfusion_is_off()
    for _ in range(2):
        await controller.ensure_temperature(36.5)
        await controller.ensure_gas(0.06)
        await controller.ensure_stirring(80.0)
        await controller.ensure_perfusion(663.2)
    assert (firmware.temperature_c, firmware.co2_fraction) == pytest.approx((36.5, 0.06))
    assert (firmware.stirring_rpm, firmware.perfusion_ul_min) == pytest.approx((80.0, 663.2))
    await controller.stop()
    assert await controller.is_off()
    assert firmware.perfusion_ul_min == 0.0
    assert firmware.temperature_c == pytest.approx(36.5)


async def test_controller_refuses_set_points_that_would_kill(bench: Bench) -> None:
    controller, firmware = await ready_controller(bench)
    heard = bench.lines["controller"].requests
    with pytest.raises(OutOfRange, match=r"temperature_c = 60 degC refused; allowed: 20 to 42 degC"):
        await controller.ensure_temperature(60.0)
    with pytest.raises(OutOfRange, match="co2_fraction"):
        await controller.ensure_gas(math.nan)
    assert bench.lines["controller"].requests == heard
    with pytest.raises(InstrumentRefused, match="illegal data value"):
        await controller._device.write_holding(0, [6000])
    with pytest.raises(InstrumentRefused, match="illegal data address"):
        await controller._device.read_input(10, 100)
    assert firmware.temperature_c == 37.0


@pytest.mark.parametrize("fault", list(LineFault))
async def test_controller_survives_a_bad_line(bench: Bench, fault: LineFault) -> None:
    controller, firmware = await ready_controller(bench)
    bench.lines["controller"].inject(fault, None, fault)
    assert (await controller.state()).ph == pytest.approx(7.234)
    await controller.ensure_temperature(36.0)
    assert firmware.temperature_c == pytest.approx(36.0)


async def test_noisy_modbus_line_never_gives_a_wrong_value(bench: Bench) -> None:
    controller, _ = await ready_controller(bench)
    bench.lines["controller"].bit_error_rate = 2e-3
    good = 0
    for _ in range(100 if bench.kind == "memory" else 5):
        try:
            state = await controller.state()
        except (ReplyTimeout, GarbledReply):
            continue
        good += 1
        assert state.ph == pytest.approx(7.234)
        assert state.viable_cells_per_ml == 4_712_345.0
    assert good > 0
