# SPDX-License-Identifier: Apache-2.0
"""Which of several batches a display shows."""

from dataclasses import dataclass

from mimedi_nodes.process.engine.batch_choice import choices, shown, waiting


@dataclass(frozen=True)
class Told:
    batch_id: str
    state: str = "running"


A, B, ENDED = Told("A"), Told("B", "held"), Told("C", "complete")
HEARD = {"A": A, "B": B, "C": ENDED}


def test_the_oldest_is_shown_until_another_is_wanted():
    assert shown("", A, HEARD) is A
    assert shown("B", A, HEARD) is B
    assert shown("nonesuch", A, HEARD) is A
    assert shown("", None, {}) is None


def test_what_has_ended_is_offered_only_while_it_is_shown():
    assert list(choices(A, A, HEARD)) == ["A", "B"]
    assert list(choices(ENDED, A, HEARD)) == ["A", "B", "C"]
    assert choices(None, None, {}) == {}
    assert choices(Told("", "idle"), Told("", "idle"), {}) == {}


def test_a_held_batch_that_is_not_shown_is_waiting():
    assert waiting(A, HEARD) == ["B"]
    assert waiting(B, HEARD) == []
