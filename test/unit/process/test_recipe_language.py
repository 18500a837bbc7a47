# SPDX-License-Identifier: Apache-2.0
"""Formulas, timers, the sampling plan, typed answers and sub-recipes: read, checked, carried out, taken up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeLaboratory, FakeModules, FakeOperator, LoopTime, Record, run_virtual
from little_batch import PATIENT

from mimedi_nodes.process.batch import Batch, BatchOutcome
from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.engine.engine import Engine
from mimedi_nodes.process.engine.journal import Journal
from mimedi_nodes.process.recipes.loader import load_recipe, read_recipe
from mimedi_nodes.process.recipes.recipe import Recipe
from mimedi_nodes.process.recipes.values import ParameterError

HEAD = """\
recipe: little
version: 1.0.0
status: draft
product: little
parameters:
  amount: {value: 1000, unit: uL, range: [100, 5000]}
  from_day: {value: 8, unit: d, range: [6, 12]}
  to_day: {value: 12, unit: d, range: [8, 14]}
formulas:
  window_d: {value: to_day - from_day, unit: d, range: [0, 8], description: days to harvest in}
  twice: {value: 2 * amount, unit: uL}
sampling:
  inlet: {container: a, destination: sample_port, volume_ul: "${amount / 10}", of_ul: 10 * twice, tests: [endotoxin]}
  look: {container: a, destination: imaging_cell, volume_ul: 50, of_ul: "2000"}
procedure:
  - unit_procedure: work
    operations:
      - operation: first
        phases:
"""
MOVE = "do: fluidics/transfer_fluid, with: {source: a, destination: b, volume_ul: '${VOLUME}'}, resume: auto"
BOTH = "          - {id: i, take: inlet}\n          - {id: l, take: look}\n"
WASH = """\
sub_recipe: wash
version: 1.2.0
parameters:
  source: {unit: id}
  volume_ul: {unit: uL, range: [10, 4000]}
phases:
  - {id: out, do: fluidics/transfer_fluid, with: {source: "${source}", destination: w, volume_ul: "${volume_ul}"}}
  - id: again
    while: out.volume_moved_ul < 0
    max: 2
    phases: [{id: more, wait_h: 1}]
  - {id: half, set: {left_ul: {value: out.volume_moved_ul / 2, unit: uL}}}
results:
  left_ul: {value: half.left_ul, unit: uL}
