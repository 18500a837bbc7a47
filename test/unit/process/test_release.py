# SPDX-License-Identifier: Apache-2.0
"""Release: each criterion accepts and refuses at its limit, and unknown is never fine."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mimedi_nodes.process.release import SpecificationError, evaluate


def one_test(criterion: dict[str, Any], stage: str = "provisional", group: str = "release") -> dict[str, Any]:
    return {
        "id": "t", "title": "T", "source": "lab.t", "criterion": criterion, "unit": "1", "stage": stage, "group": group,
    }  # fmt: skip


def verdict_of(
    value: Any, criterion: dict[str, Any], stage: str = "provisional", group: str = "release"
) -> tuple[str, str]:
    found = evaluate({"tests": [one_test(criterion, stage, group)]}, {"lab": {"t": value}})
    return found.rows[0].verdict, found.verdict


@pytest.mark.parametrize(
    ("criterion", "good", "bad"),
    [
        ({"min": 0.8}, [0.8, 0.9], [0.7999]),
        ({"max": 5}, [5, 4.9], [5.001]),
        ({"below": 5}, [4.999], [5, 6]),
        ({"above": 5}, [5.001], [5, 4]),
        ({"between": [1, 2]}, [1, 1.5, 2], [0.99, 2.01]),
        ({"equals": 0}, [0, 0.0], [1, "0", "negative"]),
        ({"equals": "negative"}, ["negative"], ["positive", 0]),
    ],
)
def test_limits(criterion: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert verdict_of(value, criterion) == ("pass", "meets")
    for value in bad:
        assert verdict_of(value, criterion) == ("fail", "rejected")
        assert verdict_of(value, criterion, group="in_process") == ("fail", "held")


@pytest.mark.parametrize("value", [None, math.nan, ""])
@pytest.mark.parametrize(
    "criterion", [{"min": -1e9}, {"max": 1e9}, {"between": [-1e9, 1e9]}, {"equals": 0}, {"reported": "number"}]
)
def test_unknown_is_never_fine(value: Any, criterion: dict[str, Any]) -> None:
    assert verdict_of(value, criterion) == ("unknown", "held")
    assert verdict_of(value, criterion, "final") == ("pending", "meets_provisionally")


def test_text_and_truth_have_no_place_among_numbers() -> None:
    for value in ("0.9", True):
        assert verdict_of(value, {"min": 0.0})[0] == "unknown"


def test_a_failed_final_test_rejects() -> None:
    assert verdict_of(1, {"equals": 0}, "final") == ("fail", "rejected")


@pytest.mark.parametrize(
    "test",
    [
        one_test({"min": 0.8, "max": 1}), one_test({"least": 1}), one_test({"min": "x"}), one_test({"between": [1]}),
        one_test({"min": 1}, stage="later"), one_test({"min": 1}, group="other"), {"id": "x"},
    ],
)  # fmt: skip
def test_a_malformed_test_is_an_error_and_never_a_pass(test: dict[str, Any]) -> None:
    with pytest.raises(SpecificationError):
        evaluate({"tests": [test]}, {"lab": {"t": 1.0}})


def test_a_specification_without_tests_releases_nothing() -> None:
    with pytest.raises(SpecificationError, match="no tests"):
        evaluate({"tests": []}, {})


@pytest.mark.parametrize(
    ("state", "value", "verdict"),
    [
        ("completed", 1.0, "meets"), ("rejected", 1.0, "rejected"), ("held", 1.0, "held"), ("stopped", 1.0, "held"),
        ("aborted", 1.0, "held"), ("held", 0.0, "rejected"), ("rejected", None, "rejected"), ("held", None, "held"),
    ],
)  # fmt: skip
def test_only_a_completed_batch_meets_its_specification(state: str, value: Any, verdict: str) -> None:
    facts = {"lab": {"t": value}, "ended": {"state": state, "reason": "because"}}
    found = evaluate({"tests": [one_test({"min": 0.5})]}, facts)
    assert found.verdict == verdict
    assert found.reasons[0] == f"the batch ended {state}: because"


def test_a_batch_that_still_runs_has_no_verdict() -> None:
    for value in (0.0, 1.0, None):
        facts = {"lab": {"t": value}, "batch": {"batch_id": "B-1"}}
        assert evaluate({"tests": [one_test({"min": 0.5})]}, facts).verdict == "incomplete"


@pytest.mark.parametrize("value", ["0.9", True, "negative"])
def test_a_late_result_that_came_and_is_no_number_is_not_awaited_any_more(value: object) -> None:
    test = {"id": "a", "title": "A", "source": "x", "criterion": {"min": 0.8}, "unit": "1", "stage": "final"}
    evaluation = evaluate({"tests": [test]}, {"x": value})
    assert (evaluation.verdict, evaluation.rows[0].verdict) == ("held", "unknown")
    assert "no number" in evaluation.rows[0].reason
    assert evaluate({"tests": [test]}, {}).verdict == "meets_provisionally"
