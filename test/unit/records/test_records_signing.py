# SPDX-License-Identifier: Apache-2.0
"""From the last step to the release: who may sign what when, at the terminal, and what a forged signature is worth."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from nominal_batch import BATCH, nominal_batch, specification

from mimedi_nodes.commands import lab, review, sign
from mimedi_nodes.commands.parts import at_desk, people
from mimedi_nodes.commands.parts.people import Place
from mimedi_nodes.nodes.recording import desk
from mimedi_nodes.nodes.recording.record_keeper import RecordKeeper
from mimedi_nodes.nodes.recording.signature_check import signature_check
from mimedi_nodes.process.people.accounts import read_accounts, signer_keys
from mimedi_nodes.process.people.roles import Roles, read_roles
from mimedi_nodes.process.people.signing import Content
from mimedi_nodes.process.people.users import UserRegistry
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.disposition import disposition
from mimedi_nodes.records.errors import RecordError
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.outbox import Outbox
from mimedi_nodes.records.signatures import signatures
from mimedi_nodes.records.summary import read_events
from mimedi_nodes.records.verify import verify
from mimedi_nodes.records.verify_report import VerifyReport

ROOT = Path(__file__).resolve().parents[3]
PRODUCTS = ROOT / "config" / "products"
ROLES_FILE = ROOT / "config" / "users" / "roles.yaml"
GIVEN = "phrase of the first day"
STAFF = {
    "ada": "administrator", "ben": "operator", "cleo": "production_lead", "dora": "quality_assurance",
    "eva": "responsible_pharmacist", "fay": "responsible_pharmacist",
}  # fmt: skip


@functools.cache
def short_batch(final_viability: float = 0.941) -> tuple[RecordEvent, ...]:
    """The nominal batch without its curves: signing reads the record again and again."""
    kept = [e for e in nominal_batch(final_viability) if (e.producer, e.kind) != ("incubator", "measurement")]
    last: Counter[str] = Counter()
    events = []
    for event in kept:
        last[event.producer] += 1
        events.append(dataclasses.replace(event, sequence=last[event.producer]))
    return tuple(events)


def password_of(name: str) -> str:
    return f"phrase of number {list(STAFF).index(name)} alone"


class Office:
    """A runs folder with one finished batch, its accounts, and the commands of its people."""

    def __init__(self, root: Path, roles: Roles, events: Sequence[RecordEvent]) -> None:
        self.place = Place(root / "runs")
        self.run = self.place.runs / BATCH
        self.root, self.roles = root, roles
        self.users = UserRegistry(self.place.users, Signer.load_or_create(self.place.keys), roles)
        record = BatchRecord(self.run, Signer.load_or_create(self.place.keys))
        record.append(events)
        record.close()

    @staticmethod
    def password(name: str) -> str:
        return password_of(name)

    def sign(self, name: str, meaning: str, why: str = "", about: str = "") -> int:
        file = self.root / "password"
        file.write_text(self.password(name))
        return sign.main(
            [str(self.run), "--meaning", meaning, "--user", name, "--password-file", str(file), "--why", why,
             "--about", about, "--json"]
        )  # fmt: skip

    def chain(self, *steps: tuple[str, str]) -> list[int]:
        return [self.sign(name, meaning) for name, meaning in steps]

    def tell(self, kind: str, what: str, **data: Any) -> None:
        """Let the coordinator write one more event, as when a result comes late."""
        record = BatchRecord(self.run, Signer.load_or_create(self.place.keys))
        number = record.last_sequences["coordinator"] + 1
        last = list(record.events())[-1]
        record.append(
            [RecordEvent("coordinator", number, BATCH, 2e6, last.wall_time, kind, "coordinator", what, "", data)]
        )
        record.close()

    @property
    def state(self) -> str:
        return disposition(read_events(self.run)).state

    def verify(self, with_accounts: bool = True) -> VerifyReport:
        keys = signer_keys(read_accounts(self.place.users)) if with_accounts else None
        key = Signer.load_or_create(self.place.keys).public_key
        return verify(self.run, self.place.runs / ".heads", key, signer_keys=keys)


MakeOffice = Callable[[Sequence[RecordEvent]], Office]


@pytest.fixture(scope="session")
def roles() -> Roles:
    shipped = read_roles(ROLES_FILE)
    return Roles(shipped.roles, dataclasses.replace(shipped.policy, time_cost=1, memory_kib=64, parallelism=1))


@pytest.fixture(scope="session")
def staffed(tmp_path_factory: pytest.TempPathFactory, roles: Roles) -> Path:
    """Keys and accounts of everybody; tests work on copies."""
    place = Place(tmp_path_factory.mktemp("staffed") / "runs")
    users = UserRegistry(place.users, Signer.load_or_create(place.state / "keys"), roles)
    for name, role in STAFF.items():
        by = users.authenticate("ada", password_of("ada")) if name != "ada" else None
        users.add(name, name.capitalize(), [role], password_of(name) if by is None else GIVEN, by)
        if by is not None:
            users.change_password(name, GIVEN, password_of(name))
    return place.state


@pytest.fixture
def make_office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staffed: Path, roles: Roles) -> MakeOffice:
    monkeypatch.delenv("WORKCELL_KEYS", raising=False)
    monkeypatch.setattr(people, "read_roles", lambda path: roles)
    # Drawing the report takes seconds; it has a test of its own.
    monkeypatch.setattr(sign, "renew_report", lambda place, run, products: None)
    shutil.copytree(staffed, tmp_path / ".workcell")
    return lambda events: Office(tmp_path, roles, events)


@pytest.fixture
def office(make_office: MakeOffice) -> Office:
    return make_office(short_batch())


TO_APPROVAL = (("ben", "performed"), ("cleo", "verified"), ("dora", "approved"))


def test_a_batch_goes_from_hand_to_hand_to_its_two_certificates(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    assert office.chain(*TO_APPROVAL, ("eva", "released")) == [0, 0, 0, 0]
    said = json.loads("{" + capsys.readouterr().out.rpartition("\n{")[2])
    assert (said["signer"], said["stage"], said["state"]) == ("eva", "provisional", "released_provisionally")
    assert office.verify().verdict == "intact"
    assert office.verify().signatures == 4
    # Sterility comes two weeks later: the final certificate needs a new approval and a new release.
    office.tell(
        "laboratory_result", "sterility", sample_id="S-7", test="sterility", value="negative", unit="result",
        method="automated growth", status="final",
    )  # fmt: skip
    assert disposition(read_events(office.run)).outdated
    assert office.sign("eva", "released") == 1
    assert "grown since it was approved" in capsys.readouterr().err
    assert office.chain(("dora", "approved"), ("eva", "released")) == [0, 0]
    assert office.state == "released"
    assert office.sign("fay", "released") == 1
    assert "released already (final)" in capsys.readouterr().err
    assert office.verify().verdict == "intact"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("cleo", "verified")], "nobody has signed that it was performed"),
        ([("cleo", "performed"), ("cleo", "verified")], "a second person verifies"),
        ([("ben", "performed"), ("ben", "verified")], "roles that may: production_lead, quality_assurance"),
        ([("ben", "performed"), ("dora", "approved")], "nobody has verified it"),
        ([("ben", "performed"), ("cleo", "verified"), ("eva", "released")], "nobody has approved it"),
        ([*TO_APPROVAL, ("dora", "released")], "roles that may: responsible_pharmacist"),
        ([*TO_APPROVAL[:2], ("eva", "approved"), ("eva", "released")], "another person releases"),
        ([*TO_APPROVAL, ("ada", "released")], "may not sign this"),
        ([("ben", "performed"), ("ben", "performed")], "has signed this already"),
        ([("eva", "requested")], "not out of specification"),
        ([("eva", "rejected")], "a reason is missing"),
    ],
)
def test_nobody_signs_out_of_turn(
    office: Office, capsys: pytest.CaptureFixture[str], steps: list[tuple[str, str]], message: str
) -> None:
    assert office.chain(*steps) == [0] * (len(steps) - 1) + [1]
    assert message in capsys.readouterr().err
    assert office.verify().signatures == len(steps) - 1


def test_two_pharmacists_are_two_people(office: Office) -> None:
    assert office.chain(*TO_APPROVAL[:2], ("fay", "approved"), ("eva", "released")) == [0, 0, 0, 0]


def test_an_engineering_run_is_never_released(make_office: MakeOffice, capsys: pytest.CaptureFixture[str]) -> None:
    events = short_batch()
    start = dataclasses.replace(events[0], data={**events[0].data, "run_kind": "engineering"})
    office = make_office([start, *events[1:]])
    assert office.chain(*TO_APPROVAL) == [0, 0, 0]
    assert office.sign("eva", "released") == 1
    assert office.sign("eva", "requested", "no other option", "Dr Gil") == 1
    text = capsys.readouterr().err
    assert text.count("engineering run: never for a patient") == 2
    assert "verdict: rejected" in text


def test_out_of_specification_is_supplied_on_request_only(
    make_office: MakeOffice, capsys: pytest.CaptureFixture[str]
) -> None:
    office = make_office(short_batch(0.71))
    assert office.chain(*TO_APPROVAL) == [0, 0, 0]
    assert office.sign("eva", "released") == 1
    assert "does not meet its specification (verdict: rejected)" in capsys.readouterr().err
    assert office.sign("eva", "supplied", "on request") == 1
    text = capsys.readouterr().err
    for lack in ("no treating physician's request", "risk is not evaluated", "not notified"):
        assert lack in text
    assert office.sign("dora", "evaluated", "low risk") == 1
    assert office.sign("eva", "requested", "no other option") == 1
    assert "--about" in capsys.readouterr().err
    assert office.sign("eva", "requested", "no other option", "Dr Gil, haematology") == 0
    assert office.sign("fay", "evaluated", "viability 0.71, dose met: low risk") == 0
    assert office.sign("eva", "notified", "OOS-2026-04", "national authority") == 0
    assert office.sign("fay", "supplied", "on request") == 1
    assert "another person decides" in capsys.readouterr().err
    assert office.sign("eva", "supplied", "on request") == 0
    assert office.state == "supplied"
    assert office.verify().verdict == "intact"


def test_a_rejection_ends_it(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    assert office.chain(*TO_APPROVAL) == [0, 0, 0]
    assert office.sign("eva", "rejected", "label of the dose bag torn") == 0
    assert office.sign("fay", "released") == 1
    assert "eva has rejected the batch" in capsys.readouterr().err


def test_a_batch_that_has_not_ended_is_not_signed(
    make_office: MakeOffice, capsys: pytest.CaptureFixture[str]
) -> None:
    office = make_office(short_batch()[:-1])
    assert office.sign("ben", "performed") == 1
    assert "has not ended" in capsys.readouterr().err


def test_a_wrong_password_signs_nothing(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    file = office.root / "wrong"
    file.write_text("not her password at all")
    arguments = [str(office.run), "--meaning", "performed", "--user", "ben", "--password-file", str(file)]
    assert sign.main(arguments) == 1
    assert "user or password is wrong" in capsys.readouterr().err
    assert office.state == "unsigned"
    assert office.users.accounts()["ben"].failures == 1


def test_an_altered_record_is_not_signed(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    copy = office.run / "heads.jsonl"
    copy.write_text(copy.read_text().replace("a", "b", 1))
    assert office.sign("ben", "performed") == 1
    assert "does not verify (altered)" in capsys.readouterr().err


# -- late results and reviews ---------------------------------------------------------------------------


def laboratory(office: Office, **changes: Any) -> dict[str, str]:
    """A final sterility result of the site's laboratory, changed."""
    from mimedi_sim.laboratory.laboratory import KEY_ID, NAME, signing_key

    record = {
        "laboratory": NAME, "batch_id": BATCH, "sample_id": "S-7", "test": "sterility", "value": "negative",
        "low": None, "high": None, "unit": "result", "method": "automated growth", "status": "final", **changes,
    }  # fmt: skip
    text = json.dumps({name: value for name, value in record.items() if value != "left out"}, sort_keys=True)
    return {"record_json": text, "signature_hex": signing_key().sign(text.encode()).hex(), "key_id": KEY_ID}


