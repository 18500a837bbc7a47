# SPDX-License-Identifier: Apache-2.0
"""One event of the batch record: who, what, when, why, old and new value."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .canonical import encode_plain, plain, read_json
from .errors import EventError

KINDS = frozenset(
    {
        "batch_started",  # data: run_kind, recipe, product, donor, patient, weight, parameters, seed ...
        "recipe_parameter",  # data: name, value, unit
        "batch_taken_up",  # the coordinator came back; data: state
        "phase_intended",  # written ahead; data: phase_id, module, action, goal, goal_id
        "phase_started",  # data: phase_id, module, action, goal, goal_id, started_s
        "phase_checkpoint",  # data: phase_id, checkpoint
        "phase_ended",  # data: phase_id, module, action, goal, status, result, started_s, ended_s
        "phase_failed",  # an attempt failed, another may follow; data: phase_id, goal_id
        "phase_recalled",  # what the module remembered after a restart; data: phase_id, goal_id, status
        "step_ended",  # data: phase_id, status, attempts
        "module_lost",  # data: phase_id
        "measurement",  # data: name, value, unit, low, high, phase_id
        "alarm_raised",  # data: alarm_id, priority, message, response
        "alarm_cleared",  # data: alarm_id
        "alarm_acknowledged",  # data: alarm_id
        "prompt_asked",  # data: prompt_id, question, answers
        "prompt_answered",  # data: prompt_id, question, answer, simulated
        "prompt_refused",  # an answer that was not among those allowed
        "identity_refused",  # a label that was not the expected one; data: answer, by
        "decision",  # data: expression, values, outcome
        "laboratory_ordered",  # data: sample_id, tests
        "laboratory_result",  # data: sample_id, test, value, low, high, unit, method, status
        "step_not_available",  # data: step, reason
        "command",  # data: command, accepted, old, new
        "state_changed",  # data: old, new
        "material",  # data: material, lot, from, to, volume_ul, label ...
        "attachment",  # data: path, sha256, bytes, media_type
        "analysis_file",  # data: name, media_type, bytes, sha256, part, parts, encoding, content
        "retuned",  # the sound follows the channel's resonance; data: old_hz, new_hz, channel_q, after_s
        "room_excursion",  # the grade was lost beside an open step; data: grade, since_s
        "room_recovered",  # data: grade, since_s
        "mask_window",  # delivery bacteria are expected in a sample; data: carrier_cfu_per_ml, blind_below_cfu_per_ml
        "signature",  # data: see records.signatures.Statement, key_id, signature
        "signature_refused",  # a signature that was not taken; data: meaning, signer, reason
        "batch_ended",  # data: state, reason
        "certificate_issued",  # data: verdict, stage, summary_sha256 ...
    }
)
"""Kinds that facts, summary and report know; any other snake-case kind is recorded and listed as it is."""

MOVEMENTS = ("material", "sample_taken")
"""Kinds that say how much went where: a module that writes one puts an `event_key` into its data."""

MAX_DATA_BYTES = 1 << 20
"""Largest data of one event [bytes]; larger data belong into an attachment."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_PRODUCER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:-]{0,127}\Z")
_BATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_WALL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z\Z")


