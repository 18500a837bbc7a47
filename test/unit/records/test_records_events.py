# SPDX-License-Identifier: Apache-2.0
"""Events at the door, and their one canonical form."""

from __future__ import annotations

import array
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_nodes.records.canonical import MAX_DEPTH, canonical_json, plain, read_json
from mimedi_nodes.records.errors import EventError
from mimedi_nodes.records.events import KINDS, RecordEvent, wall_time

GOOD: dict[str, Any] = {
    "producer": "fluidics",
    "sequence": 1,
    "batch_id": "B2026-001",
    "process_time_s": 12.5,
    "wall_time": "2026-01-31T12:00:00.000001Z",
    "kind": "measurement",
    "who": "fluidics",
    "what": "volume_ul",
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_canonical_json_reads_back_and_is_a_fixed_point(value: Any) -> None:
    text = canonical_json(value)
    back = read_json(text)
    assert back == plain(value)
    assert canonical_json(back) == text


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()))
def test_order_of_keys_does_not_matter(mapping: dict[str, int]) -> None:
    reverse = dict(reversed(list(mapping.items())))
    assert canonical_json(mapping) == canonical_json(reverse)


@given(values)
def test_canonical_json_is_json_and_never_holds_nan(value: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(canonical_json(value), parse_constant=refuse)


def test_unknown_is_null_and_infinite_is_marked() -> None:
    assert canonical_json({"a": math.nan, "b": None, "c": math.inf, "d": -math.inf}) == (
        '{"a":null,"b":null,"c":{"$float":"inf"},"d":{"$float":"-inf"}}'
    )


def test_numpy_and_ros_arrays_become_lists() -> None:
    data = {"a": np.float32(0.5), "b": np.arange(3), "c": array.array("d", [1.0, math.nan]), "d": np.int64(4)}
    assert canonical_json(data) == '{"a":0.5,"b":[0,1,2],"c":[1.0,null],"d":4}'


@pytest.mark.parametrize("bad", [{1: 2}, {"a": {1, 2}}, {"a": b"x"}, {"a": object()}, {"a": "\ud800"}, {"\ud800": 1}])
def test_what_json_has_no_word_for_is_refused(bad: Any) -> None:
    with pytest.raises(EventError):
        canonical_json(bad)


def test_deep_nesting_is_refused() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(EventError, match="attachment"):
        canonical_json(value)


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":NaN}', '{"a":Infinity}', "{", "[" * 100_000])
def test_json_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(EventError):
        read_json(text)


def test_event_survives_the_message() -> None:
    event = RecordEvent(**GOOD, why="Ünïcödé 🧫", data={"b": [math.nan, 1], "a": {"old": None, "new": "µL"}})
    assert event.data == {"a": {"new": "µL", "old": None}, "b": [None, 1]}
    assert RecordEvent.from_fields(event.as_fields()) == event


def test_event_without_a_valid_clock() -> None:
    event = RecordEvent(**{**GOOD, "process_time_s": math.nan})
    assert math.isnan(RecordEvent.from_fields({**event.as_fields(), "process_time_s": None}).process_time_s)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("producer", ""),
        ("producer", "a b"),
        ("sequence", 0),
        ("sequence", True),
        ("sequence", 1.0),
        ("sequence", 2**63),
        ("batch_id", "../etc"),
        ("batch_id", ".heads"),
        ("batch_id", "B1\n"),
        ("process_time_s", math.inf),
        ("process_time_s", "now"),
        ("wall_time", "2026-01-31 12:00"),
        ("wall_time", "2026-01-31T12:00:00+01:00"),
        ("kind", "Measurement"),
        ("kind", ""),
        ("who", ""),
        ("what", ""),
        ("what", "a\0b"),
        ("why", None),
        ("data", [1]),
        ("data", {"text": "x" * (1 << 20)}),
    ],
)
def test_bad_field_is_refused_and_named(field: str, value: Any) -> None:
    with pytest.raises(EventError, match=field):
        RecordEvent(**{**GOOD, field: value})


def test_fields_that_are_not_canonical_or_not_whole_are_refused() -> None:
    fields = RecordEvent(**GOOD, data={"a": 1}).as_fields()
    with pytest.raises(EventError, match="canonical"):
        RecordEvent.from_fields({**fields, "data_json": '{"a": 1}'})
    with pytest.raises(EventError, match="data"):
        RecordEvent.from_fields({**fields, "data_json": "[]"})
    with pytest.raises(EventError, match="data_json"):
        RecordEvent.from_fields({name: value for name, value in fields.items() if name != "data_json"})
    with pytest.raises(EventError, match="kind"):
        RecordEvent.from_fields({name: value for name, value in fields.items() if name != "kind"})


def test_wall_time_is_taken_by_the_door() -> None:
    assert RecordEvent(**{**GOOD, "wall_time": wall_time()}).wall_time.endswith("Z")


def test_every_kind_is_allowed_at_the_door() -> None:
    assert [RecordEvent(**{**GOOD, "kind": kind}).kind for kind in sorted(KINDS)] == sorted(KINDS)
