# SPDX-License-Identifier: Apache-2.0
"""Which batch the coordinator is producing: on disk, so that a restarted coordinator takes it up by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..process.batch import Batch


@dataclass(frozen=True)
class ActiveBatch:
    """A batch that was started: for whom, by which recipe, with which parameters."""

    recipe: str
    batch: Batch
    parameters: Mapping[str, Any] = field(default_factory=dict)


class ActiveBatchFile:
    """The file that names the active batch; written whole, synced, and renamed into place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> ActiveBatch | None:
        """Return the active batch; None when there is none."""
        if not self._path.is_file():
            return None
        data = json.loads(self._path.read_text(encoding="utf-8"))
        return ActiveBatch(data["recipe"], Batch(**data["batch"]), data["parameters"])

    def write(self, active: ActiveBatch) -> None:
        """Name a batch as the active one; durable when this returns."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(asdict(active), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def clear(self) -> None:
        """Note that no batch is active."""
        self._path.unlink(missing_ok=True)
