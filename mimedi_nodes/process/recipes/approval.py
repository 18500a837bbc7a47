# SPDX-License-Identifier: Apache-2.0
"""Approval of recipes: who let which text be used, signed. A changed byte voids it.

Beside the recipes lies the folder `approvals`: one file per recipe and version with its signed entries, oldest
first, and `approvers.json` with the public keys of those who may sign. An entry signs recipe, version, content hash,
status, who, when and why with Ed25519 (RFC 8032); the content hash covers the sub-recipes too. Whoever can replace
`approvers.json` can approve: keep it, as the keys of the record, where only its keepers can write. What a running
workcell accepts is decided by its site file, which names the keys that it trusts: recipes that were signed with the
public key of demonstrations are refused wherever the site does not name that key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ..batch import Batch
from ..errors import WorkcellError
from .loader import STATUSES
from .recipe import Recipe

APPROVALS_FOLDER = "approvals"
APPROVERS_FILE = "approvers.json"
DEMONSTRATION_KEY_ID = "demonstration-approver-1"
"""Key that everybody has: it signs what is shown, never what is given to a patient."""
_TITLE = b"mimedi recipe approval 1\n"


class ApprovalError(WorkcellError):
    """A recipe cannot be approved or used; says why and what to do."""


@dataclass(frozen=True)
class Approval:
    """One signed entry.

    Args:
        status: what the recipe became: under_qualification or approved.
        when: wall time, ISO 8601 in UTC.
        key_id: which approver's key signed.
        signature: Ed25519 over `signed_text`, hexadecimal.
    """

    recipe: str
    version: str
    content_sha256: str
    status: str
    who: str
    when: str
    why: str
    key_id: str
    signature: str = ""

    def signed_text(self) -> bytes:
        """Return the bytes under the signature."""
        fields = {name: value for name, value in asdict(self).items() if name != "signature"}
        return _TITLE + json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def signed(self, key: Ed25519PrivateKey) -> Approval:
        """Return the entry with its signature."""
        return Approval(**{**asdict(self), "signature": key.sign(self.signed_text()).hex()})


@dataclass(frozen=True)
class Standing:
    """Where a recipe stands: its effective status, the entry that gives it, and why it is not higher."""

    status: str
    approval: Approval | None
    reason: str = ""

    def fact(self, recipe: Recipe) -> tuple[str, str, dict[str, Any]]:
        """Return what the batch record says of it: kind, subject, data."""
        entry = {} if self.approval is None else {f"approval_{k}": v for k, v in asdict(self.approval).items()}
        return "recipe_approval", recipe.title, {"status": self.status, "reason": self.reason, **entry}


@dataclass(frozen=True)
class Approver:
    """Who may sign: name and role as people know them, public key (hexadecimal)."""

    who: str
    role: str
    public_key: str


class Approvals:
    """The approvals of one folder of recipes.

    Args:
        recipes: the folder of the recipes.
        trusted: keys that the site trusts, key id → public key (the site file's `recipe_approvers`); an approver of
            the folder who is not among them does not count. None where no site is asked, on a desk.
    """

    def __init__(self, recipes: Path, trusted: Mapping[str, str] | None = None) -> None:
        self.folder, self._trusted = recipes / APPROVALS_FOLDER, trusted

    def approvers(self) -> dict[str, Approver]:
        """Return who may sign, by key id; raises ApprovalError when the file cannot be used."""
        path = self.folder / APPROVERS_FILE
        content = _read(path) if path.is_file() else {}
        try:
            known = {str(key_id): Approver(**fields) for key_id, fields in content.items()}
            if self._trusted is None:
                return known
            return {k: a for k, a in known.items() if self._trusted.get(k) == a.public_key}
        except (TypeError, AttributeError) as error:
            raise ApprovalError(f"{path}: {error}; each key id has who, role and public_key") from error

    def path(self, recipe: Recipe) -> Path:
        """Return the file of a recipe's version."""
        return self.folder / f"{recipe.name}-{recipe.version}.json"

    def entries(self, recipe: Recipe) -> list[Approval]:
        """Return the entries of a recipe's version, oldest first; raises ApprovalError when the file is damaged."""
        path = self.path(recipe)
        if not path.is_file():
            return []
        content = _read(path)
        try:
            return [Approval(**entry) for entry in content["entries"]]
        except (TypeError, KeyError) as error:
            raise ApprovalError(f"{path}: {error}; it was not written by `recipe approve`") from error

    def standing(self, recipe: Recipe) -> Standing:
        """Return the effective status of a recipe; a status that nobody signed for this very text does not count."""
        try:
            entries, approvers = self.entries(recipe), self.approvers()
        except ApprovalError as error:
            return Standing("draft", None, str(error))
        problems = []
        for entry in reversed(entries):
            problem = _problem(entry, recipe, approvers)
            if not problem:
                if recipe.status == entry.status:
                    return Standing(entry.status, entry)
                return Standing("draft", entry, f"its text says {recipe.status}, its last signature {entry.status}")
            problems.append(problem)
        if recipe.status == "draft":
            return Standing("draft", None, "its text says draft")
        reason = problems[0] if problems else f"nobody has signed {recipe.title}"
        return Standing("draft", None, f"its text says {recipe.status}, but {reason}")

    def require(self, recipe: Recipe, batch: Batch) -> Standing:
        """Return the standing of a recipe that this batch may use.

        Raises:
            ApprovalError: the recipe is not approved and the batch is no engineering run.
        """
        standing = self.standing(recipe)
        if standing.status != "approved" and not batch.engineering_run:
            raise ApprovalError(
                f"recipe {recipe.title} is {standing.status} ({standing.reason}); a batch needs an approved one: "
                f"`./workcell recipe approve {recipe.name} --why …` (on the simulated plant with --demonstration), or "
                "start an engineering run, which can never be released"
            )
        return standing

    def sign(
        self, recipe: Recipe, status: str, who: str, when: str, why: str, key_id: str, key: Ed25519PrivateKey
    ) -> Approval:
        """Add a signed entry; the recipe's text must already say the status.

        A person's entries stay and bind a version to one approved text. An entry of demonstrations takes the place of
        those over other texts: they prove an unchanged text and nothing else.

        Raises:
            ApprovalError: the step is not allowed, a person has approved another text as this version, the key is not
                an approver's, or the file cannot be written.
        """
        if recipe.status != status:
            raise ApprovalError(f"recipe {recipe.title} says status {recipe.status}, not {status}")
        approver = self.approvers().get(key_id)
        if approver is None or approver.public_key != key.public_key().public_bytes_raw().hex():
            known = ", ".join(self.approvers()) or "nobody"
            raise ApprovalError(f"key {key_id!r} is none of an approver's; {APPROVERS_FILE} knows {known}")
        if not why.strip():
            raise ApprovalError("an approval says why, e.g. the number of the qualification report")
        entry = Approval(
            recipe.name, recipe.version, recipe.content_hash, status, who or approver.who, when, why, key_id
        ).signed(key)
        before = self.entries(recipe)
        others = [e for e in before if e.status == status and e.content_sha256 != recipe.content_hash]
        if key_id == DEMONSTRATION_KEY_ID:
            before = [e for e in before if e.key_id != key_id or e not in others]
        elif status == "approved" and (bound := [e for e in others if e.key_id != DEMONSTRATION_KEY_ID]):
            raise ApprovalError(
                f"{recipe.title} was approved by {bound[0].who} on {bound[0].when} with another text: give this text "
                "a version of its own"
            )
        entries = [*before, entry]
        content = {"recipe": recipe.name, "version": recipe.version, "entries": [asdict(e) for e in entries]}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        path = self.path(recipe)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".new")
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise ApprovalError(f"{path} cannot be written: {error}") from error
        return entry


