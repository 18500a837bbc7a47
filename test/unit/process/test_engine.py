# SPDX-License-Identifier: Apache-2.0
"""The engine on virtual time: order, parallel branches, loops, decisions, hold and restart, commands."""

from __future__ import annotations

import asyncio
from typing import Any

from fakes import FakeModules, FakeOperator
from little_batch import MOVE, PATIENT, World, recipe_of, run

from mimedi_nodes.process.batch import BatchOutcome
from mimedi_nodes.process.engine.journal import Journal
from mimedi_nodes.process.gateway import PhaseOutcome


def test_phases_run_in_order_with_values_of_earlier_ones() -> None:
    recipe = recipe_of(f"""
        - {{id: move, {MOVE}}}
        - id: again
          do: fluidics/transfer_fluid
          with: {{source: b, destination: c, volume_ul: '${{move.volume_moved_ul * 2}}'}}
    """)
    outcome, world = run(
        recipe,
        modules=lambda: FakeModules(results={"TransferFluid": lambda g: {"volume_moved_ul": g["volume_ul"]}}),
    )
    assert outcome == BatchOutcome("completed")
    assert [goal.fields["volume_ul"] for goal in world.modules.goals.values()] == [1000.0, 2000.0]
    header = next(iter(world.modules.goals.values())).header
    assert (header.phase_id, header.batch_id, header.chain_of_identity) == ("work.first.move", "B-1", PATIENT)
    assert world.snapshots[-1].state == "complete"
    assert world.snapshots[-1].phases_done == world.snapshots[-1].phases_total == 2


def test_every_intent_is_in_the_journal_before_the_module_hears_of_it() -> None:
    seen: list[bool] = []

    class Watching(FakeModules):
        async def run_phase(self, module: str, action: str, goal: Any, header: Any, goal_id: str, on: Any) -> Any:
            seen.append(any(g["goal_id"] == goal_id for g in world_journal.goals()))
            return await super().run_phase(module, action, goal, header, goal_id, on)

    world_journal = Journal(":memory:")
    run(recipe_of(f"- {{id: move, {MOVE}}}"), modules=Watching, journal=world_journal)
    assert seen == [True]


PARALLEL = f"""
    - id: both
      parallel:
        main:
          - {{id: sort, {MOVE}}}
        mix:
          - {{id: mix, do: acoustic_sorter/mix_container, with: {{container: a, duration_s: 80000}}}}
          - {{id: after_mix, do: acoustic_sorter/mix_container, with: {{container: a, duration_s: 10}}}}
      until: main
    - {{id: last, {MOVE}}}
"""


def test_a_branch_that_accompanies_another_is_completed_with_it() -> None:
    times = {"TransferFluid": 500.0, "MixContainer": 80000.0}
    outcome, world = run(recipe_of(PARALLEL), modules=lambda: FakeModules(times, continuous=("MixContainer",)))
    assert outcome.state == "completed"
    assert [goal.status for goal in world.modules.started("MixContainer")] == ["succeeded"]
    assert world.snapshots[-1].time_s < 2000.0
    assert ("acoustic_sorter", "COMPLETE") in world.modules.commands


def test_a_companion_that_takes_no_complete_is_stopped() -> None:
    times = {"TransferFluid": 500.0, "MixContainer": 80000.0}
    outcome, world = run(recipe_of(PARALLEL), modules=lambda: FakeModules(times))
    assert outcome.state == "completed"
    assert [goal.status for goal in world.modules.started("MixContainer")] == ["canceled"]


def test_parallel_branches_without_until_wait_for_each_other() -> None:
    recipe = recipe_of(f"""
        - id: both
          parallel:
            one: [{{id: a, {MOVE}}}]
            two: [{{id: b, do: incubator/expand_culture, with: {{duration_h: 2}}}}]
    """)
    outcome, world = run(recipe, modules=lambda: FakeModules({"ExpandCulture": 7200.0}))
    assert outcome.state == "completed"
    assert world.snapshots[-1].time_s >= 7200.0
    assert any("both.a" in s.phase_id and "both.b" in s.phase_id for s in world.snapshots)


def test_a_loop_repeats_while_its_condition_holds_and_names_each_turn() -> None:
    recipe = recipe_of(f"""
        - {{id: count, set: {{n: {{value: "0", unit: "1"}}}}}}
        - id: again
          while: "batch.elapsed_h < 0.05"
          max: 10
          phases: [{{id: move, {MOVE}}}]
    """)
    outcome, world = run(recipe)
    assert outcome.state == "completed"
    assert [g.header.phase_id for g in world.modules.goals.values()] == [
        f"work.first.again.move#{n}" for n in (1, 2, 3)
    ]


def test_a_loop_that_does_not_end_holds() -> None:
    recipe = recipe_of(f"""
        - id: again
          while: "volume > 0"
          max: 2
          phases: [{{id: move, {MOVE}}}]
    """)
    outcome, world = run(recipe, on_hold="end")
    assert outcome.state == "held"
    assert "ran 2 times" in outcome.reason
    assert len(world.modules.goals) == 2


