# SPDX-License-Identifier: Apache-2.0
"""The fault matrix: every phase of the CAR-T recipe, killed at random instants in every way; the batch is finished.

One process carries the batch out and forks at each instant; the child takes the crash and goes on. Seeded: the
same instants in every run. About 40 s of processor time; CRASH_MATRIX_SEED, _PER_PHASE and _WHOLE_EVERY widen it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import re
import signal
import sys
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mimedi_nodes.modules.registry import config_folder, manifests, module_table
from mimedi_nodes.process.recipes.loader import PARTS_FOLDER, folder_library, read_recipe
from mimedi_nodes.process.recipes.recipe import Recipe
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.verify import verify
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.plant.fault_board import WORKCELL

from .crash_world import CrashWorld, recorded_volumes, twice

SEED = int(os.environ.get("CRASH_MATRIX_SEED", "1"))
PER_PHASE = int(os.environ.get("CRASH_MATRIX_PER_PHASE", "1"))
KINDS = ("coordinator", "module", "all", "power", "instruments")
LONG_S = 600.0
ANOTHER_EVERY = 6
"""Long phases take one crash more, and so does every sixth."""
PHASES_AFTER, WHOLE_EVERY = 5, int(os.environ.get("CRASH_MATRIX_WHOLE_EVERY", "2"))
"""Every second crashed batch is followed to its very end (1: all of them), the others over five more phases."""
SHORT_CULTURE = {"perfusion_day": 3.0, "not_before_day": 4.0, "latest_day": 8.0, "target_viable_cells": 5.0e8,
                 "least_viable_cells": 1e8, "dose_car_cells": 5.0e7}  # fmt: skip
SMALL_UL, LARGE_UL = 1000.0, 2000.0
"""What the balance of a vessel, closed on weights, may differ from an undisturbed batch [uL]: weights of another
instant, their noise at each restart, and one percent of what no scale confirms, which is more for the large ones."""
LARGE = ("buffer", "medium", "excipient", "culture_vessel", "depleted", "harvest", "sorter_waste",
         "activation_vessel")  # fmt: skip


@dataclass(frozen=True)
class Crash:
    """One crash: what dies in which phase, when [s], and how long it is away [s]."""

    phase: str
    module: str
    kind: str
    at_s: float
    away_s: float
    stop_after: str | None = None


@dataclass
class Ended:
    """What became of a batch."""

    state: str
    reason: str
    at: str = ""
    gaps_ul: dict[str, float] = field(default_factory=dict)
    doses: dict[str, float] = field(default_factory=dict)
    unsafe: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    record: str = ""
    restarts: int = 0
    temperature_min_c: float = 99.0


def short_recipe() -> Recipe:
    """The shipped recipe with a short culture and few cells to look at: the crashes are tested, not the counting."""
    folder = config_folder() / "recipes"
    text = (folder / "car_t_cd19.yaml").read_text(encoding="utf-8")
    for cells in (r"[1-4]\d\d", 50), ("500", 200), ("20}", "8}"):  # the last of the stiffness
        text = re.sub(f"cells_wanted: {cells[0]}", f"cells_wanted: {cells[1]}", text)
    text = re.sub(r"(not_before_day: .*range: )\[6, 12\]", r"\1[4, 12]", text)
    recipe = read_recipe(text, "short.yaml", manifests(), library=folder_library(folder / PARTS_FOLDER))
    return recipe.with_parameters(SHORT_CULTURE)


def crashes(events: list[RecordEvent], seed: int, per_phase: int) -> list[Crash]:
    """Return the crashes: for every phase some ways at random instants, for a long one more."""
    draw = random.Random(seed)
    found = []
    ended = [event for event in events if event.kind == "phase_ended"]
    order = [str(event.data["phase_id"]) for event in ended]
    for number, event in enumerate(ended):
        data = event.data
        begun_s, ended_s = float(data["started_s"]), float(data["ended_s"])
        count = per_phase + (ended_s - begun_s > LONG_S) + (number % ANOTHER_EVERY == 0)
        for turn in range(count):
            kind = KINDS[(number + turn * 2) % len(KINDS)]
            away_s = draw.choice((5.0, 60.0, 600.0, 1800.0)) if draw.random() < 0.85 else draw.uniform(5e3, 2e4)
            at_s = draw.uniform(begun_s, ended_s)
            later = [name for name in order[number + PHASES_AFTER :] if "keep_" not in name]
            stop_after = later[0] if later and len(found) % WHOLE_EVERY else None
            found.append(Crash(order[number], event.producer, kind, at_s, away_s, stop_after))
    return sorted(found, key=lambda crash: crash.at_s)


Matrix = tuple[Ended, list[tuple[Crash, Ended | str]], dict[str, dict[str, float]]]


async def carry_out(world: CrashWorld, crash: Crash) -> None:
    """Let a part of the workcell die, stay away, and come back."""
    plant, clock = world.plant, world.clock
    world.whole.clear()
    if crash.kind in ("power", "instruments"):
        plant.inject("power_loss", WORKCELL, {}, True, clock.now_s())
    dead = {"module": (crash.module,), "all": tuple(module_table()), "power": tuple(module_table())}.get(crash.kind, ())
    if crash.kind in ("coordinator", "all", "power"):
        world.kill_coordinator()
    for name in dead:
        world.kill_module(name)
    await asyncio.sleep(crash.away_s)
    if crash.kind in ("power", "instruments"):
        plant.inject("power_loss", WORKCELL, {}, False, clock.now_s())
    for name in dead:
        await world.start_module(name)
    if crash.kind in ("coordinator", "all", "power"):
        world.start_coordinator()
    world.whole.set()


async def judged(world: CrashWorld) -> Ended:
    """Carry the batch out to its end and look at what is left: plant, record and actuators."""
    state, reason = await world.finish()
    ended = Ended(state, reason, restarts=world.restarts, unsafe=world.unsafe, twice=twice(world.events))
    ended.at = str(world.stop_after) if state == "goes on" else ""
    for name in world.modules if state == "completed" else ():
        await world.check_safe(name, "stopped")
    world.plant.advance_to(world.clock.now_s())
    truth = world.plant.truth()
    ended.gaps_ul = gaps(world)
    for event in world.events:
        if event.kind == "phase_ended" and event.data["status"] == "succeeded":
            result = event.data["result"]
            if event.data["action"] == "FormulateDose":
                ended.doses = {
                    "recorded": float(result["dose_viable_cells"]),
                    "true": float(truth["vessels"]["dose_bag"]["cells"]["viable_cells"]),
                }
            if event.data["action"] in ("PerfuseCulture", "ExpandCulture"):
                ended.temperature_min_c = min(ended.temperature_min_c, float(result["temperature_min_c"]))
    return ended


def gaps(world: CrashWorld) -> dict[str, float]:
    """Return by how much each vessel holds more than the record says [uL]; what evaporated is nobody's loss."""
    volumes = recorded_volumes(world)
    # The imaging cell is flushed into the waste unasked, the sample port is emptied by the laboratory.
    untold = ("imaging_cell", "sample_port", "waste")
    found = {v: world.plant.ledger.volume_ul(v) - volumes[v] for v in world.at_start if v not in untold}
    found["culture_vessel"] += float(world.plant.truth()["lost"].get("volume_ul", 0.0))
    return found