"""


def library(name: str) -> str | None:
    return {"wash": WASH}.get(name)


def recipe(steps: str, samples: bool = True) -> Recipe:
    return read_recipe(HEAD + steps + (BOTH if samples else ""), "r.yaml", library=library)


def mistakes(steps: str, old: str = "", new: str = "", samples: bool = True) -> str:
    text = HEAD + steps + (BOTH if samples else "")
    assert old in text
    with pytest.raises(DiagnosticError) as caught:
        read_recipe(text.replace(old, new, 1) if old else text, "r.yaml", library=library)
    return str(caught.value)


class World:
    """What survives the coordinator, with modules that move what they are told to."""

    def __init__(self, path: Path | str = ":memory:", answer: Any = lambda question: "yes") -> None:
        self.path = path
        self.modules = FakeModules(
            {"TransferFluid": 1800.0, "TakeSample": 60.0},
            {"TransferFluid": lambda goal: {"volume_moved_ul": goal["volume_ul"]}},
        )
        self.operator, self.laboratory, self.record = FakeOperator(answer), FakeLaboratory(), Record()
        self.alarms: list[tuple[str, bool]] = []

    def engine(self, which: Recipe, on_hold: Any = "end", expected_s: float = 0.0) -> Engine:
        return Engine(
            which,
            Batch("B-1", PATIENT, PATIENT, 70.0),
            self.modules,
            self.operator,
            self.laboratory,
            LoopTime(),
            Journal(self.path),
            self.record,
            expected_phase_s=lambda step: expected_s,
            on_hold=on_hold,
            on_alarm=lambda alarm_id, message, active: self.alarms.append((alarm_id, active)),
        )

    def kinds(self, kind: str) -> list[Any]:
        return [event for event in self.record.events if event[0] == kind]


def outcome_of(which: Recipe, world: World | None = None) -> tuple[BatchOutcome, World]:
    world = world or World()

    async def main() -> BatchOutcome:
        return await world.engine(which).run()

    return run_virtual(main()), world


# -- formulas -------------------------------------------------------------------------------------------


def test_formulas_follow_the_parameters_and_bind_them() -> None:
    found = recipe("")
    assert found.constants() == {"amount": 1000.0, "from_day": 8.0, "to_day": 12.0, "window_d": 4.0, "twice": 2000.0}
    assert found.with_parameters({"amount": 500}).constants()["twice"] == 1000.0
    with pytest.raises(ParameterError, match=r"window_d = to_day - from_day is -1 d; allowed: 0 to 8"):
        found.with_parameters({"from_day": 9, "to_day": 8})


def test_parameters_are_overridden_with_their_unit() -> None:
    found = recipe("")
    assert found.with_settings({"amount": "800 uL", "to_day": "10"}).parameters["amount"].value == 800.0
    for settings, words in (
        ({"amount": "1 mL"}, "its unit is uL"),
        ({"amount": "much"}, "not a number"),
        ({"amount": "9000"}, "100 to 5000 uL"),
        ({"amont": "5"}, "no parameter 'amont'"),
    ):
        with pytest.raises(ParameterError, match=words):
            found.with_settings(settings)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("to_day - from_day", "to_day - later", "nothing before this step gives"),
        ("value: to_day - from_day, unit: d", "value: amount, unit: d", "its unit is uL, not d"),
        ("unit: d, range: [0, 8]", "unit: days, range: [0, 8]", "unknown unit"),
        ("range: [0, 8]", "range: [5, 8]", "allowed: 5 to 8"),
        ("window_d:", "amount:", "there twice|used before"),
        ("2 * amount", "batch.elapsed_h", "nothing before this step"),
        ("2 * amount", "amount / 0", "cannot be computed"),
        ("2 * amount", "amount > 5", "not a number"),
    ],
)
def test_mistakes_in_formulas_are_told(old: str, new: str, words: str) -> None:
    import re

    assert re.search(words, mistakes("", old, new))


# -- timers ---------------------------------------------------------------------------------------------

BUDGET = """\
          - {id: out, timer: {within_h: WITHIN, cause: "cells are out of the incubator"}}
          - {id: work, MOVE}
          - {id: back, stop_timer: out}
          - {id: keep, set: {out_h: {value: back.elapsed_h, unit: h}}}
          - {id: incubate, wait_timer: out, hours: 3}
""".replace("MOVE", MOVE.replace("VOLUME", "amount"))


def test_a_budget_that_is_kept_only_counts() -> None:
    found, world = outcome_of(recipe(BUDGET.replace("WITHIN", "1")))
    assert found.state == "completed"
    (stopped,) = world.kinds("timer_stopped")
    assert stopped[3]["elapsed_h"] == pytest.approx(0.5, abs=0.01)
    assert not world.kinds("timer_expired")


def test_a_budget_that_is_used_up_holds_with_its_cause() -> None:
    found, world = outcome_of(recipe(BUDGET.replace("WITHIN", "0.25")))
    assert found.state == "held"
    assert "more than 0.25 h: cells are out of the incubator" in found.reason
    assert len(world.kinds("timer_expired")) == 1


def test_a_timer_runs_on_while_the_coordinator_is_dead(tmp_path: Path) -> None:
    which = recipe(BUDGET.replace("WITHIN", "1"))

    async def main(away_s: float, path: Path) -> BatchOutcome:
        world = World(path)
        first = asyncio.ensure_future(world.engine(which).run())
        await asyncio.sleep(600.0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.sleep(away_s)
        return await world.engine(which).run()

    assert run_virtual(main(600.0, tmp_path / "a.db")).state == "completed"
    late = run_virtual(main(7200.0, tmp_path / "b.db"))
    assert (late.state, "cells are out" in late.reason) == ("held", True)


def test_an_expired_budget_may_end_as_rejected_and_after_a_restart_expires_once() -> None:
    which = recipe(BUDGET.replace("WITHIN", "0.25").replace('incubator"', 'incubator", otherwise: reject'))
    found, _ = outcome_of(which)
    assert found.state == "rejected"

    async def main() -> World:
        world = World()
        engine = world.engine(recipe(BUDGET.replace("WITHIN", "0.25")), on_hold="wait")
        running = asyncio.ensure_future(engine.run())
        await asyncio.sleep(1000.0)
        assert engine.state == "held"
        await engine.command("restart", "anna", "they look well")
        assert (await running).state == "completed"
        return world

    assert len(run_virtual(main()).kinds("timer_expired")) == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("stop_timer: out", "stop_timer: work", "no timer of this name"),
        ("wait_timer: out", "wait_timer: later", "no timer of this name"),
        ("within_h: 1", "within_h: soon", "not a number of hours"),
        ("within_h: 1, ", "", "key 'within_h' is missing"),
        ("value: back.elapsed_h", "value: out", "nothing before this step"),
        (", hours: 3", "", "waiting needs 'hours'"),
    ],
)
def test_mistakes_with_timers_are_told(old: str, new: str, words: str) -> None:
    assert words in mistakes(BUDGET.replace("WITHIN", "1"), old, new)


# -- the sampling plan ----------------------------------------------------------------------------------


def test_a_sample_of_the_plan_is_drawn_and_its_tests_are_ordered() -> None:
    found, world = outcome_of(recipe(""))
    assert found.state == "completed"
    drawn = [goal.fields for goal in world.modules.goals.values() if goal.action == "TakeSample"]
    assert [goal["volume_ul"] for goal in drawn] == [100.0, 50.0]
    assert [event[3]["tests"] for event in world.kinds("laboratory_ordered")] == [["endotoxin"]]
    assert [event[3]["share"] for event in world.kinds("sample_planned")] == [0.005, 0.025]


def test_samples_beyond_a_twentieth_of_the_cells_hold_before_they_are_drawn() -> None:
    found, world = outcome_of(recipe("          - {id: k, take: look}\n"))
    assert found.state == "held"
    assert "2.50% + 0.50% + 2.50% of a in one operation, at most 5.0%" in found.reason
    assert sum(goal.action == "TakeSample" for goal in world.modules.goals.values()) == 2


def test_mistakes_in_the_plan_are_told() -> None:
    assert "not in the sampling plan" in mistakes("          - {id: z, take: outlet}\n")
    assert "no step takes this sample" in mistakes("          - {id: i, take: inlet}\n", samples=False)
    assert "nothing before this step" in mistakes("", "10 * twice", "10 * thrice")
    assert "out of range" in mistakes("", "volume_ul: 50", "volume_ul: 5")


# -- typed answers --------------------------------------------------------------------------------------

WEIGH = """\
          - {id: weigh, prompt: "What does the bag weigh?", answer: {type: number, unit: kg, range: [0.1, 2]}}
          - {id: keep, set: {grams: {value: weigh.answer, unit: kg}}}