def test_conditions_choose_their_steps() -> None:
    recipe = recipe_of(f"""
        - id: choice
          if: "volume > 5000"
          then: [{{id: big, {MOVE}}}]
          else: [{{id: small, {MOVE}}}]
    """)
    _, world = run(recipe)
    assert [g.header.phase_id for g in world.modules.goals.values()] == ["work.first.choice.small"]


CHECK = "- {id: check, do: vision_qc/inspect_sample, with: {sample_id: S}}"
LOW = '- {if: "check.viability < 0.8", decide: DECIDE, cause: "viability ${check.viability} is low"ASK}'


def test_a_decision_rejects_with_its_cause() -> None:
    recipe = recipe_of(CHECK, LOW.replace("DECIDE", "reject").replace("ASK", ""))
    outcome, world = run(recipe, modules=lambda: FakeModules(results={"InspectSample": {"viability": 0.5}}))
    assert outcome == BatchOutcome("rejected", "viability 0.5 is low")
    assert world.engine.state == "stopped"
    assert world.record.of("batch_ended")[0][3]["state"] == "rejected"


def test_an_unknown_value_in_a_decision_holds_and_never_passes() -> None:
    recipe = recipe_of(CHECK, LOW.replace("DECIDE", "reject").replace("ASK", ""))
    results = {"InspectSample": {"viability": float("nan")}}
    outcome, _ = run(recipe, modules=lambda: FakeModules(results=results), on_hold="end")
    assert outcome.state == "held"
    assert "check.viability is unknown" in outcome.reason


def test_a_question_decides_between_going_on_and_rejecting() -> None:
    then = LOW.replace("DECIDE", "hold").replace("ASK", ', ask: "Go on with ${check.viability}?"')
    recipe = recipe_of(CHECK, then)
    for answer, state in (("continue", "completed"), ("reject", "rejected"), ("hold", "held")):
        outcome, world = run(
            recipe,
            modules=lambda: FakeModules(results={"InspectSample": {"viability": 0.5}}),
            operator=FakeOperator(lambda question, answer=answer: answer),
            on_hold="end",
        )
        assert outcome.state == state
        assert [q.question for q in world.operator.asked] == ["Go on with 0.5?"]
        assert [e[3]["simulated"] for e in world.record.of("prompt_answered")] == [True]


def test_a_decision_in_a_branch_holds_what_runs_beside_it() -> None:
    recipe = recipe_of(f"""
        - id: both
          parallel:
            main: [{{id: move, {MOVE}}}]
            look:
              - {CHECK.removeprefix("- ")}
              - id: good
                decide: hold
                when: "check.viability < 0.8"
                cause: "viability ${{check.viability}} is low"
                ask: "Go on?"
          until: main
    """)
    times = {"TransferFluid": 500.0, "InspectSample": 20.0}
    for viability, answer, state in (
        (0.9, "", "completed"),
        (0.5, "continue", "completed"),
        (0.5, "hold", "held"),
        (0.5, "reject", "rejected"),
    ):
        outcome, world = run(
            recipe,
            modules=lambda viability=viability: FakeModules(times, {"InspectSample": {"viability": viability}}),
            operator=FakeOperator(lambda question, answer=answer: answer),
            on_hold="end",
        )
        assert outcome.state == state
        assert (("fluidics", "HOLD") in world.modules.commands) == (viability < 0.8)
        assert (("fluidics", "UNHOLD") in world.modules.commands) == (answer == "continue")
        assert [goal.runs for goal in world.modules.started("TransferFluid")] == [1]
        if state != "completed":
            assert outcome.reason == "viability 0.5 is low"


def test_hold_reaches_the_module_and_restart_goes_on_with_the_same_goal() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(20.0)
        assert (await world.engine.command("hold", "anna", "to look")).state == "held"
        assert world.engine.hold_reason == "to look"
        await asyncio.sleep(1000.0)
        assert [g.status for g in world.modules.goals.values()] == ["held"]
        assert not (await world.engine.command("resume", "anna", "wrong word")).accepted
        assert (await world.engine.command("restart", "anna", "looked")).state == "running"

    outcome, world = run(recipe_of(f"- {{id: move, {MOVE}}}"), script)
    assert outcome.state == "completed"
    assert len(world.modules.goals) == 1
    assert world.modules.commands == [("fluidics", "HOLD"), ("fluidics", "UNHOLD")]
    assert world.snapshots[-1].time_s >= 1060.0
    who = [(e[1], e[3]["by"], e[3]["accepted"]) for e in world.record.of("command")]
    assert who == [("hold", "anna", True), ("resume", "anna", False), ("restart", "anna", True)]


def test_pause_and_resume_reach_the_module() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(20.0)
        assert (await world.engine.command("pause", "anna", "lunch")).state == "paused"
        await asyncio.sleep(100.0)
        assert len(world.modules.goals) == 1, "no new step begins while paused"
        assert (await world.engine.command("resume", "anna", "back")).state == "running"

    recipe = recipe_of(f"- {{id: move, {MOVE}}}\n- {{id: then, {MOVE}}}")
    outcome, world = run(recipe, script, lambda: FakeModules({"TransferFluid": 500.0}))
    assert outcome.state == "completed"
    assert world.modules.commands == [("fluidics", "PAUSE"), ("fluidics", "RESUME")]


