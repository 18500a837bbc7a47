# SPDX-License-Identifier: Apache-2.0
"""Files of a run that belong to its record: written aside, registered by hash, then given their name.

A file is made as `<name>.part`; its hash goes into the record as an attachment under `<name>`; then it is renamed.
Cut off anywhere, `unsettled` finds what is left, and the next start ends it: so a registered name never has other
content for long, and nothing that was registered is ever lost.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ...records.attachments import MEDIA_TYPES, attachment_data, file_hash
from ...records.chain import DATABASE_FILE
from ...records.errors import StorageError

PART = ".part"


def part_of(folder: Path, name: str) -> Path:
    """Return where a file of this name is made."""
    return folder / f"{name}{PART}"


def write_part(folder: Path, name: str, content: str | bytes) -> Path:
    """Write text or bytes to the part of a file, on disk on return.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    part = part_of(folder, name)
    try:
        with part.open("wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise StorageError(f"{part}: {error.strerror}; free space, then ask for the review again") from error
    return part


def described(folder: Path, part: Path, name: str) -> dict[str, Any]:
    """Return the data of the attachment event for a part, under the name that it is going to have."""
    media_type = MEDIA_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
    return {**attachment_data(folder, part), "path": name, "media_type": media_type}


def settle(folder: Path, part: Path, name: str) -> Path:
    """Give a registered part its name, on disk on return.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = folder / name
    try:
        os.replace(part, path)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; make the folder writable, start the recorder again") from error
    return path


def copy_aside(folder: Path, name: str) -> tuple[Path, str]:
    """Copy a file to a part under the next free numbered name; return the part and that name.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    path = folder / name
    kept = free_name(folder, name, start=1)
    part = part_of(folder, kept)
    try:
        shutil.copyfile(path, part)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
    except OSError as error:
        raise StorageError(f"{part}: {error.strerror}; free space, then ask for the review again") from error
    return part, kept


def free_name(folder: Path, name: str, start: int = 2) -> str:
    """Return `stem_<number>.suffix` with the first number that neither a file nor a part has."""
    stem, suffix = Path(name).stem, Path(name).suffix
    number = start
    while (folder / f"{stem}_{number}{suffix}").exists() or part_of(folder, f"{stem}_{number}{suffix}").exists():
        number += 1
    return f"{stem}_{number}{suffix}"


def unsettled(runs_dir: Path) -> list[tuple[Path, Path, str]]:
    """Return run folder, part and name of every file of a run that was not brought to its end."""
    parts = [part for database in runs_dir.glob(f"[!.]*/{DATABASE_FILE}") for part in database.parent.glob(f"*{PART}")]
    return [(part.parent, part, part.name.removesuffix(PART)) for part in sorted(parts)]


def has_hash(path: Path, sha256: str) -> bool:
    """Return whether a file has this SHA-256 [hexadecimal]."""
    return file_hash(path)[0] == sha256
