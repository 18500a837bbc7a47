# SPDX-License-Identifier: Apache-2.0
"""Accounts as their record leaves them, and who stands behind a session token: all that may be read anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ...records.canonical import canonical_json
from ...records.events import RecordEvent
from ...records.heads import key_id
from ...records.signatures import SignerKey
from ...records.summary import read_events
from ..errors import WorkcellError
from .credentials import Credential, CredentialError, decode_token


class LoginError(WorkcellError):
    """Somebody was not let in; says no more than she may know."""


class ForgedAccountsError(WorkcellError):
    """The record of accounts holds an act that no administrator signed."""


def administration_text(row: int, kind: str, user: str, why: str, data: Mapping[str, object]) -> bytes:
    """Return the bytes that an administrator signs when she makes or changes an account.

    Args:
        row: number of the row that the act stands in.
        data: of the event, without key_id and signature.
    """
    signed = {name: value for name, value in data.items() if name not in ("key_id", "signature")}
    return b"mimedi administration 1\n" + canonical_json([row, kind, user, why, signed]).encode()


@dataclass
class Account:
    """One account as the record leaves it."""

    user: str
    name: str
    roles: tuple[str, ...]
    enabled: bool = True
    must_change: bool = True
    changed_s: float = 0.0
    failures: int = 0
    failed_s: float = 0.0
    credentials: list[Credential] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    ended_sessions: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Principal:
    """Who stands behind a session token."""

    user: str
    name: str
    roles: tuple[str, ...]


def replay(events: Sequence[RecordEvent]) -> dict[str, Account]:
    """Return the accounts that a record of accounts leaves.

    Raises:
        ForgedAccountsError: an account was made or changed by nobody: not the first one, nor by its owner, nor signed.
    """
    accounts: dict[str, Account] = {}
    for row, event in enumerate(events, start=1):
        data, user = event.data, event.what
        _check_administration(row, event, accounts)
        if event.kind == "user_added":
            accounts[user] = Account(user, str(data["name"]), tuple(data["roles"]))
        account = accounts.get(user)
        if account is None:
            continue
        if event.kind in ("user_added", "password_changed"):
            credential = Credential.from_fields(data["credential"])
            account.credentials.append(credential)
            account.keys += [credential.public_key] if credential.public_key not in account.keys else []
            account.must_change = bool(data["must_change"])
            account.changed_s, account.failures = float(data["at_s"]), 0
        elif event.kind == "user_changed":
            account.enabled = bool(data.get("enabled", account.enabled))
            account.roles = tuple(data.get("roles", account.roles))
        elif event.kind == "login_failed":
            account.failures, account.failed_s = account.failures + 1, float(data["at_s"])
        elif event.kind == "login":
            account.failures = 0
        elif event.kind == "session_ended":
            account.ended_sessions.add(str(data["session"]))
    return accounts


def _check_administration(row: int, event: RecordEvent, accounts: Mapping[str, Account]) -> None:
    """An administrator's act is signed by her; a person changes nothing but her own password, and keeps her key."""
    data, user = event.data, event.what
    if event.kind not in ("user_added", "user_changed", "password_changed") or not accounts:
        return  # not an act on accounts, or the first account
    known = accounts.get(user)
    if event.kind == "password_changed" and "signature" not in data:
        if known is not None and Credential.from_fields(data["credential"]).public_key == known.keys[-1]:
            return
        text = f"accounts, row {row}: the key of {user} was replaced by nobody; run `workcell verify`"
        raise ForgedAccountsError(text)
    by = accounts.get(event.who)
    try:
        if by is None or not by.enabled:
            raise InvalidSignature
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(by.keys[-1]))
        signed = administration_text(row, event.kind, user, event.why, data)
        key.verify(bytes.fromhex(str(data.get("signature"))), signed)
    except (InvalidSignature, ValueError) as error:
        raise ForgedAccountsError(
            f"accounts, row {row}: {event.kind} of {user} is not signed by {event.who}; run `workcell verify`"
        ) from error


def signer_keys(accounts: Mapping[str, Account]) -> dict[str, SignerKey]:
    """Return every key that an account has or had, by its short name."""
    keys = {}
    for account in accounts.values():
        for text in account.keys:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            keys[key_id(key)] = SignerKey(account.user, key)
    return keys


def read_accounts(folder: Path) -> dict[str, Account]:
    """Return the accounts in a folder without taking it from its writer; none when there is no record yet."""
    return replay(read_events(folder)) if (folder / "record.sqlite").is_file() else {}


def check_session(token: str, accounts: Mapping[str, Account], now_s: float) -> Principal:
    """Return who stands behind a session token.

    Raises:
        LoginError: forged, expired, ended, of an account that is disabled or whose password was changed since.
    """
    try:
        text, payload, signature = decode_token(token)
        user, session = str(payload["user"]), str(payload["session"])
        issued_s, expires_s = float(payload["issued_s"]), float(payload["expires_s"])
    except (CredentialError, KeyError, TypeError, ValueError) as error:
        raise LoginError(f"session: {error}") from error
    account = accounts.get(user)
    if account is None or not account.enabled or session in account.ended_sessions:
        raise LoginError("session: it has ended; log in again")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(account.keys[-1]))
        key.verify(bytes.fromhex(signature), text)
    except (InvalidSignature, ValueError) as error:
        raise LoginError("session: the token was not issued to this account") from error
    if not issued_s <= now_s < expires_s or issued_s < account.changed_s:
        raise LoginError("session: it has expired; log in again")
    return Principal(user, account.name, account.roles)
