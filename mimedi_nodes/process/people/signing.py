# SPDX-License-Identifier: Apache-2.0
"""Signing a batch: what is signed, whether this person may, and whether a signature that comes in is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...records.disposition import objections, stage_of
from ...records.events import RecordEvent, wall_time
from ...records.facts import gather_facts
from ...records.signatures import Signature, Statement, check_signature, read_signature
from ..errors import WorkcellError
from ..release import evaluate
from .accounts import Account, signer_keys
from .credentials import Person
from .roles import Roles


class SigningError(WorkcellError):
    """A signature that must not be given or taken; says every reason."""


@dataclass(frozen=True)
class Content:
    """The record as it is signed: its events, and the hash of its last row."""

    batch_id: str
    events: Sequence[RecordEvent]
    hash: str
    specification: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """What the specification says of it."""
        return evaluate(self.specification, gather_facts(self.events).values).verdict


def sign(
    person: Person, roles: Roles, content: Content, meaning: str, comment: str = "", subject: str = ""
) -> Signature:
    """Return a person's signature over a batch as it stands now.

    Args:
        comment: reason or remark; wanted where the batch is out of specification or rejected.
        subject: physician or authority that a request or notification is about.

    Raises:
        SigningError: her role may not, the batch does not allow it now, or a reason is missing.
    """
    verdict = content.verdict
    reasons = objections(meaning, person.user, content.events, verdict)
    role = roles.role_for(person.roles, meaning)
    if role is None:
        allowed = ", ".join(roles.that_sign(meaning)) or "none"
        reasons.append(f"{person.user} ({', '.join(person.roles)}) may not sign this; roles that may: {allowed}")
    if meaning in ("rejected", "requested", "evaluated", "notified", "supplied") and not comment.strip():
        reasons.append("a reason is missing (--why)")
    if meaning in ("requested", "notified") and not subject.strip():
        reasons.append("who requests, or is notified, is missing (--about)")
    if reasons or role is None:
        raise SigningError(f"cannot be signed as {meaning}: " + "; ".join(reasons))
    return person.sign(
        Statement(
            content.batch_id, meaning, stage_of(meaning, verdict), subject, person.user, person.name, role.role,
            comment, len(content.events), content.hash, wall_time(),
        )
    )  # fmt: skip


def refusal(
    event: RecordEvent,
    events: Sequence[RecordEvent],
    hash_of_row: str | None,
    accounts: Mapping[str, Account],
    roles: Roles,
    specification: Mapping[str, Any],
) -> str:
    """Return why a signature that came in must not be taken, empty when it may be.

    Args:
        event: the `signature` event.
        events: the record as it stands.
        hash_of_row: hash of the row that the signature says to sign up to.
        accounts: the accounts as they stand.
    """
    try:
        signature = read_signature(event)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is no signature
        return str(error)
    statement = signature.statement
    account = accounts.get(statement.signer)
    if account is None or not account.enabled:
        return f"{statement.signer} has no account that may sign"
    wrong = check_signature(signature, hash_of_row, signer_keys(accounts))
    if wrong:
        return wrong
    role = roles.roles.get(statement.role)
    if role is None or statement.meaning not in role.signs or statement.role not in account.roles:
        return f"{statement.signer} may not sign as {statement.meaning} in the role {statement.role}"
    if statement.meaning == "maintenance":
        return "maintenance is signed in a record of its own, not in a batch"
    verdict = evaluate(specification, gather_facts(events).values).verdict
    if statement.stage != stage_of(statement.meaning, verdict):
        return f"it says {statement.stage or 'no'} stage, the record {stage_of(statement.meaning, verdict) or 'none'}"
    return "; ".join(objections(statement.meaning, statement.signer, events, verdict))
