# SPDX-License-Identifier: Apache-2.0
"""Who acts on a running workcell from the terminal, and why: asked for where somebody can be asked, never guessed."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time

from ...process.errors import WorkcellError
from ...process.people.accounts import LoginError, check_session, read_accounts
from ...records.errors import RecordError
from .people import Place, add_person_options, add_runs_option, authenticate, registry

EXIT_TAKEN, EXIT_REFUSED, EXIT_COULD_NOT_RUN = 0, 1, 2
EXIT_TEXT = "exit status: 0 taken, 1 refused, 2 could not run (nobody answers)"


class Unasked(WorkcellError):
    """Person or reason is missing and nobody is there to be asked."""


def add_workcell_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every command to a running workcell has."""
    parser.add_argument("--namespace", default="", help="namespace of the workcell")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="longest wait [s] (default 10)")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def add_who_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who acts and why."""
    parser.add_argument("--why", help="reason; goes into the batch record (default: asked for)")
    parser.add_argument("--who", help="name of who acts, where the workcell has no accounts (default: asked for)")
    add_runs_option(parser)
    add_person_options(parser)


def who_acts(options: argparse.Namespace) -> str:
    """Return what goes into `who` of a request: a session token where there are accounts, else a name.

    Raises:
        WorkcellError: nobody is logged in and nobody can be asked; a wrong password; a session that has ended.
    """
    place = Place(options.runs)
    try:
        accounts = read_accounts(place.users)
    except RecordError as error:
        raise Unasked(f"the accounts cannot be read: {error}") from error
    if not accounts:
        return _named(options)
    token = place.session.read_text(encoding="utf-8") if place.session.is_file() else ""
    try:
        found = check_session(token, accounts, time.time())
        if options.user in (None, found.user):
            return token
    except LoginError:
        if options.user is None and not sys.stdin.isatty():
            hint = "./workcell user login NAME, or give --user and --password-file"
            raise Unasked(f"nobody is logged in: {hint}") from None
    users = registry(place)
    return users.open_session(authenticate(options, users))


def _named(options: argparse.Namespace) -> str:
    name = (options.who or options.user or "").strip()
    if not name and sys.stdin.isatty():
        proposed = _login_name()
        name = input(f"Your name [{proposed}]: ").strip() or proposed
    if not name:
        raise Unasked("nobody is there to say who acts: give --who NAME")
    return name


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def reason(options: argparse.Namespace, what: str) -> str:
    """Return why this is done.

    Raises:
        Unasked: it was not given and nobody can be asked.
    """
    why = (options.why or "").strip()
    if not why and sys.stdin.isatty():
        why = input(f"Reason to {what}: ").strip()
    if not why:
        raise Unasked(f"a reason to {what} is missing: give --why TEXT; it goes into the batch record")
    return why