def take(office: Office, signed: dict[str, Any], *more: str) -> int:
    file = office.root / "result.json"
    file.write_text(json.dumps(signed))
    return lab.main([str(office.run), str(file), *more])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_id": "B9"}, "is of batch 'B9'"),
        ({"sample_id": "S-8"}, "was not ordered"),
        ({"test": "rcl"}, "was not ordered"),
        ({"method": "left out"}, "lacks method"),
    ],
)
def test_a_result_of_something_else_is_refused(
    office: Office, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    assert take(office, laboratory(office, **changes)) == 1
    assert message in capsys.readouterr().err


def test_a_result_that_the_laboratory_did_not_sign_is_refused(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    true = laboratory(office)
    for changes, message in (
        ({"record_json": true["record_json"].replace("negative", "positive")}, "does not fit"),
        ({"key_id": "somebody"}, "not in the site file"),
        ({"signature_hex": 7}, "all text"),
    ):
        assert take(office, {**true, **changes}) == 1
        assert message in capsys.readouterr().err
    assert lab.main([str(office.run), str(office.root / "none.json")]) == 1
    assert lab.main([str(office.run), "--simulate", "sterility"]) == 1
    assert not any(e.kind == "laboratory_result" and e.who != "coordinator" for e in read_events(office.run))


def test_a_late_result_makes_the_final_certificate_and_the_report_shows_who_released(
    office: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert office.chain(*TO_APPROVAL, ("eva", "released")) == [0, 0, 0, 0]
    capsys.readouterr()
    assert take(office, laboratory(office), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run"], told["test"], told["status"]) == (office.run.name, "sterility", "final")
    assert office.sign("dora", "approved") == 0
    monkeypatch.undo()
    monkeypatch.setattr(people, "read_roles", lambda path: office.roles)
    assert office.sign("eva", "released") == 0
    html = (office.run / "report.html").read_text()
    assert "Released, final" in html
    assert "Released, provisional" in html
    summary = json.loads((office.run / "summary.json").read_text())
    assert (summary["verdict"], summary["disposition"]) == ("meets", "released")
    assert len(summary["signatures"]) == 6
    certificates = [e.data["stage"] for e in read_events(office.run) if e.kind == "certificate_issued"]
    assert certificates == ["final"]
    count = len(read_events(office.run))
    capsys.readouterr()
    assert review.main([str(office.run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert len(read_events(office.run)) == count
    assert office.verify().verdict == "intact"


# -- with a recorder at work ----------------------------------------------------------------------------


def recorder(office: Office) -> RecordKeeper:
    check = signature_check(office.place.users, ROLES_FILE, PRODUCTS)
    return RecordKeeper(office.place.runs, office.place.keys, office.root / "state", check)


def test_a_running_recorder_takes_the_signature(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = recorder(office)
    keeper.events(BATCH)  # it holds the record from now on
    # What the recorder's timer does, whenever the command waits.
    monkeypatch.setattr(at_desk.time, "sleep", lambda seconds: keeper.take_desk())
    assert office.chain(*TO_APPROVAL, ("eva", "released")) == [0, 0, 0, 0]
    assert [s.statement.meaning for s in signatures(keeper.events(BATCH)[0])] == [
        "performed", "verified", "approved", "released",
    ]  # fmt: skip
    keeper.close()
    assert office.verify().verdict == "intact"


def forge(office: Office, **changes: Any) -> dict[str, Any]:
    """Ben's true signature as `performed`, changed."""
    events = read_events(office.run)
    head = office.verify().head_hash
    ben = office.users.authenticate("ben", office.password("ben"))
    from mimedi_nodes.process.people.signing import sign as give

    data = give(ben, office.roles, Content(BATCH, events, head, specification()), "performed").data()
    return {**data, **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"meaning": "released", "role": "responsible_pharmacist"}, "does not fit what it says"),
        ({"signer": "eva"}, "event says 'ben'"),
        ({"count": 3}, "other content"),
        ({"count": 10**6}, "was not there"),
        ({"count": True}, "expected int"),
        ({"hash": "0" * 64}, "other content"),
        ({"batch_id": "B9"}, "its event says"),
        ({"signature": "00" * 64}, "does not fit"),
        ({"key_id": "0" * 16}, "belongs to no account"),
        ({"comment": "and released"}, "does not fit"),
        ({"meaning": "sworn"}, "allowed: performed"),
    ],
)
def test_what_is_no_signature_goes_on_record_as_refused(office: Office, changes: dict[str, Any], reason: str) -> None:
    data = forge(office, **changes)
    keeper = recorder(office)
    outbox = Outbox(":memory:", "somebody")
    event = outbox.append(BATCH, math.nan, "signature", "ben", "performed", "", data)
    acknowledged, fresh = keeper.take([event])
    assert acknowledged == 1
    assert [e.kind for e in fresh] == ["signature_refused"]
    assert reason in fresh[0].why
    # Sent again, because the answer was lost: it is known, and nothing is taken twice.
    assert keeper.take([event]) == (1, [])
    assert keeper.take([outbox.append(BATCH, math.nan, "command", "ben", "go on")])[0] == 2
    keeper.close()
    assert (office.verify().verdict, office.verify().signatures) == ("intact", 0)


def test_a_true_signature_over_the_network_is_taken_once(office: Office) -> None:
    data = forge(office)
    keeper = recorder(office)
    outbox = Outbox(":memory:", "dashboard")
    event = outbox.append(BATCH, math.nan, "signature", "ben", "performed", "", data)
    assert [e.kind for e in keeper.take([event])[1]] == ["signature"]
    assert keeper.take([event]) == (1, [])
    again = outbox.append(BATCH, math.nan, "signature", "ben", "performed", "", data)
    assert [e.kind for e in keeper.take([again])[1]] == ["signature_refused"]
    keeper.close()
    assert office.verify().signatures == 1


def test_a_recorder_without_accounts_takes_no_signature(office: Office) -> None:
    keeper = RecordKeeper(office.place.runs, office.place.keys, office.root / "state")
    desk.leave(office.place.runs, BATCH, math.nan, "signature", "ben", "performed", "", forge(office))
    assert [e.kind for e in keeper.take_desk()] == ["signature_refused"]
    keeper.close()


# -- verify ---------------------------------------------------------------------------------------------


def test_a_signature_written_past_the_door_is_found(office: Office) -> None:
    record = BatchRecord(office.run, Signer.load_or_create(office.place.keys))
    data = forge(office, meaning="released")
    last = list(record.events())[-1]
    record.append([RecordEvent("x", 1, BATCH, math.nan, last.wall_time, "signature", "ben", "released", "", data)])
    record.close()
    report = office.verify()
    assert report.verdict == "altered"
    assert [finding.code for finding in report.findings] == ["signature_invalid"]


def test_without_the_accounts_signatures_cannot_be_checked(office: Office) -> None:
    assert office.sign("ben", "performed") == 0
    report = office.verify(with_accounts=False)
    assert report.verdict == "unverifiable"
    assert "--users" in report.missing[0]


def test_a_key_of_another_person_is_found(office: Office) -> None:
    assert office.sign("ben", "performed") == 0
    accounts = read_accounts(office.place.users)
    accounts["ben"].keys, accounts["cleo"].keys = accounts["cleo"].keys, accounts["ben"].keys
    key = Signer.load_or_create(office.place.keys).public_key
    report = verify(office.run, office.place.runs / ".heads", key, signer_keys=signer_keys(accounts))
    assert "its key belongs to cleo" in report.findings[0].message


def test_a_missing_record_is_named(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    file = office.root / "password"
    file.write_text("x")
    arguments = ["B9", "--runs", str(office.place.runs), "--meaning", "performed", "--user", "ben"]
    assert sign.main([*arguments, "--password-file", str(file)]) == 2
    assert "there is no record" in capsys.readouterr().err
    with pytest.raises(RecordError):
        recorder(office).events("B9")
