# SPDX-License-Identifier: Apache-2.0
"""Evaluates a product's specification against the facts of its record. Unknown is never fine.

The program finds whether a batch meets its specification; a person releases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .errors import UnknownValueError, WorkcellError
from .expressions import ExpressionError
from .expressions import evaluate as evaluate_expression

TestVerdict = Literal["pass", "fail", "pending", "unknown"]
Verdict = Literal["meets_provisionally", "meets", "rejected", "held", "incomplete"]

STAGES = ("provisional", "final")
GROUPS = ("release", "in_process")


class SpecificationError(WorkcellError):
    """A specification cannot be used; says which test and why."""


@dataclass(frozen=True)
class Row:
    """One test of the release table.

    Args:
        criterion: the limit as the specification has it.
        reason: why the test did not pass, empty when it did.
    """

    id: str
    title: str
    source: str
    criterion: Mapping[str, Any]
    value: Any
    unit: str
    stage: str
    group: str
    method: str
    reference: str
    verdict: TestVerdict
    reason: str = ""


@dataclass(frozen=True)
class Evaluation:
    """Verdict over all tests, and the rows that it follows from."""

    verdict: Verdict
    rows: tuple[Row, ...]
    reasons: tuple[str, ...] = ()


def evaluate(specification: Mapping[str, Any], facts: Mapping[str, Any]) -> Evaluation:
    """Return the verdict of a specification on the facts of a batch.

    Args:
        specification: content of `config/products/<product>.yaml`.
        facts: nested mappings of what the record says; what nobody told is missing or None. `ended.state` and
            `ended.reason` tell how the procedure ended.

    Raises:
        SpecificationError: a test is malformed.
    """
    tests = specification.get("tests")
    if not isinstance(tests, Sequence) or isinstance(tests, str) or not tests:
        raise SpecificationError("the specification has no tests; a product without tests cannot be released")
    rows = tuple(_row(test, facts) for test in (*_implied(facts), *tests))
    reasons = [f"{row.title}: {row.reason}" for row in rows if row.reason]
    ended = facts.get("ended") or {}
    if ended.get("reason"):
        reasons.insert(0, f"the batch ended {ended.get('state')}: {ended['reason']}")
    # Facts of a record name its batch; one that has not ended yet is running.
    state = str(ended.get("state") or ("running" if facts.get("batch") else "completed"))
    return Evaluation(_with_end(_overall(rows), state), rows, tuple(reasons))


def _implied(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tests that hold for every product, whatever its specification says."""
    if not facts.get("batch"):
        return []  # values of somewhere else than a record
    return [_PRODUCTION]


_PRODUCTION = {
    "id": "run_kind",
    "title": "Kind of run",
    "source": "batch.run_kind",
    "criterion": {"equals": "production"},
    "unit": "kind",
    "stage": "provisional",
    "group": "release",
    "method": "start of the batch, approved recipe",
    "reference": "an engineering run is never released",
}


def _with_end(verdict: Verdict, state: str) -> Verdict:
    """Return the verdict of a batch whose procedure ended in `state`: only a completed one can meet anything."""
    if state == "running":
        return "incomplete"
    if state == "rejected":
        return "rejected"
    return verdict if state == "completed" or verdict == "rejected" else "held"


def _overall(rows: Sequence[Row]) -> Verdict:
    """Return the verdict over all rows: a failed release test rejects, anything else open is a person's decision."""
    if any(row.verdict == "fail" and row.group == "release" for row in rows):
        return "rejected"
    if any(row.verdict in ("fail", "unknown") for row in rows):
        return "held"
    return "meets_provisionally" if any(row.verdict == "pending" for row in rows) else "meets"


def _row(test: Mapping[str, Any], facts: Mapping[str, Any]) -> Row:
    name = str(test.get("id", "?"))
    missing = [key for key in ("id", "title", "source", "criterion", "unit", "stage") if key not in test]
    if missing:
        raise SpecificationError(f"test {name} lacks {', '.join(missing)}")
    stage, group = str(test["stage"]), str(test.get("group", "release"))
    if stage not in STAGES or group not in GROUPS:
        raise SpecificationError(
            f"test {name}: stage {stage!r} is one of {', '.join(STAGES)}, group {group!r} one of {', '.join(GROUPS)}"
        )
    passes = _criterion(name, test["criterion"])
    source = str(test["source"])
    value: Any = None
    verdict: TestVerdict
    reason = ""
    try:
        value = evaluate_expression(source, facts)
        verdict = "pass" if passes(value) else "fail"
        if verdict == "fail":
            reason = f"{value!r} {test['unit']} is not {_said(test['criterion'])}"
    except UnknownValueError as error:
        # A result that came and is no number is not awaited any more: it must not pass for a pending one.
        awaited = stage == "final" and value is None
        verdict = "pending" if awaited else "unknown"
        reason = "result awaited" if awaited else str(error)
    except ExpressionError as error:
        verdict, reason = "unknown", str(error)
    return Row(
        name,
        str(test["title"]),
        source,
        dict(test["criterion"]),
        value,
        str(test["unit"]),
        stage,
        group,
        str(test.get("method", "")),
        str(test.get("reference", "")),
        verdict,
        reason,
    )


_KINDS = "min, max, below, above, equals, between, reported"


def _criterion(name: str, criterion: Any) -> Callable[[Any], bool]:
    """Return the check of a criterion; raises SpecificationError when it is none."""
    if not isinstance(criterion, Mapping) or len(criterion) != 1:
        raise SpecificationError(f"test {name}: a criterion is exactly one of {_KINDS}")
    ((kind, limit),) = criterion.items()
    if kind == "equals":
        return lambda value: (type(value) is type(limit) and value == limit) or _same_number(value, limit)
    if kind == "reported" and limit == "number":
        return _number
    if kind == "between" and isinstance(limit, Sequence) and len(limit) == 2 and all(map(_is_number, limit)):
        return lambda value: _number(value) and limit[0] <= value <= limit[1]
    if _is_number(limit):
        if kind == "min":
            return lambda value: _number(value) and value >= limit
        if kind == "max":
            return lambda value: _number(value) and value <= limit
        if kind == "below":
            return lambda value: _number(value) and value < limit
        if kind == "above":
            return lambda value: _number(value) and value > limit
    raise SpecificationError(f"test {name}: criterion {kind}: {limit!r} is none of the grammar's")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> bool:
    if not _is_number(value):
        raise UnknownValueError(f"{value!r} is no number, so that no limit applies to it")
    return True


def _same_number(value: Any, limit: Any) -> bool:
    return _is_number(value) and _is_number(limit) and value == limit


def _said(criterion: Mapping[str, Any]) -> str:
    ((kind, limit),) = criterion.items()
    if kind == "between":
        return f"between {limit[0]:g} and {limit[1]:g}"
    if kind == "reported":
        return "a number"
    words = {"min": "at least", "max": "at most", "below": "below", "above": "above", "equals": "equal to"}
    return f"{words[kind]} {limit}"
