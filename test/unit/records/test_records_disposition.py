# SPDX-License-Identifier: Apache-2.0
"""Whatever people try in whatever order: nothing is released by fewer people, or in another state, than it must be."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nominal_batch import BATCH, Story

from mimedi_nodes.records.disposition import disposition, grown_since, objections, stage_of
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.signatures import MEANINGS, Statement, signatures

PEOPLE = ("ben", "cleo", "dora", "eva")
VERDICTS = ("meets_provisionally", "meets", "rejected", "held")
FOR_BATCHES = [meaning for meaning in MEANINGS if meaning != "maintenance"]
ACTS = st.lists(
    st.tuples(st.just("sign"), st.sampled_from(FOR_BATCHES), st.sampled_from(PEOPLE))
    | st.tuples(st.just("grow"), st.sampled_from(VERDICTS), st.just("")),
    max_size=40,
)


def begun(run_kind: str, filled: bool = True) -> Story:
    story = Story()
    story.tell("coordinator", 0.0, "batch_started", BATCH, run_kind=run_kind)
    story.tell("coordinator", 0.5, "phase_ended", "release.formulate", action="FormulateDose",
               status="succeeded" if filled else "aborted")  # fmt: skip
    story.tell("coordinator", 1.0, "batch_ended", BATCH, state="completed")
    return story


def sign(story: Story, meaning: str, signer: str, verdict: str) -> None:
    """Put a signature on record, if the rules allow it; its cryptography is another test's."""
    if objections(meaning, signer, story.events, verdict):
        return
    stage = stage_of(meaning, verdict)
    said = Statement(BATCH, meaning, stage, "x", signer, signer, "r", "w", len(story.events), "0" * 64, "t")
    data: dict[str, Any] = {**vars(said), "key_id": "k", "signature": "s"}
    event = story.events[-1]
    row = RecordEvent(f"desk/{signer}", len(story.events), BATCH, 2.0, event.wall_time, "signature", signer, meaning,
                      "w", data)  # fmt: skip
    story.events.append(row)


@given(
    ACTS, st.sampled_from(["production", "production", "engineering"]), st.sampled_from(VERDICTS),
    st.sampled_from([True, True, False]),
)  # fmt: skip
def test_what_is_signed_in_any_order_keeps_the_rules(
    acts: list[tuple[str, str, str]], run_kind: str, verdict: str, filled: bool
) -> None:
    story = begun(run_kind, filled)
    for act, what, who in acts:
        if act == "grow":
            verdict = what
            story.tell("coordinator", 3.0, "laboratory_result", "sterility", test="sterility", value="x")
        else:
            sign(story, what, who, verdict)
    events = story.events
    given_so_far: dict[str, list[str]] = {}
    rejected = False
    for signature in signatures(events):
        said = signature.statement
        before = events[: signature.row - 1]
        assert not rejected or said.meaning == "rejected"
        if said.meaning == "verified":
            assert set(given_so_far["performed"]) - {said.signer}
        if said.meaning == "approved":
            assert said.signer not in given_so_far["performed"]
        if said.meaning == "released":
            approved = [s.statement for s in signatures(before) if s.statement.meaning == "approved"][-1]
            assert run_kind == "production"
            assert said.stage in ("provisional", "final")
            assert approved.signer != said.signer
            assert not grown_since(before, approved.count)
            assert said.signer not in given_so_far["performed"]
            assert len({approved.signer, said.signer, *given_so_far["performed"]}) >= 3
        if said.meaning == "supplied":
            assert run_kind == "production"
            assert filled
            for wanted in ("requested", "evaluated", "notified"):
                last = [s.statement for s in signatures(before) if s.statement.meaning == wanted][-1]
                assert not grown_since(before, last.count)
            assert given_so_far["evaluated"][-1] != said.signer
        given_so_far.setdefault(said.meaning, []).append(said.signer)
        rejected = rejected or said.meaning == "rejected"
    finals = [s for s in signatures(events) if s.statement.stage == "final"]
    assert len(finals) <= 1
    assert disposition(events).state in ("unsigned", "performed", "verified", "approved", "released_provisionally",
                                         "released", "rejected", "supplied")  # fmt: skip
    if run_kind == "engineering":
        assert disposition(events).state not in ("released", "released_provisionally", "supplied")


@given(ACTS)
def test_the_shortest_way_is_always_open_to_three_people_until_somebody_rejects(
    acts: list[tuple[str, str, str]]
) -> None:
    """Nothing that was signed before can lock a good batch out of its release, but a rejection."""
    story = begun("production")
    for act, what, who in acts:
        if act == "sign" and what in ("performed", "verified", "approved"):
            sign(story, what, who, "meets")
        elif act == "grow":
            story.tell("coordinator", 3.0, "laboratory_result", "sterility", test="sterility", value="x")
    for meaning, who in (("performed", "x1"), ("verified", "x2"), ("approved", "x3"), ("released", "x4")):
        assert objections(meaning, who, story.events, "meets") == []
        sign(story, meaning, who, "meets")
    assert disposition(story.events).state == "released"
