# SPDX-License-Identifier: Apache-2.0
"""A person's signing key, sealed by her password: knowing the password means being able to open it.

The key (Ed25519, RFC 8032) is encrypted with AES-256-GCM under a key that Argon2id (RFC 9106) derives from the
password and a salt of its own. No hash of the password is kept anywhere: the tag of the encryption tells whether a
password is right.
"""

from __future__ import annotations

import base64
import json
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...records.heads import key_id
from ...records.signatures import Signature, Statement
from ..errors import WorkcellError
from .roles import Policy

_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32


class CredentialError(WorkcellError):
    """A credential is malformed."""


@dataclass(frozen=True)
class Credential:
    """A sealed signing key; all bytes hexadecimal, the cost of Argon2id as it was when it was sealed."""

    salt: str
    nonce: str
    sealed: str
    public_key: str
    time_cost: int
    memory_kib: int
    parallelism: int

    def as_fields(self) -> dict[str, Any]:
        """Return plain values, for `from_fields`."""
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Credential:
        """Return the credential of plain values; raises CredentialError when they are none."""
        try:
            return cls(**fields)
        except TypeError as error:
            raise CredentialError(f"credential: {error}") from error


@dataclass(frozen=True)
class Person:
    """Somebody who has just given her password; holds her key while she signs.

    Args:
        user: name of the account.
        name: printed name.
        roles: roles of the account.
    """

    user: str
    name: str
    roles: tuple[str, ...]
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def key_id(self) -> str:
        """Short name of her key."""
        return key_id(self.key.public_key())

    def sign(self, statement: Statement) -> Signature:
        """Return her signature over a statement; raises CredentialError when it is not hers."""
        if statement.signer != self.user:
            raise CredentialError(f"{self.user} cannot sign what {statement.signer} states")
        return Signature(statement, self.key_id, self.key.sign(statement.text()).hex())

    def sign_text(self, text: bytes) -> str:
        """Return her signature over some bytes, hexadecimal; the bytes begin with what they are."""
        return self.key.sign(text).hex()


def seal(user: str, password: str, policy: Policy, key: Ed25519PrivateKey | None = None) -> Credential:
    """Return a credential for `key`, for a new key when None, that opens with `password`."""
    key = key or Ed25519PrivateKey.generate()
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    derived = _derive(password, salt, policy.time_cost, policy.memory_kib, policy.parallelism)
    sealed = AESGCM(derived).encrypt(nonce, key.private_bytes_raw(), user.encode())
    public = key.public_key().public_bytes_raw().hex()
    return Credential(
        salt.hex(), nonce.hex(), sealed.hex(), public, policy.time_cost, policy.memory_kib, policy.parallelism
    )


def unseal(user: str, password: str, credential: Credential) -> Ed25519PrivateKey | None:
    """Return the key in a credential; None when the password is wrong."""
    try:
        salt, nonce, sealed = (bytes.fromhex(t) for t in (credential.salt, credential.nonce, credential.sealed))
        derived = _derive(password, salt, credential.time_cost, credential.memory_kib, credential.parallelism)
        return Ed25519PrivateKey.from_private_bytes(AESGCM(derived).decrypt(nonce, sealed, user.encode()))
    except InvalidTag:
        return None
    except ValueError as error:
        raise CredentialError(f"the credential of {user} is damaged: {error}") from error


def encode_token(payload: Mapping[str, Any], signature: str) -> str:
    """Return a session token: its payload and the signature over it, as text without blanks."""
    body = base64.urlsafe_b64encode(json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()).decode()
    return f"wct1.{body.rstrip('=')}.{signature}"


def decode_token(token: str) -> tuple[bytes, dict[str, Any], str]:
    """Return the signed bytes, the payload and the signature of a session token; raises CredentialError."""
    parts = token.split(".")
    if len(parts) != 3 or parts[0] != "wct1":
        raise CredentialError("no session token; log in with `workcell user login`")
    try:
        body = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        payload = json.loads(body)
    except ValueError as error:
        raise CredentialError(f"the session token is damaged: {error}") from error
    if not isinstance(payload, dict):
        raise CredentialError("the session token is damaged")
    return b"mimedi session 1\n" + body, payload, parts[2]


def session_text(payload: Mapping[str, Any]) -> bytes:
    """Return the bytes of a session token that are signed."""
    return b"mimedi session 1\n" + json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()


def _derive(password: str, salt: bytes, time_cost: int, memory_kib: int, parallelism: int) -> bytes:
    # NFKC, so that one password typed on two keyboards is one (NIST SP 800-63B, 5.1.1.2).
    secret = unicodedata.normalize("NFKC", password).encode()
    return hash_secret_raw(secret, salt, time_cost, memory_kib, parallelism, _KEY_BYTES, Type.ID)
