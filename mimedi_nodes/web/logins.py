# SPDX-License-Identifier: Apache-2.0
"""Who looks at the page: a cookie of chance leads to a session of the accounts; no password is kept."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from ..process.errors import WorkcellError
from ..process.people.accounts import LoginError, check_session
from ..process.people.roles import ACTS
from ..process.people.users import UserRegistry


class NotLoggedIn(WorkcellError):
    """Nobody stands behind a cookie."""


@dataclass(frozen=True)
class Visitor:
    """A person at the page.

    Args:
        token: what goes into `who` of her requests: a session token, or her name where there are no accounts.
        acts: what her roles may do.
    """

    user: str
    name: str
    roles: tuple[str, ...]
    token: str
    acts: tuple[str, ...]


class Logins:
    """The sessions of the page.

    Args:
        users: the accounts.
    """

    def __init__(self, users: UserRegistry) -> None:
        self.users = users
        self._visitors: dict[str, Visitor] = {}

    def has_accounts(self) -> bool:
        """Return whether the workcell has accounts; without any, a name is enough, as at the terminal."""
        return bool(self.users.accounts())

    def login(self, user: str, password: str) -> tuple[str, Visitor]:
        """Return a new cookie and who stands behind it; takes a while, by design of the passwords.

        Raises:
            LoginError: wrong, locked, or no name.
        """
        if not user.strip():
            raise LoginError("a name is missing")
        if self.has_accounts():
            token = self.users.open_session(self.users.authenticate(user, password))
            found = check_session(token, self.users.accounts(), time.time())
            acts = tuple(act for act in ACTS if self.users.roles.may(found.roles, act))
            visitor = Visitor(found.user, found.name, found.roles, token, acts)
        else:
            visitor = Visitor(user.strip(), user.strip(), (), user.strip(), ACTS)
        cookie = secrets.token_urlsafe(32)
        self._visitors[cookie] = visitor
        return cookie, visitor

    def visitor(self, cookie: str) -> Visitor:
        """Return who stands behind a cookie, looked up anew each time: sessions end and accounts are disabled.

        Raises:
            NotLoggedIn: nobody, or not any more.
        """
        visitor = self._visitors.get(cookie)
        if visitor is None:
            raise NotLoggedIn("log in")
        accounts = self.users.accounts()
        if accounts:
            try:
                check_session(visitor.token, accounts, time.time())
            except LoginError as error:
                del self._visitors[cookie]
                raise NotLoggedIn(str(error)) from error
        return visitor

    def logout(self, cookie: str) -> None:
        """End a session; harmless when there is none."""
        visitor = self._visitors.pop(cookie, None)
        if visitor is not None and self.has_accounts():
            try:
                self.users.end_session(visitor.token)
            except LoginError:
                return  # it had ended by itself
