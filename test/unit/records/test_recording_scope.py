# SPDX-License-Identifier: Apache-2.0
"""Whose data a topic's message is: a patient's recording carries nothing of another patient's."""

from __future__ import annotations

from typing import Any

import pytest

from mimedi_nodes.nodes.recording.recording_scope import RecordingScope
from mimedi_nodes.records.events import RecordEvent

MODULES = frozenset({"fluidics", "incubator", "vision_qc", "enclosure", "transfer"})
ANNA, BERT = "F123426000001J", "F123426000002G"


def event(kind: str, batch_id: str, time_s: float = 0.0, **data: Any) -> RecordEvent:
    return RecordEvent("coordinator", 1, batch_id, time_s, "2026-11-23T10:00:00Z", kind, "coordinator", "x", "", data)


@pytest.fixture
def scope() -> RecordingScope:
    scope = RecordingScope(MODULES)
    scope.follow(event("batch_started", "C-1", patient=ANNA, donor=ANNA))
    return scope


def test_a_batch_that_is_alone_has_all_that_the_workcell_tells(scope: RecordingScope) -> None:
    assert scope.is_of("C-1", "incubator/telemetry", b"glucose", None)
    assert scope.is_of("C-1", "coordinator/batch_status", b"C-1", "C-1")
    assert scope.is_of("C-1", "supervisor/status", b"active", None)
    assert not scope.is_of("C-1", "coordinator/batch_status", b"C-0", "C-0")  # latched, of the batch before


def test_a_module_tells_of_the_batch_that_it_works_for(scope: RecordingScope) -> None:
    scope.follow(event("batch_started", "C-2", patient=BERT))
    assert not scope.is_of("C-1", "incubator/telemetry", b"glucose", None)  # whose it is was not told yet
    scope.follow(event("phase_intended", "C-1", 10.0, module="incubator"))
    both = [scope.is_of(name, "incubator/telemetry", b"glucose", None) for name in ("C-1", "C-2")]
    assert both == [True, False]
    scope.follow(event("unit_bound", "C-2", 20.0, modules=["incubator"]))
    scope.follow(event("phase_intended", "C-1", 10.0, module="incubator"))  # read again from the record, later
    both = [scope.is_of(name, "incubator/telemetry", b"glucose", None) for name in ("C-1", "C-2")]
    assert both == [False, True]
    assert scope.is_of("C-1", "enclosure/telemetry", b"pressure", None)  # the room is everybody's
    scope.follow(event("batch_ended", "C-2", 30.0))
    assert scope.is_of("C-1", "fluidics/telemetry", b"weight", None)


def test_a_message_that_names_another_batch_or_person_is_left_out(scope: RecordingScope) -> None:
    scope.follow(event("batch_started", "C-1-2", patient=BERT, donor=BERT))
    scope.follow(event("phase_intended", "C-1", module="vision_qc"))
    for data, wanted in (
        (b"\x04\x00C-1-inlet-26\x00", True),
        (b"\x04\x00C-1-2-inlet-26\x00", False),
        (b"C-1 and C-1-2", False),
        (f"cassette A: ={BERT}/apheresis".encode(), False),
        (f"cassette A: ={ANNA}/apheresis".encode(), True),
        (b"XC-1-2 is no name", True),
    ):
        assert scope.is_of("C-1", "vision_qc/population", data, None) is wanted, data
        assert scope.is_of("C-1", "alarms", data, "") is wanted, data
    # After its end as well: what stands in a store is still that patient's.
    scope.follow(event("batch_ended", "C-1-2"))
    assert not scope.is_of("C-1", "transfer/cassettes", f"={BERT}/dose_bag".encode(), None)
