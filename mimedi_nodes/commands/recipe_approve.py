# SPDX-License-Identifier: Apache-2.0
"""`workcell recipe approve`: signs the next status of a recipe; the signature is over its very text."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ..modules.registry import manifests
from ..process.people.roles import read_roles
from ..process.recipes.approval import (
    APPROVERS_FILE,
    DEMONSTRATION_KEY_ID,
    Approval,
    ApprovalError,
    Approvals,
    next_status,
)
from ..process.recipes.loader import PARTS_FOLDER, folder_library, load_recipe, read_recipe
from .parts.batch_options import EXIT_MEETS, recipe_path
from .parts.people import Place, add_person_options, add_runs_option, authenticate, registry, roles_file

_KEY_TEXT = b"mimedi workcell: key of the approver of demonstrations"
_STATUS = re.compile(r"^status:[ \t]*\S+", re.MULTILINE)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this act."""
    parser.add_argument("recipe", help="name of a recipe in config/recipes, or a file")
    parser.add_argument("--why", default="", help="what the approval rests on, e.g. a qualification report (wanted)")
    parser.add_argument("--to", choices=("under_qualification", "approved"), help="status (default: the next one)")
    parser.add_argument(
        "--demonstration", action="store_true",
        help="sign with the fixed, public key of demonstrations: proves that the text was not changed, never that a "
        "person approved it",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the entry as JSON")
    add_person_options(parser)
    add_runs_option(parser)


def demonstration_key() -> Ed25519PrivateKey:
    """Return the key of the approver of demonstrations: the same everywhere."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.blake2b(_KEY_TEXT, digest_size=32).digest())


def run(options: argparse.Namespace) -> int:
    """Sign; the recipe's line `status:` is brought up to the status that is signed."""
    path = recipe_path(options.recipe)
    recipe = load_recipe(path, manifests())
    approvals = Approvals(path.parent)
    if not options.why.strip():
        raise ApprovalError("say what the approval rests on: --why 'qualification report QR-12'")
    standing = approvals.standing(recipe)
    # What the text says counts only as far as it is signed: an unsigned `approved` begins where its signatures end.
    if standing.status == recipe.status == "approved" and options.to in (None, "approved"):
        who = standing.approval.who if standing.approval else ""
        _tell(options, standing.approval, f"{recipe.title} is approved already, by {who}")
        return EXIT_MEETS
    status = options.to or next_status(recipe, None)
    next_status(recipe, status)
    if options.demonstration:
        who, key_id, key = "", DEMONSTRATION_KEY_ID, demonstration_key()
    else:
        person = authenticate(options, registry(Place(options.runs)))
        roles = read_roles(roles_file())
        if roles.role_for(person.roles, "approved") is None:
            allowed = ", ".join(roles.that_sign("approved")) or "none"
            raise ApprovalError(f"{person.user} ({', '.join(person.roles)}) may not approve; roles that may: {allowed}")
        who, key_id, key = person.name, person.key_id, person.key
    _check_approver(approvals, who, key_id, key)  # before the recipe's text is touched
    if recipe.status != status:
        text = path.read_text(encoding="utf-8")
        changed, count = _STATUS.subn(f"status: {status}", text, count=1)
        if count != 1:
            raise ApprovalError(f"{path}: the line `status:` was not found at the beginning of a line")
        read_recipe(changed, path.name, manifests(), library=folder_library(path.parent / PARTS_FOLDER))
        path.write_text(changed, encoding="utf-8")
        recipe = load_recipe(path, manifests())
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = approvals.sign(recipe, status, who or _name(approvals, key_id), when, options.why.strip(), key_id, key)
    _tell(
        options, entry,
        f"{recipe.title} is {status}: signed by {entry.who} on {entry.when} over sha256 {entry.content_sha256}\n"
        f"  {approvals.path(recipe)}; a changed byte of the recipe or of its sub-recipes voids it",
    )  # fmt: skip
    return EXIT_MEETS


def _tell(options: argparse.Namespace, entry: Approval | None, text: str) -> None:
    print(json.dumps(asdict(entry), ensure_ascii=False) if options.json and entry is not None else text)


def _check_approver(approvals: Approvals, who: str, key_id: str, key: Ed25519PrivateKey) -> None:
    public_key = key.public_key().public_bytes_raw().hex()
    approver = approvals.approvers().get(key_id)
    if approver is None or approver.public_key != public_key:
        entry = {key_id: {"who": who, "role": "quality assurance", "public_key": public_key}}
        raise ApprovalError(
            f"{approvals.folder / APPROVERS_FILE} does not know the key of {who or key_id}; whoever decides who may "
            f"approve adds it: {json.dumps(entry, ensure_ascii=False)}"
        )


def _name(approvals: Approvals, key_id: str) -> str:
    approver = approvals.approvers().get(key_id)
    if approver is None:
        raise ApprovalError(f"{approvals.folder / APPROVERS_FILE} does not know the key {key_id!r}")
    return approver.who
