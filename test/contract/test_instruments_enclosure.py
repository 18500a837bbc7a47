# SPDX-License-Identifier: Apache-2.0
"""The contract of the enclosure's devices: drivers against the firmware on the plant's enclosure."""

from __future__ import annotations

import math

import pytest
from instrument_bench import Bench

from mimedi_nodes.instruments.enclosure import EnclosureController, ParticleCounter, SafetyRelay, VhpGenerator
from mimedi_nodes.instruments.enclosure_map import Door, LeakTestPhase, VhpFault, VhpPhase
from mimedi_nodes.instruments.wire.exchange import OutOfRange
from mimedi_nodes.instruments.wire.link import GarbledReply, InstrumentRefused, Link, ReplyTimeout
from mimedi_sim.firmware.faulty_line import LineFault
from mimedi_sim.firmware.modbus_enclosure import EnclosureLine
from mimedi_sim.plant.enclosure import Enclosure

ADDRESSES = {"particle_counter": 1, "controller": 2, "vhp_generator": 3, "safety_relay": 4}


async def ready(bench: Bench, seed: int = 1) -> tuple[Link, Enclosure]:
    enclosure = Enclosure(seed, 0.0)
    link = bench.line("enclosure", EnclosureLine(enclosure, ADDRESSES))
    await link.open()
    return link, enclosure


async def test_devices_of_the_line_tell_who_they_are(bench: Bench) -> None:
    link, _ = await ready(bench)
    counter = ParticleCounter(link, 1, "particle_counter")
    assert "5043h" in await counter.identify()
    assert "4543h" in await EnclosureController(link, 2, "controller").identify()
    assert "5648h" in await VhpGenerator(link, 3, "vhp").identify()
    assert "5352h" in await SafetyRelay(link, 4, "relay").identify()
    with pytest.raises(InstrumentRefused, match="wrong port or address"):
        await ParticleCounter(link, 2, "particle_counter").identify()


