# SPDX-License-Identifier: Apache-2.0
"""The contract of the gantry: driver against GRBL firmware on the plant's mechanics."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from instrument_bench import FLIPS, Bench

from mimedi_nodes.instruments.gantry import Gantry
from mimedi_nodes.instruments.wire.exchange import OutOfRange
from mimedi_nodes.instruments.wire.link import InstrumentError, InstrumentRefused, ReplyTimeout
from mimedi_sim.firmware.faulty_line import LineFault
from mimedi_sim.firmware.grbl import GrblFirmware
from mimedi_sim.plant.gantry import GantryMechanics

TRAVEL = (900.0, 500.0, 250.0)
DOCKS = {"left": (-800.0, -250.0, -200.0), "right": (-100.0, -250.0, -200.0)}
ABOVE = {name: (x, y, -50.0) for name, (x, y, _) in DOCKS.items()}


async def ready(bench: Bench) -> tuple[Gantry, GrblFirmware, GantryMechanics]:
    mechanics = GantryMechanics(TRAVEL, DOCKS, {"A": "left", "B": "right"})
    firmware = GrblFirmware(mechanics)
    link = bench.line("gantry", firmware)
    await link.open()
    return Gantry(link, "gantry"), firmware, mechanics


async def homed(bench: Bench) -> tuple[Gantry, GrblFirmware, GantryMechanics]:
    gantry, firmware, mechanics = await ready(bench)
    await gantry.home(bench)
    return gantry, firmware, mechanics


async def test_gantry_is_locked_until_it_is_homed(bench: Bench) -> None:
    gantry, _, mechanics = await ready(bench)
    assert "1.1" in await gantry.identify()
    assert (await gantry.state()).state == "Alarm"
    with pytest.raises(InstrumentRefused, match="locked by an alarm or a jog; home it"):
        await gantry.start_move((-10.0, -10.0, -10.0), 1000.0)
    await gantry.home(bench)
    state = await gantry.state()
    assert state.state == "Idle"
    assert state.position_mm == (-2.0, -2.0, -2.0)
    assert mechanics.position == pytest.approx((-2.0, -2.0, -2.0))
    assert await gantry.travel_mm() == TRAVEL


async def test_move_takes_the_time_of_its_trapezoid(bench: Bench) -> None:
    gantry, _, mechanics = await homed(bench)
    await gantry.move_to((-100.0, -2.0, -2.0), 6000.0, bench)
    start_s = bench.now_s()
    # 600 mm at 100 mm/s with 500 mm/s2: 6 s and a fifth of a second to speed up and down.
    assert await gantry.start_move((-700.0, -2.0, -2.0), 6000.0) == pytest.approx(6.2)
    await bench.sleep(3.1)
    state = await gantry.state()
    assert state.state == "Run"
    assert state.position_mm[0] == pytest.approx(-400.0, abs=0.01)
    assert state.feed_mm_min == 6000.0
    while await gantry.is_busy():
        await bench.sleep(0.05)
    assert bench.now_s() - start_s == pytest.approx(6.2, abs=0.06)
    assert mechanics.position[0] == pytest.approx(-700.0)


async def test_path_is_followed_without_stopping(bench: Bench) -> None:
    gantry, _, mechanics = await homed(bench)
    places = [
        (-200.0 + 50.0 * math.cos(math.pi * k / 18), -200.0 + 50.0 * math.sin(math.pi * k / 18), -20.0)
        for k in range(37)
    ]
    await gantry.move_to(places[0], 9000.0, bench)
    start_s = bench.now_s()
    await gantry.follow([(place, 1800.0) for place in places[1:]], bench)
    # 314 mm at 30 mm/s and corners of 10 degrees at 36 mm/s or less: hardly longer than the way itself.
    assert bench.now_s() - start_s == pytest.approx(math.pi * 100.0 / 30.0, abs=0.5)
    assert mechanics.position == pytest.approx(places[-1], abs=0.002)
    await gantry.follow([], bench)
    with pytest.raises(OutOfRange, match="y_mm"):
        await gantry.follow([(places[0], 1800.0), ((-10.0, 10.0, -10.0), 1800.0)], bench)
    assert mechanics.position == pytest.approx(places[-1], abs=0.002)
    mechanics.slip[0] = 0.5
    await gantry.follow([((-600.0, -150.0, -20.0), 6000.0)], bench)
    mechanics.slip[0] = 0.0
    with pytest.raises(InstrumentRefused, match="alarm"):
        await gantry.follow([(place, 6000.0) for place in [(-2.0 - k, -150.0, -20.0) for k in range(20)]], bench)


async def test_cassette_is_carried_from_dock_to_dock(bench: Bench) -> None:
    gantry, _, mechanics = await homed(bench)
    mechanics.cassettes.pop("B")
    await gantry.open_gripper()
    await gantry.move_to(ABOVE["left"], 9000.0, bench)
    await gantry.move_to(DOCKS["left"], 2000.0, bench)
    assert not (await gantry.state()).gripped
    await gantry.close_gripper()
    assert (await gantry.state()).gripped
    for target in (ABOVE["left"], ABOVE["right"], DOCKS["right"]):
        await gantry.move_to(target, 9000.0, bench)
        assert mechanics.held() == "A"
    await gantry.open_gripper()
    assert not (await gantry.state()).gripped
    assert mechanics.cassettes == {"A": "right"}


async def test_gripper_opened_elsewhere_drops_what_it_holds(bench: Bench) -> None:
    gantry, _, mechanics = await homed(bench)
    await gantry.open_gripper()
    await gantry.move_to(DOCKS["left"], 9000.0, bench)
    await gantry.close_gripper()
    await gantry.move_to(ABOVE["right"], 9000.0, bench)
    await gantry.open_gripper()
    assert mechanics.cassettes["A"] == "dropped"


async def test_wrist_turns_in_its_time(bench: Bench) -> None:
    gantry, _, mechanics = await homed(bench)
    for _ in range(2):
        await gantry.turn_wrist(90.0, bench)
        assert mechanics.wrist_deg(bench.now_s()) == pytest.approx(90.0, abs=0.01)
    with pytest.raises(OutOfRange, match="angle_deg = 120 deg"):
        await gantry.turn_wrist(120.0, bench)


async def test_hold_keeps_the_position_and_goes_on(bench: Bench) -> None:
    gantry, _, mechanics = await homed(bench)
    await gantry.start_move((-500.0, -2.0, -2.0), 6000.0)
    await bench.sleep(2.0)
    await gantry.hold()
    assert (await gantry.state()).substate == 1
    await bench.sleep(0.3)
    held = await gantry.state()
    assert (held.state, held.substate, held.feed_mm_min) == ("Hold", 0, 0.0)
    # 1.8 s at 100 mm/s after the ramp's 10 mm, then 10 mm of braking from 100 mm/s.
    assert held.position_mm[0] == pytest.approx(-2.0 - 10.0 - 180.0 - 10.0, abs=0.01)
    assert await gantry.is_off()
    await gantry.resume()
    await bench.sleep(10.0)
    assert (await gantry.state()).position_mm[0] == -500.0
    assert mechanics.position[0] == pytest.approx(-500.0)


async def test_stop_forgets_the_way_and_keeps_the_position(bench: Bench) -> None:
    gantry, _, mechanics = await homed(bench)
    await gantry.start_move((-500.0, -2.0, -2.0), 6000.0)
    await bench.sleep(1.0)
    await gantry.stop(bench)
    state = await gantry.state()
    assert state.state == "Idle"
    assert state.position_mm == pytest.approx(mechanics.position, abs=0.001)
    await gantry.move_to((-10.0, -10.0, -10.0), 6000.0, bench)
    await gantry.stop(bench)
    assert (await gantry.state()).state == "Idle"


async def test_reset_on_the_way_is_an_alarm_and_needs_homing(bench: Bench) -> None:
    gantry, _, _ = await homed(bench)
    await gantry.start_move((-500.0, -2.0, -2.0), 6000.0)
    await bench.sleep(1.0)
    await gantry.reset()
    with pytest.raises(InstrumentRefused, match="find out why, then home it"):
        await gantry.is_busy()
    await gantry.home(bench)
    assert not await gantry.is_busy()


async def test_lost_steps_end_at_the_limit_switch(bench: Bench) -> None:
    gantry, _, mechanics = await homed(bench)
    mechanics.slip[0] = 0.2
    await gantry.move_to((-800.0, -2.0, -2.0), 9000.0, bench)
    assert mechanics.position[0] == pytest.approx(-2.0 - 0.8 * 798.0)
    mechanics.slip[0] = 0.0
    with pytest.raises(InstrumentRefused, match="alarm"):
        await gantry.move_to((-2.0, -2.0, -2.0), 9000.0, bench)
    state = await gantry.state()
    assert (state.state, state.limits) == ("Alarm", "X")
    await gantry.home(bench)
    assert mechanics.position == pytest.approx((-2.0, -2.0, -2.0))


async def test_blocked_axis_is_found_by_homing(bench: Bench) -> None:
    gantry, _, mechanics = await ready(bench)
    mechanics.blocked.add(1)
    with pytest.raises(InstrumentRefused, match="alarm"):
        await gantry.home(bench)


async def test_emergency_stop_keeps_the_gripper_closed_and_must_be_homed(bench: Bench) -> None:
    gantry, firmware, mechanics = await homed(bench)
    await gantry.open_gripper()
    await gantry.move_to(DOCKS["left"], 9000.0, bench)
    await gantry.close_gripper()
    await gantry.start_move(ABOVE["right"], 6000.0)
    await bench.sleep(2.0)
    mechanics.powered = False
    firmware.emergency_stop(bench.now_s())
    stopped = mechanics.position
    with pytest.raises(InstrumentRefused, match="alarm"):
        await gantry.is_busy()
    assert mechanics.held() == "A"
    with pytest.raises(InstrumentRefused):
        await gantry.home(bench)
    assert mechanics.position == stopped
    mechanics.powered = True
    await gantry.home(bench)
    assert mechanics.held() == "A"


async def test_power_cut_forgets_the_position(bench: Bench) -> None:
    gantry, firmware, mechanics = await homed(bench)
    await gantry.move_to((-300.0, -200.0, -100.0), 9000.0, bench)
    firmware.power_cycle(bench.now_s())
    assert (await gantry.state()).position_mm == (0.0, 0.0, 0.0)
    with pytest.raises(InstrumentRefused, match="locked"):
        await gantry.start_move((-10.0, -10.0, -10.0), 1000.0)
    await gantry.home(bench)
    assert mechanics.position == pytest.approx((-2.0, -2.0, -2.0))


@pytest.mark.parametrize(
    ("target", "feed", "field"),
    [
        ((1.0, -2.0, -2.0), 1000.0, "x_mm"),
        ((-2.0, -501.0, -2.0), 1000.0, "y_mm"),
        ((-2.0, -2.0, math.nan), 1000.0, "z_mm"),
        ((-2.0, -2.0, -2.0), 40_000.0, "feed_mm_min"),
    ],
)
async def test_impossible_moves_are_refused_at_the_door(
    bench: Bench, target: tuple[float, float, float], feed: float, field: str
) -> None:
    gantry, _, mechanics = await homed(bench)
    with pytest.raises(OutOfRange, match=f"{field} = .* allowed"):
        await gantry.move_to(target, feed, bench)
    assert mechanics.position == pytest.approx((-2.0, -2.0, -2.0))


@pytest.mark.parametrize("fault", [f for f in LineFault if f not in FLIPS])
async def test_moves_survive_a_bad_line(bench: Bench, fault: LineFault) -> None:
    gantry, _, mechanics = await homed(bench)
    bench.lines["gantry"].inject(fault, fault, None, fault)
    await gantry.move_to((-300.0, -200.0, -100.0), 9000.0, bench)
    assert mechanics.position == pytest.approx((-300.0, -200.0, -100.0))


WAY = ((-600.0, -200.0, -50.0), (-500.0, -200.0, -50.0), (-400.0, -250.0, -50.0), (-300.0, -300.0, -50.0))
"""Blocks on two straight ways, from the first place on."""
BRAKING_MM = 12.0
"""From 100 mm/s with 500 mm/s², and the corner."""


def beside_mm(place: tuple[float, float, float]) -> float:
    """Return how far a place is from the way."""
    found = []
    for start, end in itertools.pairwise(WAY):
        along = np.subtract(end, start)
        share = min(1.0, max(0.0, float(np.dot(np.subtract(place, start), along) / np.dot(along, along))))
        found.append(math.dist(place, np.add(start, share * along)))
    return min(found)


@pytest.mark.parametrize("fault", FLIPS)
async def test_a_flipped_bit_moves_nothing_wrong_and_drops_nothing(tmp_path: Path, fault: LineFault) -> None:
    """Anywhere in a way with a cassette in the jaws; without the echo one in thirty leaves the way."""
    bench = Bench("memory", tmp_path)
    gantry, firmware, mechanics = await homed(bench)
    line, outcomes = bench.lines["gantry"], Counter[str]()
    advance, seen = bench.advance, [WAY[0]]

    def looked_at(until_s: float) -> None:
        while bench.time_s < until_s:
            advance(min(until_s, bench.time_s + 0.1))
            seen.append(firmware.position(bench.time_s))

    bench.advance = looked_at  # type: ignore[method-assign]
    await gantry.open_gripper()
    await gantry.move_to(ABOVE["left"], 9000.0, bench)
    await gantry.move_to(DOCKS["left"], 2000.0, bench)
    await gantry.close_gripper()
    await gantry.move_to(ABOVE["left"], 9000.0, bench)
    for trial in range(120):
        await gantry.move_to(WAY[0], 6000.0, bench)
        seen.clear()
        line.inject(*[None] * (trial % 7), fault)
        try:
            await gantry.close_gripper()
            await gantry.turn_wrist(0.0, bench)
            await gantry.follow([(place, 6000.0) for place in WAY[1:]], bench)
        except InstrumentError as error:
            told = str(error)
        else:
            told = ""
        await bench.sleep(20.0)  # whatever was understood is carried out by now
        assert mechanics.held() == "A", (trial, told)
        worst = max(seen, key=beside_mm)
        assert beside_mm(worst) < BRAKING_MM, (trial, worst, told)
        outcomes["told" if told else "arrived"] += 1
        if not told:
            assert mechanics.position == pytest.approx(WAY[-1], abs=0.02), trial
            continue
        await gantry.stop(bench)
        if (await gantry.state()).state == "Alarm":
            await gantry.home(bench)
    assert min(outcomes.values()) >= 10, outcomes


async def test_silent_gantry_is_a_timeout(bench: Bench) -> None:
    gantry, _, _ = await ready(bench)
    bench.lines["gantry"].silent = True
    with pytest.raises(ReplyTimeout, match=r"gantry: no status on line gantry \(3 times\)"):
        await gantry.state()
    with pytest.raises(ReplyTimeout, match="no answer to M8"):
        await gantry.open_gripper()


async def test_move_that_somebody_holds_is_no_arrival(bench: Bench) -> None:
    gantry, _, _ = await homed(bench)
    bench.participants += 1

    async def holder() -> None:
        await bench.sleep(1.0)
        await gantry.hold()
        bench.leave()

    held = asyncio.ensure_future(holder())
    with pytest.raises(InstrumentError, match="is Hold at"):
        await gantry.move_to((-500.0, -2.0, -2.0), 6000.0, bench)
    await held
