# SPDX-License-Identifier: Apache-2.0
"""Who may act on a running workcell: names without accounts, session tokens and roles with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_users import FIRST, ROLES, SECOND, Clock, with_ben

from mimedi_nodes.nodes.frame.doorkeeper import Doorkeeper, NotAllowed
from mimedi_nodes.process.people.users import UserRegistry
from mimedi_nodes.records.heads import Signer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(tmp_path: Path, clock: Clock) -> UserRegistry:
    registry = UserRegistry(tmp_path / "users", Signer.load_or_create(tmp_path / "keys"), ROLES, clock)
    registry.add("anna", "Anna Ruiz", ["administrator"], FIRST, None)
    with_ben(registry)
    return registry


def test_without_accounts_a_name_is_taken_and_nobody_is_refused(tmp_path: Path) -> None:
    door = Doorkeeper(tmp_path / "users")
    assert door.name_of(" A. Martin ", "command") == "A. Martin"
    assert Doorkeeper(None).name_of("script", "answer") == "script"
    with pytest.raises(NotAllowed, match="who is empty"):
        door.name_of("  ", "command")


def test_with_accounts_only_a_session_counts_and_only_for_what_its_role_may(
    users: UserRegistry, clock: Clock, tmp_path: Path
) -> None:
    door = Doorkeeper(tmp_path / "users", now_s=clock)
    with pytest.raises(NotAllowed, match="workcell user login"):
        door.name_of("ben", "command")
    token = users.open_session(users.authenticate("ben", SECOND))
    assert door.name_of(token, "command") == "ben"
    assert door.name_of(token, "acknowledge") == "ben"
    with pytest.raises(NotAllowed, match=r"ben \(operator\) may not shelve; roles that may: production_lead"):
        door.name_of(token, "shelve")
    with pytest.raises(NotAllowed, match="may not command"):
        door.name_of(users.open_session(users.authenticate("anna", FIRST)), "command")


def test_a_session_ends_by_time_by_logout_and_by_forging(users: UserRegistry, clock: Clock, tmp_path: Path) -> None:
    door = Doorkeeper(tmp_path / "users", now_s=clock)
    token = users.open_session(users.authenticate("ben", SECOND))
    with pytest.raises(NotAllowed, match="session"):
        door.name_of(token[:-4] + "0000", "command")
    clock.now_s += 9.0 * 3600.0
    with pytest.raises(NotAllowed, match="expired"):
        door.name_of(token, "command")
    fresh = users.open_session(users.authenticate("ben", SECOND))
    users.end_session(fresh)
    with pytest.raises(NotAllowed, match="ended"):
        door.name_of(fresh, "command")
