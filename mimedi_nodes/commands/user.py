# SPDX-License-Identifier: Apache-2.0
"""`workcell user`: accounts, passwords and sessions."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..process.errors import WorkcellError
from ..process.people.accounts import LoginError
from ..process.people.users import UserRegistry
from ..records.errors import RecordError
from .parts.people import (
    Place,
    add_person_options,
    add_runs_option,
    ask_new_password,
    ask_password,
    authenticate,
    registry,
)
from .parts.teaching import teach

EXAMPLES = """\
examples:
  ./workcell user add anna --name "Anna Ruiz" --role administrator        the first account is an administrator's
  ./workcell user add ben --name "Ben Ode" --role operator --user anna    made by anna, who gives her password
  ./workcell user passwd ben                                              ben changes his own password
  ./workcell user reset ben --user anna --why "forgotten"                 anna gives him a new one
  ./workcell user disable ben --user anna --why "has left"
  ./workcell user enable ben --user anna --why "is back"
  ./workcell user list --json
  ./workcell user login ben     a session for this host: its token stands for ben, the password is sent nowhere
  ./workcell user logout        ends the session of this host

exit status: 0 done, 1 refused (wrong password, locked, not allowed), 2 could not run
"""


def main(argv: Sequence[str]) -> int:
    """Carry out an act on the accounts; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell user",
        description="Accounts of the people who run and sign, in a chained record in .workcell/users beside the runs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    acts = parser.add_subparsers(dest="act", required=True, metavar="add|list|passwd|reset|disable|enable|login|logout")
    add = acts.add_parser("add", help="make an account")
    add.add_argument("account")
    add.add_argument("--name", required=True, help="printed name, as signatures show it")
    add.add_argument("--role", action="append", required=True, help="role, may be repeated (config/users/roles.yaml)")
    add.add_argument("--new-password-file", type=Path, metavar="FILE", help="file with the new account's password")
    for name, text in (("disable", "take an account's access away"), ("enable", "give it back")):
        act = acts.add_parser(name, help=text)
        act.add_argument("account")
        act.add_argument("--why", required=True, help="reason")
    reset = acts.add_parser("reset", help="give an account a new password, and unlock it")
    reset.add_argument("account")
    reset.add_argument("--why", required=True, help="reason")
    reset.add_argument("--new-password-file", type=Path, metavar="FILE")
    passwd = acts.add_parser("passwd", help="change one's own password")
    passwd.add_argument("account")
    passwd.add_argument("--new-password-file", type=Path, metavar="FILE")
    login = acts.add_parser("login", help="open a session on this host")
    login.add_argument("account")
    acts.add_parser("logout", help="end it")
    acts.add_parser("list", help="list the accounts")
    for act in acts.choices.values():
        act.add_argument("--json", action="store_true", help="print as JSON")
        add_runs_option(act)
        add_person_options(act)
    teach(parser)
    options = parser.parse_args(list(argv))
    place = Place(options.runs)
    try:
        if options.act == "list":
            return _list(registry(place), options.json)
        message = _act(options, place, registry(place))
    except WorkcellError as error:
        print(f"workcell user: {error}", file=sys.stderr)
        return 1
    except (RecordError, OSError) as error:
        print(f"workcell user: {error}", file=sys.stderr)
        return 2
    told = {"act": options.act, "user": getattr(options, "account", ""), "message": message}
    print(json.dumps(told, ensure_ascii=False) if options.json else message)
    return 0


def _act(options: argparse.Namespace, place: Place, users: UserRegistry) -> str:
    """Carry out an act; return what is told of it."""
    if options.act == "logout":
        if not place.session.is_file():
            raise LoginError("nobody is logged in on this host")
        users.end_session(place.session.read_text(encoding="utf-8"))
        place.session.unlink()
        return "The session has ended."
    if options.act == "login":
        options.user = options.account
        _keep(place.session, users.open_session(authenticate(options, users)))
        return f"{options.account} is logged in for {users.roles.policy.session_h:g} h"
    if options.act == "passwd":
        old = ask_password(options, f"Old password of {options.account}: ")
        users.change_password(options.account, old, ask_new_password(options.account, options.new_password_file))
        return "The password is changed."
    if options.act == "add":
        by = None if not users.accounts() else authenticate(options, users)
        password = ask_new_password(options.account, options.new_password_file)
        users.add(options.account, options.name, options.role, password, by)
        change = f"The password has to be changed at its first use: ./workcell user passwd {options.account}"
        return f"{options.account} has an account ({', '.join(options.role)})." + (f"\n{change}" if by else "")
    if options.act == "reset":
        by = authenticate(options, users)
        password = ask_new_password(options.account, options.new_password_file)
        users.reset_password(options.account, password, by, options.why)
        return f"{options.account} has a new password, to be changed at its first use."
    by = authenticate(options, users)
    users.change(options.account, by, options.why, enabled=options.act == "enable")
    return f"{options.account} is {options.act}d."


def _list(users: UserRegistry, as_json: bool) -> int:
    now_s, policy = time.time(), users.roles.policy
    rows: list[dict[str, Any]] = []
    for account in users.accounts().values():
        locked = account.failures >= policy.failures_before_lock and now_s - account.failed_s < policy.lock_min * 60.0
        left_d = policy.password_valid_d - (now_s - account.changed_s) / 86400.0
        state = "disabled" if not account.enabled else "locked" if locked else "password expired" if left_d < 0 else ""
        state = state or ("password to be changed" if account.must_change else "active")
        row = {"user": account.user, "name": account.name, "roles": list(account.roles), "state": state}
        rows.append({**row, "password_days_left": round(left_d, 1)})
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    table = Table()
    for column in ("user", "name", "roles", "state", "password, days left"):
        table.add_column(column)
    for each in rows:
        left = f"{each['password_days_left']:.0f}"
        table.add_row(each["user"], each["name"], ", ".join(each["roles"]), each["state"], left)
    if rows:
        Console().print(table)
    else:
        print("No accounts yet; ./workcell user add --help shows how to make the first one.")
    return 0


def _keep(path: Path, token: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(token)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
