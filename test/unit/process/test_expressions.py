# SPDX-License-Identifier: Apache-2.0
"""Expressions: right values, never an unknown one, nothing but arithmetic."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_nodes.process.errors import UnknownValueError, WorkcellError
from mimedi_nodes.process.expressions import (
    ExpressionError,
    evaluate,
    evaluate_condition,
    parse,
    references,
    render,
)

VALUES = {
    "moi": 5.0,
    "check": {"viability": 0.9, "bad": math.nan, "none": None, "empty": "", "word": "yes", "list": [1, 2]},
    "deep": {"a": {"b": 3}},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("check.viability < 0.95 and moi >= 5", True),
        ("max(1, moi) / min(2, 4)", 2.5),
        ("hours(2) + days(1)", 93600.0),
        ("round(sqrt(2), 2)", 1.41),
        ("log10(exp(0) * 100)", 2.0),
        ("'a' if moi > 9 else 'b'", "b"),
        ("deep.a.b - -1", 4),
        ("check.word == 'yes'", True),
        ("moi in [1, 5]", True),
        ("0 < check.viability <= 0.9", True),
        ("7 // 2 + 7 % 2", 4),
    ],
)
def test_values(expression: str, value: object) -> None:
    assert evaluate(expression, VALUES) == value


@pytest.mark.parametrize(
    "expression",
    [
        "check.bad < 0.8", "check.bad > 0.8", "not check.bad", "check.none == 1", "check.empty == ''", "check.missing",
        "nobody", "nobody.at_all", "moi > 0 or check.bad > 1", "moi < 0 and check.bad > 1",
        "1 if moi > 0 else check.bad", "max(1, check.bad)", "[check.bad] == [1]", "1e308 * 10",
    ],
)  # fmt: skip
def test_an_unknown_value_is_never_passed_over(expression: str) -> None:
    with pytest.raises(UnknownValueError):
        evaluate(expression, VALUES)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')", "moi.__class__",
        "().__class__.__bases__", "check._x", "open('f')", "lambda: 1", "[x for x in [1]]",
        "moi := 3", "f'{moi}'", "check['viability']", "(check).viability()", "max(*[1, 2])", "max(a=1)", "2 ** 9999999",
        "1 << 99999999", "", "1 +", "a;b", "import os", "None", "...", "b'x'", "1j", "{1: 2}",
        "'%9999999999d' % 5", "'x' * 99999999999",
        "'a'.format", "1 if", "check.word + 1", "1 / 0", "0 < 'a'", "x" * 3000,
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_words(expression: str) -> None:
    with pytest.raises((ExpressionError, UnknownValueError)) as caught:
        evaluate(expression, VALUES)
    assert str(caught.value)


@given(st.text(max_size=60))
def test_any_text_gives_a_value_or_one_of_our_errors(text: str) -> None:
    try:
        evaluate(text, VALUES)
    except WorkcellError:
        return


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_arithmetic_is_that_of_python(a: float, b: float) -> None:
    values = {"a": a, "b": b}
    assert evaluate("a * b - (a + b)", values) == a * b - (a + b)
    assert evaluate("a < b", values) is (a < b)


def test_references_and_conditions() -> None:
    assert references("max(check.viability, moi) + moi + deep.a.b") == ("check.viability", "moi", "deep.a.b")
    assert evaluate_condition("moi > 1", VALUES) is True
    with pytest.raises(ExpressionError, match="write a comparison"):
        evaluate_condition("moi", VALUES)
    assert parse("1") is parse("1")


def test_templates_keep_types_when_they_are_one_expression() -> None:
    assert render("${moi}", VALUES) == 5.0
    assert render({"a": ["${moi * 2}", 3]}, VALUES) == {"a": [10.0, 3]}
    assert render("MOI ${moi} of ${check.word}", VALUES) == "MOI 5 of yes"
    with pytest.raises(UnknownValueError):
        render("${check.bad}", VALUES)
    with pytest.raises(ExpressionError, match="needs its"):
        render("${moi", VALUES)
