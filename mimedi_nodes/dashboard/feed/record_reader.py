# SPDX-License-Identifier: Apache-2.0
"""Batch records for the record window: listed, read, reviewed, verified and signed in a thread of their own."""

from __future__ import annotations

import json
import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...commands.parts.people import Place, registry
from ...commands.sign import deliver, read_content
from ...commands.verify import default_key
from ...modules.registry import config_folder
from ...nodes.recording.signature_check import specification_of
from ...process.errors import WorkcellError
from ...process.people.accounts import read_accounts, signer_keys
from ...process.people.signing import sign
from ...process.release import evaluate
from ...records.chain import DATABASE_FILE
from ...records.disposition import disposition
from ...records.errors import RecordError
from ...records.exceptions import exceptions
from ...records.heads import load_public_key
from ...records.review import review
from ...records.signatures import read_signature
from ...records.summary import read_events
from ...records.verify import verify

LISTING = "list"
"""What `Failed` names when the folder cannot be listed."""
BETWEEN_S = 0.2
"""Pause between two records that are reviewed for the list [s]: each takes up to 0.1 s, not felt in the windows."""


@dataclass(frozen=True)
class RunView:
    """One run in the list.

    Args:
        verdict: key of `record_words.FINDINGS`, empty while its record has not been read.
        state: key of `record_words.DECISIONS`, likewise.
        fault: why its record cannot be read.
    """

    name: str
    verdict: str = ""
    state: str = ""
    fault: str = ""


@dataclass(frozen=True)
class RecordView:
    """One batch record as people read it; all cells are texts.

    Args:
        verdict: key of `record_words.FINDINGS`.
        state: key of `record_words.DECISIONS`.
        outdated: rows of content came after what was signed.
        exceptions: grade, what, text, day, row.
        events: row, day, kind, who, what, why, data.
        tests: title, criterion, value, verdict.
        signatures: meaning, name, role, wall time, comment.
    """

    name: str
    verdict: str
    state: str
    outdated: bool = False
    exceptions: tuple[tuple[str, ...], ...] = ()
    events: tuple[tuple[str, ...], ...] = ()
    tests: tuple[tuple[str, ...], ...] = ()
    signatures: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Verified:
    """What the verification of a record found; `verdict` is intact, altered or unverifiable."""

    name: str
    verdict: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """Something that was asked for cannot be done."""

    what: str
    message: str


def runs_in(folder: Path) -> list[str]:
    """Return the names of the runs of a folder, newest first."""
    found = sorted(folder.glob(f"[!.]*/{DATABASE_FILE}"), key=_written_ns, reverse=True)
    return [path.parent.name for path in found]


def _written_ns(database: Path) -> int:
    """Return when a record was last written [ns]; what a batch under way writes lies beside its file."""
    beside = database.with_name(f"{database.name}-wal")
    return max(path.stat().st_mtime_ns for path in (database, beside) if path is database or path.exists())


def read_record(run: Path) -> RecordView:
    """Return a batch record, reviewed by its product's specification.

    Raises:
        RecordError: it cannot be read, or its specification cannot.
        WorkcellError: the specification is wrong.
    """
    events = read_events(run)
    reviewed = review(events, specification_of(events, config_folder() / "products"), evaluate)
    items = exceptions(reviewed)
    decided = disposition(events)
    signatures = [read_signature(event).statement for event in events if event.kind == "signature"]
    return RecordView(
        run.name,
        reviewed.verdict,
        decided.state,
        decided.outdated,
        tuple((i.grade, i.what, i.text, _day(i.time_s), str(i.row or "")) for i in items),
        tuple(
            (str(n), _day(e.process_time_s), e.kind, e.who, e.what, e.why, json.dumps(dict(e.data), ensure_ascii=False))
            for n, e in enumerate(events, 1)
        ),
        tuple((r.title, str(r.criterion), _value(r.value, r.unit), r.verdict) for r in reviewed.rows),
        tuple((s.meaning, s.name, s.role, s.signed_at, s.comment) for s in signatures),
    )


