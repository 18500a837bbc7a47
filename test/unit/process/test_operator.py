# SPDX-License-Identifier: Apache-2.0
"""The scripted operator answers by rule, marks every answer as simulated, and says what it has no rule for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.gateway import Question
from mimedi_nodes.process.identity.identity import check_label, make_identifier
from mimedi_nodes.process.people.operator import NoAnswerError, ScriptedOperator

SHIPPED = Path(__file__).parents[3] / "config" / "operators" / "default.yaml"


def ask(operator: ScriptedOperator, question: str) -> str:
    answer = asyncio.run(operator.ask(Question("q", "B-1", question)))
    assert answer.simulated
    assert answer.who == "scripted operator"
    return answer.answer


def test_the_shipped_script_reads_right_labels_and_leaves_deviations_to_people() -> None:
    operator = ScriptedOperator(SHIPPED)
    mine = make_identifier("F1234", 26, 1)
    for product in ("apheresis", "vector", "dose_bag"):
        check_label(ask(operator, f"Scan the label of {product} for patient {mine}"), mine, product)
    assert ask(operator, "Are the supplies in place: buffer?") == "yes"
    assert ask(operator, "Viability is low. Go on?") == "hold"


def test_a_question_without_a_rule_is_named() -> None:
    with pytest.raises(NoAnswerError, match=r"default\.yaml has no rule for the question 'What now\?'"):
        ask(ScriptedOperator(SHIPPED), "What now?")


def test_every_error_of_a_script_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(
        "who: me\nanswers:\n  - {question: '(', answer: a}\n"
        "  - {question: b, answer: '\\g<x>', by: me}\n  - {question: c}\n"
    )
    with pytest.raises(DiagnosticError) as caught:
        ScriptedOperator(path)
    assert [(d.line, d.message.split(":")[0]) for d in caught.value.diagnostics] == [
        (3, "not a regular expression"),
        (4, "unknown key 'by'"),
        (4, "the pattern has no group 'x'"),
        (5, "key 'answer' is missing"),
    ]
    with pytest.raises(DiagnosticError, match="cannot be read"):
        ScriptedOperator(tmp_path / "none.yaml")