def verified(events: list[RecordEvent], folder: Path) -> str:
    """Write the events into a record and return what its verification says."""
    signer = Signer.ephemeral()
    record = BatchRecord(folder / "B-1", signer, batch_id="B-1")
    record.append(events)
    record.close()
    report = verify(folder / "B-1", folder / ".heads", signer.public_key)
    return report.verdict if report.rows == len(events) else f"{report.rows} rows of {len(events)} events"


class Forks:
    """Forks at each crash; the child carries it out and says what became of the batch."""

    def __init__(self, world: CrashWorld, plan: list[Crash], folder: Path) -> None:
        self.world, self.folder = world, folder
        self.results: list[tuple[Crash, Ended | str]] = []
        self.crash: Crash | None = None
        self._pipe = -1
        self._loop, now_s = asyncio.get_running_loop(), world.clock.now_s()
        loop = self._loop
        for number, crash in enumerate(plan):
            loop.call_at(loop.time() + crash.at_s - now_s, self._fork, number, crash)

    @property
    def is_child(self) -> bool:
        return self.crash is not None

    def _fork(self, number: int, crash: Crash) -> None:
        if self.is_child:
            return
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            gc.disable()  # a collection would touch, and so copy, every page of the parent
            os.close(reader)
            signal.alarm(120)
            # The running loop is known by process: the child has to say that it goes on with it.
            asyncio._set_running_loop(self._loop)
            self.crash, self._pipe = crash, writer
            self.folder = self.folder / str(number)
            self.world.stop_after = crash.stop_after
            self.world.on_event = lambda event: None
            self.world.spawn(carry_out(self.world, crash))
            return
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        found: Any = json.loads(said) if said else "the child died without a word"
        self.results.append((crash, Ended(**found) if isinstance(found, dict) else found))

    def say(self, ended: Ended | str) -> None:
        """The child's last word."""
        with os.fdopen(self._pipe, "w") as pipe:
            json.dump(asdict(ended) if isinstance(ended, Ended) else ended, pipe)
        os._exit(0)


