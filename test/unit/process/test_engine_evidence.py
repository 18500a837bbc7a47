# SPDX-License-Identifier: Apache-2.0
"""The engine and what comes from outside: scanned labels and the results of laboratories."""

from __future__ import annotations

import asyncio

from fakes import FakeOperator
from little_batch import MOVE, PATIENT, World, lab_record, recipe_of, run

from mimedi_nodes.process.identity.identity import make_identifier, make_label


def test_a_wrong_label_is_refused_and_nothing_moves() -> None:
    other = make_label(make_identifier("F1234", 26, 2), "apheresis").text
    right = make_label(PATIENT, "apheresis").text
    scan = (
        """
        - id: scan
          prompt: "Scan the apheresis"
          identity: {chain_of_identity: "${batch.donor_id}", product: apheresis}
    """
        + f"\n        - {{id: move, {MOVE}}}"
    )
    outcome, world = run(recipe_of(scan), operator=FakeOperator(lambda question: other), on_hold="end")
    assert outcome.state == "held"
    assert "wrong patient" in outcome.reason
    assert not world.modules.goals
    outcome, world = run(recipe_of(scan), operator=FakeOperator(lambda question: right), on_hold="end")
    assert outcome.state == "completed"


def test_a_wrong_label_can_be_scanned_again_after_a_restart() -> None:
    labels = [make_label(PATIENT, "buffer").text, make_label(PATIENT, "apheresis").text]

    async def script(world: World) -> None:
        await asyncio.sleep(100.0)
        assert "wrong container" in world.engine.hold_reason
        await world.engine.command("restart", "anna", "right bag now")

    outcome, world = run(
        recipe_of("""
            - id: scan
              prompt: "Scan the apheresis"
              identity: {chain_of_identity: "${batch.donor_id}", product: apheresis}
        """),
        script,
        operator=FakeOperator(lambda question: labels.pop(0)),
    )
    assert outcome.state == "completed"
    assert len(world.record.of("identity_refused")) == 1


LABORATORY = """
    - {id: take, do: fluidics/take_sample, with: {container: a, destination: sample_port, test_point: final}}
    - {id: order, laboratory: [endotoxin, sterility], sample: "${take.sample_id}", purpose: release}
    - {id: lab, await_results: {endotoxin: EU/mL}, sample: "${take.sample_id}", timeout_h: 24}
    - id: saved
      set:
        endotoxin: {value: lab.endotoxin, unit: EU/mL, low: lab.endotoxin_low, high: lab.endotoxin_high}
"""


def test_laboratory_results_are_awaited_and_recorded_with_their_interval() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(7200.0)
        world.engine.submit_laboratory_result(lab_record())

    outcome, world = run(recipe_of(LABORATORY), script)
    assert outcome.state == "completed"
    assert world.laboratory.orders == {("sample_id-x", "endotoxin"): 1, ("sample_id-x", "sterility"): 1}
    (event,) = world.record.of("measurement")
    assert {k: event[3][k] for k in ("name", "value", "low", "high", "unit")} == {
        "name": "endotoxin",
        "value": 0.1,
        "low": 0.05,
        "high": 0.2,
        "unit": "EU/mL",
    }


def test_results_that_only_steer_the_process_are_not_the_products() -> None:
    async def script(world: World) -> None:
        await asyncio.sleep(7200.0)
        world.engine.submit_laboratory_result(lab_record())

    for purpose, kind in (("release", "laboratory_result"), ("in_process", "laboratory_in_process")):
        _, world = run(recipe_of(LABORATORY.replace("purpose: release", f"purpose: {purpose}")), script)
        kinds = [event[0] for event in world.record.events if event[1] == "endotoxin" and "laboratory" in event[0]]
        assert kinds == [kind]


def test_missing_and_wrong_laboratory_results_hold_naming_the_test() -> None:
    outcome, world = run(recipe_of(LABORATORY), on_hold="end")
    assert outcome.state == "held"
    assert "no result within 24 h for endotoxin" in outcome.reason
    assert world.snapshots[-1].time_s >= 86400.0

    async def script(world: World) -> None:
        await asyncio.sleep(7200.0)
        world.engine.submit_laboratory_result(lab_record(unit="EU"))

    outcome, _ = run(recipe_of(LABORATORY), script, on_hold="end")
    assert "'EU'" in outcome.reason