async def test_counter_rolls_over_its_volume(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    counter = ParticleCounter(link, 1, "particle_counter")
    assert not (await counter.state()).sampling
    for _ in range(2):
        await counter.ensure_sampling(rolling_samples=10)
    first = await counter.state()
    assert (first.samples, first.rolling_volume_l) == (0, 0.0)
    assert math.isnan(first.per_m3(first.rolling_05))
    await bench.sleep(2400.0)
    state = await counter.state()
    assert (state.samples, state.rolling_samples) == (40, 10)
    assert state.rolling_volume_l == pytest.approx(283.0)
    true = enclosure.particles_per_m3(bench.now_s())
    expected = true[0.5] * 0.283
    assert abs(state.rolling_05 - expected) < 5.0 * math.sqrt(expected)
    assert state.per_m3(state.rolling_05) < 3520.0
    assert state.rolling_5 <= state.rolling_05
    assert state.last_5 <= state.last_05
    await counter.stop()
    assert (await counter.state()).samples == 0
    with pytest.raises(OutOfRange, match="rolling_samples = 121"):
        await counter.ensure_sampling(rolling_samples=121)


async def test_burst_of_particles_is_counted_and_forgotten(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    counter = ParticleCounter(link, 1, "particle_counter")
    await counter.ensure_sampling(rolling_samples=5)
    await bench.sleep(600.0)
    calm = await counter.state()
    enclosure.burst(bench.now_s(), 4.0e5, 4.0e3)
    await bench.sleep(60.0)
    burst = await counter.state()
    assert burst.last_05 > 10 * max(1, calm.last_05)
    assert burst.last_5 > 0
    await bench.sleep(400.0)
    assert (await counter.state()).rolling_05 < burst.rolling_05 / 5


async def test_doors_are_interlocked(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    controller = EnclosureController(link, 2, "controller")
    vhp = VhpGenerator(link, 3, "vhp")
    assert (await controller.state()).doors_open == Door(0)
    assert not enclosure.open_door(0.0, Door.HATCH_OUTER)
    with pytest.raises(InstrumentRefused, match="a door is unlocked"):
        await controller.ensure_unlocked(Door.HATCH_INNER | Door.HATCH_OUTER)
    await controller.ensure_unlocked(Door.HATCH_OUTER)
    assert enclosure.open_door(bench.now_s(), Door.HATCH_OUTER)
    state = await controller.state()
    assert (state.doors_open, state.doors_unlocked) == (Door.HATCH_OUTER, Door.HATCH_OUTER)
    assert state.hatch_pressure_pa < 5.0
    assert state.chamber_pressure_pa > 10.0
    for doors in (Door(0), Door.HATCH_INNER):
        with pytest.raises(InstrumentRefused, match="a door is open; close it"):
            await controller.ensure_unlocked(doors)
    cycle = {"target_ppm": 700.0, "hold_s": 600.0, "dry_to_humidity": 0.4, "residue_ppm": 0.1}
    with pytest.raises(InstrumentRefused, match="a door is open"):
        await vhp.start(**cycle)
    enclosure.close_door(bench.now_s(), Door.HATCH_OUTER)
    with pytest.raises(InstrumentRefused, match="a door is unlocked"):
        await vhp.start(**cycle)
    await controller.ensure_unlocked(Door(0))
    await vhp.start(**cycle)
    with pytest.raises(InstrumentRefused, match="aerate first"):
        await controller.ensure_unlocked(Door.MAIN)


async def test_pressure_falls_when_the_main_door_opens_and_particles_come_in(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    controller = EnclosureController(link, 2, "controller")
    before = await controller.state()
    assert before.chamber_pressure_pa == pytest.approx(31.3, abs=1.5)
    assert before.chamber_pressure_pa - before.hatch_pressure_pa > 10.0
    await controller.ensure_unlocked(Door.MAIN)
    assert enclosure.open_door(bench.now_s(), Door.MAIN)
    await bench.sleep(300.0)
    assert (await controller.state()).chamber_pressure_pa < 2.0
    assert enclosure.particles_per_m3(bench.now_s())[0.5] > 3520.0


async def test_decontamination_runs_by_itself_to_its_end(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    vhp = VhpGenerator(link, 3, "vhp")
    assert await vhp.is_off()
    for _ in range(2):
        await vhp.start(target_ppm=700.0, hold_s=1200.0, dry_to_humidity=0.30, residue_ppm=0.1)
    seen: list[VhpPhase] = []
    highest, began_s = 0.0, bench.now_s()
    while (state := await vhp.state()).phase not in (VhpPhase.COMPLETE, VhpPhase.ABORTED):
        if not seen or seen[-1] is not state.phase:
            seen.append(state.phase)
        highest = max(highest, state.peroxide_ppm)
        assert bench.now_s() - began_s < 4 * 3600.0
        await bench.sleep(20.0)
    assert seen == [VhpPhase.DEHUMIDIFY, VhpPhase.CONDITION, VhpPhase.HOLD, VhpPhase.AERATE]
    assert state.phase is VhpPhase.COMPLETE
    assert 600.0 < highest < 720.0
    assert state.peroxide_ppm <= 0.11
    assert state.reservoir_g < 1000.0
    # Chick-Watson over the rise (0.9 of 700 ppm after 2.3 rise times of 600 s) and 1,200 s of hold, D 144 s at 30 % RH.
    assert 10.0 < enclosure.vhp.log_reduction(bench.now_s()) < 16.0


async def test_emergency_stop_ends_dosing_and_must_be_reset(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    relay, vhp = SafetyRelay(link, 4, "relay"), VhpGenerator(link, 3, "vhp")
    cycle = {"target_ppm": 700.0, "hold_s": 1200.0, "dry_to_humidity": 0.40, "residue_ppm": 0.1}
    await vhp.start(**cycle)
    await bench.sleep(1200.0)
    assert (await vhp.state()).phase is VhpPhase.CONDITION
    told: list[float] = []
    enclosure.on_trip(told.append)
    enclosure.press_button(bench.now_s())
    assert told == [bench.now_s()]
    state = await vhp.state()
    assert state.phase is VhpPhase.AERATE
    assert VhpFault.INTERLOCK in state.faults
    with pytest.raises(InstrumentRefused, match="button is still pressed"):
        await relay.reset()
    enclosure.release_button(bench.now_s())
    assert (await relay.state()).reset_required
    with pytest.raises(InstrumentRefused, match="emergency stop has tripped"):
        await vhp.start(**cycle)
    for _ in range(2):
        await relay.reset()
    safe = await relay.state()
    assert safe.chain_closed
    assert safe.trips == 1
    await relay.trip()
    assert not (await relay.state()).chain_closed


async def test_power_cut_ends_what_was_going_on_and_keeps_what_is_held(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    counter, controller = ParticleCounter(link, 1, "counter"), EnclosureController(link, 2, "controller")
    vhp = VhpGenerator(link, 3, "vhp")
    await counter.ensure_sampling(rolling_samples=10)
    await controller.ensure_air(0.36, 40.0)
    await vhp.start(target_ppm=700.0, hold_s=1200.0, dry_to_humidity=0.40, residue_ppm=0.1)
    await bench.sleep(1200.0)
    line = bench.lines["enclosure"].firmware
    assert isinstance(line, EnclosureLine)
    line.power_cycle(bench.now_s())
    assert not (await counter.state()).sampling
    assert await vhp.is_off()
    assert VhpFault.INTERLOCK in (await vhp.state()).faults
    assert (await controller.held())["air_speed_m_s"] == pytest.approx(0.36)
    assert enclosure.chain_closed


async def test_weak_generator_is_aborted_with_its_fault(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    enclosure.vhp.output = 0.5
    vhp = VhpGenerator(link, 3, "vhp")
    await vhp.start(target_ppm=700.0, hold_s=600.0, dry_to_humidity=0.40, residue_ppm=0.5)
    await bench.sleep(6 * 3600.0)
    state = await vhp.state()
    assert state.phase is VhpPhase.ABORTED
    assert state.faults == VhpFault.LOW_CONCENTRATION


@pytest.mark.parametrize(("leak_rate", "decay_pa_min"), [(1.0e-3, 1.69), (1.0e-2, 16.9)])
async def test_leak_test_shows_the_leak_rate(bench: Bench, leak_rate: float, decay_pa_min: float) -> None:
    """101,325 Pa x 1e-3 /h is 1.69 Pa/min at 250 Pa."""
    link, enclosure = await ready(bench)
    enclosure.set_seal(0.0, leak_rate)
    controller = EnclosureController(link, 2, "controller")
    await controller.start_leak_test(250.0)
    assert (await controller.state()).leak_phase is LeakTestPhase.PRESSURISE
    await bench.sleep(31.0)
    start = await controller.state()
    assert start.leak_phase is LeakTestPhase.DECAY
    assert start.leak_elapsed_s == pytest.approx(1.0, abs=0.1)
    await bench.sleep(120.0)
    end = await controller.state()
    decay = (start.chamber_pressure_pa - end.chamber_pressure_pa) / 2.0
    assert decay == pytest.approx(decay_pa_min, rel=0.08, abs=0.3)
    with pytest.raises(InstrumentRefused, match="another run or test"):
        await controller.ensure_air(0.3, 33.0)
    for _ in range(2):
        await controller.stop_leak_test()
    assert (await controller.state()).air_speed_m_s == pytest.approx(0.45)


@pytest.mark.parametrize("fault", list(LineFault))
async def test_enclosure_survives_a_bad_line(bench: Bench, fault: LineFault) -> None:
    link, enclosure = await ready(bench)
    controller = EnclosureController(link, 2, "controller")
    bench.lines["enclosure"].inject(fault, None, fault)
    assert (await controller.state()).air_speed_m_s == pytest.approx(0.45)
    await controller.ensure_air(0.40, 35.0)
    assert enclosure.air == pytest.approx((0.40, 35.0))


async def test_silent_enclosure_is_a_timeout(bench: Bench) -> None:
    link, _ = await ready(bench)
    bench.lines["enclosure"].silent = True
    with pytest.raises(ReplyTimeout, match="particle_counter: no answer"):
        await ParticleCounter(link, 1, "particle_counter").state()


async def test_counter_that_does_not_know_is_not_believed(bench: Bench) -> None:
    link, enclosure = await ready(bench)
    counter = ParticleCounter(link, 1, "particle_counter")
    readings = enclosure.counter_readings
    enclosure.counter_readings = lambda now_s: {**readings(now_s), "rolling_5": math.nan}  # type: ignore[method-assign]
    with pytest.raises(GarbledReply, match="does not know rolling_5"):
        await counter.state()
