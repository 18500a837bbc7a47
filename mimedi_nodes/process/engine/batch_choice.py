# SPDX-License-Identifier: Apache-2.0
"""Which of several batches a display shows: the one that a person chose, else the oldest in production."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from .procedure_state import FINAL_STATES, ProcedureState

NEEDS_A_PERSON = frozenset({ProcedureState.HOLDING, ProcedureState.HELD, ProcedureState.PAUSED})
"""States in which a batch that is not shown wants to be looked at."""


class Standing(Protocol):
    """What a display must know of a batch."""

    @property
    def batch_id(self) -> str:
        """Name of the batch, empty for none."""

    @property
    def state(self) -> str:
        """State of its procedure."""


Batch = TypeVar("Batch", bound=Standing)


def shown(wanted: str, oldest: Batch | None, heard: Mapping[str, Batch]) -> Batch | None:
    """Return the batch that is shown.

    Args:
        wanted: name of the batch that a person chose, empty for none; one that nobody has told of is passed over.
        oldest: what the coordinator tells of the oldest batch in production.
        heard: what it tells of each batch, by name.
    """
    return heard.get(wanted, oldest) if wanted else oldest


def choices(showing: Batch | None, oldest: Batch | None, heard: Mapping[str, Batch]) -> dict[str, Batch]:
    """Return the batches that can be shown, by name: all in production, and the one that is shown."""
    known = {**heard}
    for batch in (oldest, showing):
        if batch is not None and batch.batch_id:
            known.setdefault(batch.batch_id, batch)
    kept = showing.batch_id if showing is not None else ""
    return {name: batch for name, batch in known.items() if name == kept or batch.state not in FINAL_STATES}


def waiting(showing: Batch | None, others: Mapping[str, Batch]) -> list[str]:
    """Return the names of those that are not shown and wait for a person."""
    kept = showing.batch_id if showing is not None else ""
    return [name for name, batch in others.items() if name != kept and batch.state in NEEDS_A_PERSON]