async def batch(
    recipe: Recipe, plan: list[Crash], folder: Path | None, milestones: dict[str, dict[str, float]] | None = None
) -> tuple[CrashWorld, Ended, Forks | None]:
    """Carry a batch out with the crashes of a plan; note the balance of the vessels at the end of each phase."""
    world = CrashWorld(recipe)

    def note(event: RecordEvent) -> None:
        if milestones is not None and event.kind == "phase_ended":
            world.plant.advance_to(world.clock.now_s())
            milestones[str(event.data["phase_id"])] = gaps(world)

    world.on_event = note
    await world.start()
    forks = Forks(world, plan, folder) if folder is not None else None
    try:
        ended = await judged(world)
        if forks is not None and forks.is_child:
            forks.folder.mkdir(parents=True, exist_ok=True)
            ended.record = verified(world.events, forks.folder)
            forks.say(ended)
    except BaseException:
        if forks is not None and forks.is_child:
            forks.say(traceback.format_exc())
        raise
    return world, ended, forks


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    """The undisturbed batch, its balances, and every crashed one."""
    recipe = short_recipe()
    balances: dict[str, dict[str, float]] = {}
    world, undisturbed, _ = run_virtual(batch(recipe, [], None, balances))
    balances[""] = undisturbed.gaps_ul
    plan = crashes(world.events, SEED, PER_PHASE)
    folder = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path()
    folder = tmp_path_factory.mktemp("matrix") if folder == Path() else folder / f"crash-matrix-{os.getpid()}"
    sys.stdout.flush()
    try:
        _, _, forks = run_virtual(batch(recipe, plan, folder))
    finally:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
    assert forks is not None
    return undisturbed, forks.results, balances


def wrong(matrix: Matrix, look: Any) -> list[str]:
    found = []
    for crash, ended in matrix[1]:
        said = look(crash, ended) if isinstance(ended, Ended) else ended
        if said:
            found.append(f"{crash.kind} in {crash.phase} at {crash.at_s:.0f} s for {crash.away_s:.0f} s: {said}")
    return found


def test_the_matrix_covers_every_phase_and_every_way_to_die(matrix: Matrix) -> None:
    plan = [crash for crash, _ in matrix[1]]
    assert len(plan) >= 100
    assert len({crash.phase for crash in plan}) >= 44
    assert min(Counter(crash.kind for crash in plan).values()) >= 15
    assert set(KINDS) == {crash.kind for crash in plan}


def test_every_batch_is_finished_or_held_with_its_reason(matrix: Matrix) -> None:
    assert matrix[0].state == "completed"
    assert not wrong(matrix, lambda crash, ended: "" if ended.state in ("completed", "goes on") else (
        "" if ended.state == "held" and ended.reason else f"{ended.state}: {ended.reason!r}"))  # fmt: skip
    assert sum(isinstance(e, Ended) and e.state == "completed" for _, e in matrix[1]) >= 50
    held = [f"{crash.kind} in {crash.phase}: {ended.reason}" for crash, ended in matrix[1]
            if isinstance(ended, Ended) and ended.state == "held"]  # fmt: skip
    # An operator who restarts three times when everything is back gets nearly every batch to its end. What stays held
    # is a pump that lost its power between vessels that nobody weighs: how much has moved is not known then.
    assert len(held) <= 0.03 * len(matrix[1]), held
    known = [text for text in held if not text.startswith(("power", "instruments"))]
    assert not known


def test_no_volume_is_lost_or_counted_twice(matrix: Matrix) -> None:
    def look(crash: Crash, ended: Ended) -> str:
        if ended.state == "held":
            return ""
        off = {v: gap - matrix[2][ended.at][v] for v, gap in ended.gaps_ul.items()}
        allowed = {v: LARGE_UL if v in LARGE else SMALL_UL for v in off}
        return ", ".join(f"{v} {gap:+.0f} uL" for v, gap in off.items() if abs(gap) > allowed[v])

    assert not wrong(matrix, look)


def test_the_cells_of_the_dose_are_those_on_record(matrix: Matrix) -> None:
    def look(crash: Crash, ended: Ended) -> str:
        if ended.state != "completed":
            return ""
        # 200 cells are counted, so that the recorded number has a standard deviation of a tenth.
        ratio = ended.doses["true"] / ended.doses["recorded"]
        return "" if 0.6 < ratio < 1.5 else f"true over recorded cells {ratio:.2f}"

    assert not wrong(matrix, look)


def test_no_phase_is_carried_out_twice_and_every_actuator_is_safe(matrix: Matrix) -> None:
    assert not wrong(matrix, lambda crash, ended: ", ".join([*ended.twice, *ended.unsafe]))


def test_the_record_holds_every_event_and_verifies(matrix: Matrix) -> None:
    assert not wrong(matrix, lambda crash, ended: "" if ended.record == "intact" else ended.record)
