# SPDX-License-Identifier: Apache-2.0
"""Which batches the coordinator is producing: on disk, so that a restarted coordinator takes them up by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...process.batch import Batch


@dataclass(frozen=True)
class ActiveBatch:
    """A batch that was started: for whom, by which recipe, with which parameters."""

    recipe: str
    batch: Batch
    parameters: Mapping[str, Any] = field(default_factory=dict)


class ActiveBatchFile:
    """The file that names the active batches; written whole, synced, and renamed into place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[ActiveBatch]:
        """Return the active batches in the order of their beginning."""
        if not self._path.is_file():
            return []
        data = json.loads(self._path.read_text(encoding="utf-8"))
        return [ActiveBatch(each["recipe"], Batch(**each["batch"]), each["parameters"]) for each in data["batches"]]

    def add(self, active: ActiveBatch) -> None:
        """Name a batch as an active one; durable when this returns."""
        self._write([*self._others(active.batch.batch_id), active])

    def remove(self, batch_id: str) -> None:
        """Note that a batch is over; durable when this returns."""
        self._write(self._others(batch_id))

    def _others(self, batch_id: str) -> list[ActiveBatch]:
        return [active for active in self.read() if active.batch.batch_id != batch_id]

    def _write(self, batches: list[ActiveBatch]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            json.dump({"batches": [asdict(active) for active in batches]}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
