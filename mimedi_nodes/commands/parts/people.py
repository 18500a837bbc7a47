# SPDX-License-Identifier: Apache-2.0
"""Where accounts, keys and runs lie, and how a command asks a person who she is."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ...modules.registry import config_folder
from ...process.people.credentials import Person
from ...process.people.roles import read_roles
from ...process.people.users import FOLDER, UserError, UserRegistry
from ...records.heads import Signer

RUNS = Path("runs")


@dataclass(frozen=True)
class Place:
    """Folders of a workcell: its runs, and beside them keys, accounts and session."""

    runs: Path

    @property
    def state(self) -> Path:
        """Folder beside the runs that is no run."""
        return self.runs.resolve().parent / ".workcell"

    @property
    def keys(self) -> Path:
        """Folder of the recorder's keys."""
        named = os.environ.get("WORKCELL_KEYS")
        return Path(named) if named else self.state / "keys"

    @property
    def users(self) -> Path:
        """Folder of the record of accounts."""
        return self.state / FOLDER

    @property
    def session(self) -> Path:
        """File of the session token of whoever is logged in on this host."""
        return self.state / f"session-{os.getuid()}.token"

    def run(self, name: str) -> Path:
        """Return the run folder of a batch, by its name or its path."""
        path = Path(name)
        return path.resolve() if path.is_dir() else (self.runs / name).resolve()


def roles_file() -> Path:
    """Return the file of roles and policy."""
    return config_folder() / "users" / "roles.yaml"


def registry(place: Place) -> UserRegistry:
    """Return the accounts of a workcell."""
    return UserRegistry(place.users, Signer.load_or_create(place.keys), read_roles(roles_file()))


def add_runs_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the runs lie."""
    parser.add_argument(
        "--runs", type=Path, default=RUNS, help="folder of the runs; keys and accounts lie beside it (default runs)"
    )


def add_person_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who acts; a password is asked for, or read from a file, never an argument."""
    parser.add_argument("--user", help="account of who acts (default: asked for)")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="read the password from FILE, - from standard input"
    )


def ask_user(options: argparse.Namespace) -> str:
    """Return the account that the options name, or that is typed."""
    return str(options.user or _prompt("User: ")).strip()


def ask_password(options: argparse.Namespace, prompt: str = "Password: ") -> str:
    """Return the password: from the file that the options name, or typed unseen.

    Raises:
        UserError: nobody can be asked, or the file cannot be read.
    """
    source = options.password_file
    if source is None:
        if not sys.stdin.isatty():
            raise UserError("nobody is there to type a password; give --password-file FILE, or - for standard input")
        return getpass.getpass(prompt)
    try:
        text = sys.stdin.readline() if str(source) == "-" else source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: {error}") from error
    lines = text.splitlines()
    return lines[0] if lines else ""


def ask_new_password(account: str, source: Path | None) -> str:
    """Return a new password of an account: from a file, or typed twice.

    Raises:
        UserError: the two differ, or nobody can be asked.
    """
    if source is not None:
        return ask_password(argparse.Namespace(password_file=source))
    first = ask_password(argparse.Namespace(password_file=None), f"New password of {account}: ")
    if first != ask_password(argparse.Namespace(password_file=None), "Again: "):
        raise UserError("the two passwords differ; nothing was changed")
    return first


def authenticate(options: argparse.Namespace, users: UserRegistry) -> Person:
    """Return the person who gives her password; raises LoginError."""
    user = ask_user(options)
    return users.authenticate(user, ask_password(options, f"Password of {user}: "))


def _prompt(text: str) -> str:
    if not sys.stdin.isatty():
        raise UserError("nobody is there to be asked; name the account with --user")
    return input(text)
