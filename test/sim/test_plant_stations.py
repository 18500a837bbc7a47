# SPDX-License-Identifier: Apache-2.0
"""The stations beside the liquid path stand in the plant: real drivers, one shared truth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mimedi_nodes.instruments.cytometer import FlowCytometer
from mimedi_nodes.instruments.droplet_reader import DropletReader
from mimedi_nodes.instruments.enclosure import ParticleCounter, SafetyRelay
from mimedi_nodes.instruments.flow_sensor import FlowSensor
from mimedi_nodes.instruments.gantry import Gantry
from mimedi_nodes.instruments.photon_counter import PhotonCounter
from mimedi_nodes.instruments.pressure_sensor import PressureSensor
from mimedi_nodes.instruments.wire.link import InstrumentRefused
from mimedi_nodes.modules.site import SiteError
from mimedi_sim.memory_link import MemoryLink
from mimedi_sim.models.donors import NOMINAL
from mimedi_sim.plant.network import ASSAY_CELL
from mimedi_sim.plant.twin import Plant
from test.sim.plant_bench import SITE, Bench

STATIONS = (
    "fluidics_flow", "fluidics_pressure", "sorter_flow", "sorter_pressure", "enclosure", "photon_counter", "gantry",
    "afm", "spr_reader", "plate_reader", "droplet_reader", "cytometer",
)  # fmt: skip


class Pace:
    """A bench's time for drivers."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def now_s(self) -> float:
        return self._bench.now_s

    async def sleep(self, seconds: float) -> None:
        self._bench.wait(seconds)


async def opened(bench: Bench, line: str) -> MemoryLink:
    link = MemoryLink(line, lambda data: bench.plant.receive(line, data, bench.now_s))
    await link.open()
    return link


def test_a_station_that_nobody_uses_is_never_made() -> None:
    bench = Bench()
    bench.transfer("apheresis", "sorter_inlet", 20_000.0)
    bench.wait(86_400.0)
    assert set(bench.plant.stations.lines) == set(STATIONS)
    assert all(line.made is None for line in bench.plant.stations.lines.values())
    assert bench.plant.take_unasked(bench.now_s) == {}


async def test_sensors_see_flow_pressure_and_air() -> None:
    bench = Bench()
    flow = FlowSensor(await opened(bench, "fluidics_flow"), 0, "flow")
    pressure = PressureSensor(await opened(bench, "fluidics_pressure"), 1, "pressure")
    await flow.ensure_measuring()
    assert abs((await flow.reading()).flow_ul_min) < 3.0
    assert abs(await pressure.pressure_pa()) < 300.0
    for source, air in (("buffer", False), ("vector", True)):
        bench.turn("fluidics_pumps", "source_valve", source)
        bench.turn("fluidics_pumps", "destination_valve", "waste")
        bench.wait(1.0)
        if air:
            bench.plant.inject("empty_bag", source, {}, True, bench.now_s)
        bench.device("fluidics_pumps", "pump", "V9600IA48000V9600OA0")
        bench.wait(7.0)  # 25 mL in 5 s each way
        reading = await flow.reading()
        assert (reading.flow_ul_min, reading.high_flow) == (65_000.0, True)  # 300 mL/min is beyond the sensor
        assert reading.air_in_line == air
        # 5 mL/s through 5.5e9 Pa s/m3.
        assert await pressure.pressure_pa() == pytest.approx(27_500.0, rel=0.02)
        bench.wait(10.0)
    assert abs(await pressure.pressure_pa()) < 300.0


