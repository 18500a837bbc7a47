# SPDX-License-Identifier: Apache-2.0
"""Maintenance is signed at both its ends, by whom may, in a record that verifies."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mimedi_nodes.commands import maintenance
from mimedi_nodes.commands.parts.people import Place, registry
from mimedi_nodes.process.people.accounts import Account, signer_keys
from mimedi_nodes.process.people.credentials import Person, seal, unseal
from mimedi_nodes.process.people.maintenance import MaintenanceBook, MaintenanceError, under_maintenance
from mimedi_nodes.process.people.roles import Roles, read_roles
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.verify import verify

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = read_roles(ROOT / "config" / "users" / "roles.yaml")
ROLES = Roles(SHIPPED.roles, dataclasses.replace(SHIPPED.policy, time_cost=1, memory_kib=64, parallelism=1))
PASSWORD = "a phrase that is long"


def somebody(user: str, role: str) -> tuple[Person, Account]:
    credential = seal(user, PASSWORD, ROLES.policy)
    key = unseal(user, PASSWORD, credential)
    assert key is not None
    assert unseal(user, "another phrase", credential) is None
    return Person(user, user.capitalize(), (role,), key), Account(user, user, (role,), keys=[credential.public_key])


@pytest.fixture
def book(tmp_path: Path) -> MaintenanceBook:
    return MaintenanceBook(tmp_path / "maintenance", Signer.load_or_create(tmp_path / "keys"), ROLES, ("incubator",))


def test_maintenance_begins_and_ends_by_signature(book: MaintenanceBook, tmp_path: Path) -> None:
    mia, account = somebody("mia", "maintenance")
    assert under_maintenance(book.folder) == {}
    book.begin("incubator", mia, "new probe")
    assert under_maintenance(book.folder)["incubator"].statement.comment == "new probe"
    with pytest.raises(MaintenanceError, match="already"):
        book.begin("incubator", mia, "again")
    acted = book.acted("incubator", "calibrate temperature", mia, "yearly", {"reference_c": 37.0}, {"found_k": 0.02})
    assert acted.statement.subject == "incubator calibrate temperature"
    assert "incubator" in under_maintenance(book.folder)
    book.end("incubator", mia, "calibrated")
    assert under_maintenance(book.folder) == {}
    with pytest.raises(MaintenanceError, match="not in maintenance"):
        book.end("incubator", mia, "calibrated")
    with pytest.raises(MaintenanceError, match="not in maintenance"):
        book.acted("incubator", "jog stirrer", mia, "a test", {}, {})
    key = Signer.load_or_create(tmp_path / "keys").public_key
    report = verify(book.folder, tmp_path / ".heads", key, signer_keys=signer_keys({"mia": account}))
    assert (report.verdict, report.signatures) == ("intact", 3)


@pytest.mark.parametrize(
    ("role", "module", "why", "message"),
    [
        ("operator", "incubator", "new probe", "roles that may: maintenance"),
        ("maintenance", "oven", "new probe", "there are incubator"),
        ("maintenance", "incubator", " ", "why is empty"),
    ],
)
def test_what_must_not_be_signed_is_refused(
    book: MaintenanceBook, role: str, module: str, why: str, message: str
) -> None:
    with pytest.raises(MaintenanceError, match=message):
        book.begin(module, somebody("olga", role)[0], why)
    assert under_maintenance(book.folder) == {}


def test_maintenance_at_the_terminal_tells_programs_who_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path / "runs")
    registry(place).add("ada", "Ada Sun", ["administrator", "maintenance"], PASSWORD, None)
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text(PASSWORD)
    ada = ("--user", "ada", "--password-file", str(file), "--runs", str(place.runs), "--json", "--why")
    assert maintenance.main(["begin", "incubator", *ada, "new stirrer"]) == 0
    assert json.loads(capsys.readouterr().out)["comment"].endswith("new stirrer")
    assert maintenance.main(["list", "--runs", str(place.runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["incubator"]["name"] == "Ada Sun"
    assert maintenance.main(["end", "incubator", *ada, "it turns"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "Ada Sun"
    assert maintenance.main(["end", "incubator", *ada, "twice"]) == 1
    assert capsys.readouterr().out == ""
