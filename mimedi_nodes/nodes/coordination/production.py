# SPDX-License-Identifier: Apache-2.0
"""The batches that the coordinator produces at the same time, each with its engine, journal and last status."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...process.batch import BatchOutcome, BatchSnapshot
from ...process.engine.engine import Engine
from ...process.engine.journal import Journal
from ...process.errors import WorkcellError
from .active_batch import ActiveBatch

Ended = tuple[BatchOutcome, str, str, str]
"""Outcome, verdict, summary as JSON, folder."""


class NoSuchBatch(WorkcellError):
    """No batch of this name is in production, or it was not said which one is meant."""


@dataclass
class Production:
    """One batch in production."""

    active: ActiveBatch
    engine: Engine
    journal: Journal
    run: asyncio.Task[Ended] | None = None
    snapshot: BatchSnapshot | None = None
    outcome: BatchOutcome | None = None
    shown_s: float = -math.inf

    @property
    def is_over(self) -> bool:
        """Whether the batch has ended for good: a held one has not."""
        return self.outcome is not None and self.outcome.state != "held"


class Productions:
    """All batches of this coordinator, in the order of their beginning."""

    def __init__(self) -> None:
        self._all: dict[str, Production] = {}

    def __iter__(self) -> Iterator[Production]:
        return iter(list(self._all.values()))

    def add(self, production: Production) -> None:
        """Add a batch; those that are over leave the list."""
        self._all = {name: known for name, known in self._all.items() if not known.is_over}
        self._all[production.active.batch.batch_id] = production

    @property
    def going(self) -> list[Production]:
        """Batches that are not over."""
        return [production for production in self._all.values() if not production.is_over]

    @property
    def shown(self) -> Production | None:
        """The batch that displays of one batch show: the oldest that is not over, else the last one."""
        going = self.going
        return going[0] if going else (list(self._all.values())[-1] if self._all else None)

    @property
    def all_held(self) -> bool:
        """Whether every batch that is not over has ended as held."""
        return bool(self.going) and all(production.outcome is not None for production in self.going)

    def find(self, batch_id: str) -> Production:
        """Return a batch by its name; by none, the only one that is not over.

        Raises:
            NoSuchBatch: there is none of this name, or several and none was named.
        """
        if batch_id:
            if batch_id not in self._all:
                raise NoSuchBatch(f"batch {batch_id!r} is not in production; there are {self._names()}")
            return self._all[batch_id]
        shown = self.shown
        if shown is None:
            raise NoSuchBatch("no batch is being produced")
        if len(self.going) > 1:
            raise NoSuchBatch(f"several batches are in production: say which one is meant, {self._names()}")
        return shown

    async def cancel(self) -> None:
        """Stop every engine where it is; its journal knows where that was."""
        runs: list[asyncio.Task[Any]] = [production.run for production in self if production.run is not None]
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        self._all = {}

    def _names(self) -> str:
        return ", ".join(production.active.batch.batch_id for production in self.going) or "none"