"""


def test_an_answer_comes_in_its_type_and_goes_into_the_record() -> None:
    found, world = outcome_of(recipe(WEIGH), World(answer=lambda question: "0.42 kg"))
    assert found.state == "completed"
    values = {event[3]["name"]: event[3]["value"] for event in world.kinds("measurement")}
    assert values == {"weigh": 0.42, "grams": 0.42}
    assert world.operator.asked[0].question == "What does the bag weigh? [a number from 0.1 to 2 kg]"


@pytest.mark.parametrize("answer", ["heavy", "3", "0.4 g", "nan", "", "inf"])
def test_an_answer_of_another_type_is_refused_and_three_of_them_hold(answer: str) -> None:
    found, world = outcome_of(recipe(WEIGH), World(answer=lambda question: answer))
    assert found.state == "held"
    assert "answered wrongly 3 times" in found.reason
    assert len(world.kinds("prompt_refused")) == 3


def test_a_question_that_nobody_answers_is_alarmed_until_somebody_does() -> None:
    async def main() -> World:
        world = World()
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def ask(question: Any) -> Any:
            from mimedi_nodes.process.gateway import Answer

            return Answer(await answer, "anna")

        world.operator.ask = ask  # type: ignore[method-assign]
        asyncio.get_running_loop().call_later(4 * 3600.0, answer.set_result, "0.4")
        steps = WEIGH.replace("2]}}", "2]}, within_h: 3}")
        assert (await world.engine(recipe(steps)).run()).state == "completed"
        return world

    world = run_virtual(main())
    assert world.alarms == [("coordinator.prompt_unanswered", True), ("coordinator.prompt_unanswered", False)]


def test_a_phase_that_hangs_is_alarmed_by_the_coordinator_too() -> None:
    async def main() -> World:
        world = World()
        world.modules.durations_s["TransferFluid"] = 9000.0
        steps = f"          - {{id: m, {MOVE.replace('VOLUME', 'amount')}}}\n"
        assert (await world.engine(recipe(steps), expected_s=1800.0).run()).state == "completed"
        return world

    world = run_virtual(main())
    assert world.alarms == [("coordinator.step_overdue", True), ("coordinator.step_overdue", False)]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (", unit: kg", "", "a number needs 'unit' and 'range'"),
        ("unit: kg, range: [0.1, 2]}", "unit: stone, range: [0.1, 2]}", "unknown unit"),
        ("type: number", "type: weight", "not one of the allowed values"),
        ("type: number", "type: text", "of no use for a text"),
        ("answer: {", "answers: [a], answer: {", "not beside 'answer'"),
        ("value: weigh.answer, unit: kg", "value: weigh.answer, unit: uL", "its unit is kg, not uL"),
    ],
)
def test_mistakes_in_answers_are_told(old: str, new: str, words: str) -> None:
    assert words in mistakes(WEIGH, old, new)


# -- sub-recipes ----------------------------------------------------------------------------------------

CALLS = """\
          - {id: one, use: wash, with: {source: a, volume_ul: "${amount}"}}
          - {id: two, use: wash, with: {source: b, volume_ul: "${one.left_ul}"}}
          - {id: keep, set: {rest: {value: one.left_ul + two.left_ul, unit: uL}}}