async def test_occlusion_shows_as_pressure_before_the_drive_stalls() -> None:
    bench = Bench()
    pressure = PressureSensor(await opened(bench, "fluidics_pressure"), 1, "pressure")
    bench.turn("fluidics_pumps", "source_valve", "buffer")
    bench.turn("fluidics_pumps", "destination_valve", "waste")
    bench.device("fluidics_pumps", "pump", "V9600IA48000")
    bench.wait(6.0)
    bench.plant.inject("occlusion", "pump", {"factor": 20.0}, True, bench.now_s)
    bench.device("fluidics_pumps", "pump", "V960OA0")
    bench.wait(5.0)
    assert await pressure.pressure_pa() == pytest.approx(20.0 * 2_750.0, rel=0.02)
    bench.plant.inject("occlusion", "pump", {}, False, bench.now_s)
    bench.wait(60.0)
    assert abs(await pressure.pressure_pa()) < 300.0
    bench.device("fluidics_pumps", "pump", "V9600IA48000")
    bench.wait(6.0)
    bench.plant.inject("occlusion", "pump", {"factor": 1e5}, True, bench.now_s)
    bench.device("fluidics_pumps", "pump", "V960OA0")
    bench.wait(0.35)
    rising = await pressure.pressure_pa()
    assert 1e5 < rising < 7e5
    bench.wait(20.0)  # the drive has stalled; the pressure leaves through the blockage, time constant 55 s
    assert ord(bench.send("fluidics_pumps", "/1Q\r")[2]) & 0x0F == 9
    stood = await pressure.pressure_pa()
    bench.wait(55.0)
    assert await pressure.pressure_pa() == pytest.approx(stood / 2.718, rel=0.05)


async def test_photon_counter_sees_the_aliquot_that_was_brought() -> None:
    bench = Bench()
    counter = PhotonCounter(await opened(bench, "photon_counter"), "photon_counter")

    async def rate() -> float:
        run = await counter.start(10.0, 10, shutter_open=True)
        bench.wait(100.0)
        return sum(gate.counts for gate in await counter.gates(run, 0)) / 100.0

    blank = await rate()
    bench.transfer("buffer", ASSAY_CELL, 1_000.0)
    assert await rate() == pytest.approx(blank, rel=0.05)
    bench.plant.inject("contamination", "buffer", {"cfu": 1e6}, True, bench.now_s)
    bench.transfer("buffer", ASSAY_CELL, 1_000.0)
    assert bench.volume_ul(ASSAY_CELL) == pytest.approx(1_000.0, rel=0.02)  # the old aliquot was pushed out
    cfu = bench.amounts(ASSAY_CELL)["cfu"]
    assert cfu > 100.0
    assert await rate() - blank == pytest.approx(2.469 * 1.02 * cfu, rel=0.15)


async def test_analysers_see_the_same_sample() -> None:
    bench = Bench()
    droplets = DropletReader(await opened(bench, "droplet_reader"), "droplets")
    with pytest.raises(InstrumentRefused, match="Hardware missing"):
        await droplets.count(Pace(bench))
    bench.transfer("apheresis", ASSAY_CELL, 1_000.0)
    counts = await droplets.count(Pace(bench))
    assert counts.transgene == 0
    assert counts.reference > 1000
    found = await FlowCytometer(await opened(bench, "cytometer"), "cytometer").acquire(5000, Pace(bench))
    amounts = bench.amounts(ASSAY_CELL)
    leukocytes = sum(amounts[name] for name in ("t_free", "t_bead", "lymphocyte", "monocyte"))
    seen = (found.channel("CD3-A") > 3e3) & (found.channel("7-AAD-A") < 3e3) & (found.channel("CD45-A") > 2e3)
    viable = (found.channel("7-AAD-A") < 3e3) & (found.channel("CD45-A") > 2e3)
    assert seen.sum() / viable.sum() == pytest.approx(amounts["t_free"] / leukocytes, abs=0.04)


async def test_emergency_stop_takes_the_gantrys_power_and_the_grip_stays() -> None:
    bench = Bench()
    stations = bench.plant.stations
    gantry = Gantry(await opened(bench, "gantry"), "gantry")
    relay = SafetyRelay(await opened(bench, "enclosure"), 4, "relay")
    pace = Pace(bench)
    await gantry.home(pace)
    assert await gantry.travel_mm() == stations.mechanics.travel_mm
    store, incubator = SITE.docks["store"], SITE.docks["incubator"]
    stations.mechanics.cassettes["CASSETTE-1"] = "store"
    await gantry.open_gripper()
    await gantry.move_to((store[0], store[1], -100.0), 20_000.0, pace)
    await gantry.move_to(store, 5_000.0, pace)
    await gantry.close_gripper()
    assert (await gantry.state()).gripped
    await gantry.move_to((store[0], store[1], -100.0), 20_000.0, pace)
    await gantry.start_move((incubator[0], incubator[1], -100.0), 20_000.0)
    bench.wait(0.5)
    stations.enclosure.press_button(bench.now_s)
    with pytest.raises(InstrumentRefused, match="alarm 3"):
        await gantry.is_busy()
    with pytest.raises(InstrumentRefused):
        await gantry.home(pace)
    stations.enclosure.release_button(bench.now_s)
    await relay.reset()
    await gantry.home(pace)
    assert stations.mechanics.held() == "CASSETTE-1"
    await gantry.move_to((incubator[0], incubator[1], -100.0), 20_000.0, pace)
    await gantry.move_to(incubator, 5_000.0, pace)
    await gantry.open_gripper()
    assert stations.mechanics.cassettes == {"CASSETTE-1": "incubator"}