@dataclass(frozen=True)
class RecordEvent:
    """One event of the batch record, checked when made; the fields of `mimedi_msgs/RecordEvent`.

    Args:
        producer: who wrote it: a module or node.
        sequence: number of the event at its producer, from 1.
        batch_id: batch it belongs to; empty for the journal of the workcell.
        process_time_s: process time [s]; NaN before the clock is valid.
        wall_time: ISO 8601 in UTC, ending in Z.
        kind: kind of event, snake case, best one of `KINDS`.
        who: person or program that acted.
        what: subject.
        why: reason; may be empty.
        data: old, new and all values; brought into plain JSON types by the policy of `canonical`.

    Raises:
        EventError: naming the field, its value and what is allowed.
    """

    producer: str
    sequence: int
    batch_id: str
    process_time_s: float
    wall_time: str
    kind: str
    who: str
    what: str
    why: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _match("producer", self.producer, _PRODUCER, "letters, digits and _ . / : -, at most 128")
        whole = isinstance(self.sequence, int) and not isinstance(self.sequence, bool)
        if not whole or not 1 <= self.sequence < 1 << 63:
            raise EventError(f"sequence: {self.sequence!r} is no whole number from 1 to 2^63 - 1")
        if self.batch_id:
            check_batch_id(self.batch_id)
        if not isinstance(self.process_time_s, (int, float)) or math.isinf(self.process_time_s):
            raise EventError(
                f"process_time_s: {self.process_time_s!r} is no finite time; give seconds, NaN if unknown"
            )
        object.__setattr__(self, "process_time_s", float(self.process_time_s))
        _match("wall_time", self.wall_time, _WALL_TIME, "ISO 8601 in UTC like 2026-01-31T12:00:00.000000Z")
        _match("kind", self.kind, _KIND, "snake case, at most 64 letters")
        for name in ("who", "what", "why"):
            _printable(name, getattr(self, name))
        for name in ("who", "what"):
            if not getattr(self, name):
                raise EventError(f"{name}: is empty; every event says who and what")
        if not isinstance(self.data, Mapping):
            raise EventError(f"data: {type(self.data).__name__} is no mapping of names to values")
        data = plain(self.data)
        text = encode_plain(data)
        if 4 * len(text) > MAX_DATA_BYTES and len(text.encode()) > MAX_DATA_BYTES:
            raise EventError(
                f"data: {len(text)} characters, at most {MAX_DATA_BYTES} bytes; register it as an attachment"
            )
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "_data_json", text)

    @property
    def data_json(self) -> str:
        """`data` as canonical JSON."""
        text: str = object.__getattribute__(self, "_data_json")
        return text

    def as_fields(self) -> dict[str, Any]:
        """Return the fields of the message `mimedi_msgs/RecordEvent`, `data` as `data_json`."""
        return {
            "producer": self.producer,
            "sequence": self.sequence,
            "batch_id": self.batch_id,
            "process_time_s": self.process_time_s,
            "wall_time": self.wall_time,
            "kind": self.kind,
            "who": self.who,
            "what": self.what,
            "why": self.why,
            "data_json": self.data_json,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> RecordEvent:
        """Return the event of a message's fields, or of a row of the outbox or record.

        Raises:
            EventError: a field is missing or not allowed, or `data_json` is not canonical.
        """
        values = dict(fields)
        try:
            text = values.pop("data_json")
        except KeyError as error:
            raise EventError("data_json: is missing; give '{}' when there are no data") from error
        data = read_json(text or "{}")
        if values.get("process_time_s") is None:
            values["process_time_s"] = math.nan
        try:
            event = cls(data=data, **values)
        except TypeError as error:
            raise EventError(f"event: {error}; give exactly the fields of mimedi_msgs/RecordEvent") from error
        if text and event.data_json != text:
            raise EventError("data_json: is no canonical JSON; write it with records.canonical_json")
        return event


def check_batch_id(batch_id: str) -> str:
    """Return `batch_id` when it may name a batch and its folder.

    Raises:
        EventError: empty, too long, or with characters that a folder name should not have.
    """
    _match("batch_id", batch_id, _BATCH_ID, "letters, digits and . _ -, first a letter or digit, at most 64")
    return batch_id


def wall_time() -> str:
    """Return the wall time, ISO 8601 in UTC with microseconds; for stamps only, never for deadlines."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _match(name: str, value: Any, pattern: re.Pattern[str], allowed: str) -> None:
    if not isinstance(value, str) or not pattern.match(value):
        raise EventError(f"{name}: {value!r} is not allowed; give {allowed}")


def _printable(name: str, value: Any) -> None:
    if type(value) is str and value.isascii() and "\0" not in value:
        return
    if not isinstance(value, str):
        raise EventError(f"{name}: {value!r} is {type(value).__name__}; give text")
    if "\0" in value:
        raise EventError(f"{name}: {value!r} holds a NUL, which ends text on the wire; leave it out")
    plain(value, name)


def twin_rows(events: Iterable[RecordEvent]) -> frozenset[int]:
    """Return the places, from 0, of movements that stand in the record a second time.

    A module that is killed after it has written a movement and before it has noted so writes it again when it goes on:
    the same producer, kind and `event_key`. Both stay in the record; the first one counts.
    """
    seen: set[tuple[str, str, str]] = set()
    twins = set()
    for place, event in enumerate(events):
        if event.kind in MOVEMENTS and isinstance(key := event.data.get("event_key"), str):
            told = (event.producer, event.kind, key)
            if told in seen:
                twins.add(place)
            seen.add(told)
    return frozenset(twins)
