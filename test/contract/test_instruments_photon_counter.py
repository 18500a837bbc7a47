# SPDX-License-Identifier: Apache-2.0
"""The contract of the photon counter: driver against the firmware on the plant's screening station."""

from __future__ import annotations

import math

import pytest
from instrument_bench import Bench

from mimedi_nodes.instruments.photon_counter import GateFlag, PhotonCounter, corrected_per_s
from mimedi_nodes.instruments.wire.exchange import OutOfRange
from mimedi_nodes.instruments.wire.link import GarbledReply, InstrumentError, InstrumentRefused, ReplyTimeout
from mimedi_nodes.instruments.wire.photon_frames import CounterFault
from mimedi_sim.firmware.faulty_line import LineFault
from mimedi_sim.firmware.photon_counter import PhotonCounterFirmware
from mimedi_sim.models.photon import counts_per_s_per_cfu
from mimedi_sim.plant.photon_counter import ScreeningStation


async def ready(bench: Bench, seed: int = 1) -> tuple[PhotonCounter, ScreeningStation, PhotonCounterFirmware]:
    station = ScreeningStation(seed, 0.0)
    firmware = PhotonCounterFirmware(station)
    link = bench.line("photons", firmware)
    await link.open()
    return PhotonCounter(link, "photon_counter"), station, firmware


async def test_counter_tells_itself_and_its_detector(bench: Bench) -> None:
    counter, _, _ = await ready(bench)
    assert "PC-28" in await counter.identify()
    state = await counter.state()
    assert not state.counting
    assert state.dead_time_s == pytest.approx(28.5e-9)
    assert state.temperature_c == pytest.approx(20.0)
    assert await counter.is_off()


async def test_gates_are_counted_without_anybody_asking(bench: Bench) -> None:
    counter, _, _ = await ready(bench)
    dark = await counter.start(1.0, 100, shutter_open=False)
    assert await counter.gates(dark, 0) == []
    await bench.sleep(50.5)
    assert (await counter.state()).complete == 50
    await bench.sleep(100.0)
    gates = await counter.gates(dark, 0)
    assert [gate.number for gate in gates] == list(range(100))
    assert await counter.gates(dark, 97) == gates[97:]
    rate = sum(gate.counts for gate in gates) / 100.0
    assert rate == pytest.approx(200.0 * 1.02, abs=5.0 * math.sqrt(204.0 / 100.0 * 1.04))
    assert await counter.is_off()


async def test_contaminated_aliquot_is_brighter_than_its_blank(bench: Bench) -> None:
    counter, station, _ = await ready(bench)
    blank = await counter.start(10.0, 10, shutter_open=True)
    await bench.sleep(100.0)
    before = sum(gate.counts for gate in await counter.gates(blank, 0)) / 100.0
    station.load(bench.now_s(), 1000.0, 0.0)
    sample = await counter.start(10.0, 10, shutter_open=True)
    assert sample.number == blank.number + 1
    await bench.sleep(100.0)
    after = sum(gate.counts for gate in await counter.gates(sample, 0)) / 100.0
    assert after - before == pytest.approx(1000.0 * counts_per_s_per_cfu() * 1.02, rel=0.12)
    with pytest.raises(InstrumentRefused, match="does not hold that run"):
        await counter.gates(blank, 0)


async def test_bright_light_is_corrected_for_dead_time_and_flagged_when_too_bright(bench: Bench) -> None:
    counter, station, _ = await ready(bench)
    dead_time_s = (await counter.state()).dead_time_s
    for leak_per_s, saturated in ((1.0e6, False), (1.0e8, True)):
        station.light_leak(bench.now_s(), leak_per_s)
        assert (await counter.state()).faults == CounterFault.COVER_OPEN
        run = await counter.start(0.1, 20, shutter_open=True)
        await bench.sleep(2.0)
        gates = await counter.gates(run, 0)
        assert all((GateFlag.SATURATED in gate.flags) == saturated for gate in gates)
        counted = sum(gate.counts for gate in gates)
        assert counted / 2.0 < leak_per_s
        assert corrected_per_s(counted, 2.0, dead_time_s) == pytest.approx(leak_per_s * 1.02, rel=0.01)


async def test_dead_detector_counts_nothing(bench: Bench) -> None:
    counter, station, _ = await ready(bench)
    station.detector_dead(0.0, True)
    run = await counter.start(1.0, 10, shutter_open=False)
    await bench.sleep(10.0)
    assert {gate.counts for gate in await counter.gates(run, 0)} == {0}


async def test_endless_run_ends_by_stop_and_stays_readable(bench: Bench) -> None:
    counter, _, _ = await ready(bench)
    run = await counter.start(0.5, 0, shutter_open=True)
    with pytest.raises(InstrumentRefused, match="is counting; stop it first"):
        await counter.start(1.0, 1, shutter_open=False)
    await bench.sleep(7.3)
    for _ in range(2):
        await counter.stop()
    await bench.sleep(100.0)
    assert len(await counter.gates(run, 0)) == 14


@pytest.mark.parametrize(("gate_s", "gates"), [(1e-5, 1), (101.0, 1), (math.nan, 1), (1.0, -1), (1.0, 10**7)])
async def test_impossible_runs_are_refused_at_the_door(bench: Bench, gate_s: float, gates: int) -> None:
    counter, _, _ = await ready(bench)
    with pytest.raises(OutOfRange):
        await counter.start(gate_s, gates, shutter_open=True)
    assert bench.lines["photons"].requests == 0


@pytest.mark.parametrize("fault", list(LineFault))
async def test_counter_survives_a_bad_line(bench: Bench, fault: LineFault) -> None:
    """A start whose answer is lost is sent again and known as the same run: nothing is counted from anew."""
    counter, _, _ = await ready(bench)
    bench.lines["photons"].inject(fault, fault)
    run = await counter.start(1.0, 5, shutter_open=False)
    await bench.sleep(5.0)
    bench.lines["photons"].inject(fault)
    assert len(await counter.gates(run, 0)) == 5


async def test_noisy_line_never_gives_a_wrong_count(bench: Bench) -> None:
    counter, station, _ = await ready(bench)
    run = await counter.start(0.01, 40, shutter_open=True)
    await bench.sleep(1.0)
    true = [station.counts(0.01 * k, 0.01, shutter_open=True)[0] for k in range(40)]
    bench.lines["photons"].bit_error_rate = 5e-4
    good = 0
    for _ in range(100 if bench.kind == "memory" else 5):
        try:
            gates = await counter.gates(run, 0)
        except (ReplyTimeout, GarbledReply):
            continue
        good += 1
        assert [gate.counts for gate in gates] == true
    assert good > 0


async def test_power_cut_loses_the_run_and_says_so(bench: Bench) -> None:
    counter, _, firmware = await ready(bench)
    run = await counter.start(1.0, 100, shutter_open=True)
    await bench.sleep(10.0)
    firmware.power_cycle(bench.now_s())
    assert await counter.is_off()
    with pytest.raises(InstrumentRefused, match="power cut"):
        await counter.gates(run, 0)


async def test_gates_asked_for_too_late_are_not_made_up(bench: Bench) -> None:
    counter, _, _ = await ready(bench)
    run = await counter.start(0.001, 0, shutter_open=False)
    await bench.sleep(100.0)
    with pytest.raises(InstrumentError, match="asked too late"):
        await counter.gates(run, 0)
    assert len(await counter.gates(run, 99_990)) == 10
