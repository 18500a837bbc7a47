# SPDX-License-Identifier: Apache-2.0
"""Identifiers and labels: misread and swapped ones never pass, right ones always do."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mimedi_nodes.process.identity.identity import (
    IdentityError,
    check_character,
    check_identifier,
    check_label,
    make_identifier,
    make_label,
    read_label,
)

IDENTIFIERS = st.builds(
    make_identifier, st.from_regex(r"[A-NP-Z1-9][A-NP-Z0-9][0-9]{3}", fullmatch=True).filter(str.isascii),
    st.integers(0, 99), st.integers(0, 999_999),
)  # fmt: skip


def test_the_check_character_is_that_of_the_reference() -> None:
    assert check_character("G123498654321") == "H"  # JPAC Red Book, annex 2, table A2.2


@given(IDENTIFIERS)
def test_what_is_made_is_accepted_and_its_label_read_back(identifier: str) -> None:
    assert check_identifier(identifier) == identifier
    label = make_label(identifier, "dose_bag")
    assert read_label(label.text) == label
    assert check_label(label.text, identifier, "dose_bag") == label


@given(IDENTIFIERS, st.integers(0, 13), st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"))
def test_one_wrong_character_is_always_found(identifier: str, place: int, character: str) -> None:
    assume(identifier[place] != character)
    with pytest.raises(IdentityError):
        check_identifier(identifier[:place] + character + identifier[place + 1 :])


@given(IDENTIFIERS, st.integers(0, 12))
def test_two_neighbours_swapped_are_always_found(identifier: str, place: int) -> None:
    assume(identifier[place] != identifier[place + 1])
    swapped = identifier[:place] + identifier[place + 1] + identifier[place] + identifier[place + 2 :]
    with pytest.raises(IdentityError):
        check_identifier(swapped)


@given(IDENTIFIERS, IDENTIFIERS)
def test_another_patients_container_is_refused(mine: str, other: str) -> None:
    assume(mine != other)
    with pytest.raises(IdentityError, match="wrong patient"):
        check_label(make_label(other, "apheresis").text, mine, "apheresis")


def test_the_wrong_container_and_unreadable_labels_are_refused() -> None:
    mine = make_identifier("F1234", 26, 1)
    with pytest.raises(IdentityError, match="wrong container"):
        check_label(make_label(mine, "vector").text, mine, "apheresis")
    for text in ("", "apheresis", f"={mine}", f"{mine}/apheresis", f"={mine}/Apheresis"):
        with pytest.raises(IdentityError, match="cannot be read"):
            check_label(text, mine, "apheresis")
    with pytest.raises(IdentityError, match="needs a facility"):
        make_identifier("F12", 26, 1)
