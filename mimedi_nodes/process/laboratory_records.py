# SPDX-License-Identifier: Apache-2.0
"""Results of an external laboratory: taken only with a signature that the site knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import WorkcellError


class LaboratoryRecordError(WorkcellError):
    """A laboratory record that must not be used; says why."""


def verify_record(record_json: str, signature_hex: str, key_id: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of a signed laboratory record.

    Args:
        record_json: the signed text.
        signature_hex: Ed25519 signature of its UTF-8 bytes (RFC 8032), hexadecimal.
        key_id: name of the key.
        keys: key id → public key, hexadecimal (the site file's `laboratory_keys`).

    Raises:
        LaboratoryRecordError: unknown key, wrong signature, or a text that is no JSON object.
    """
    if key_id not in keys:
        raise LaboratoryRecordError(
            f"laboratory key {key_id!r} is not in the site file; known: {', '.join(sorted(keys)) or 'none'}"
        )
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys[key_id]))
        key.verify(bytes.fromhex(signature_hex), record_json.encode())
        record = json.loads(record_json)
    except InvalidSignature as error:
        raise LaboratoryRecordError(f"the signature of {key_id!r} does not fit the record; ask for it again") from error
    except ValueError as error:
        raise LaboratoryRecordError(f"laboratory record is malformed: {error}") from error
    if not isinstance(record, dict):
        raise LaboratoryRecordError(f"laboratory record is {type(record).__name__}; expected an object")
    return record
