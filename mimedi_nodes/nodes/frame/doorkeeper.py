# SPDX-License-Identifier: Apache-2.0
"""Who stands behind a request: where there are accounts a session token says it, and a role must allow the act."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ...modules.registry import config_folder
from ...process.errors import WorkcellError
from ...process.people.accounts import check_session, read_accounts
from ...process.people.roles import read_roles
from ...records.errors import RecordError


class NotAllowed(WorkcellError):
    """A request of somebody who may not do this; says why and what to do."""


class Doorkeeper:
    """Tells under whose name an act goes into the record.

    The field `who` of a request carries a session token (`./workcell user login`), which may cross the network: it is
    signed, it expires, and no password is in it. A site without any account takes the name as it is given.

    Args:
        users_dir: folder of the accounts; None where the node was told of none.
        roles_file: roles and what their sessions may do; None for the shipped ones.
        now_s: wall time [s since 1970].
    """

    def __init__(
        self, users_dir: Path | None, roles_file: Path | None = None, now_s: Callable[[], float] = time.time
    ) -> None:
        self._users_dir = users_dir
        self._roles_file = roles_file or config_folder() / "users" / "roles.yaml"
        self._now_s = now_s

    def name_of(self, who: str, act: str) -> str:
        """Return the name for the record.

        Args:
            who: session token, or a name where there are no accounts.
            act: one of `process.roles.ACTS`.

        Raises:
            NotAllowed: nobody, no valid session, or a role that may not.
        """
        who = who.strip()
        if not who:
            raise NotAllowed("who is empty; an act is a person's: say whose")
        try:
            accounts = read_accounts(self._users_dir) if self._users_dir is not None else {}
            if not accounts:
                return who
            principal = check_session(who, accounts, self._now_s())
            roles = read_roles(self._roles_file)
        except (WorkcellError, RecordError) as error:
            raise NotAllowed(f"{error}; this workcell has accounts: ./workcell user login NAME") from error
        if not roles.may(principal.roles, act):
            may = [name for name, role in roles.roles.items() if act in role.acts]
            raise NotAllowed(
                f"{principal.user} ({', '.join(principal.roles)}) may not {act}; roles that may: {', '.join(may)}"
            )
        return principal.user
