# SPDX-License-Identifier: Apache-2.0
"""The recorder node: takes every producer's events into the batch records, records topics, reviews batches."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.callback_groups import ReentrantCallbackGroup

from mimedi_msgs.msg import RecordEvent as RecordEventMsg
from mimedi_msgs.srv import AppendEvents, ReviewBatch

from ..process.release import evaluate
from ..records.errors import GapError, RecordError, StorageError
from ..records.events import RecordEvent
from ..records.signatures import DECISIVE
from .frame import qos
from .frame.bridge import result_in_executor
from .frame.conversion import fill_message, message_fields
from .frame.managed_node import ManagedNode
from .frame.parameters import Parameter, ParameterError, declare
from .frame.running import run_node
from .recording import desk
from .recording.batch_recording import bring_to_end
from .recording.batch_review import Reviewed, review_batch
from .recording.record_keeper import RecordKeeper
from .recording.recorder_alarms import RecorderAlarms
from .recording.recordings import Recordings
from .recording.signature_check import signature_check

PARAMETERS = (
    Parameter("runs_dir", "", "folder of the run folders"),
    Parameter("keys_dir", "", "folder of the signing keys; empty: WORKCELL_KEYS, or .workcell/keys beside runs_dir"),
    Parameter("state_dir", "", "folder of the recorder's own outbox; empty: .workcell/state beside runs_dir"),
    Parameter("products_dir", "", "folder of the release specifications (config/products)"),
    Parameter("users_dir", "", "folder of the accounts; empty: .workcell/users beside runs_dir"),
    Parameter("mcap", True, "record the topics of each batch to <run>/topics.mcap"),
    Parameter("mcap_flush_s", 2.0, "shortest steady time between two flushes of the recording [s]", 0.1, 60.0),
    Parameter("mcap_reserve_mb", 256, "free space left to the record: less stops recording topics [MB]", 0, 10**6),
    Parameter("tracks_period_s", 0.5, "steady time between two recorded messages of cell tracks [s]", 0.0, 60.0),
    Parameter("pictures_period_s", 1.0, "steady time between two recorded pictures of a camera [s], 0: none", 0.0, 1e4),
    Parameter("state_period_s", 1.0, "steady time between two diagnostics [s]", 0.1, 10.0),
)

LOOK_PERIOD_S = 0.5
"""Steady time between two looks for new topics [s], while a batch is recorded."""


class RecorderNode(ManagedNode):
    """Keeps the batch records of one workcell.

    Events are taken as soon as the node is configured, and until it is cleaned up: a producer must never wait for a
    permission to be on record. Topics are recorded while the node is active and batches are in production.
    """

    def __init__(self) -> None:
        super().__init__("recorder")
        self.settings = declare(self, PARAMETERS)
        self._closers: list[Callable[[], object]] = []
        self._keeper: RecordKeeper | None = None
        self._mending: Future[None] | None = None
        self._taken = 0
        self._alarms = RecorderAlarms(self)
        self._analysis = self.create_publisher(RecordEventMsg, "~/analysis", qos.STATE)
        # One worker: what it is given is done in order, so a recording is registered before its batch is reviewed.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._recordings = Recordings(self, self.settings, self._worker, self._alarms)

    # -- lifecycle --------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Open the records and take events from now on."""
        missing = [name for name in ("runs_dir", "products_dir") if not self.settings[name]]
        if missing:
            raise ParameterError(f"recorder: parameters {', '.join(missing)} must be set to paths")
        runs_dir = Path(self.settings["runs_dir"])
        beside = runs_dir.resolve().parent / ".workcell"
        keys_dir = Path(self.settings["keys_dir"] or os.environ.get("WORKCELL_KEYS") or beside / "keys")
        state_dir = Path(self.settings["state_dir"] or beside / "state")
        products_dir = Path(self.settings["products_dir"])
        check = signature_check(
            Path(self.settings["users_dir"] or beside / "users"),
            products_dir.parent / "users" / "roles.yaml",
            products_dir,
        )
        self._keeper = keeper = RecordKeeper(runs_dir, keys_dir, state_dir, check)
        self._closers.append(keeper.close)
        self._mending = self._worker.submit(bring_to_end, keeper, self.get_logger())
        append = self.create_service(AppendEvents, "~/append", self._on_append)
        self._closers.append(partial(self.destroy_service, append))
        # In a group of its own: while a review is awaited, its group's other callbacks are not called.
        group = ReentrantCallbackGroup()
        review = self.create_service(ReviewBatch, "~/review_batch", self._on_review, callback_group=group)
        self._closers.append(partial(self.destroy_service, review))
        for period_s, callback in (
            (LOOK_PERIOD_S, self._look),
            (LOOK_PERIOD_S, self._take_desk),
            (self.settings["state_period_s"], self._publish_diagnostics),
        ):
            timer = self.managed_timer(period_s, callback)
            self._closers.append(partial(self.destroy_timer, timer))

    def activate(self) -> None:
        """Record topics from the next event of a batch on."""

    def deactivate(self) -> None:
        """Finish the recording of topics; events are still taken."""
        self._finish_recording()
        self._settle_worker()

    def clean_up(self) -> None:
        """Finish the recording, take no more events, close the records."""
        self._finish_recording()
        self._settle_worker()
        while self._closers:
            self._closers.pop()()
        self._keeper = None

    def destroy_node(self) -> None:
        """Finish and close everything."""
        self.active = False
        self.clean_up()
        self._worker.shutdown()
        super().destroy_node()

    # -- events -----------------------------------------------------------------------------------------

    def _on_append(self, request: AppendEvents.Request, reply: AppendEvents.Response) -> AppendEvents.Response:
        batch_id = request.events[0].batch_id if request.events else ""
        producer = request.events[0].producer if request.events else ""
        try:
            reply.acknowledged, reply.error_msg = self._take(request), ""
        except GapError as error:
            reply.acknowledged, reply.error_msg = error.expected - 1, str(error)
            self._alarms.refused(producer, batch_id, str(error))
        except (StorageError, OSError) as error:
            reply.error_msg = str(error)
            self._alarms.storage_failed(batch_id, str(error))
        except RecordError as error:
            reply.error_msg = str(error)
            self._alarms.refused(producer, batch_id, str(error))
        except Exception as error:  # noqa: BLE001 - the producer keeps its events and must get an answer
            reply.error_msg = f"the recorder failed on these events: {type(error).__name__}: {error}"
            self._alarms.refused(producer, batch_id, reply.error_msg)
        return reply

    def _take(self, request: AppendEvents.Request) -> int:
        if self._keeper is None:
            raise RecordError("the recorder is not configured; wait for the supervisor")
        events = [RecordEvent.from_fields(message_fields(message)) for message in request.events]
        acknowledged, fresh = self._keeper.take(events)
        self._taken += len(fresh)
        if events:
            self._alarms.written(self._keeper, events[0].producer)
        if self.active and self.settings["mcap"]:
            for event in fresh:
                self._follow(event)
        return acknowledged

    def _take_desk(self) -> None:
        """Take what people have signed or brought at the terminal of this host."""
        if self._keeper is None:
            return
        try:
            for event in self._keeper.take_desk():
                self.get_logger().info(f"{event.kind}: {event.what} by {event.who} on {event.batch_id}")
                if event.kind == "signature" and event.what in DECISIVE:
                    self._worker.submit(self._renew, event.batch_id)
        except (StorageError, OSError) as error:
            self._alarms.storage_failed("", str(error))
        except RecordError as error:
            self._alarms.refused(desk.FOLDER, "", str(error))

    def _renew(self, batch_id: str) -> None:
        """Write summary and report with the decision in them; worker's thread."""
        if self._keeper is None:
            return
        try:
            review_batch(self._keeper, batch_id, Path(self.settings["products_dir"]), evaluate, write_files=True)
        except (RecordError, OSError) as error:
            self.get_logger().error(f"the report of {batch_id} is not renewed: {error}")

    # -- topics -----------------------------------------------------------------------------------------

    def _follow(self, event: RecordEvent) -> None:
        """Tell who listens of an analysis; begin and end the recording of topics with the batch."""
        if self._keeper is None or not event.batch_id:
            return
        if event.kind == "analysis":
            self._analysis.publish(fill_message(RecordEventMsg(), event.as_fields()))
        if self._mending is None or self._mending.done():  # what a crash left behind is mended first
            self._recordings.follow(self._keeper, event)

    def _look(self) -> None:
        self._recordings.look()

    def _finish_recording(self) -> None:
        if self._keeper is not None:
            self._recordings.finish(self._keeper)

    def _settle_worker(self) -> None:
        """Wait until everything that the worker was given is done."""
        self._worker.submit(lambda: None).result()

    # -- review -----------------------------------------------------------------------------------------

    async def _on_review(self, request: ReviewBatch.Request, reply: ReviewBatch.Response) -> ReviewBatch.Response:
        reply.summary_json = "{}"
        try:
            reviewed = await result_in_executor(self, self.loop, self._reviewed(request.batch_id, request.write_report))
            reply.verdict, reply.summary_json, reply.folder = reviewed.verdict, reviewed.summary_json, reviewed.folder
            if reviewed.lack:
                self.get_logger().warning(reviewed.lack)
        except (StorageError, OSError) as error:
            reply.error_msg = str(error)
            self._alarms.storage_failed(request.batch_id, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked has to know
            known = isinstance(error, RecordError)
            reply.error_msg = str(error) if known else f"the review failed: {type(error).__name__}: {error}"
            self.get_logger().error(f"review of batch {request.batch_id!r}: {reply.error_msg}")
        return reply

    async def _reviewed(self, batch_id: str, write_report: bool) -> Reviewed:
        if self._keeper is None:
            raise RecordError("the recorder is not configured; wait for the supervisor")
        products_dir = Path(self.settings["products_dir"])
        work = partial(review_batch, self._keeper, batch_id, products_dir, evaluate, write_report)
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _publish_diagnostics(self) -> None:
        values = {"events taken": str(self._taken)}
        values |= self._recordings.values()
        if self._keeper is not None:
            values["free MB"] = f"{shutil.disk_usage(self._keeper.runs_dir).free / 1e6:.0f}"
        message = self._alarms.worst
        self.publish_diagnostics(
            "record", DiagnosticStatus.ERROR if message else DiagnosticStatus.OK, message or "recording", values
        )


def main() -> None:
    """Run the node."""
    sys.exit(run_node(RecorderNode))
