# SPDX-License-Identifier: Apache-2.0
"""The contract of pumps, valves and pairs of pumps, over memory and over real pseudo-terminals alike."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import math

import pytest
from instrument_bench import FLIPS, Bench

from mimedi_nodes.instruments.cavro import CavroPump, CavroValve, TransferPlan
from mimedi_nodes.instruments.pump_pair import PairState, PumpPair
from mimedi_nodes.instruments.wire.exchange import OutOfRange
from mimedi_nodes.instruments.wire.link import (
    InstrumentError,
    InstrumentRefused,
    LinkLost,
    ReplyTimeout,
)
from mimedi_nodes.instruments.wire.pacing import settle
from mimedi_sim.firmware.cavro_bus import CavroBus
from mimedi_sim.firmware.cavro_pump import CavroPumpFirmware, CavroValveFirmware
from mimedi_sim.firmware.faulty_line import LineFault


async def ready_pump(bench: Bench, syringe_ul: float = 25_000.0) -> tuple[CavroPump, CavroPumpFirmware]:
    firmware = CavroPumpFirmware(syringe_ul)
    link = bench.line("pumps", CavroBus({1: firmware}))
    bench.watch(firmware)
    await link.open()
    pump = CavroPump(link, 1, syringe_ul, "pump")
    assert await pump.initialize()
    await settle(pump, bench, expected_s=0.5)
    return pump, firmware


# pumps and valves ---------------------------------------------------------------------------------
async def test_pump_refuses_to_move_before_initialization(bench: Bench) -> None:
    link = bench.line("pumps", CavroBus({1: CavroPumpFirmware(25_000.0)}))
    await link.open()
    pump = CavroPump(link, 1, 25_000.0, "pump")
    with pytest.raises(InstrumentRefused, match="initialize it"):
        await pump.fill_to(100.0, 1000.0)


async def test_initialization_is_harmless_to_repeat(bench: Bench) -> None:
    pump, firmware = await ready_pump(bench)
    await pump.fill_to(1000.0, 10_000.0)
    await settle(pump, bench, expected_s=6.0)
    assert not await pump.initialize()
    assert await pump.plunger_ul() == pytest.approx(1000.0, abs=0.3)
    assert firmware.initializations == 1
    assert "XLP6000" in await pump.identify()


async def test_transfer_of_several_strokes_runs_inside_the_pump(bench: Bench) -> None:
    pump, firmware = await ready_pump(bench)
    start_s = bench.now_s()
    plan = await pump.start_transfer(60_000.0, 20_000.0, 30_000.0)
    heard = bench.lines["pumps"].requests
    await settle(pump, bench, expected_s=plan.duration_s)
    assert bench.lines["pumps"].requests == heard + 1
    assert bench.now_s() - start_s == pytest.approx(plan.duration_s, abs=0.01)
    assert bench.out_ul(firmware) == pytest.approx(plan.volume_ul, abs=1e-6)
    assert bench.out_ul(firmware, "I") == pytest.approx(-plan.volume_ul, abs=1e-6)
    done = await pump.transferred(plan)
    assert (done.delivered_ul, done.drawn_ul, done.plunger_ul) == pytest.approx((60_000.0, 60_000.0, 0.0), abs=0.3)


@pytest.mark.parametrize("share", [0.02, 0.13, 0.29, 0.5, 0.71, 0.93])
async def test_stopped_transfer_tells_what_it_moved_and_goes_on(bench: Bench, share: float) -> None:
    pump, firmware = await ready_pump(bench)
    plan = await pump.start_transfer(60_000.0, 20_000.0, 30_000.0)
    await bench.sleep(share * plan.duration_s)
    await pump.stop()
    await bench.sleep(0.3)  # a valve ends its turn
    assert await pump.is_off()
    stored = TransferPlan(**json.loads(json.dumps(dataclasses.asdict(plan))))
    progress = await pump.transferred(stored)
    assert progress.delivered_ul == pytest.approx(bench.out_ul(firmware), abs=0.3)
    assert progress.drawn_ul == pytest.approx(-bench.out_ul(firmware, "I"), abs=0.3)
    rest = await pump.start_transfer(60_000.0 - progress.delivered_ul, 20_000.0, 30_000.0)
    await settle(pump, bench, expected_s=rest.duration_s)
    assert bench.out_ul(firmware) == pytest.approx(60_000.0, abs=0.6)
    assert -bench.out_ul(firmware, "I") == pytest.approx(60_000.0, abs=0.6)
    assert await pump.plunger_steps() == 0


async def test_transfer_progress_is_refused_when_somebody_else_moved_the_pump(bench: Bench) -> None:
    pump, _ = await ready_pump(bench)
    plan = await pump.start_transfer(1000.0, 20_000.0, 20_000.0)
    await settle(pump, bench, expected_s=plan.duration_s)
    await settle(pump, bench, expected_s=await pump.fill_to(500.0, 20_000.0))
    with pytest.raises(InstrumentError, match="do not fit"):
        await pump.transferred(plan)


@pytest.mark.parametrize("fault", [f for f in LineFault if f not in FLIPS])
async def test_transfer_is_never_doubled_by_a_bad_line(bench: Bench, fault: LineFault) -> None:
    pump, firmware = await ready_pump(bench)
    await pump.plunger_ul()
    # Three queries come first, then the command string; its fault is the fourth.
    bench.lines["pumps"].inject(None, None, fault)
    plan = await pump.start_transfer(30_000.0, 20_000.0, 30_000.0)
    await settle(pump, bench, expected_s=plan.duration_s)
    assert bench.out_ul(firmware) == pytest.approx(30_000.0, abs=0.3)


async def test_a_mixing_stroke_is_one_string_and_returns_what_it_drew(bench: Bench) -> None:
    pump, firmware = await ready_pump(bench)
    heard, start_s = bench.lines["pumps"].requests, bench.now_s()
    duration_s = await pump.mix(5000.0, 20_000.0)
    await settle(pump, bench, expected_s=duration_s)
    assert bench.lines["pumps"].requests == heard + 2  # the string and one look at its end
    assert bench.now_s() - start_s == pytest.approx(duration_s, abs=0.01)
    assert bench.out_ul(firmware) == pytest.approx(5000.0, abs=0.3)
    assert bench.out_ul(firmware, "I") == pytest.approx(-5000.0, abs=0.3)
    assert await pump.plunger_steps() == 0


@pytest.mark.parametrize("share", [0.1, 0.3, 0.495, 0.7, 0.95])
async def test_a_mixing_stroke_that_was_stopped_is_given_back(bench: Bench, share: float) -> None:
    pump, firmware = await ready_pump(bench)
    await bench.sleep(share * await pump.mix(5000.0, 20_000.0))
    await pump.stop()
    await bench.sleep(0.3)  # a valve ends its turn
    drawn_ul = -bench.out_ul(firmware, "I")
    assert await pump.plunger_ul() == pytest.approx(drawn_ul - bench.out_ul(firmware), abs=0.3)
    await settle(pump, bench, expected_s=await pump.empty_to(0.0, 20_000.0))
    assert bench.out_ul(firmware) == pytest.approx(drawn_ul, abs=0.3)


async def test_a_blocked_mixing_stroke_ends_there_and_says_why(bench: Bench) -> None:
    pump, firmware = await ready_pump(bench)
    duration_s = await pump.mix(5000.0, 20_000.0)
    await bench.sleep(0.75 * duration_s)
    firmware.fail(9)
    with pytest.raises(InstrumentRefused, match="plunger overload; look for a blocked line"):
        await settle(pump, bench, expected_s=0.25 * duration_s)
    assert firmware.plunger_ul == pytest.approx(2500.0, abs=100.0)  # it stands where it was: half is delivered
    assert await pump.initialize()
    await settle(pump, bench, expected_s=5.0)
    assert await pump.plunger_steps() == 0


@pytest.mark.parametrize("fault", list(LineFault))
async def test_queries_survive_a_bad_line(bench: Bench, fault: LineFault) -> None:
    pump, _ = await ready_pump(bench)
    bench.lines["pumps"].inject(fault)
    assert await pump.plunger_steps() in range(48_001)


async def test_silent_line_is_a_timeout_that_names_the_instrument(bench: Bench) -> None:
    pump, _ = await ready_pump(bench)
    bench.lines["pumps"].silent = True
    with pytest.raises(ReplyTimeout, match=r"pump: no answer within 1 s \(3 times\)"):
        await pump.status()


async def test_unplugged_line_is_lost_and_works_again_when_plugged(bench: Bench) -> None:
    pump, _ = await ready_pump(bench)
    bench.unplug("pumps")
    for _ in range(2):
        with pytest.raises(LinkLost):
            await pump.status()
    bench.plug("pumps")
    assert await pump.is_off()


async def test_overload_is_told_in_words_and_cured_by_initialization(bench: Bench) -> None:
    pump, firmware = await ready_pump(bench)
    await pump.fill_to(10_000.0, 10_000.0)
    await bench.sleep(5.0)
    firmware.fail(9)
    for _ in range(2):
        with pytest.raises(InstrumentRefused, match="plunger overload; look for a blocked line"):
            await pump.is_busy()
    assert await pump.initialize()
    await settle(pump, bench, expected_s=5.0)
    assert await pump.plunger_steps() == 0


async def test_power_cut_of_a_pump_is_told_until_it_is_initialized(bench: Bench) -> None:
    pump, firmware = await ready_pump(bench)
    plan = await pump.start_transfer(30_000.0, 20_000.0, 30_000.0)
    await bench.sleep(10.0)
    firmware.power_cycle()
    for question in (pump.is_busy, pump.plunger_ul, lambda: pump.transferred(plan)):
        with pytest.raises(InstrumentRefused, match="not initialized; initialize it"):
            await question()
    assert await pump.is_off()
    assert await pump.initialize()
    await settle(pump, bench, expected_s=5.0)
    assert await pump.plunger_ul() == 0.0


async def test_busy_pump_refuses_a_second_command(bench: Bench) -> None:
    pump, _ = await ready_pump(bench)
    await pump.fill_to(10_000.0, 10_000.0)
    with pytest.raises(InstrumentRefused, match="command overflow"):
        await pump.set_valve("O")


async def test_bypass_refuses_plunger_moves(bench: Bench) -> None:
    pump, firmware = await ready_pump(bench)
    await pump.set_valve("B")
    await settle(pump, bench, expected_s=0.25)
    assert await pump.valve() == "B"
    assert firmware.valve == "B"
    firmware.command("A100R", bench.now_s())
    with pytest.raises(InstrumentRefused, match="bypass"):
        await pump.is_busy()


@pytest.mark.parametrize(
    ("volume_ul", "rate_ul_min", "field"),
    [
        (-1.0, 1000.0, "volume_ul"),
        (math.nan, 1000.0, "volume_ul"),
        (100.0, 100.0, "flow_rate_ul_min"),
        (100.0, 2e6, "flow_rate_ul_min"),
    ],
)
async def test_impossible_transfers_are_refused_at_the_door(
    bench: Bench, volume_ul: float, rate_ul_min: float, field: str
) -> None:
    pump, _ = await ready_pump(bench)
    heard = bench.lines["pumps"].requests
    with pytest.raises(OutOfRange, match=f"{field} = .* allowed"):
        await pump.start_transfer(volume_ul, rate_ul_min, 10_000.0)
    assert bench.lines["pumps"].requests == heard


async def test_devices_of_one_line_do_not_mix(bench: Bench) -> None:
    pumps = {1: CavroPumpFirmware(10_000.0), 2: CavroPumpFirmware(10_000.0)}
    valve_firmware = CavroValveFirmware()
    link = bench.line("pumps", CavroBus({**pumps, 5: valve_firmware}))
    await link.open()
    first, second = (CavroPump(link, address, 10_000.0, f"pump {address}") for address in pumps)
    valve = CavroValve(link, 5, "valve")
    for device in (first, second, valve):
        assert await device.initialize()
    for device in (first, second, valve):
        await settle(device, bench, expected_s=0.5)
    await asyncio.gather(first.fill_to(1000.0, 60_000.0), second.fill_to(2000.0, 60_000.0), valve.set_port(12))
    await bench.sleep(3.0)
    assert await first.plunger_ul() == pytest.approx(1000.0, abs=0.2)
    assert await second.plunger_ul() == pytest.approx(2000.0, abs=0.2)
    assert await valve.port() == 12 == valve_firmware.port
    await valve.ensure_port(3, bench)
    assert valve_firmware.port == 3
    assert await CavroValve(link, 5, "valve").initialize() is False
    with pytest.raises(OutOfRange, match="port = 17"):
        await valve.set_port(17)
    with pytest.raises(ReplyTimeout, match="address"):
        await CavroPump(link, 9, 10_000.0, "nobody").status()


# pairs --------------------------------------------------------------------------------------------
async def ready_pairs(
    bench: Bench, syringes_ul: tuple[float, ...]
) -> tuple[list[PumpPair], list[list[CavroPumpFirmware]]]:
    firmware = [[CavroPumpFirmware(size) for _ in range(2)] for size in syringes_ul]
    flat = list(itertools.chain(*firmware))
    link = bench.line("sorter_pumps", CavroBus(dict(enumerate(flat, start=1))))
    bench.watch(*flat)
    await link.open()
    pairs = []
    for i, size in enumerate(syringes_ul):
        pumps = [CavroPump(link, 2 * i + k, size, f"pump {2 * i + k}") for k in (1, 2)]
        pairs.append(PumpPair(pumps[0], pumps[1], f"pair {i}"))
        await pairs[-1].initialize(bench)
    return pairs, firmware


async def test_two_pairs_deliver_at_the_same_time_without_a_gap(bench: Bench) -> None:
    pairs, firmware = await ready_pairs(bench, (10_000.0, 25_000.0))
    volumes, rates = (36_000.0, 100_000.0), (2000.0, 6000.0)
    for pair, volume, rate in zip(pairs, volumes, rates, strict=True):
        await pair.prepare(volume, bench, 4 * rate)
    bench.rates.clear()
    bench.participants = 2
    start_s = bench.now_s()

    async def run(i: int) -> float:
        delivered = await pairs[i].deliver(volumes[i], rates[i], bench, aspirate_rate_ul_min=4 * rates[i])
        bench.leave()
        return delivered

    delivered = await asyncio.gather(run(0), run(1))
    for i in range(2):
        really = sum(bench.out_ul(pump) for pump in firmware[i])
        assert delivered[i] == pytest.approx(volumes[i], abs=0.3)
        assert really == pytest.approx(delivered[i], abs=1e-6)
        assert await pairs[i].is_off()
        assert all(pump.plunger_ul == 0.0 for pump in firmware[i])
    # Neither pair ever pauses for longer than a look takes; the rate is the set one (whole micro-steps
    # a second).
    ends = [*(time_s for time_s, _ in bench.rates[1:]), bench.now_s()]
    for i in range(2):
        gap_s = sum(
            end - begin
            for (begin, moving), end in zip(bench.rates, ends, strict=True)
            if not any(rate < 0.0 for rate in moving[2 * i : 2 * i + 2])
            and end - start_s < volumes[i] / rates[i] * 60.0
        )
        assert gap_s < 0.5
    assert bench.now_s() - start_s == pytest.approx(
        max(v / r * 60 for v, r in zip(volumes, rates, strict=True)), rel=0.02
    )


@pytest.mark.parametrize("stop_s", [0.1, 7.0, 61.0, 190.0, 301.0, 420.0])
async def test_interrupted_delivery_goes_on_from_its_checkpoint(bench: Bench, stop_s: float) -> None:
    pairs, firmware = await ready_pairs(bench, (10_000.0,))
    pair = pairs[0]
    stored: list[str] = []

    async def keep(state: PairState) -> None:
        stored.append(json.dumps(dataclasses.asdict(state)))

    task = asyncio.create_task(pair.deliver(24_000.0, 3000.0, bench, aspirate_rate_ul_min=12_000.0, on_stroke=keep))
    bench.participants = 2
    await bench.sleep(stop_s)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    bench._sleepers.clear()
    bench.participants = 1
    await pair.stop()
    await bench.sleep(0.3)
    assert await pair.is_off()
    really = sum(bench.out_ul(pump) for pump in firmware[0])
    assert await pair.delivered_ul() == pytest.approx(really, abs=0.25)
    reborn = PumpPair(*pair.pumps, name="pair again")
    if stored:
        reborn.restore(PairState(**json.loads(stored[-1])))
    assert await reborn.delivered_ul() == pytest.approx(really, abs=0.25)
    await reborn.deliver(24_000.0, 3000.0, bench, aspirate_rate_ul_min=12_000.0, on_stroke=keep)
    assert sum(bench.out_ul(pump) for pump in firmware[0]) == pytest.approx(24_000.0, abs=0.5)
    assert sum(bench.out_ul(pump, "I") for pump in firmware[0]) == pytest.approx(-24_000.0, abs=0.5)