async def test_emergency_stop_takes_the_power_of_pumps_and_sound_and_keeps_the_culture_warm() -> None:
    bench = Bench()
    relay = SafetyRelay(await opened(bench, "enclosure"), 4, "relay")
    bench.drive(2.0e6, 5.0)
    bench.turn("fluidics_pumps", "source_valve", "buffer")
    bench.turn("fluidics_pumps", "destination_valve", "waste")
    bench.wait(1.0)
    bench.device("fluidics_pumps", "pump", "V9600IA48000V960OA0")
    bench.wait(15.0)
    culture = bench.plant.truth()["reactors"]["culture_vessel"]["liquid_c"]
    assert bench.plant.truth()["flows"]
    await relay.trip()
    before = bench.plant.truth()
    assert not before["flows"]
    assert before["chip"]["drive_vpp"] == 0.0
    assert not before["stations"]["enclosure"]["chain_closed"]
    bench.wait(600.0)
    assert bench.volume_ul("waste") == before["vessels"]["waste"]["volume_ul"]
    assert bench.plant.truth()["reactors"]["culture_vessel"]["liquid_c"] >= culture
    assert ord(bench.send("fluidics_pumps", "/1Q\r")[2]) & 0x0F == 7  # not initialized
    assert bench.send("sorter_generator", "OUTP?\n") == "0\n"
    await relay.reset()
    bench.device("fluidics_pumps", "pump", "ZN2")
    bench.wait(5.0)
    for name in ("source_valve", "destination_valve"):
        bench.device("fluidics_pumps", name, "Z")
    bench.wait(2.0)
    volume = bench.volume_ul("waste")
    bench.transfer("buffer", "waste", 5_000.0)
    assert bench.volume_ul("waste") - volume == pytest.approx(5_000.0, rel=0.02)


async def test_power_loss_reaches_the_stations_and_alarms_are_pushed() -> None:
    bench = Bench()
    gantry = Gantry(await opened(bench, "gantry"), "gantry")
    await gantry.home(Pace(bench))
    bench.plant.inject("power_loss", "gantry", {}, True, bench.now_s)
    bench.wait(10.0)
    assert bench.plant.take_unasked(bench.now_s) == {}
    bench.plant.inject("power_loss", "gantry", {}, False, bench.now_s)
    assert b"Grbl 1.1" in bench.plant.take_unasked(bench.now_s)["gantry"]
    assert (await gantry.state()).state == "Alarm"


async def test_stations_read_the_same_whatever_was_polled_before() -> None:
    found = []
    for polls in (0, 7):
        bench = Bench(seed=5)
        counter = ParticleCounter(await opened(bench, "enclosure"), 1, "counter")
        pressure = PressureSensor(await opened(bench, "fluidics_pressure"), 1, "pressure")
        bench.polls = polls
        bench.wait(100.0)
        await counter.ensure_sampling(rolling_samples=20)
        for _ in range(5):
            bench.wait(400.0)
            if polls:
                await counter.state()
                await pressure.pressure_pa()
        found.append((await counter.state(), await pressure.pressure_pa()))
    assert found[0] == found[1]


def test_devices_that_cannot_be_there_are_refused() -> None:
    line = replace(SITE.instruments["enclosure"], addresses={"kettle": 1})
    site = replace(SITE, instruments={**SITE.instruments, "enclosure": line})
    with pytest.raises(SiteError, match=r"instruments\.enclosure\.addresses: kettle; possible: particle_counter"):
        Plant(site, donor=NOMINAL, seed=1)

