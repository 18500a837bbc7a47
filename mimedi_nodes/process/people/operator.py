# SPDX-License-Identifier: Apache-2.0
"""A scripted operator: answers questions from a file, every answer marked as simulated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..diagnostics import Diagnostic, DiagnosticError
from ..errors import WorkcellError
from ..gateway import Answer, Question
from ..yaml_tree import Reader, Tree


class NoAnswerError(WorkcellError):
    """The script has no rule for a question."""


@dataclass(frozen=True)
class Rule:
    """A question's pattern and its answer, in which `\\g<name>` stands for a group of the pattern."""

    pattern: re.Pattern[str]
    answer: str
    who: str
    why: str


class ScriptedOperator:
    """An OperatorGateway that answers by the first rule that fits the question.

    Args:
        path: YAML file with `who` and a list `answers` of `{question, answer, who?, why?}`, where `question`
            is a regular expression that is searched for in the question.

    Raises:
        DiagnosticError: with everything that is wrong in the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = Reader(path.name)
        try:
            tree = reader.load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DiagnosticError([Diagnostic(str(path), 0, "", None, f"cannot be read: {error}")]) from error
        top = reader.mapping(tree, ("who", "answers"))
        who = reader.text(top.get("who"))
        rules = [_rule(reader, item, who) for item in reader.items(top.get("answers"), at_least=1)]
        reader.finish()
        self.rules = tuple(rule for rule in rules if rule is not None)

    async def ask(self, question: Question) -> Answer:
        """Return the scripted answer; raises NoAnswerError when no rule fits."""
        for rule in self.rules:
            match = rule.pattern.search(question.question)
            if match is not None:
                return Answer(match.expand(rule.answer), rule.who, rule.why, simulated=True)
        raise NoAnswerError(
            f"{self.path.name} has no rule for the question {question.question!r} (id {question.prompt_id}); add one"
        )


def _rule(reader: Reader, tree: Tree, who: str) -> Rule | None:
    items = reader.mapping(tree, ("question", "answer"), ("who", "why"))
    pattern, answer = reader.text(items.get("question")), reader.text(items.get("answer"))
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        reader.wrong(items["question"], f"not a regular expression: {error}")
        return None
    for name in re.findall(r"\\g<([^>]*)>", answer):
        if name not in compiled.groupindex:
            reader.wrong(
                items["answer"], f"the pattern has no group {name!r}", ", ".join(compiled.groupindex)
            )
            return None
    return Rule(compiled, answer, reader.text(items.get("who"), default=who), reader.text(items.get("why")))
