# SPDX-License-Identifier: Apache-2.0
"""Files that belong to a record: registered by their hash in an `attachment` event."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import RecordError
from .events import RecordEvent

MEDIA_TYPES = {
    ".mcap": "application/x-mcap",
    ".png": "image/png",
    ".html": "text/html",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".csv": "text/csv",
    ".pdf": "application/pdf",
}


def attachment_data(folder: Path, path: Path) -> dict[str, Any]:
    """Return the data of the `attachment` event that registers a finished file of the run.

    Args:
        folder: run folder.
        path: the file, inside the run folder.

    Raises:
        RecordError: the file lies outside, or cannot be read.
    """
    try:
        relative = path.resolve().relative_to(folder.resolve())
    except ValueError as error:
        raise RecordError(f"{path}: lies outside of {folder}; move it into the run folder first") from error
    sha256, size = file_hash(path)
    media_type = MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return {"path": relative.as_posix(), "sha256": sha256, "bytes": size, "media_type": media_type}


def registered(events: Iterable[RecordEvent]) -> dict[str, dict[str, Any]]:
    """Return the last registration of each attached file by its path, relative to the run folder."""
    return {str(event.data.get("path")): dict(event.data) for event in events if event.kind == "attachment"}


def attached_path(folder: Path, path: str) -> Path:
    """Return where an attached file lies.

    Raises:
        RecordError: the path leads out of the run folder.
    """
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise RecordError(f"attachment {path!r}: leads out of the run folder; it was not registered by this program")
    return folder / relative


def file_hash(path: Path) -> tuple[str, int]:
    """Return SHA-256 (hexadecimal) and size [bytes] of a file.

    Raises:
        RecordError: it cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; put the file back") from error
    return digest.hexdigest(), size
