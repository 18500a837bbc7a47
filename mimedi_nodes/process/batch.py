# SPDX-License-Identifier: Apache-2.0
"""What the engine tells of a batch: who it is for, where it stands, how it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..records.events import check_batch_id
from .errors import WorkcellError
from .identity.identity import check_identifier

BODY_WEIGHT_KG = (2.0, 250.0)
"""From a newborn to the heaviest patient whose dose still fits into a bag [kg]; a slip of the unit lies outside."""


class OrderError(WorkcellError):
    """A batch cannot be ordered like this; says which value is wrong and what is allowed."""


@dataclass(frozen=True)
class Batch:
    """A batch: for whom it is made, and who ordered it; `checked` tells whether it may be ordered.

    Args:
        patient_id: chain of identity of the recipient.
        donor_id: chain of identity of the donor; the patient's own when autologous.
        engineering_run: a run that can never be released.
    """

    batch_id: str
    patient_id: str
    donor_id: str
    patient_weight_kg: float
    requested_by: str = "operator"
    engineering_run: bool = False


def checked(batch: Batch) -> Batch:
    """Return a batch that may be ordered.

    Raises:
        EventError: its name may not name a batch and its folder.
        IdentityError: a chain of identity is malformed or was misread.
        OrderError: the patient cannot weigh so much.
    """
    check_batch_id(batch.batch_id)
    check_identifier(batch.patient_id)
    check_identifier(batch.donor_id)
    least_kg, most_kg = BODY_WEIGHT_KG
    if not least_kg <= batch.patient_weight_kg <= most_kg:
        raise OrderError(f"patient_weight_kg is {batch.patient_weight_kg}; allowed: {least_kg:g} to {most_kg:g}")
    return batch


@dataclass(frozen=True)
class BatchOutcome:
    """How the procedure ended; whether the product meets its specification is the record's verdict."""

    state: Literal["completed", "rejected", "held", "stopped", "aborted"]
    reason: str = ""


@dataclass(frozen=True)
class BatchSnapshot:
    """Where a batch stands; the fields of `mimedi_msgs/BatchStatus`, the stamp as `time_s`."""

    time_s: float
    batch_id: str
    recipe: str
    product: str
    state: str
    phase_id: str = ""
    step: str = ""
    process_day: float = math.nan
    progress: float = math.nan
    expected_remaining_h: float = math.nan
    viable_cells: float = math.nan
    hold_reason: str = ""
    phases_done: int = 0
    phases_total: int = 0


@dataclass(frozen=True)
class CommandOutcome:
    """Answer to a procedure command: taken or not, state after it, reason."""

    accepted: bool
    state: str
    message: str = ""


class Recorder(Protocol):
    """Writes an event to the batch record through the producer's durable outbox."""

    def __call__(self, kind: str, what: str, why: str = "", **data: Any) -> None:
        """Write one event; durable when this returns."""
        ...
