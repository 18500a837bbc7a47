# SPDX-License-Identifier: Apache-2.0
"""The recordings of all batches in production: topics and pictures, each batch's in its own run folder."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.node import Node

from ...modules.registry import known_modules
from ...records.errors import RecordError
from ...records.events import RecordEvent
from .batch_recording import BatchRecording
from .batch_review import load_report
from .picture_keeper import PictureKeeper
from .record_keeper import RecordKeeper
from .recorder_alarms import RecorderAlarms
from .recording_scope import RecordingScope

TRACKS = "mimedi_msgs/msg/CellTrackArray"


@dataclass(frozen=True)
class _Running:
    topics: BatchRecording
    pictures: PictureKeeper


class Recordings:
    """Begins a batch's recording with its first event and ends it with its last; lives in the executor's thread.

    A run folder can be played back by itself: its file has the workcell's topics while its batch is made, without what
    is another batch's (see `RecordingScope`).

    Args:
        node: the recorder.
        settings: its parameters.
        worker: finishes files, in the order in which it is asked to.
        alarms: told of what is not recorded.
    """

    def __init__(self, node: Node, settings: Mapping[str, Any], worker: Executor, alarms: RecorderAlarms) -> None:
        self._node, self._settings, self._worker, self._alarms = node, settings, worker, alarms
        self._running: dict[str, _Running] = {}
        self._scope = RecordingScope(frozenset(known_modules()))

    def follow(self, keeper: RecordKeeper, event: RecordEvent) -> None:
        """Begin, go on or end with an event of a batch."""
        self._scope.follow(event)
        running = self._running.get(event.batch_id)
        if running is not None:
            picture = running.pictures.take(event)
            if picture is not None:
                self._worker.submit(running.pictures.keep, keeper, event.batch_id, *picture)
            if event.kind == "batch_ended":
                self._finish(keeper, event.batch_id, event.process_time_s)
        elif event.kind != "batch_ended" and keeper.in_production(event.batch_id):
            for other in [name for name in self._running if not keeper.in_production(name)]:
                self._finish(keeper, other)
            keeper.close_others(event.batch_id)
            self._worker.submit(load_report)  # ready when the batch is reviewed
            if event.kind != "batch_started":  # an earlier recorder heard of it, and of others
                for name in keeper.unfinished():
                    self._learn(keeper, name)
            self._begin(keeper, event.batch_id)

    def look(self) -> None:
        """Subscribe what has appeared, flush what is due."""
        for running in self._running.values():
            running.topics.look(self._worker)

    def finish(self, keeper: RecordKeeper) -> None:
        """End all recordings."""
        for batch_id in list(self._running):
            self._finish(keeper, batch_id)

    def values(self) -> dict[str, str]:
        """Return what diagnostics say of them."""
        topics = [running.topics for running in self._running.values()]
        if not topics:
            return {}
        return {
            "batch": ", ".join(self._running),
            "topics": str(max(each.topics for each in topics)),
            "messages": str(sum(each.messages for each in topics)),
        }

    def _learn(self, keeper: RecordKeeper, batch_id: str) -> None:
        try:
            events = keeper.events(batch_id)[0]
        except RecordError as error:  # alarmed when its next event comes
            self._node.get_logger().error(f"{batch_id}: cannot be read: {error}")
            return
        for event in events:
            self._scope.follow(event)

    def _begin(self, keeper: RecordKeeper, batch_id: str) -> None:
        try:
            folder = keeper.folder(batch_id)
            topics = BatchRecording(
                self._node,
                folder,
                flush_s=self._settings["mcap_flush_s"],
                reserve_bytes=self._settings["mcap_reserve_mb"] * 10**6,
                least_period_s={TRACKS: self._settings["tracks_period_s"]},
                pictures_period_s=self._settings["pictures_period_s"],
                is_own=partial(self._scope.is_of, batch_id),
                on_error=lambda message: self._alarms.topics_not_recorded(batch_id, message),
            )
            self._running[batch_id] = _Running(topics, PictureKeeper(self._node, folder))
        except (OSError, RecordError) as error:
            self._alarms.topics_not_recorded(batch_id, str(error))

    def _finish(self, keeper: RecordKeeper, batch_id: str, process_time_s: float | None = None) -> None:
        running = self._running.pop(batch_id)
        running.pictures.close()
        running.topics.close()
        self._worker.submit(running.topics.settle, keeper, process_time_s, self._node.get_logger())
