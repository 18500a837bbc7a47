# SPDX-License-Identifier: Apache-2.0
"""Where the batches stand, on topics: every batch on `~/batches`, the oldest on `~/batch_status`."""

from __future__ import annotations

import math

from mimedi_msgs.msg import BatchStatus

from ...process.batch import BatchSnapshot
from ..frame import qos
from ..frame.conversion import ros_time
from ..frame.managed_node import ManagedNode
from .production import NoSuchBatch, Production, Productions

DISPLAY_PERIOD_S = 0.1
"""Shortest steady time between two status messages [s]: a fast run changes state far more often."""


class BatchDisplay:
    """Publishes snapshots of batches, from the phases' loop.

    Args:
        node: the coordinator.
        batches: what it produces.
    """

    def __init__(self, node: ManagedNode, batches: Productions) -> None:
        self._loop, self._batches = node.loop, batches
        self._status = node.create_publisher(BatchStatus, "~/batch_status", qos.STATE)
        self._statuses = node.create_publisher(BatchStatus, "~/batches", qos.EVENT)

    def changed(self, snapshot: BatchSnapshot) -> None:
        """Take a batch's news; a new state is told at once, progress no oftener than displays need it."""
        try:
            production = self._batches.find(snapshot.batch_id)
        except NoSuchBatch:
            return  # its engine is being made
        known = production.snapshot
        production.snapshot = snapshot
        changed = known is None or snapshot.state != known.state
        if changed or self._loop.loop.time() - production.shown_s >= DISPLAY_PERIOD_S:
            self.tell(production)

    def tell_all(self) -> None:
        """Publish where every batch stands that is not over, and what displays of one batch show."""
        shown = self._batches.shown
        for production in self._batches.going:
            self.tell(production)
        if shown is None:
            self._status.publish(
                BatchStatus(
                    state="idle",
                    process_day=math.nan,
                    progress=math.nan,
                    expected_remaining_h=math.nan,
                    viable_cells=math.nan,
                )
            )
        elif shown.is_over:
            self.tell(shown)

    def tell(self, production: Production) -> None:
        """Publish where a batch stands now."""
        production.shown_s = self._loop.loop.time()
        production.snapshot = production.engine.snapshot()
        fields = dict(vars(production.snapshot))
        stamp = ros_time(fields.pop("time_s"))
        message = BatchStatus(stamp=stamp, **fields)
        self._statuses.publish(message)
        if production is self._batches.shown:
            self._status.publish(message)
