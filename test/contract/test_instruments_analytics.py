# SPDX-License-Identifier: Apache-2.0
"""The contract of the analytical instruments: drivers against firmware on the plant's sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from instrument_bench import FLIPS, Bench
from scipy.optimize import curve_fit

from mimedi_nodes.instruments.afm import REFERENCE_GEL, AtomicForceMicroscope
from mimedi_nodes.instruments.cytometer import FlowCytometer, Tube
from mimedi_nodes.instruments.droplet_reader import DropletReader, Well
from mimedi_nodes.instruments.plate_reader import PlateReader
from mimedi_nodes.instruments.spr_reader import Analyte, SprReader, Valve
from mimedi_nodes.instruments.wire.exchange import OutOfRange
from mimedi_nodes.instruments.wire.link import InstrumentRefused, Link, ReplyTimeout
from mimedi_sim.firmware import analytics as firmware
from mimedi_sim.firmware.faulty_line import LineFault
from mimedi_sim.models.afm import ForceCurve, fit_modulus
from mimedi_sim.plant.analytics import BindingBench, CytometryBench, DropletBench, ForceBench, PlateBench, Sample
from mimedi_sim.plant.ledger import INDEX, QUANTITIES

AMOUNTS = {
    "volume_ul": 1000.0,
    "t_act_neg": 3e5,
    "t_act_pos": 2e5,
    "car_expressed": 2e5,
    "copies": 5e5,
    "dead": 5e4,
    "il2_iu": 100.0,
    "bead_free": 1e3,
}


def row(**amounts: float) -> np.ndarray:
    content = np.zeros(len(QUANTITIES))
    for name, amount in amounts.items():
        content[INDEX[name]] = amount
    return content


async def opened(bench: Bench, instrument: object) -> Link:
    link = bench.line("instrument", instrument)
    await link.open()
    return link


# atomic force microscope --------------------------------------------------------------------------------
async def test_force_curves_give_the_cell_back(bench: Bench) -> None:
    source = ForceBench(3, lambda _: row(**AMOUNTS))
    afm = AtomicForceMicroscope(await opened(bench, firmware.AtomicForceMicroscope(source)), "afm")
    assert "AFM-3" in await afm.identify()
    assert await afm.cells() == 200
    cantilever = await afm.cantilever()
    assert (cantilever.spring_n_m, cantilever.radius_m) == pytest.approx((0.03, 2.5e-6))
    began_s = bench.now_s()
    for cell in (1, 7):
        curve = await afm.curve(cell, bench, points=800)
        assert curve.position_m.shape == (800,) == curve.force_n.shape
        fit = fit_modulus(ForceCurve(curve.position_m, curve.force_n), cantilever.radius_m)
        # 3 % and 10 % of calibration do not average out.
        assert fit.modulus_pa == pytest.approx(source.modulus_pa(cell, 0.0), rel=0.35)
        assert fit.r_squared > 0.85  # soft cells give little force against 20 pN of noise
    assert bench.now_s() - began_s > 30.0
    assert await afm.is_off()
    assert await afm.gel_modulus_pa() == pytest.approx(1000.0)
    gel = await afm.curve(REFERENCE_GEL, bench, points=800)
    fit = fit_modulus(ForceCurve(gel.position_m, gel.force_n), cantilever.radius_m)
    assert fit.modulus_pa == pytest.approx(1000.0, rel=0.35)
    with pytest.raises(InstrumentRefused, match="Hardware missing"):
        await afm.curve(201, bench)
    with pytest.raises(OutOfRange, match="points = 10"):
        await afm.curve(1, bench, points=10)


@pytest.mark.parametrize("fault", [f for f in LineFault if f not in FLIPS])
async def test_a_bad_line_costs_no_second_measurement(bench: Bench, fault: LineFault) -> None:
    device = firmware.AtomicForceMicroscope(ForceBench(3, lambda _: row(**AMOUNTS)))
    afm = AtomicForceMicroscope(await opened(bench, device), "afm")
    bench.lines["instrument"].inject(None, None, fault, fault)
    await afm.curve(1, bench, points=64)
    assert device._number == 1


# surface plasmon resonance ------------------------------------------------------------------------------
async def test_sensorgram_tells_the_concentration(bench: Bench) -> None:
    content = row(**{**AMOUNTS, "il2_iu": 1000.0})
    spr = SprReader(await opened(bench, firmware.SprReader(BindingBench(2, 0.0, lambda _: content))), "spr")
    assert "SPR-2" in await spr.identify()
    await spr.select(Analyte.IL2)
    kinetics = await spr.kinetics()
    await bench.sleep(60.0)
    assert await spr.is_off()
    for _ in range(2):
        await spr.ensure_flow(Valve.SAMPLE)
    start = await spr.second()
    await bench.sleep(700.0)
    await spr.ensure_flow(Valve.BUFFER)
    await bench.sleep(100.5)
    gram = await spr.sensorgram(start, 800)
    bound = gram.ligand_ru - gram.reference_ru
    assert abs(gram.reference_ru[10] - gram.reference_ru[-10]) > 5.0  # the sample's refractive step
    molar = Sample(content).molar("IL2")
    seconds = np.arange(1, 300)
    slope = np.polyfit(seconds, bound[1:300], 2)[1]
    measured = slope / (kinetics.association_per_m_s * kinetics.capacity_ru)
    assert measured == pytest.approx(molar, rel=0.15)
    observed = kinetics.association_per_m_s * molar + kinetics.dissociation_per_s
    equilibrium = kinetics.association_per_m_s * molar * kinetics.capacity_ru / observed
    assert bound[700] == pytest.approx(equilibrium * -math.expm1(-700.0 * observed), rel=0.05)
    assert bound[-1] < bound[700]
    with pytest.raises(InstrumentRefused, match="is not read yet"):
        await spr.sensorgram(start + 700, 600)
    await spr.ensure_flow(Valve.REGENERATION)
    await bench.sleep(30.0)
    after = await spr.sensorgram(await spr.second() - 5, 5)
    assert abs(float((after.ligand_ru - after.reference_ru).mean())) < 1.0
    await spr.ensure_flow(Valve.CONTROL)
    assert await spr.flowing() is Valve.CONTROL
    assert not await spr.is_off()
    assert await spr.control_m() == pytest.approx(5e-9)
    await bench.sleep(60.0)
    known = await spr.sensorgram(await spr.second() - 5, 5)
    assert float((known.ligand_ru - known.reference_ru).mean()) == pytest.approx(13.0, abs=1.5)  # 1:1, 60 s of 5 nM


# plate reader -------------------------------------------------------------------------------------------
async def test_plate_gives_the_cytokine_back(bench: Bench) -> None:
    reader = PlateReader(await opened(bench, firmware.PlateReader(PlateBench(5, lambda _: row(**AMOUNTS)))), "reader")
    assert "PR-96" in await reader.identify()
    plate = await reader.read(Analyte.IL2, bench)
    assert plate.absorbance.shape == (8, 12)
    assert plate.blank == pytest.approx(0.05, abs=0.01)
    assert plate.control_pg_ml == pytest.approx(300.0)
    assert plate.control.std() < 0.15 * plate.control.mean()

    def logistic(c: np.ndarray, bottom: float, top: float, middle: float, slope: float) -> np.ndarray:
        return bottom + (top - bottom) / (1.0 + (np.maximum(c, 1e-9) / middle) ** -slope)

    mean = plate.absorbance[:, :2].mean(axis=1)
    (bottom, top, middle, slope), _ = curve_fit(logistic, plate.standards_pg_ml, mean, p0=(0.05, 2.5, 200.0, 1.0))
    found = []
    for dilution, absorbance in zip(plate.dilutions, plate.absorbance[:, 2:4].mean(axis=1), strict=True):
        if 0.3 < absorbance < 2.0:
            found.append(dilution * middle * ((top - bottom) / (absorbance - bottom) - 1.0) ** (-1.0 / slope))
    assert len(found) >= 2
    assert float(np.mean(found)) == pytest.approx(6100.0, rel=0.15)


# droplet reader -----------------------------------------------------------------------------------------
async def test_droplets_give_the_copies_back(bench: Bench) -> None:
    reader = DropletReader(await opened(bench, firmware.DropletReader(DropletBench(4, lambda _: row(**AMOUNTS)))), "dr")
    assert "DR-2" in await reader.identify()
    counts = await reader.count(bench)
    assert counts.droplet_l == pytest.approx(0.85e-9)

    def per_droplet(positive: int) -> float:
        return -math.log1p(-positive / counts.accepted)

    copies = 2.0 * per_droplet(counts.transgene) / per_droplet(counts.reference)
    assert copies == pytest.approx(5e5 / 5.5e5, rel=0.15)
    again = await reader.count(bench)
    assert again != counts
    without = await reader.count(bench, Well.NO_TEMPLATE)
    assert without.accepted > 15_000
    assert max(without.transgene, without.reference) <= 3


async def test_an_empty_cell_is_refused(bench: Bench) -> None:
    reader = DropletReader(await opened(bench, firmware.DropletReader(DropletBench(4, lambda _: row()))), "dr")
    with pytest.raises(InstrumentRefused, match="INIT refused: Hardware missing"):
        await reader.count(bench)


# cytometer ----------------------------------------------------------------------------------------------
async def test_cytometer_gives_the_populations_back(bench: Bench) -> None:
    device = firmware.FlowCytometer(CytometryBench(6, lambda _: row(**AMOUNTS)))
    cytometer = FlowCytometer(await opened(bench, device), "cytometer")
    assert "FC-7" in await cytometer.identify()
    found = await cytometer.acquire(5000, bench)
    assert found.events.shape == (5000, 8)
    assert found.fcs.startswith(b"FCS3.1")
    leukocyte = found.channel("CD45-A") > 2e3
    viable = leukocyte & (found.channel("7-AAD-A") < 3e3)
    t_cell = viable & (found.channel("CD3-A") > 2e3)
    car = t_cell & (found.channel("CAR-A") > 1.4e3)
    assert viable.sum() / leukocyte.sum() == pytest.approx(5e5 / 5.5e5, abs=0.02)
    assert car.sum() / t_cell.sum() == pytest.approx(0.4, abs=0.03)
    beads = await cytometer.acquire(500, bench, Tube.CONTROL)
    assert all((beads.channel(name) > 1.5e3).mean() > 0.9 for name in ("CD45-A", "CD3-A", "CD14-A", "CAR-A", "7-AAD-A"))
    with pytest.raises(KeyError, match="there are FSC-A, SSC-A"):
        found.channel("CD19-A")
    with pytest.raises(OutOfRange, match="events = 100"):
        await cytometer.acquire(100, bench)


@pytest.mark.parametrize("fault", list(LineFault))
async def test_fcs_file_is_never_taken_broken(bench: Bench, fault: LineFault) -> None:
    device = firmware.FlowCytometer(CytometryBench(6, lambda _: row(**AMOUNTS)))
    cytometer = FlowCytometer(await opened(bench, device), "cytometer")
    whole = (await cytometer.acquire(500, bench)).fcs
    bench.lines["instrument"].inject(None, None, None, None, fault)
    found = await cytometer.acquire(500, bench)
    assert device._result == found.fcs
    assert len(found.fcs) == len(whole)


async def test_aborted_and_cut_measurements_are_not_fetched(bench: Bench) -> None:
    device = firmware.PlateReader(PlateBench(5, lambda _: row(**AMOUNTS)))
    reader = PlateReader(await opened(bench, device), "reader")
    await reader._begin()
    assert await reader.is_busy()
    for _ in range(2):
        await reader.abort()
    assert await reader.is_off()
    with pytest.raises(ReplyTimeout):
        await reader.query("FETC:PLAT?")
    await reader._begin()
    device.power_cycle(bench.now_s())
    assert await reader.is_off()
