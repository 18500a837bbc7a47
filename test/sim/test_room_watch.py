# SPDX-License-Identifier: Apache-2.0
"""What a recipe requires of the room, on the whole twin: verified before a phase, watched beside an open one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from mimedi_nodes.instruments.enclosure_map import Door
from mimedi_nodes.modules.registry import manifests
from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_sim.headless.virtual_loop import run_virtual

from .crash_world import CrashWorld

RECIPE = """\
recipe: room_watch
version: 1.0.0
status: draft
product: car_t_cd19
description: One phase in the room that it requires.
procedure:
  - unit_procedure: only
    operations:
      - operation: only
        phases:
          - id: fill
            do: fluidics/transfer_fluid
            with:
              source: medium
              destination: culture_vessel
              volume_ul: 400000
              flow_rate_ul_min: {speed}
              tolerance_ul: 2000
            requires: {{processing: {processing}, grade: {grade}{more}}}
            resume: auto
            max_outage_h: 1
"""


def world_of(folder: Path, processing: str, grade: str, more: str = "", speed: int = 20000) -> CrashWorld:
    path = folder / "room_watch.yaml"
    path.write_text(RECIPE.format(processing=processing, grade=grade, more=more, speed=speed), encoding="utf-8")
    return CrashWorld(load_recipe(path, manifests(), default_interfaces()))


def on_twin(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(work())


async def until(condition: Callable[[], object], within_s: float = 7200.0) -> None:
    """Wait on virtual time."""
    for _ in range(int(within_s / 10.0)):
        if condition():
            return
        await asyncio.sleep(10.0)
    raise TimeoutError(f"not within {within_s:g} s")


def actions(world: CrashWorld) -> list[tuple[str, str]]:
    return [(e.data["action"], e.data["status"]) for e in world.events if e.kind == "phase_ended"]


def measured(world: CrashWorld, name: str) -> list[float]:
    return [event.data["value"] for event in world.events if event.kind == "measurement" and event.what == name]


def filled_ul(world: CrashWorld) -> float:
    world.plant.advance_to(world.clock.now_s())
    return world.plant.ledger.volume_ul("culture_vessel")


def test_a_closed_phase_has_its_room_verified_first_and_nothing_watches_beside_it(tmp_path: Path) -> None:
    async def run() -> None:
        world = world_of(tmp_path, "closed", "D", ", background: true")
        await world.start()
        assert await world.finish() == ("completed", "")
        assert actions(world) == [
            ("VerifyGrade", "succeeded"), ("CalibrateBackground", "succeeded"), ("TransferFluid", "succeeded"),
        ]  # fmt: skip

    on_twin(run)


def test_a_phase_does_not_start_in_a_room_below_its_grade(tmp_path: Path) -> None:
    async def run() -> None:
        world = world_of(tmp_path, "closed", "D")
        await world.start()
        world.plant.stations.enclosure.open_door(world.clock.now_s(), Door.MAIN, force=True)
        await until(lambda: world.engine.state == "held")
        assert "enclosure" in world.engine.hold_reason
        assert filled_ul(world) == 0.0
        world.plant.stations.enclosure.close_door(world.clock.now_s(), Door.MAIN)
        assert await world.finish() == ("completed", "")
        assert filled_ul(world) == pytest.approx(400_000.0, rel=0.01)

    on_twin(run)


def test_an_excursion_holds_an_open_phase_and_its_recovery_is_measured(tmp_path: Path) -> None:
    """The door opens while liquid flows: pumps stop; nobody can go on before the air is back; then nothing is lost."""

    async def run() -> None:
        world = world_of(tmp_path, "open", "A", speed=10000)
        await world.start()
        await until(lambda: filled_ul(world) > 50_000.0)
        world.plant.stations.enclosure.open_door(world.clock.now_s(), Door.MAIN, force=True)
        opened_s = world.clock.now_s()
        await until(lambda: world.engine.state == "held", 180.0)
        assert "watch#1 (enclosure) is held" in world.engine.hold_reason
        held_ul = filled_ul(world)
        await asyncio.sleep(900.0)
        refused = await world.engine.command("restart", "operator", "go on")
        assert not refused.accepted
        assert "main open while grade A is needed" in refused.message
        assert (world.engine.state, filled_ul(world)) == ("held", held_ul)
        world.plant.stations.enclosure.close_door(world.clock.now_s(), Door.MAIN)
        await until(lambda: measured(world, "recovery_time_s"))
        assert 900.0 < measured(world, "recovery_time_s")[0] <= world.clock.now_s() - opened_s
        assert world.engine.state == "held"
        assert (await world.engine.command("restart", "operator", "the door is shut")).accepted
        assert await world.finish() == ("completed", "")
        assert filled_ul(world) == pytest.approx(400_000.0, rel=0.02)
        assert {"room_excursion", "room_recovered"} <= {event.kind for event in world.events}
        assert ("VerifyGrade", "succeeded") in actions(world)[-2:]  # the watch ended with its phase

    on_twin(run)


@pytest.mark.parametrize("who", ["enclosure", "coordinator"])
def test_an_open_phase_is_never_without_its_watch(tmp_path: Path, who: str) -> None:
    """A watch whose node dies holds what is open; a coordinator that comes back watches on."""

    async def run() -> None:
        world = world_of(tmp_path, "open", "A", speed=10000)
        await world.start()
        await until(lambda: filled_ul(world) > 50_000.0)
        if who == "enclosure":
            world.kill_module("enclosure")
            await until(lambda: world.engine.state == "held", 60.0)
            await world.start_module("enclosure")
        else:
            world.kill_coordinator()
            await asyncio.sleep(5.0)
            world.start_coordinator()
        assert await world.finish() == ("completed", "")
        watches = [entry for entry in world.journal.entries() if ".watch#" in entry.path]
        fill = world.journal.entry("only.only.fill")
        assert watches[-1].ended_s >= fill.ended_s
        assert filled_ul(world) == pytest.approx(400_000.0, rel=0.02)

    on_twin(run)


def test_branches_take_turns_at_the_enclosure(tmp_path: Path) -> None:
    """One branch fills in the open, the other verifies the room by itself and must wait for it: nobody is refused."""
    recipe = RECIPE.format(processing="open", grade="A", more="", speed=20000)
    head, _, fill = recipe.partition("          - id: fill")
    fill = "\n".join("      " + line for line in ("          - id: fill" + fill).splitlines())
    text = (
        head + "          - id: both\n            parallel:\n              one:\n" + fill
        + "\n              two:\n                - id: look\n                  do: enclosure/verify_grade\n"
        "                  with: {grade: A, duration_s: 600}\n"
    )  # fmt: skip

    async def run() -> None:
        path = tmp_path / "room_watch.yaml"
        path.write_text(text, encoding="utf-8")
        world = CrashWorld(load_recipe(path, manifests(), default_interfaces()))
        await world.start()
        assert await world.finish(restarts=0) == ("completed", "")
        ended = [e.data["phase_id"] for e in world.events if e.kind == "phase_ended"]
        assert ended[-1] == "only.only.both.look"

    on_twin(run)
