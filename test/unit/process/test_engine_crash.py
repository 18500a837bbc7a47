# SPDX-License-Identifier: Apache-2.0
"""The coordinator dies at every write of its journal and its record; the batch is the same afterwards."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import Crash, FakeLaboratory, FakeModules, FakeOperator, LoopTime, Record, run_virtual
from little_batch import PATIENT, lab_record, recipe_of

from mimedi_nodes.process.batch import Batch, BatchOutcome
from mimedi_nodes.process.engine.engine import Engine
from mimedi_nodes.process.engine.journal import Journal, JournalError
from mimedi_nodes.process.gateway import Question
from mimedi_nodes.process.recipes.recipe import Recipe

MOVE = "do: fluidics/transfer_fluid, with: {source: a, destination: b, volume_ul: '${volume}'}"
RECIPE = recipe_of(
    f"""
    - {{id: room, not_yet: {{step: 2, module: enclosure, reason: comes later}}}}
    - {{id: ready, prompt: "Ready?", answers: ["yes", "no"], expect: "yes"}}
    - {{id: move, {MOVE}, resume: auto, max_outage_h: 1, save: {{moved: volume_moved_ul}}}}
    - id: both
      parallel:
        main:
          - {{id: sort, {MOVE}, resume: auto, max_outage_h: 1}}
        mix:
          - id: mix
            do: acoustic_sorter/mix_container
            with: {{container: a, duration_s: 80000}}
            resume: auto
            max_outage_h: 1
      until: main
    - id: again
      while: "batch.elapsed_h < 1.2"
      max: 10
      phases: [{{id: grow, do: incubator/expand_culture, with: {{duration_h: 0.5}}, resume: auto, max_outage_h: 1}}]
    - id: take
      do: fluidics/take_sample
      with: {{container: a, destination: sample_port, test_point: t}}
      resume: auto
      max_outage_h: 1
    - {{id: order, laboratory: [endotoxin], sample: "${{take.sample_id}}"}}
    - {{id: lab, await_results: {{endotoxin: EU/mL}}, sample: "${{take.sample_id}}", timeout_h: 24}}
    - {{id: saved, set: {{endotoxin: {{value: lab.endotoxin, unit: EU/mL}}}}}}
    - {{id: pause, wait_h: 1}}
    """,
    '- {if: "saved.endotoxin > 0.05", decide: hold, cause: "endotoxin ${saved.endotoxin}", ask: "Go on?"}',
)
TIMES = {"TransferFluid": 500.0, "MixContainer": 80000.0, "ExpandCulture": 1800.0}


class CrashingJournal(Journal):
    """Dies at its n-th statement, before or after it takes effect; writes nothing any more."""

    def __init__(self, path: Path, crash_at: int | None, after: bool) -> None:
        self.count, self.crash_at, self.after, self.dead = 0, None, after, False
        super().__init__(path)
        self.crash_at = crash_at

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        if statement.startswith("SELECT"):
            return super()._run(statement, values)
        self.count += 1
        if self.dead or (self.count == self.crash_at and not self.after):
            self.dead = True
            raise Crash(f"before {statement}")
        cursor = super()._run(statement, values)
        if self.count == self.crash_at:
            self.dead = True
            raise Crash(f"after {statement}")
        return cursor


class World:
    """What survives the coordinator: modules, laboratory, record, journal file."""

    def __init__(self, path: Path, recipe: Recipe = RECIPE) -> None:
        self.path, self.recipe = path, recipe
        self.modules = FakeModules(
            TIMES, {"TransferFluid": lambda g: {"volume_moved_ul": g["volume_ul"]}}, ("MixContainer",)
        )
        self.laboratory = FakeLaboratory()
        self.operator = FakeOperator(lambda q: "continue" if q.question == "Go on?" else answer(q))
        self.record = Record()
        self.lives = 0

    async def live(self, crash_at: int | None, after: bool = False, record_crash_at: int | None = None) -> BatchOutcome:
        """One life of the coordinator; raises Crash at its end if it is to die."""
        self.lives += 1
        journal = CrashingJournal(self.path, crash_at, after)
        record = Record()
        record.events, record.crash_at = self.record.events, record_crash_at
        engine = None
        try:
            engine = Engine(
                self.recipe,
                Batch("B-1", PATIENT, PATIENT, 70.0),
                self.modules,
                self.operator,
                self.laboratory,
                LoopTime(),
                journal,
                record,
            )
            running = asyncio.ensure_future(engine.run())
            reporting = asyncio.ensure_future(self.report(engine))
            try:
                await asyncio.wait({running, reporting}, return_when=asyncio.FIRST_COMPLETED)
                if reporting.done():
                    reporting.result()
                return await running
            finally:
                for task in (running, reporting):
                    task.cancel()
                await asyncio.gather(running, reporting, return_exceptions=True)
        finally:
            # What the dead process had begun is gone; SQLite rolls back what it had not committed.
            journal.close()

    async def report(self, engine: Engine) -> None:
        """The laboratory reports an hour after the order, again and again, as after a lost connection."""
        await self.laboratory.ordered.wait()
        await asyncio.sleep(3600.0)
        engine.submit_laboratory_result(lab_record())


def answer(question: Question) -> str:
    return "yes" if "yes" in question.answers else "resume"


async def with_crash(path: Path, crash_at: int | None, after: bool, power: bool = False) -> World | None:
    """Run the recipe with one crash; None when it ended before the crash."""
    world = World(path)
    try:
        outcome = await world.live(crash_at, after)
        assert outcome.state == "completed"
        return None if crash_at is not None else world
    except Crash:
        pass
    if power:
        for module in ("fluidics", "acoustic_sorter", "incubator"):
            world.modules.advance()
            world.modules.interrupt(module)
    await asyncio.sleep(30.0)
    outcome = await world.live(None)
    assert outcome.state == "completed"
    return world


def facts(world: World) -> dict[str, Any]:
    """What must not depend on a crash: goals by step, their fields, results in the journal, events by key."""
    journal = Journal(world.path)
    steps = {
        entry.path: (entry.kind, entry.status, _plain(entry.result))
        for entry in journal.entries()
        if entry.kind != "phase"
    }
    goals = Counter((g.header.phase_id, g.action, str(g.fields)) for g in world.modules.goals.values())
    events = {e[3]["event_key"] for e in world.record.events if "event_key" in e[3]}
    journal.close()
    return {"steps": steps, "goals": goals, "events": events}


def _plain(result: Any) -> Any:
    return {k: v for k, v in result.items() if k != "who"} if isinstance(result, dict) else result


@pytest.fixture(name="tmp_path")
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is one: hundreds of journals are made, the disk's speed is not tested."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, Any]:
    return facts(run_virtual(with_crash(tmp_path / "undisturbed.db", None, False)))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("power", [False, True], ids=["coordinator", "power"])
def test_a_crash_at_any_write_changes_nothing(
    tmp_path: Path, undisturbed: dict[str, Any], after: bool, power: bool
) -> None:
    crash_at = 0
    while True:
        crash_at += 1
        path = tmp_path / f"{crash_at}.db"
        world = run_virtual(with_crash(path, crash_at, after, power))
        if world is None:
            break
        found = facts(world)
        assert found == undisturbed, f"crash {'after' if after else 'before'} write {crash_at}"
        assert world.lives == 2
        for goal in world.modules.goals.values():
            # Mixing that the power cut has ended is not taken up for a sort that has ended too.
            ends = ("succeeded", "interrupted") if power and goal.action == "MixContainer" else ("succeeded",)
            assert goal.status in ends
            assert goal.runs <= (2 if power else 1), f"{goal.header.phase_id} was run twice"
    assert crash_at > 60


def test_a_crash_while_an_event_is_recorded_loses_none(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    for number in range(1, 200):

        async def main(number: int = number) -> bool:
            world = World(tmp_path / f"{number}.db")
            try:
                await world.live(None, record_crash_at=number)
                return False
            except Crash:
                await asyncio.sleep(30.0)
            assert (await world.live(None)).state == "completed"
            assert facts(world) == undisturbed, f"crash at event {number}"
            return True

        if not run_virtual(main()):
            break
    assert number > 20


def test_a_held_batch_is_still_held_after_a_crash_and_can_be_restarted(tmp_path: Path) -> None:
    async def main() -> None:
        world = World(tmp_path / "j.db")
        journal = Journal(world.path)
        made = (
            Batch("B-1", PATIENT, PATIENT, 70.0),
            world.modules,
            world.operator,
            world.laboratory,
            LoopTime(),
        )
        engine = Engine(RECIPE, *made, journal, world.record)
        running = asyncio.ensure_future(engine.run())
        await asyncio.sleep(100.0)
        await engine.command("hold", "anna", "to look")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        journal.close()

        journal = Journal(world.path)
        engine = Engine(RECIPE, *made, journal, world.record)
        running = asyncio.ensure_future(engine.run())
        await asyncio.sleep(5000.0)
        assert engine.state == "held"
        assert "to look" in engine.hold_reason
        await engine.command("restart", "anna", "looked")
        asyncio.ensure_future(world.report(engine))  # noqa: RUF006 - lives as long as the loop
        assert (await running).state == "completed"
        assert all(goal.runs == 1 for goal in world.modules.goals.values())

    run_virtual(main())


class EarlierTime(LoopTime):
    """The clock of a plant that has just begun, or of a host that was set back by an hour."""

    def now_s(self) -> float:
        return super().now_s() - 3600.0

    async def sleep_until(self, t_s: float) -> None:
        await super().sleep_until(t_s + 3600.0)


def test_a_batch_that_is_taken_up_before_it_was_left_is_held_and_can_be_restarted(tmp_path: Path) -> None:
    async def main() -> None:
        world = World(tmp_path / "j.db")
        others = (Batch("B-1", PATIENT, PATIENT, 70.0), world.modules, world.operator, world.laboratory)
        await asyncio.sleep(7200.0)
        journal = Journal(world.path)
        running = asyncio.ensure_future(Engine(RECIPE, *others, LoopTime(), journal, world.record).run())
        await asyncio.sleep(100.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        journal.close()

        journal, alarms = Journal(world.path), []
        engine = Engine(
            RECIPE, *others, EarlierTime(), journal, world.record, on_alarm=lambda *alarm: alarms.append(alarm)
        )
        running = asyncio.ensure_future(engine.run())
        await asyncio.sleep(5000.0)
        assert engine.state == "held"
        assert "before the journal's last entry" in engine.hold_reason
        assert [(alarm_id, active) for alarm_id, _, active in alarms if "clock" in alarm_id] == [
            ("coordinator.clock_jumped", True), ("coordinator.clock_jumped", False),
        ]  # fmt: skip
        assert [goal.runs for goal in world.modules.goals.values()] == [1]
        await engine.command("restart", "anna", "the clock is right, the vessels are as they were")
        asyncio.ensure_future(world.report(engine))  # noqa: RUF006 - lives as long as the loop
        assert (await running).state == "completed"
        assert all(goal.runs == 1 for goal in world.modules.goals.values())

    run_virtual(main())


def test_a_batch_that_has_ended_gives_its_outcome_again_and_touches_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        world = World(tmp_path / "j.db")
        first = await world.live(None)
        goals, events = dict(world.modules.goals), len(world.record.events)
        assert await world.live(None) == first
        assert world.modules.goals == goals
        assert len(world.record.events) == events

    run_virtual(main())


@pytest.mark.parametrize("harm", ["locked", "cut", "gone"])
def test_nothing_moves_while_the_journal_cannot_be_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """Locked, cut short or removed while a phase runs: told, nothing more begins; with the file back it goes on."""
    monkeypatch.setattr("mimedi_nodes.records.sqlite.BUSY_TIMEOUT_S", 0.02)

    async def main() -> None:
        undisturbed = World(tmp_path / "whole.db")
        await undisturbed.live(None)
        world = World(tmp_path / "j.db")
        log = Path(f"{world.path}-wal")
        living = asyncio.ensure_future(world.live(None))
        await asyncio.sleep(100.0)  # the first transfer is under way
        begun = len(world.modules.goals)
        copies = {path: path.read_bytes() for path in (world.path, log)}
        other = sqlite3.connect(world.path, isolation_level=None)
        if harm == "locked":
            other.execute("BEGIN IMMEDIATE")
        elif harm == "cut":
            os.truncate(log, len(copies[log]) // 2)
        else:
            world.path.unlink()
        told = {"locked": "another program holds|locked", "cut": "was cut from", "gone": "No such file"}[harm]
        with pytest.raises(JournalError, match=told):
            await living
        assert len(world.modules.goals) == begun
        other.close()
        if harm != "locked":
            for path, content in copies.items():
                path.write_bytes(content)
        assert (await world.live(None)).state == "completed"
        assert facts(world) == facts(undisturbed)

    run_virtual(main())


def test_a_journal_belongs_to_one_batch_and_one_recipe(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.db")
    assert not journal.bind("B-1", "hash", 0.0)
    assert journal.bind("B-1", "hash", 5.0)
    assert journal.get("started_s") == 0.0
    with pytest.raises(JournalError, match="belongs to batch 'B-1'"):
        journal.bind("B-2", "hash", 0.0)
    with pytest.raises(JournalError, match="another text of its recipe"):
        journal.bind("B-1", "other", 0.0)


POLICY = "- {id: grow, do: incubator/expand_culture, with: {duration_h: 2}, resume: POLICY, max_outage_h: 0.1}"


@pytest.mark.parametrize(
    ("policy", "away_s", "state", "words"),
    [
        ("auto", 60.0, "completed", ""),
        ("auto", 3600.0, "held", "longer than the 0.1 h allowed"),
        ("never", 60.0, "held", "resume: never"),
        ("ask", 3600.0, "completed", ""),
    ],
)
def test_an_interrupted_phase_resumes_by_its_policy(
    tmp_path: Path, policy: str, away_s: float, state: str, words: str
) -> None:
    recipe = recipe_of(POLICY.replace("POLICY", policy))

    async def main() -> None:
        world = World(tmp_path / "j.db", recipe)
        world.modules.durations_s["ExpandCulture"] = 7200.0
        made = (
            Batch("B-1", PATIENT, PATIENT, 70.0),
            world.modules,
            world.operator,
            world.laboratory,
            LoopTime(),
        )
        journal = Journal(world.path)
        running = asyncio.ensure_future(Engine(recipe, *made, journal, world.record).run())
        await asyncio.sleep(100.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        journal.close()
        world.modules.interrupt("incubator")
        await asyncio.sleep(away_s)
        journal = Journal(world.path)
        outcome = await Engine(recipe, *made, journal, world.record, on_hold="end").run()
        assert outcome.state == state
        assert words in outcome.reason
        assert len(world.modules.goals) == 1
        assert len(world.operator.asked) == (1 if policy == "ask" else 0)

    run_virtual(main())