"""


def test_a_sub_recipe_sees_its_arguments_and_gives_its_results() -> None:
    which = recipe(CALLS)
    assert which.parts == {"wash": "1.2.0"}
    assert [phase.path for phase in which.phases()][:2] == ["work.first.one.out", "work.first.two.out"]
    found, world = outcome_of(which)
    assert found.state == "completed", found.reason
    moved = [g.fields for g in world.modules.goals.values() if g.action == "TransferFluid"]
    assert [(g["source"], g["volume_ul"]) for g in moved] == [("a", 1000.0), ("b", 500.0)]
    assert {e[3]["name"]: e[3]["value"] for e in world.kinds("measurement")}["rest"] == 750.0


def test_the_hash_of_a_recipe_covers_its_sub_recipes() -> None:
    other = read_recipe(HEAD + CALLS + BOTH, "r.yaml", library=lambda name: WASH + "\n")
    assert other.content_hash != recipe(CALLS).content_hash


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("use: wash", "use: rinse", "no such sub-recipe"),
        ("source: a, ", "", "argument source is missing"),
        ("source: a, ", "source: a, flow: 5, ", "has no parameter 'flow'"),
        ("source: a, ", "source: 5, ", "not a text"),
        ('"${amount}"', "5", "no number in the parameter's range"),
        ('"${amount}"', '"${from_day}"', "the unit is d, the parameter's uL"),
        ('"${amount}"', '"${out.volume_moved_ul}"', "nothing before this step"),
        ("one.left_ul + ", "one.out + ", "nothing before this step"),
    ],
)
def test_mistakes_at_a_call_are_told(old: str, new: str, words: str) -> None:
    assert words in mistakes(CALLS, old, new)


def test_mistakes_inside_a_sub_recipe_are_told_with_its_file_and_line() -> None:
    bad = WASH.replace("destination: w", "destination: 5").replace("half.left_ul", "half.right_ul")
    with pytest.raises(DiagnosticError) as caught:
        read_recipe(HEAD + CALLS + BOTH, "r.yaml", library=lambda name: bad)
    assert "parts/wash.yaml:7: wash.out.with.destination" in str(caught.value)
    assert "half.right_ul" in str(caught.value)
    endless = WASH.replace("wait_h: 1", "use: wash, with: {source: a, volume_ul: 50}")
    with pytest.raises(DiagnosticError, match="use each other too deeply"):
        read_recipe(HEAD + CALLS + BOTH, "r.yaml", library=lambda name: endless)


def test_sub_recipes_lie_beside_their_recipe(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "wash.yaml").write_text(WASH, encoding="utf-8")
    (tmp_path / "r.yaml").write_text(HEAD + CALLS + BOTH, encoding="utf-8")
    assert load_recipe(tmp_path / "r.yaml").parts == {"wash": "1.2.0"}


def test_a_crash_inside_a_sub_recipe_repeats_nothing(tmp_path: Path) -> None:
    which = recipe(CALLS)

    async def main() -> None:
        world = World(tmp_path / "j.db")
        for wait_s in (900.0, 900.0, 600.0, None):
            engine = asyncio.ensure_future(world.engine(which, on_hold="wait").run())
            if wait_s is None:
                assert (await engine).state == "completed"
            else:
                await asyncio.sleep(wait_s)
                engine.cancel()
                await asyncio.gather(engine, return_exceptions=True)
        assert all(goal.runs == 1 for goal in world.modules.goals.values())
        assert sum(goal.action == "TransferFluid" for goal in world.modules.goals.values()) == 2

    run_virtual(main())
