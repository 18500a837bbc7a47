# SPDX-License-Identifier: Apache-2.0
"""Accounts: passwords, lock-out, expiry, sessions, and the record that they are kept in."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from pathlib import Path

import pytest

from mimedi_nodes.commands.parts import people
from mimedi_nodes.commands.parts.people import Place
from mimedi_nodes.commands.user import main as user_command
from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.people.accounts import (
    ForgedAccountsError,
    LoginError,
    check_session,
    read_accounts,
    signer_keys,
)
from mimedi_nodes.process.people.credentials import Person, decode_token, encode_token, seal
from mimedi_nodes.process.people.roles import Policy, Roles, read_roles
from mimedi_nodes.process.people.users import UserError, UserRegistry
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.summary import read_events
from mimedi_nodes.records.verify import verify

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = read_roles(ROOT / "config" / "users" / "roles.yaml")
# The cost of Argon2id is the machine's affair, not this test's.
ROLES = Roles(SHIPPED.roles, dataclasses.replace(SHIPPED.policy, time_cost=1, memory_kib=64, parallelism=1))
FIRST, SECOND, OTHER = "correct horse battery", "staple of the stable", "a third one, longer"


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1.8e9

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(tmp_path: Path, clock: Clock) -> UserRegistry:
    registry = UserRegistry(tmp_path / "users", Signer.load_or_create(tmp_path / "keys"), ROLES, clock)
    registry.add("anna", "Anna Ruiz", ["administrator"], FIRST, None)
    return registry


def with_ben(users: UserRegistry) -> Person:
    """Make Ben, who has changed his first password; return Anna."""
    anna = users.authenticate("anna", FIRST)
    users.add("ben", "Ben Ode", ["operator"], FIRST, anna)
    users.change_password("ben", FIRST, SECOND)
    return anna


def test_the_first_account_is_an_administrators_and_makes_the_others(users: UserRegistry) -> None:
    anna = with_ben(users)
    ben = users.authenticate("ben", SECOND)
    assert (ben.user, ben.name, ben.roles) == ("ben", "Ben Ode", ("operator",))
    with pytest.raises(UserError, match="may not administer"):
        users.add("cleo", "Cleo", ["operator"], FIRST, ben)
    with pytest.raises(UserError, match="only the first account"):
        users.add("cleo", "Cleo", ["administrator"], FIRST, None)
    with pytest.raises(UserError, match="is there already"):
        users.add("ben", "Another Ben", ["operator"], FIRST, anna)
    with pytest.raises(UserError, match="allowed: operator, production_lead"):
        users.add("cleo", "Cleo", ["king"], FIRST, anna)
    with pytest.raises(UserError, match="small letters"):
        users.add("../x", "X", ["operator"], FIRST, anna)
    with pytest.raises(UserError, match="last administrator"):
        users.change("anna", anna, "leaves", enabled=False)


def test_an_empty_registry_takes_nobody_but_an_administrator(tmp_path: Path) -> None:
    users = UserRegistry(tmp_path / "users", Signer.ephemeral(), ROLES)
    with pytest.raises(UserError, match="must have a role that administers"):
        users.add("ben", "Ben", ["operator"], FIRST, None)
    with pytest.raises(LoginError, match="user or password is wrong"):
        users.authenticate("anna", FIRST)


@pytest.mark.parametrize(
    ("password", "message"),
    [("short", "at least 12"), ("annannannanna", "user's name"), ("aaaaaaaaaaaaaaaa", "fewer than five")],
)
def test_weak_passwords_are_refused(users: UserRegistry, password: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        users.change_password("anna", FIRST, password)


def test_a_password_that_was_used_before_is_refused(users: UserRegistry) -> None:
    users.change_password("anna", FIRST, SECOND)
    for password in (FIRST, SECOND):
        with pytest.raises(UserError, match="one of the last 5"):
            users.change_password("anna", SECOND, password)
    users.change_password("anna", SECOND, OTHER)
    assert users.authenticate("anna", OTHER).user == "anna"


def test_the_same_letters_typed_in_two_ways_are_one_password(users: UserRegistry) -> None:
    users.change_password("anna", FIRST, "crème brûlée à minuit")
    assert users.authenticate("anna", "crème brûlée à minuit").user == "anna"


def test_a_given_password_has_to_be_changed_first(users: UserRegistry) -> None:
    anna = users.authenticate("anna", FIRST)
    users.add("ben", "Ben Ode", ["operator"], FIRST, anna)
    with pytest.raises(LoginError, match="given by an administrator: change it"):
        users.authenticate("ben", FIRST)


def test_a_password_ends_with_its_time(users: UserRegistry, clock: Clock) -> None:
    clock.now_s += (ROLES.policy.password_valid_d + 0.1) * 86400.0
    with pytest.raises(LoginError, match="has expired"):
        users.authenticate("anna", FIRST)
    users.change_password("anna", FIRST, SECOND)
    assert users.authenticate("anna", SECOND).user == "anna"


def test_failures_lock_the_account_for_a_while_and_all_are_on_record(users: UserRegistry, clock: Clock) -> None:
    for _ in range(ROLES.policy.failures_before_lock):
        with pytest.raises(LoginError, match="user or password is wrong"):
            users.authenticate("anna", "wrong but long enough")
    with pytest.raises(LoginError, match="locked after 5 failures for 30 min"):
        users.authenticate("anna", FIRST)
    clock.now_s += ROLES.policy.lock_min * 60.0 - 1.0
    with pytest.raises(LoginError, match="locked"):
        users.authenticate("anna", FIRST)
    clock.now_s += 2.0
    assert users.authenticate("anna", FIRST).user == "anna"
    assert users.accounts()["anna"].failures == 0


def test_an_administrator_unlocks_by_a_new_password_and_old_signatures_stay_verifiable(users: UserRegistry) -> None:
    anna = with_ben(users)
    before = set(signer_keys(users.accounts()))
    with pytest.raises(UserError, match="why is empty"):
        users.reset_password("ben", OTHER, anna, " ")
    users.reset_password("ben", OTHER, anna, "forgotten")
    assert before < set(signer_keys(users.accounts()))
    with pytest.raises(LoginError, match="change it"):
        users.authenticate("ben", OTHER)
    users.change_password("ben", OTHER, "yet another phrase")
    assert users.authenticate("ben", "yet another phrase").user == "ben"


def test_who_is_disabled_is_not_let_in(users: UserRegistry) -> None:
    anna = with_ben(users)
    users.change("ben", anna, "has left", enabled=False)
    with pytest.raises(LoginError, match="disabled"):
        users.authenticate("ben", SECOND)
    users.change("ben", anna, "is back", enabled=True)
    assert users.authenticate("ben", SECOND).user == "ben"


# -- sessions -------------------------------------------------------------------------------------------


def test_a_session_stands_for_its_person_until_it_expires(users: UserRegistry, clock: Clock) -> None:
    with_ben(users)
    clock.now_s += 1.0
    token = users.open_session(users.authenticate("ben", SECOND))
    assert SECOND not in token
    principal = check_session(token, users.accounts(), clock.now_s + 1.0)
    assert (principal.user, principal.roles) == ("ben", ("operator",))
    for late_s in (ROLES.policy.session_h * 3600.0, -10.0):
        with pytest.raises(LoginError, match="expired"):
            check_session(token, users.accounts(), clock.now_s + late_s)


def test_a_session_ends_by_logging_out_a_new_password_and_disabling(users: UserRegistry, clock: Clock) -> None:
    anna = with_ben(users)
    clock.now_s += 1.0
    first = users.open_session(users.authenticate("ben", SECOND))
    users.end_session(first)
    with pytest.raises(LoginError, match="ended"):
        check_session(first, users.accounts(), clock.now_s)
    second = users.open_session(users.authenticate("ben", SECOND))
    clock.now_s += 1.0
    users.change_password("ben", SECOND, OTHER)
    with pytest.raises(LoginError, match="expired"):
        check_session(second, users.accounts(), clock.now_s)
    third = users.open_session(users.authenticate("ben", OTHER))
    users.change("ben", anna, "has left", enabled=False)
    with pytest.raises(LoginError, match="ended"):
        check_session(third, users.accounts(), clock.now_s)


def test_forged_tokens_are_refused(users: UserRegistry, clock: Clock) -> None:
    with_ben(users)
    clock.now_s += 1.0
    token = users.open_session(users.authenticate("ben", SECOND))
    _, payload, signature = decode_token(token)
    forged = [
        encode_token({**payload, "user": "anna"}, signature),
        encode_token({**payload, "expires_s": payload["expires_s"] + 1e6}, signature),
        encode_token(payload, "00" * 64),
        encode_token(payload, "no hex"),
        encode_token({"user": "ben"}, signature),
        "wct1.@@@.00", "ben", "", "wct1.bm8.00",
    ]  # fmt: skip
    for text in forged:
        with pytest.raises(LoginError):
            check_session(text, users.accounts(), clock.now_s + 1.0)


# -- what is on disk ------------------------------------------------------------------------------------


def test_the_accounts_are_a_record_that_verifies_and_tells_its_forgery(users: UserRegistry, tmp_path: Path) -> None:
    with_ben(users)
    key = Signer.load_or_create(tmp_path / "keys").public_key
    assert verify(tmp_path / "users", tmp_path / ".heads", key).verdict == "intact"
    database = sqlite3.connect(tmp_path / "users" / "record.sqlite", isolation_level=None)
    database.execute("DROP TRIGGER rows_no_update")
    database.execute("UPDATE rows SET data_json = replace(data_json, 'operator', 'administrator') WHERE what = 'ben'")
    database.close()
    assert verify(tmp_path / "users", tmp_path / ".heads", key).verdict == "altered"
    with pytest.raises(UserError, match="verify"):
        users.authenticate("ben", SECOND)


def forge(users: UserRegistry, tmp_path: Path, change: dict[str, object], kind: str, what: str, who: str) -> None:
    """Write a row as somebody would who has the recorder's key, but nobody's password."""
    record = BatchRecord(users.folder, Signer.load_or_create(tmp_path / "keys"), batch_id="users")
    last = list(record.events())[-1]
    row = dataclasses.replace(last, sequence=last.sequence + 1, kind=kind, what=what, who=who, why="x", data=change)
    record.append([row])
    record.close()


@pytest.mark.parametrize("what", ["promotion", "new account", "new key", "signature of another act"])
def test_who_has_the_recorders_key_alone_makes_no_accounts(users: UserRegistry, tmp_path: Path, what: str) -> None:
    with_ben(users)
    added = [event for event in read_events(users.folder) if event.kind == "user_added"][-1].data
    own = seal("ben", OTHER, ROLES.policy).as_fields()
    if what == "promotion":
        forge(users, tmp_path, {"roles": ["administrator"], "at_s": 1.8e9}, "user_changed", "ben", "anna")
    elif what == "new account":
        forge(users, tmp_path, {**added, "credential": own, "name": "Mallory"}, "user_added", "mal", "anna")
    elif what == "new key":
        changed = {"credential": own, "must_change": False, "at_s": 1.8e9}
        forge(users, tmp_path, changed, "password_changed", "ben", "ben")
    else:
        forge(users, tmp_path, {**added, "roles": ["administrator"]}, "user_changed", "ben", "anna")
    key = Signer.load_or_create(tmp_path / "keys").public_key
    assert verify(tmp_path / "users", tmp_path / ".heads", key).verdict == "intact"
    for attempt in (lambda: users.authenticate("ben", SECOND), users.accounts, lambda: read_accounts(users.folder)):
        with pytest.raises(ForgedAccountsError, match="run `workcell verify`"):
            attempt()


def test_no_password_and_no_key_lies_open(users: UserRegistry, tmp_path: Path) -> None:
    with_ben(users)
    private = users.authenticate("ben", SECOND).key.private_bytes_raw()
    assert users.folder.stat().st_mode & 0o077 == 0
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (FIRST.encode(), SECOND.encode(), private, private.hex().encode()):
        assert secret not in everything


def test_accounts_outlive_their_process(users: UserRegistry, tmp_path: Path) -> None:
    with_ben(users)
    again = UserRegistry(tmp_path / "users", Signer.load_or_create(tmp_path / "keys"), ROLES, users._now_s)
    assert again.authenticate("ben", SECOND).roles == ("operator",)
    assert list(read_accounts(tmp_path / "users")) == ["anna", "ben"]


def test_accounts_are_kept_at_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WORKCELL_KEYS", raising=False)
    monkeypatch.setattr(people, "read_roles", lambda path: ROLES)
    (tmp_path / "first").write_text(FIRST)
    (tmp_path / "second").write_text(SECOND)
    runs = ["--runs", str(tmp_path / "runs")]
    anna = ["--user", "anna", "--password-file", str(tmp_path / "first"), *runs]
    given = ["--new-password-file", str(tmp_path / "first")]

    def done(*words: str) -> str:
        assert user_command(list(words)) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    def refused(*words: str) -> str:
        assert user_command(list(words)) == 1
        return capsys.readouterr().err

    assert "No accounts yet" in done("list", *runs)
    done("add", "anna", "--name", "Anna Ruiz", "--role", "administrator", *given, *runs)
    assert "passwd ben" in done("add", "ben", "--name", "Ben Ode", "--role", "operator", *given, *anna)
    old, new = ["--password-file", str(tmp_path / "first")], ["--new-password-file", str(tmp_path / "second")]
    assert "change it" in refused("login", "ben", *old, *runs)
    done("passwd", "ben", *old, *new, *runs)
    assert "logged in for 8 h" in done("login", "ben", "--password-file", str(tmp_path / "second"), *runs)
    token = Place(tmp_path / "runs").session
    assert token.stat().st_mode & 0o777 == 0o600
    assert check_session(token.read_text(), read_accounts(tmp_path / ".workcell" / "users"), time.time()).user == "ben"
    done("logout", *runs)
    assert "nobody is logged in" in refused("logout", *runs)
    done("disable", "ben", "--why", "has left", *anna)
    states = {row["user"]: row["state"] for row in json.loads(done("list", "--json", *runs))}
    assert states == {"anna": "active", "ben": "disabled"}
    done("enable", "ben", "--why", "is back", *anna)
    assert "one of the last" in refused("reset", "ben", "--why", "forgotten", *given, *anna)
    assert "user or password is wrong" in refused("reset", "ben", "--why", "x", *given, "--user", "anna",
                                                  "--password-file", str(tmp_path / "second"), *runs)  # fmt: skip


# -- the file of roles ----------------------------------------------------------------------------------


def test_shipped_roles_keep_two_people_apart() -> None:
    assert SHIPPED.policy == Policy()
    for meaning in ("performed", "verified", "approved", "released", "rejected", "supplied", "maintenance"):
        assert SHIPPED.that_sign(meaning), meaning
    assert not SHIPPED.roles["administrator"].signs
    assert "released" not in SHIPPED.roles["quality_assurance"].signs
    assert not SHIPPED.roles["operator"].signs & {"verified", "approved", "released"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("signs: [performed]", "signs: [performd]", "performed, verified"),
        ("acts: [review]", "acts: [reviews]", "produce, answer"),
        ("acts: [administer]", "acts: []", "no role may administer"),
        ("password_min_characters: 12", "password_min_characters: 4", "8 to 128"),
        ("memory_kib: 65536", "memory_kib: 8", "19456 to"),
        ("lock_min: 30", "lock_minutes: 30", "unknown key"),
    ],
)
def test_a_wrong_file_of_roles_is_refused_with_what_is_allowed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (ROOT / "config" / "users" / "roles.yaml").read_text()
    assert old in text
    path = tmp_path / "roles.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(DiagnosticError, match=message):
        read_roles(path)
