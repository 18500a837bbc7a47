# SPDX-License-Identifier: Apache-2.0
"""Roles and the policy of passwords and sessions, from `config/users/roles.yaml`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...records.signatures import MEANINGS
from ..yaml_tree import Reader, Tree, read_document

ACTS = ("produce", "answer", "command", "acknowledge", "shelve", "remove", "maintain", "reset", "review", "administer")


@dataclass(frozen=True)
class Role:
    """What a role may do.

    Args:
        signs: meanings of the signatures it may give.
        acts: what its sessions may do.
    """

    role: str
    title: str
    signs: frozenset[str]
    acts: frozenset[str]


@dataclass(frozen=True)
class Policy:
    """How passwords and sessions are kept; Argon2id with the memory in KiB (RFC 9106, section 4)."""

    password_min_characters: int = 12
    passwords_remembered: int = 5
    password_valid_d: float = 180.0
    failures_before_lock: int = 5
    lock_min: float = 30.0
    session_h: float = 8.0
    time_cost: int = 3
    memory_kib: int = 65536
    parallelism: int = 4


@dataclass(frozen=True)
class Roles:
    """All roles of a site, and its policy."""

    roles: Mapping[str, Role] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    def that_sign(self, meaning: str) -> list[str]:
        """Return the roles that may sign with this meaning."""
        return sorted(name for name, role in self.roles.items() if meaning in role.signs)

    def role_for(self, roles: Collection[str], meaning: str) -> Role | None:
        """Return the first of a person's roles that may sign with this meaning, None when none may."""
        return next((self.roles[r] for r in roles if r in self.roles and meaning in self.roles[r].signs), None)

    def may(self, roles: Collection[str], act: str) -> bool:
        """Return whether one of a person's roles may do this."""
        return any(act in self.roles[role].acts for role in roles if role in self.roles)


def read_roles(path: Path) -> Roles:
    """Return the roles of a file.

    Raises:
        DiagnosticError: the file cannot be read or is wrong, with every line that is.
    """
    reader, top = read_document(path, required=("policy", "roles"))
    policy = _policy(reader, top.get("policy"))
    roles = {name: _role(reader, name, tree) for name, tree in reader.mapping(top.get("roles"), optional=None).items()}
    if roles and "roles" in top and not any("administer" in role.acts for role in roles.values()):
        reader.wrong(top["roles"], "no role may administer accounts", value="roles")
    reader.finish()
    return Roles(roles, policy)


def _policy(reader: Reader, tree: Tree | None) -> Policy:
    ranges = {
        "password_min_characters": (8, 128), "passwords_remembered": (0, 24), "password_valid_d": (1, 3650),
        "failures_before_lock": (1, 20), "lock_min": (1, 10_080), "session_h": (0.05, 24),
    }  # fmt: skip
    items = reader.mapping(tree, required=(*ranges, "argon2"))
    values = {name: reader.number(items.get(name), *limits, limits[0]) for name, limits in ranges.items()}
    # Below these costs RFC 9106 has no recommendation; above, a login takes minutes.
    costs = {"time_cost": (1, 20), "memory_kib": (19_456, 4_194_304), "parallelism": (1, 16)}
    argon2 = reader.mapping(items.get("argon2"), required=tuple(costs))
    values |= {name: reader.number(argon2.get(name), *limits, limits[0]) for name, limits in costs.items()}
    whole = (*costs, "password_min_characters", "passwords_remembered", "failures_before_lock")
    return Policy(**{name: int(value) if name in whole else value for name, value in values.items()})  # type: ignore[arg-type]


def _role(reader: Reader, name: str, tree: Tree) -> Role:
    items = reader.mapping(tree, required=("title", "signs", "acts"))
    signs = frozenset(reader.text(item, tuple(MEANINGS)) for item in reader.items(items.get("signs")))
    acts = frozenset(reader.text(item, ACTS) for item in reader.items(items.get("acts")))
    return Role(name, reader.text(items.get("title")), signs, acts)
