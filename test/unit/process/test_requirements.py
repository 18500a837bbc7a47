# SPDX-License-Identifier: Apache-2.0
"""What phases require of the room: inherited from above, overridden below, and never left unsaid in production."""

from __future__ import annotations

from typing import Any

import pytest

from mimedi_nodes.commands.parts.step_text import text_of
from mimedi_nodes.process.diagnostics import Diagnostic, DiagnosticError
from mimedi_nodes.process.recipes.loader import read_recipe
from mimedi_nodes.process.recipes.recipe import Recipe

MOVE = "do: fluidics/transfer_fluid, with: {source: a, destination: b}"
TEXT = f"""\
recipe: little
version: 1.0.0
status: approved
product: little
requires: {{processing: closed, grade: D}}
procedure:
  - unit_procedure: one
    operations:
      - operation: plain
        phases:
          - {{id: head, {MOVE}}}
          - {{id: own, {MOVE}, requires: {{background: true}}}}
          - id: loop
            while: head.volume_moved_ul < 0
            max: 2
            phases:
              - {{id: inside, {MOVE}}}
      - operation: connect
        requires: {{processing: open, grade: A}}
        phases:
          - {{id: opened, {MOVE}}}
          - {{id: shut, {MOVE}, requires: {{processing: closed}}}}
          - {{id: part, use: wash}}
  - unit_procedure: two
    requires: {{grade: C}}
    operations:
      - operation: rest
        phases:
          - {{id: room, do: enclosure/verify_grade, with: {{grade: A, duration_s: 600}}}}
          - {{id: called, use: wash}}
"""
WASH = f"""\
sub_recipe: wash
version: 1.0.0
phases:
  - {{id: out, {MOVE}}}
  - {{id: strict, {MOVE}, requires: {{grade: B}}}}
"""


def read(text: str, wash: str = WASH) -> Recipe:
    return read_recipe(text, "r.yaml", library=lambda name: wash if name == "wash" else None)


def mistakes(text: str) -> list[Diagnostic]:
    with pytest.raises(DiagnosticError) as caught:
        read(text)
    return list(caught.value.diagnostics)


def test_what_stands_further_in_prevails_key_by_key() -> None:
    found = {phase.path.partition(".")[2]: dict(phase.requires) for phase in read(TEXT).phases()}
    closed_d: dict[str, Any] = {"processing": "closed", "grade": "D"}
    assert found == {
        "plain.head": closed_d,
        "plain.own": {**closed_d, "background": True},
        "plain.loop.inside": closed_d,
        "connect.opened": {"processing": "open", "grade": "A"},
        "connect.shut": {"processing": "closed", "grade": "A"},
        "connect.part.out": {"processing": "open", "grade": "A"},
        "connect.part.strict": {"processing": "open", "grade": "B"},
        "rest.room": {"processing": "closed", "grade": "C"},
        "rest.called.out": {"processing": "closed", "grade": "C"},
        "rest.called.strict": {"processing": "closed", "grade": "B"},
    }


def test_a_sub_recipe_may_say_it_for_all_its_phases() -> None:
    recipe = read(TEXT, WASH.replace("phases:", "requires: {grade: A}\nphases:", 1))
    grades = {phase.path: phase.requires["grade"] for phase in recipe.phases() if "called" in phase.path}
    assert grades == {"two.rest.called.out": "A", "two.rest.called.strict": "B"}


def test_every_phase_of_a_production_recipe_says_what_it_requires() -> None:
    found = mistakes(TEXT.replace("requires: {processing: closed, grade: D}\n", "", 1))
    lines = TEXT.splitlines()
    said = [(d.path, lines[d.line].strip()[:12], d.message) for d in found]
    both, one = (f"the phase does not say what {what} it requires" for what in ("processing and grade", "processing"))
    # One line less: that of the head.
    assert said == [
        ("one.plain.head", "- {id: head,", both),
        ("one.plain.own.requires", "- {id: own, ", both),
        ("one.plain.loop.inside", "- {id: insid", both),
        ("two.rest.called", "- {id: calle", one),
        ("two.rest.called", "- {id: calle", one),
    ]
    assert "here, or at the operation, unit procedure or recipe" in found[0].allowed


def test_a_draft_may_leave_it_unsaid_but_not_for_an_open_phase() -> None:
    draft = TEXT.replace("status: approved", "status: draft").replace(
        "requires: {processing: closed, grade: D}\n", "", 1
    )
    assert read(draft).status == "draft"
    (found,) = mistakes(draft.replace("{background: true}", "{processing: open}"))
    assert (found.path, found.message) == ("one.plain.own.requires", "the phase does not say what grade it requires")


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("requires: {processing: closed, grade: E}", "not one of the allowed values"),
        ("requires: {processing: ajar, grade: D}", "not one of the allowed values"),
        ("requires: {processing: closed, class: D}", "unknown key 'class'"),
        ("requires: D", "not a mapping"),
        ("requires: {processing: closed, grade: D, background: 1}", "not true or false"),
    ],
)
def test_a_wrong_requirement_is_told_with_its_line(new: str, words: str) -> None:
    found = mistakes(TEXT.replace("requires: {processing: closed, grade: D}", new, 1))
    assert any(words in d.message and d.line == 5 and d.path.startswith("requires") for d in found), found


def test_show_tells_it() -> None:
    said = {phase.id: text_of(phase) for phase in read(TEXT).phases()}
    assert said["own"].endswith("grade D, closed, photon background")
    assert said["opened"].endswith("grade A, open")
