# SPDX-License-Identifier: Apache-2.0
"""Electronic signatures: who signs what, with which meaning, bound to the content by its hash.

A signature is a row of the record like any other, and says up to which row its signer has signed and which hash that
row has. Since every row's hash covers all rows before it, moving a signature to other content is found. The signer's
own key signs; that key is sealed by her password (`process/people/users.py`), so that nobody signs in her name.

Designed to support 21 CFR 11.50 (name, date and time, meaning) and 11.70 (signature linked to its record).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .canonical import encode_plain
from .errors import RecordError
from .events import RecordEvent

MEANINGS = {
    "performed": "Performed: I carried this batch out as its record says",
    "verified": "Verified: I have checked what was performed, as a second person",
    "approved": "Approved: I have reviewed the record and its exceptions",
    "released": "Released: I certify the batch for use",
    "rejected": "Rejected: this batch must not be used",
    "requested": "Requested: I record the treating physician's request to supply out of specification",
    "evaluated": "Evaluated: I have evaluated the risk of supplying this batch out of specification",
    "notified": "Notified: I have told the authority and the physician that the batch is out of specification",
    "supplied": "Supplied without certification: out of specification, at the treating physician's recorded request",
    "maintenance": "Maintenance: I take this module out of production, or give it back",
}
"""Meanings of a signature, and how they are said."""

DECISIVE = ("released", "rejected", "supplied")
"""Meanings that decide on a batch: its report is written anew with them."""

STATEMENT_FIELDS = (
    "batch_id", "meaning", "stage", "subject", "signer", "name", "role", "comment", "count", "hash", "signed_at",
)  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """What a person signs.

    Args:
        batch_id: batch; empty for the journal of the workcell.
        meaning: a key of `MEANINGS`.
        stage: `provisional` or `final` for a release, else empty.
        subject: what else it is about, such as a module; may be empty.
        signer: name of the account.
        name: printed name of the signer.
        role: in which role.
        comment: reason or remark; may be empty.
        count: rows of the record that are signed, from the first on.
        hash: hash of row number `count`, hexadecimal.
        signed_at: wall time, ISO 8601 in UTC.
    """

    batch_id: str
    meaning: str
    stage: str
    subject: str
    signer: str
    name: str
    role: str
    comment: str
    count: int
    hash: str
    signed_at: str

    def text(self) -> bytes:
        """Return the bytes under the signature."""
        return b"mimedi electronic signature 1\n" + encode_plain(vars(self)).encode()


@dataclass(frozen=True)
class Signature:
    """A statement with the signature over it, and the row of the record that it stands in (0 when in none yet)."""

    statement: Statement
    key_id: str
    signature: str
    row: int = 0

    def data(self) -> dict[str, Any]:
        """Return the data of the `signature` event."""
        return {**vars(self.statement), "key_id": self.key_id, "signature": self.signature}

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Return whether `key` made the signature over exactly this statement."""
        try:
            key.verify(bytes.fromhex(self.signature), self.statement.text())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class SignerKey:
    """A public key and whose it is."""

    signer: str
    key: Ed25519PublicKey


def read_signature(event: RecordEvent, row: int = 0) -> Signature:
    """Return the signature in a `signature` event.

    Raises:
        RecordError: a field is missing, of the wrong type, or contradicts its event.
    """
    data = event.data
    missing = [name for name in (*STATEMENT_FIELDS, "key_id", "signature") if name not in data]
    if missing:
        raise RecordError(f"signature: lacks {', '.join(missing)}; sign with `workcell sign`")
    for name in (*STATEMENT_FIELDS, "key_id", "signature"):
        kind = int if name == "count" else str
        if type(data[name]) is not kind:
            raise RecordError(f"signature: {name} is {data[name]!r}; expected {kind.__name__}")
    if data["meaning"] not in MEANINGS:
        raise RecordError(f"signature: meaning is {data['meaning']!r}; allowed: {', '.join(MEANINGS)}")
    statement = Statement(**{name: data[name] for name in STATEMENT_FIELDS})
    if statement.batch_id != event.batch_id or statement.signer != event.who:
        raise RecordError(
            f"signature: was given by {statement.signer!r} for batch {statement.batch_id!r}; "
            f"its event says {event.who!r} and {event.batch_id!r}"
        )
    return Signature(statement, str(data["key_id"]), str(data["signature"]), row)


def signatures(events: Iterable[RecordEvent]) -> list[Signature]:
    """Return the well-formed signatures of a record, in its order; malformed rows are a matter of `verify`."""
    found = []
    for row, event in enumerate(events, start=1):
        if event.kind == "signature":
            try:
                found.append(read_signature(event, row))
            except RecordError:
                continue
    return found


def check_signature(signature: Signature, hash_of_row: str | None, keys: Mapping[str, SignerKey]) -> str:
    """Return what is wrong with a signature, empty when nothing is.

    Args:
        signature: the signature.
        hash_of_row: hash of the record's row number `statement.count`; None when there is no such row.
        keys: key id → key and its owner.
    """
    statement = signature.statement
    who = f"{statement.meaning} by {statement.signer}"
    if hash_of_row is None or (signature.row and statement.count >= signature.row):
        return f"{who}: signs row {statement.count}, which was not there when it was signed"
    if hash_of_row != statement.hash:
        return f"{who}: signs other content than the rows up to {statement.count}"
    known = keys.get(signature.key_id)
    if known is None:
        return f"{who}: its key {signature.key_id} belongs to no account"
    if known.signer != statement.signer:
        return f"{who}: its key belongs to {known.signer}"
    if not signature.signed_by(known.key):
        return f"{who}: the signature does not fit what it says"
    return ""
