# SPDX-License-Identifier: Apache-2.0
"""Accounts of a workcell: who may act, kept in an append-only, chained record of their own.

Every account, change of password, failed login and session is a row of that record; what holds now follows from
replaying it. Passwords are asked for where the record lies and never cross the network; session tokens do.

Designed to support 21 CFR 11.10(d), 11.200 and 11.300: unique accounts, two components, ageing, lock-out.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...records.batch_record import BatchRecord
from ...records.errors import BusyError, RecordError
from ...records.events import RecordEvent, wall_time
from ...records.heads import Signer
from ..errors import WorkcellError
from .accounts import Account, LoginError, administration_text, check_session, read_accounts, replay
from .credentials import (
    Credential,
    Person,
    decode_token,
    encode_token,
    seal,
    session_text,
    unseal,
)  # fmt: skip
from .roles import Roles

FOLDER = "users"
DAY_S = 86400.0
PATIENCE_S = 10.0
"""How long another command that is writing accounts is waited for [s]."""

_USER = re.compile(r"[a-z][a-z0-9_.-]{1,31}\Z")


class UserError(WorkcellError):
    """An account cannot be made or changed; says why and what is allowed."""


class UserRegistry:
    """The accounts below a folder, for the commands on the host where they lie.

    Args:
        folder: folder of the record of accounts.
        signer: signs the heads of that record.
        roles: roles and policy of the site.
        now_s: wall time [s since 1970].
    """

    def __init__(self, folder: Path, signer: Signer, roles: Roles, now_s: Callable[[], float] = time.time) -> None:
        self.folder, self.roles = folder, roles
        self._signer, self._now_s = signer, now_s

    def accounts(self) -> dict[str, Account]:
        """Return all accounts by name."""
        return read_accounts(self.folder)

    def add(self, user: str, name: str, roles: Sequence[str], password: str, by: Person | None) -> None:
        """Make an account whose password has to be changed at its first use.

        Args:
            by: the administrator; None only for the first account, which is an administrator's and keeps its password.

        Raises:
            UserError: the name is taken or malformed, a role or the password is not allowed, or `by` may not.
        """
        if not _USER.match(user):
            raise UserError(f"user {user!r}: give small letters, digits and . _ -, a letter first, 2 to 32")
        if not name.strip():
            raise UserError("name is empty; a signature shows the printed name of its signer")
        roles = self._known(roles)
        with self._record() as (record, accounts):
            if user in accounts:
                raise UserError(f"user {user!r} is there already; an account is one person's for ever")
            if by is None and accounts:
                raise UserError("only the first account is made without an administrator")
            if by is None and not self.roles.may(roles, "administer"):
                raise UserError("the first account must have a role that administers accounts")
            self._administrator(by)
            self._check_password(user, password, ())
            credential = seal(user, password, self.roles.policy)
            data = {"name": name, "roles": list(roles), "credential": credential.as_fields(), "must_change": bool(by)}
            self._write(record, "user_added", user, by.user if by else user, "account made", data, by)

    def change(
        self, user: str, by: Person, why: str, *, enabled: bool | None = None, roles: Sequence[str] | None = None
    ) -> None:
        """Disable or enable an account, or give it other roles.

        Raises:
            UserError: no such account, no reason, `by` may not, or no administrator would be left.
        """
        self._administrator(by)
        if not why.strip():
            raise UserError("why is empty; access is changed for a reason: say which")
        with self._record() as (record, accounts):
            account = self._account(accounts, user)
            data: dict[str, Any] = {}
            if enabled is not None:
                data |= {"old": account.enabled, "enabled": enabled}
            if roles is not None:
                data |= {"old_roles": list(account.roles), "roles": list(self._known(roles))}
            left = {name: one for name, one in accounts.items() if one.enabled and name != user}
            stays = (account.enabled if enabled is None else enabled) and self.roles.may(
                data.get("roles", account.roles), "administer"
            )
            if not stays and not any(self.roles.may(one.roles, "administer") for one in left.values()):
                raise UserError(f"{user} is the last administrator; make another one first")
            self._write(record, "user_changed", user, by.user, why, data, by)

    def reset_password(self, user: str, password: str, by: Person, why: str) -> None:
        """Give an account a new key under a password that has to be changed at its first use; unlocks it.

        What was signed with the old key stays verifiable.

        Raises:
            UserError: no such account, the password is not allowed, no reason, or `by` may not.
        """
        self._administrator(by)
        if not why.strip():
            raise UserError("why is empty; a password is reset for a reason: say which")
        with self._record() as (record, accounts):
            account = self._account(accounts, user)
            self._check_password(user, password, account.credentials)
            data = {"credential": seal(user, password, self.roles.policy).as_fields(), "must_change": True}
            self._write(record, "password_changed", user, by.user, why, data, by)

    def change_password(self, user: str, old: str, new: str) -> None:
        """Let a person change her own password; her key stays.

        Raises:
            LoginError: the old password is wrong or the account is locked or disabled.
            UserError: the new one is not allowed.
        """
        person = self.authenticate(user, old, to_change=True)
        with self._record() as (record, accounts):
            self._check_password(user, new, accounts[user].credentials)
            credential = seal(user, new, self.roles.policy, person.key)
            data = {"credential": credential.as_fields(), "must_change": False}
            self._write(record, "password_changed", user, user, "by its owner", data, None)

    def authenticate(self, user: str, password: str, to_change: bool = False) -> Person:
        """Return the person who knows a password; every failure is recorded, too many in a row lock the account.

        Args:
            to_change: whether a password that has to be changed first is taken.

        Raises:
            LoginError: wrong, locked, disabled, or the password has to be changed first.
        """
        policy = self.roles.policy
        with self._record() as (record, accounts):
            now_s = self._now_s()
            account = accounts.get(user)
            if account is None:
                # The same work as for a real account, so that its time does not tell which accounts there are.
                seal("nobody", password, policy)
                if _USER.match(user):
                    self._write(record, "login_failed", user, user, "no such account", {}, None)
                raise LoginError("user or password is wrong")
            if account.failures >= policy.failures_before_lock:
                left_min = policy.lock_min - (now_s - account.failed_s) / 60.0
                if left_min > 0.0:
                    raise LoginError(
                        f"{user} is locked after {account.failures} failures for {left_min:.0f} min more; "
                        f"an administrator gives a new password: `workcell user reset {user}`"
                    )
            key = unseal(user, password, account.credentials[-1])
            if key is None:
                self._write(record, "login_failed", user, user, "wrong password", {}, None)
                raise LoginError("user or password is wrong")
            if not account.enabled:
                raise LoginError(f"{user} is disabled; an administrator can enable it")
            expired = now_s - account.changed_s > policy.password_valid_d * DAY_S
            if (expired or account.must_change) and not to_change:
                why = "has expired" if expired else "was given by an administrator"
                raise LoginError(f"the password of {user} {why}: change it with `workcell user passwd {user}`")
            if account.failures:
                self._write(record, "login", user, user, "failures forgotten", {}, None)
            return Person(user, account.name, account.roles, key)

    def open_session(self, person: Person) -> str:
        """Return a token that stands for a person until it expires; the session is on record."""
        now_s = self._now_s()
        payload = {
            "user": person.user, "session": secrets.token_hex(8), "issued_s": now_s,
            "expires_s": now_s + self.roles.policy.session_h * 3600.0,
        }  # fmt: skip
        with self._record() as (record, _):
            data = {"session": payload["session"], "expires_s": payload["expires_s"]}
            self._write(record, "login", person.user, person.user, "session opened", data, None)
        return encode_token(payload, person.sign_text(session_text(payload)))

    def end_session(self, token: str) -> None:
        """End a session before it expires; raises LoginError when there is none behind the token."""
        principal = check_session(token, self.accounts(), self._now_s())
        session = str(decode_token(token)[1]["session"])
        with self._record() as (record, _):
            data = {"session": session}
            self._write(record, "session_ended", principal.user, principal.user, "logged out", data, None)

    @contextmanager
    def _record(self) -> Iterator[tuple[BatchRecord, dict[str, Account]]]:
        """Open the record of accounts for writing; waits for another command that has it."""
        deadline_s = time.monotonic() + PATIENCE_S
        try:
            # Sealed keys are nobody else's to guess at.
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
        except OSError as error:
            raise UserError(f"{self.folder}: {error.strerror}; give a folder of your own") from error
        while True:
            try:
                record = BatchRecord(self.folder, self._signer, batch_id=FOLDER)
                break
            except BusyError as error:
                if time.monotonic() > deadline_s:
                    raise UserError(str(error)) from error
                time.sleep(0.05)
            except RecordError as error:
                raise UserError(str(error)) from error
        try:
            yield record, replay(list(record.events()))
        finally:
            record.close()

    def _write(
        self, record: BatchRecord, kind: str, user: str, who: str, why: str, data: dict[str, Any], by: Person | None
    ) -> None:
        data = {**data, "at_s": self._now_s()}
        if by is not None:
            # An administrator's act carries her own signature: access to the files alone makes no accounts.
            text = administration_text(record.count + 1, kind, user, why, data)
            data |= {"key_id": by.key_id, "signature": by.sign_text(text)}
        number = record.last_sequences.get(FOLDER, 0) + 1
        try:
            record.append([RecordEvent(FOLDER, number, FOLDER, float("nan"), wall_time(), kind, who, user, why, data)])
        except RecordError as error:
            raise UserError(str(error)) from error

    def _administrator(self, by: Person | None) -> None:
        if by is not None and not self.roles.may(by.roles, "administer"):
            raise UserError(f"{by.user} ({', '.join(by.roles)}) may not administer accounts")

    def _known(self, roles: Sequence[str]) -> tuple[str, ...]:
        unknown = [role for role in roles if role not in self.roles.roles]
        if unknown or not roles:
            named = ", ".join(unknown) or "none"
            raise UserError(f"roles: {named}; allowed: {', '.join(self.roles.roles)}")
        return tuple(dict.fromkeys(roles))

    @staticmethod
    def _account(accounts: Mapping[str, Account], user: str) -> Account:
        if user not in accounts:
            raise UserError(f"there is no user {user!r}; there are {', '.join(sorted(accounts)) or 'none'}")
        return accounts[user]

    def _check_password(self, user: str, password: str, before: Sequence[Credential]) -> None:
        policy = self.roles.policy
        if len(password) < policy.password_min_characters:
            raise UserError(f"the password has {len(password)} characters; at least {policy.password_min_characters}")
        if user in password.lower() or len(set(password)) < 5:
            raise UserError("the password holds the user's name, or fewer than five different characters")
        remembered = before[-policy.passwords_remembered :] if policy.passwords_remembered else ()
        if any(unseal(user, password, credential) is not None for credential in remembered):
            raise UserError(f"the password is one of the last {policy.passwords_remembered}; choose another one")