def next_status(recipe: Recipe, wanted: str | None) -> str:
    """Return the status after the next signature: a draft is qualified before it is approved.

    Raises:
        ApprovalError: the wanted status is no step of the way.
    """
    position = STATUSES.index(recipe.status)
    status = wanted or STATUSES[min(position + 1, len(STATUSES) - 1)]
    if status not in STATUSES[1:] or STATUSES.index(status) > position + 1:
        raise ApprovalError(
            f"recipe {recipe.title} is {recipe.status}, it cannot become {status}: the way is {' → '.join(STATUSES)}"
        )
    return status


def _problem(entry: Approval, recipe: Recipe, approvers: Mapping[str, Approver]) -> str:
    """Return what is wrong with an entry for this recipe, empty when nothing is."""
    said = f"the entry of {entry.who} ({entry.when})"
    if (entry.recipe, entry.version) != (recipe.name, recipe.version):
        return f"{said} is for {entry.recipe} {entry.version}"
    if entry.content_sha256 != recipe.content_hash:
        return f"the text was changed since {entry.who} signed it on {entry.when}"
    approver = approvers.get(entry.key_id)
    if approver is None:
        return f"{said} is signed with {entry.key_id!r}, which is no approver's key here"
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(approver.public_key))
        public.verify(bytes.fromhex(entry.signature), entry.signed_text())
    except (InvalidSignature, ValueError):
        return f"the signature of {said} does not hold"
    return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ApprovalError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ApprovalError(f"{path}: not an object")
    return content
