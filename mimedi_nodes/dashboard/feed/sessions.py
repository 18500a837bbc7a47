# SPDX-License-Identifier: Apache-2.0
"""Who is logged in at this window: the session lives in the window's process and ends with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ...commands.parts.people import Place, registry
from ...process.errors import WorkcellError
from ...process.people.accounts import LoginError, check_session
from ...process.people.credentials import CredentialError, decode_token
from ...records.errors import RecordError
from ..views import SessionView


class Sessions:
    """Opens and ends sessions in a thread of its own: a password takes a while by design, and files may be slow.

    Args:
        place: folders of the workcell; accounts are looked for there.
        post: takes a SessionView after each change; called in the thread.
    """

    def __init__(self, place: Place, post: Callable[[SessionView], None]) -> None:
        self._place, self._post = place, post
        self._token = ""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="dashboard-login")
        self._worker.submit(self._begin)

    def login(self, user: str, password: str) -> None:
        """Open a session; the outcome is posted."""
        self._worker.submit(self._login, user, password)

    def logout(self) -> None:
        """End the session; the outcome is posted."""
        self._worker.submit(self._logout)

    def token(self, who: str) -> str:
        """Return the token of a person's session here, or of the host's (`./workcell user login`); else the name."""
        for token in (self._token, self._of_host()):
            if token and _user_of(token) == who:
                return token
        return who  # the workcell will say that a session is missing

    def close(self) -> None:
        """End the session of this window with the window."""
        if self._token:
            self._worker.submit(self._logout)
        self._worker.shutdown()

    def _begin(self) -> None:
        if not self._place.users.is_dir():
            self._post(SessionView(accounts=False))
            return
        token, user = self._of_host(), ""
        try:
            users = registry(self._place)
            if token:
                user = check_session(token, users.accounts(), time.time()).user
            self._post(SessionView(accounts=bool(users.accounts()), user=user))
        except LoginError:
            self._post(SessionView(accounts=True))  # the host's session is over
        except (WorkcellError, RecordError, OSError) as error:
            self._post(SessionView(accounts=True, message=str(error)))

    def _login(self, user: str, password: str) -> None:
        try:
            users = registry(self._place)
            self._token = users.open_session(users.authenticate(user, password))
            self._post(SessionView(accounts=True, user=user, own=True))
        except (WorkcellError, RecordError, OSError) as error:
            self._post(SessionView(accounts=True, message=str(error)))

    def _logout(self) -> None:
        token, self._token = self._token, ""
        try:
            registry(self._place).end_session(token)
        except (WorkcellError, RecordError, OSError) as error:
            self._post(SessionView(accounts=True, message=str(error)))
            return
        self._post(SessionView(accounts=True))

    def _of_host(self) -> str:
        try:
            return self._place.session.read_text(encoding="utf-8").strip() if self._place.session.is_file() else ""
        except OSError:
            return ""  # unreadable is as good as none: the workcell asks for a session


def _user_of(token: str) -> str:
    try:
        return str(decode_token(token)[1].get("user", ""))
    except CredentialError:
        return ""
