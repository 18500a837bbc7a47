# SPDX-License-Identifier: Apache-2.0
"""Files that a measurement made (FCS, tables), carried by the record itself: `analysis_file` events, with their hash.

A module may run on another host than the recorder: what it measured travels by its durable outbox like every event, and
stands in the chain. Large files are split, since an event's data have a limit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from .errors import RecordError
from .events import RecordEvent

KIND = "analysis_file"
PART_CHARACTERS = 600_000
"""Base64 in one event: below the limit of an event's data (1 MiB) with room for the rest."""


def parts(name: str, content: bytes, media_type: str) -> Iterator[dict[str, Any]]:
    """Yield the data of the events that carry a file."""
    text = base64.b64encode(zlib.compress(content, 6)).decode("ascii")
    pieces = [text[k : k + PART_CHARACTERS] for k in range(0, len(text), PART_CHARACTERS)] or [""]
    for number, piece in enumerate(pieces, start=1):
        yield {
            "name": name, "media_type": media_type, "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(), "part": number, "parts": len(pieces),
            "encoding": "zlib+base64", "content": piece,
        }  # fmt: skip


def files(events: Iterable[RecordEvent]) -> dict[str, tuple[str, bytes]]:
    """Return name → (media type, content) of every file in a record; of a name that came twice the last one.

    Raises:
        RecordError: a part is missing, or the content is not what its hash says.
    """
    pieces: dict[str, dict[int, dict[str, Any]]] = {}
    for event in events:
        if event.kind == KIND:
            data = dict(event.data)
            known = pieces.setdefault(str(data.get("name")), {})
            if data.get("part") == 1:
                known.clear()
            known[int(data.get("part", 0))] = data
    return {name: _whole(name, known) for name, known in pieces.items()}


def _whole(name: str, known: dict[int, dict[str, Any]]) -> tuple[str, bytes]:
    count = int(next(iter(known.values())).get("parts", 0))
    missing = [number for number in range(1, count + 1) if number not in known]
    if missing or not count:
        raise RecordError(f"analysis file {name}: part {missing} of {count} is missing from the record")
    try:
        text = "".join(str(known[number]["content"]) for number in range(1, count + 1))
        content = zlib.decompress(base64.b64decode(text, validate=True))
    except (KeyError, zlib.error, binascii.Error) as error:
        raise RecordError(f"analysis file {name}: {error}") from error
    if hashlib.sha256(content).hexdigest() != known[1].get("sha256"):
        raise RecordError(f"analysis file {name}: its content is not what its hash says")
    return str(known[1].get("media_type")), content
