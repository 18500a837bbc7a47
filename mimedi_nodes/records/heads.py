# SPDX-License-Identifier: Apache-2.0
"""Signed heads: what the record was when it was acknowledged, kept outside the record.

A head says how many rows the record has and the hash of the last one, signed with a key that the run folder
does not hold. Heads stand in three places: in the record's own database (written with the rows in one
transaction), in `<run>/heads.jsonl` as a copy to travel with the run, and in a ledger outside the run folder,
which is what shows a cut tail. Who holds the private key, or can replace record and ledger together by older
copies, is not found out by this: keep keys and ledger on another machine or medium, and compare with the head
printed on the report.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from .canonical import encode_plain, read_json
from .errors import BusyError, EventError, RecordError, StorageError

PRIVATE_KEY_FILE = "record.key.pem"
PUBLIC_KEY_FILE = "record.pub.pem"


@dataclass(frozen=True)
class Head:
    """State of a record at one moment, signed.

    Args:
        batch_id: batch of the record.
        number: number of this head, from 1.
        count: rows of the record.
        hash: hash of the last row, hexadecimal.
        wall_time: when it was signed, ISO 8601 in UTC.
        key_id: which key signed.
        signature: Ed25519 over `signed_text`, hexadecimal.
    """

    batch_id: str
    number: int
    count: int
    hash: str
    wall_time: str
    key_id: str
    signature: str

    def signed_text(self) -> bytes:
        """Return the bytes under the signature."""
        fields = {name: value for name, value in vars(self).items() if name != "signature"}
        return b"mimedi record head 1\n" + encode_plain(fields).encode()

    def line(self) -> str:
        """Return the head as one line of a heads file."""
        return encode_plain(vars(self)) + "\n"

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Head:
        """Return the head of a line's or row's fields.

        Raises:
            RecordError: a field is missing, too many, or of the wrong type.
        """
        types = {"number": int, "count": int}
        names = ("batch_id", "number", "count", "hash", "wall_time", "key_id", "signature")
        if set(fields) != set(names):
            raise RecordError(f"head: fields {sorted(fields)} are not {sorted(names)}; the line was altered")
        for name in names:
            if type(fields[name]) is not types.get(name, str):
                raise RecordError(f"head: {name} is {fields[name]!r}; the line was altered")
        return cls(**fields)

    @classmethod
    def from_line(cls, line: str) -> Head:
        """Return the head of one line of a heads file.

        Raises:
            RecordError: the line is no head.
        """
        try:
            fields = read_json(line, "head")
        except EventError as error:
            raise RecordError(str(error)) from error
        if not isinstance(fields, dict):
            raise RecordError("head: the line is no JSON object; it was altered")
        return cls.from_fields(fields)

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Return whether `key` made the signature over exactly these fields."""
        try:
            key.verify(bytes.fromhex(self.signature), self.signed_text())
        except (InvalidSignature, ValueError):
            return False
        return self.key_id == key_id(key)


class Signer:
    """Signs heads with an Ed25519 key (RFC 8032)."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key()
        self.key_id = key_id(self.public_key)

    @classmethod
    def ephemeral(cls) -> Signer:
        """Return a signer whose key is never stored: for runs whose record nobody keeps."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, folder: Path) -> Signer:
        """Return the signer of the key pair in `folder`, made there when missing, readable by its owner only.

        Raises:
            RecordError: the key cannot be read or made, or others may read it.
        """
        path = folder / PRIVATE_KEY_FILE
        try:
            if not path.exists():
                _create_key(folder, path)
            if path.stat().st_mode & 0o077:
                raise RecordError(f"{path}: others may read the private key; run: chmod 600 {path}")
            private_key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise RecordError(f"{path}: {error.strerror}; give a writable key folder") from error
        except (ValueError, TypeError) as error:
            raise RecordError(f"{path}: is no private key ({error}); restore it from its copy") from error
        if not isinstance(private_key, Ed25519PrivateKey):
            raise RecordError(f"{path}: is no Ed25519 key; restore it from its copy")
        signer = cls(private_key)
        public = folder / PUBLIC_KEY_FILE
        if not public.exists():
            _write_new(public, _public_pem(signer.public_key), 0o644)
        return signer

    def sign(self, batch_id: str, number: int, count: int, hash: str, wall_time: str) -> Head:
        """Return the signed head of a record; fields as in `Head`."""
        unsigned = Head(batch_id, number, count, hash, wall_time, self.key_id, "")
        signature = self._private_key.sign(unsigned.signed_text()).hex()
        return Head(batch_id, number, count, hash, wall_time, self.key_id, signature)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the short name of a key: the first 16 digits of its SHA-256."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key in a PEM file.

    Raises:
        RecordError: the file cannot be read or holds no Ed25519 public key.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; give the public key ({PUBLIC_KEY_FILE})") from error
    except ValueError as error:
        raise RecordError(f"{path}: is no public key ({error}); give {PUBLIC_KEY_FILE}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RecordError(f"{path}: is no Ed25519 public key; give {PUBLIC_KEY_FILE}")
    return key


class HeadLedger:
    """Append-only file of heads outside the run folder; the one writer holds its lock.

    Args:
        path: the file, made when missing.

    Raises:
        RecordError: it cannot be written, another recorder holds it, or a line in it is no head.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordError(f"{path}: {error.strerror}; give a writable folder for the heads") from error
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BusyError(
                    f"{path}: another recorder writes this batch; stop it, or give the new batch another name"
                ) from error
            self.heads = self._read()
        except BaseException:
            os.close(self._file)
            raise

    @property
    def last_number(self) -> int:
        """Number of the last head, 0 before the first."""
        return self.heads[-1].number if self.heads else 0

    def append(self, heads: list[Head]) -> None:
        """Write heads; on disk when it returns.

        Raises:
            RecordError: the disk is full or refuses; nothing of it counts as written.
        """
        if not heads:
            return
        size = os.fstat(self._file).st_size
        data = "".join(head.line() for head in heads).encode()
        try:
            if os.write(self._file, data) != len(data):
                raise OSError(28, "disk full: a line was written in part")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise StorageError(
                f"{self.path}: {error.strerror}; free space, then continue; nothing acknowledged is lost"
            ) from error
        self.heads.extend(heads)

    def close(self) -> None:
        """Give up the lock and close the file."""
        os.close(self._file)

    def _read(self) -> list[Head]:
        text = self.path.read_text(encoding="utf-8", errors="replace")
        whole, newline, torn = text.rpartition("\n")
        if torn:
            # A power cut tore the last line: it was never acknowledged, and the database has the head.
            os.ftruncate(self._file, len((whole + newline).encode()))
            os.fsync(self._file)
        try:
            return [Head.from_line(line) for line in whole.split("\n")] if whole else []
        except RecordError as error:
            raise RecordError(f"{self.path}: {error}; keep it as it is and run `workcell verify`") from error


def _create_key(folder: Path, path: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_new(path, pem, 0o600)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole or not at all; when another process was faster, its file stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if not path.exists():
            try:
                os.link(draft, path)
            except FileExistsError:
                return
    finally:
        draft.unlink()


def _public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
