# SPDX-License-Identifier: Apache-2.0
"""Review of a batch: the verdict that a specification gives to the facts of the record, and the release table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .events import RecordEvent
from .facts import Facts, gather_facts

VERDICTS = {
    "meets_provisionally": "Meets its specification, provisionally",
    "meets": "Meets its specification",
    "rejected": "Does not meet its specification",
    "held": "Held: a decision is wanted",
    "incomplete": "Incomplete: no verdict yet",
}
"""Verdicts and how they are said. The program finds; a person releases."""


class Evaluation(Protocol):
    """What an evaluation returns: a key of `VERDICTS`, and per test a row with the fields of `ReleaseRow`."""

    @property
    def verdict(self) -> str:
        """Verdict over all tests."""
        ...

    @property
    def rows(self) -> Sequence[Any]:
        """Rows of the release table: mappings or dataclasses."""
        ...


Evaluate = Callable[[Mapping[str, Any], Mapping[str, Any]], Evaluation]
"""Evaluates a specification (config/products) against the values of the facts; lives in the process layer."""


@dataclass(frozen=True)
class ReleaseRow:
    """One test of the release table.

    Args:
        verdict: `pass`, `fail`, `pending` (awaited, allowed at this stage) or `unknown` (holds).
        reason: why, when it did not pass.
        low: lower end of the 95 % interval of the value, None when unknown.
        high: upper end of it.
        status: of a laboratory's result, such as final or pending; empty for a computed value.
    """

    id: str
    title: str
    criterion: str
    value: Any
    unit: str
    stage: str
    group: str
    method: str
    reference: str
    verdict: str
    reason: str = ""
    low: float | None = None
    high: float | None = None
    status: str = ""


@dataclass
class Review:
    """A reviewed batch."""

    facts: Facts
    specification: Mapping[str, Any]
    verdict: str
    rows: list[ReleaseRow] = field(default_factory=list)


def review(events: Iterable[RecordEvent], specification: Mapping[str, Any], evaluate: Evaluate) -> Review:
    """Evaluate the release of a batch from the events of its record.

    Args:
        events: events of the record, in its order.
        specification: content of `config/products/<product>.yaml`.
        evaluate: evaluation of a specification against facts, of the process layer.
    """
    facts = gather_facts(events)
    evaluation = evaluate(specification, facts.values)
    tests = {str(test.get("id")): test for test in specification.get("tests", ())}
    rows = [_row(_mapping(row), tests, facts) for row in evaluation.rows]
    return Review(facts, specification, str(evaluation.verdict), rows)


def criterion_text(criterion: Mapping[str, Any]) -> str:
    """Return a criterion as people write it: `≥ 0.80`."""
    words = {"min": "≥ {}", "max": "≤ {}", "below": "< {}", "above": "> {}", "equals": "{}"}
    for name, limit in criterion.items():
        if name == "between":
            return f"{number_text(limit[0])} to {number_text(limit[1])}"
        if name == "reported":
            return "no limit"
        if name in words:
            return words[name].format(number_text(limit))
    return ""


def number_text(value: Any, digits: int = 4) -> str:
    """Return a value for people: few digits, powers of ten for large numbers, a dash for unknown."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) < 100_000:
        return str(value)
    if isinstance(value, (int, float)):
        if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
            mantissa, exponent = f"{value:.{digits - 2}e}".split("e")
            return f"{mantissa} × 10{_superscript(int(exponent))}"
        if abs(value) >= 1000.0:
            return f"{value:,.0f}".replace(",", "\u202f")
        # Shares keep their two places: 0.80, not 0.8.
        return f"{value:.2f}" if 0.0 < abs(value) < 10.0 and round(value, 2) == value else f"{value:.{digits}g}"
    return str(value)


def unit_text(unit: str) -> str:
    """Return a unit of an interface or specification as people write it."""
    return {"1": "", "1/m3": "/m³", "degC": "°C", "uL": "µL", "um": "µm", "mm": "mmol/L"}.get(unit, unit)


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _status(source: str, facts: Facts) -> str:
    """Status of the laboratory results that a test's source reads; empty when it reads none."""
    read = [detail.status for name, detail in facts.details.items() if name in source and name.startswith("lab.")]
    return ", ".join(dict.fromkeys(status for status in read if status))


def _mapping(row: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return dataclasses.asdict(row)
    return dict(row)


def _row(row: Mapping[str, Any], tests: Mapping[str, Mapping[str, Any]], facts: Facts) -> ReleaseRow:
    test = tests.get(str(row.get("id")), {})
    source = str(row.get("source") or test.get("source") or "")
    detail = facts.details.get(source)
    criterion = row.get("criterion") or test.get("criterion") or ""
    return ReleaseRow(
        id=str(row.get("id", "")),
        title=str(row.get("title") or test.get("title") or row.get("id", "")),
        criterion=criterion_text(criterion) if isinstance(criterion, Mapping) else str(criterion),
        value=row.get("value"),
        unit=str(row.get("unit") or test.get("unit") or ""),
        stage=str(row.get("stage") or test.get("stage") or ""),
        group=str(row.get("group") or test.get("group") or "release"),
        method=str(row.get("method") or test.get("method") or ""),
        reference=str(row.get("reference") or test.get("reference") or ""),
        verdict=str(row.get("verdict") or row.get("status") or "unknown"),
        reason=str(row.get("reason") or ""),
        low=row.get("low") if row.get("low") is not None else (detail.low if detail else None),
        high=row.get("high") if row.get("high") is not None else (detail.high if detail else None),
        status=_status(source, facts),
    )
