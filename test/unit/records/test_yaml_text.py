# SPDX-License-Identifier: Apache-2.0
"""The door for YAML from outside: what comes through, and what would bring a parser down."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mimedi_nodes.records.yaml_text import MAX_CHARACTERS, MAX_DEPTH, compose, load


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_a_document_that_would_overflow_the_stack_is_refused_with_its_line(opening):
    for read in (load, compose):
        with pytest.raises(YAMLError, match=f"nested deeper than {MAX_DEPTH} levels"):
            read(opening * 100_000)


def test_forty_levels_are_read_and_one_more_is_not():
    assert load("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH)
    with pytest.raises(YAMLError, match="nested deeper"):
        load("[" * (MAX_DEPTH + 1) + "1" + "]" * (MAX_DEPTH + 1))


def test_a_file_without_end_is_refused():
    with pytest.raises(YAMLError, match=f"at most {MAX_CHARACTERS}"):
        load("a" * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", "yes"), ("on", "on"), ("0o17", 15), ("017", 17), ("1e3", 1000.0), ("12:30:45", "12:30:45"), ("~", None)],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert load(f"a: {text}") == {"a": value}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="ascii")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), inner),
    max_leaves=12,
)


@given(_VALUES)
def test_the_fast_parser_reads_what_the_slow_one_reads_or_refuses_it(value):
    """libyaml wants quotes around scalars of flow collections like [0?] and [:0]; it never reads another value."""
    written = io.StringIO()
    YAML(typ="safe", pure=True).dump(value, written)
    slow = YAML(typ="safe", pure=True).load(written.getvalue())
    try:
        fast = load(written.getvalue())
    except YAMLError:
        assert {"?", ":"} & set(written.getvalue()), written.getvalue()
    else:
        assert fast == slow