def test_stop_and_abort_end_the_modules_and_the_batch() -> None:
    for command, status, state in (("stop", "canceled", "stopped"), ("abort", "aborted", "aborted")):

        async def script(world: World, command: str = command) -> None:
            await asyncio.sleep(20.0)
            assert (await world.engine.command(command, "anna", "enough")).accepted

        outcome, world = run(recipe_of(f"- {{id: move, {MOVE}}}\n- {{id: then, {MOVE}}}"), script)
        assert outcome == BatchOutcome(state, "enough")  # type: ignore[arg-type]
        assert [g.status for g in world.modules.goals.values()] == [status]
        assert not world.record.of("phase_failed")


def test_a_module_that_holds_by_itself_holds_the_procedure_until_restart() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(20.0)
        world.modules.hold_by_itself("fluidics")
        await world.engine.report_held("fluidics", "scale_bank is silent")
        assert world.engine.state == "held"
        assert "scale_bank is silent" in world.engine.hold_reason
        await asyncio.sleep(100.0)
        await world.engine.command("restart", "anna", "plugged in again")

    outcome, world = run(recipe_of(f"- {{id: move, {MOVE}}}"), script)
    assert outcome.state == "completed"
    assert world.modules.commands == [("fluidics", "UNHOLD")], "the module held itself, it is not told to"


def test_a_held_module_ends_an_unattended_batch_with_its_reason() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(20.0)
        world.modules.hold_by_itself("fluidics")
        await world.engine.report_held("fluidics", "scale_bank is silent")

    outcome, _ = run(recipe_of(f"- {{id: move, {MOVE}}}"), script, on_hold="end")
    assert outcome == BatchOutcome("held", "work.first.move (fluidics) is held: scale_bank is silent")


def test_a_failed_phase_holds_and_is_tried_with_a_new_goal_after_restart() -> None:
    def modules() -> FakeModules:
        fake = FakeModules()
        failure = PhaseOutcome("aborted", {"error_code": 110, "error_msg": "source is empty"})
        fake.fail_next["TransferFluid"] = [failure]
        return fake

    async def script(world: World) -> None:
        await asyncio.sleep(100.0)
        assert world.engine.hold_reason == "work.first.move (fluidics) (code 110): source is empty"
        await world.engine.command("restart", "anna", "filled up")

    outcome, world = run(recipe_of(f"- {{id: move, {MOVE}}}"), script, modules)
    assert outcome.state == "completed"
    assert [g.status for g in world.modules.goals.values()] == ["aborted", "succeeded"]
    assert [g["attempt"] for g in world.journal.goals()] == [1, 2]


def test_a_module_that_dies_and_comes_back_goes_on_by_itself_within_its_outage() -> None:
    grow = "- {id: grow, do: incubator/expand_culture, with: {duration_h: 2}, resume: auto, max_outage_h: 1}"

    async def script(world: World) -> None:
        await asyncio.sleep(600.0)
        world.modules.interrupt("incubator")
        world.modules.lost.add("incubator")
        world.modules.wake()
        await asyncio.sleep(1200.0)
        world.modules.lost.clear()

    outcome, world = run(recipe_of(grow), script, lambda: FakeModules({"ExpandCulture": 7200.0}))
    assert outcome.state == "completed"
    assert [g.runs for g in world.modules.goals.values()] == [2]
    assert not world.record.of("state_changed")[1:-1]


def test_a_module_that_stays_away_holds() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(20.0)
        world.modules.lost.add("fluidics")
        world.modules.wake()

    outcome, _ = run(recipe_of(f"- {{id: move, {MOVE}}}"), script, on_hold="end")
    assert outcome.state == "held"
    assert "module fluidics does not answer" in outcome.reason


def test_steps_not_yet_there_are_recorded() -> None:
    recipe = recipe_of("- {id: room, not_yet: {step: 2, module: enclosure, reason: comes later}}")
    outcome, world = run(recipe)
    assert outcome.state == "completed"
    (event,) = world.record.of("step_not_available")
    assert (event[1], event[2], event[3]["step"]) == ("work.first.room", "comes later", "2")


def test_waiting_takes_process_time() -> None:
    outcome, world = run(recipe_of('- {id: pause, wait_h: "${volume / 500}"}'))
    assert outcome.state == "completed"
    assert world.snapshots[-1].time_s == 7200.0


def test_progress_rises_and_remaining_time_falls() -> None:
    recipe = recipe_of(
        "- {id: grow, do: incubator/expand_culture, with: {duration_h: 2}, expected_h: 2}\n- {id: w, wait_h: 2}"
    )
    _, world = run(recipe, modules=lambda: FakeModules({"ExpandCulture": 7200.0}))
    progress = [s.progress for s in world.snapshots if s.progress == s.progress]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert world.snapshots[0].expected_remaining_h == 4.0