def verify_record(run: Path) -> Verified:
    """Verify a record against its chain, its heads outside the run and the accounts' keys; raises RecordError."""
    users = run.parent.parent / ".workcell" / "users"
    accounts = read_accounts(users)
    key = load_public_key(default_key(run))
    report = verify(run, run.parent / ".heads", key, signer_keys=signer_keys(accounts) if accounts else None)
    lines = [f"! {finding.message}" for finding in report.findings] + [f"? {text}" for text in report.missing]
    return Verified(run.name, report.verdict, (f"{report.rows} rows, {report.signatures} signatures", *lines))


@dataclass(frozen=True)
class SignRequest:
    """A signature that somebody wants to give; the password is forgotten as soon as it has been used."""

    run: Path
    user: str
    password: str = field(repr=False)
    meaning: str = "performed"
    why: str = ""
    about: str = ""


def sign_record(wanted: SignRequest) -> str:
    """Sign a record with the signer's own password; return what follows from it.

    Raises:
        WorkcellError: wrong password, wrong role, or the batch does not allow it now.
        RecordError: it is not on record.
    """
    place = Place(wanted.run.parent)
    products = config_folder() / "products"
    content = read_content(place, wanted.run, products)
    users = registry(place)
    person = users.authenticate(wanted.user, wanted.password)
    signature = sign(person, users.roles, content, wanted.meaning, wanted.why, wanted.about)
    return deliver(place, wanted.run, signature, products).text


class RecordReader:
    """Does the above one after the other in a thread of its own.

    Args:
        runs_dir: folder of the runs.
        give: takes the outcome; called in this object's thread.
    """

    def __init__(self, runs_dir: Path, give: Callable[[object], None]) -> None:
        self.runs_dir = runs_dir
        self._give = give
        self._asked: queue.Queue[tuple[str, Callable[[], object]] | None] = queue.Queue()
        self._to_review: list[str] = []
        self._known: dict[str, tuple[int, RunView]] = {}
        self._thread = threading.Thread(target=self._work, name="record-reader", daemon=True)
        self._thread.start()

    def list_runs(self) -> None:
        """Ask for the list of runs; what their records say follows one by one, as long as nothing else is asked."""
        self._asked.put((LISTING, self._list))

    def read(self, name: str) -> None:
        """Ask for a record."""
        self._asked.put((name, lambda: read_record(self.runs_dir / name)))

    def verify(self, name: str) -> None:
        """Ask whether a record is the one that was written."""
        self._asked.put((name, lambda: verify_record(self.runs_dir / name)))

    def sign(self, wanted: SignRequest) -> None:
        """Ask for a signature; the record is read again after it."""
        self._asked.put((wanted.run.name, lambda: Verified(wanted.run.name, "signed", (sign_record(wanted),))))
        self.read(wanted.run.name)

    def close(self) -> None:
        """End the thread after what it is doing."""
        self._asked.put(None)
        self._thread.join(10.0)

    def _work(self) -> None:
        while True:
            try:
                asked = self._asked.get(timeout=BETWEEN_S if self._to_review else None)
            except queue.Empty:
                self._give(self._review(self._to_review.pop(0)))
                continue
            if asked is None:
                return
            what, act = asked
            try:
                self._give(act())
            except (WorkcellError, RecordError, OSError, ValueError) as error:
                self._give(Failed(what, str(error)))
            except Exception as error:  # noqa: BLE001 - shown, and the window can still be asked for other things
                self._give(Failed(what, f"this is a fault of the program: {error!r}"))

    def _list(self) -> tuple[RunView, ...]:
        names = runs_in(self.runs_dir)
        known = {name: view for name, (written_ns, view) in self._known.items() if self._written_ns(name) == written_ns}
        self._to_review = [name for name in names if name not in known]
        return tuple(known.get(name, RunView(name)) for name in names)

    def _review(self, name: str) -> RunView:
        written_ns = self._written_ns(name)
        try:
            record = read_record(self.runs_dir / name)
            found = RunView(name, record.verdict, record.state)
        except (WorkcellError, RecordError, OSError, ValueError) as error:
            found = RunView(name, fault=str(error))
        self._known[name] = (written_ns, found)
        return found

    def _written_ns(self, name: str) -> int:
        try:
            return _written_ns(self.runs_dir / name / DATABASE_FILE)
        except OSError:
            return 0  # it has been taken away


def _day(time_s: float) -> str:
    return f"{time_s / 86400.0:.3f}" if math.isfinite(time_s) else ""


def _value(value: Any, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:.4g} {unit}" if isinstance(value, float) else f"{value} {unit}"
