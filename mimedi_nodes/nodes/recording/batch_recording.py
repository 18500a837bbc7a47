# SPDX-License-Identifier: Apache-2.0
"""The recording of one batch's topics, from its first event to the registered file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from rclpy.node import Node

from ...records.attachments import registered
from ...records.errors import RecordError
from . import run_files
from .image_recorder import ImageRecorder
from .mcap_writer import McapRecording, is_whole, mend
from .message_schemas import schema_text
from .record_keeper import RecordKeeper
from .topic_recorder import IsOwn, TopicRecorder

TOPICS_FILE = "topics.mcap"


class BatchRecording:
    """Topics of a batch, going to `<run>/topics.mcap.part`; its name it gets when it is finished and registered.

    When a batch is taken up again the next part is `topics_2.mcap`, and so on.

    Args:
        node: the recorder.
        folder: run folder.
        flush_s: shortest pause between two flushes [s].
        reserve_bytes: free space of the disk below which recording ends: it belongs to the record.
        least_period_s: see `TopicRecorder`.
        pictures_period_s: shortest steady time between two recorded pictures of a camera [s]; 0 records none.
        is_own: see `TopicRecorder`.
        on_error: called once when recording has ended early, with the reason; in the executor's thread.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(
        self,
        node: Node,
        folder: Path,
        flush_s: float,
        reserve_bytes: int,
        least_period_s: Mapping[str, float],
        pictures_period_s: float,
        is_own: IsOwn,
        on_error: Callable[[str], None],
    ) -> None:
        self.batch_id = folder.name
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._on_error = on_error
        self._failed = False
        self._flushing: Future[bool] | None = None
        part = run_files.part_of(folder, TOPICS_FILE)
        if (folder / TOPICS_FILE).exists() or part.exists():
            part = run_files.part_of(folder, run_files.free_name(folder, TOPICS_FILE))
        self._recording = McapRecording(part, schema_text, flush_s)
        self._topics = TopicRecorder(node, self._recording, least_period_s, self._stop, is_own)
        self._images = (
            ImageRecorder(node, self._recording, pictures_period_s, is_own, self._stop)
            if pictures_period_s > 0.0
            else None
        )
        self.look_for_topics()

    @property
    def topics(self) -> int:
        """Number of topics that are recorded."""
        return self._topics.topics

    @property
    def messages(self) -> int:
        """Number of messages recorded so far."""
        return self._recording.messages

    def look_for_topics(self) -> None:
        """Subscribe what has appeared."""
        self._topics.look()

    def look(self, worker: Executor) -> None:
        """Subscribe what has appeared; flush in the worker when it is due; stop when the disk fills up."""
        if self._failed:
            return
        self._topics.look()
        if self._flushing is not None:
            if not self._flushing.done():
                return
            error = self._flushing.exception()
            if error is not None:
                self._stop(error)
                return
        free = shutil.disk_usage(self._folder).free
        if free < self._reserve_bytes:
            kept = f"{self._reserve_bytes / 1e6:.0f} MB are kept for the record"
            self._stop(OSError(f"{free / 1e6:.0f} MB are free, {kept}"))
            return
        self._flushing = worker.submit(self._recording.flush_when_due)

    def close(self) -> None:
        """End the subscriptions; executor's thread."""
        self._topics.close()
        if self._images is not None:
            self._images.close()

    def settle(self, keeper: RecordKeeper, process_time_s: float | None, logger: Any) -> None:
        """Finish the file, register it in the record and give it its name; worker's thread."""
        try:
            if self._failed:
                self._recording.abandon()
            else:
                self._recording.finish()
            _publish(keeper, self._folder, self._recording.path, process_time_s)
        except (OSError, RecordError) as error:
            # It stays as a part; the recorder's next start mends and registers it.
            logger.error(f"{self._recording.path} is not registered yet: {error}")

    def _stop(self, error: BaseException) -> None:
        if self._failed:
            return
        self._failed = True
        self.close()
        self._on_error(f"{self._recording.path}: {error}; free space: topics are recorded again from the next batch on")


def bring_to_end(keeper: RecordKeeper, logger: Any) -> None:
    """Mend, register and name what an earlier recorder was cut off from; a part that nobody registered is dropped."""
    for folder, part, name in run_files.unsettled(keeper.runs_dir):
        began_s = time.monotonic()
        try:
            known = registered(keeper.events(folder.name)[0]).get(name)
            if known is not None and run_files.has_hash(part, str(known.get("sha256"))):
                run_files.settle(folder, part, name)
            elif part.name.endswith(f".mcap{run_files.PART}") and known is None:
                _publish(keeper, folder, part, None)
            else:
                part.unlink()
            logger.info(f"{folder.name}/{name}: brought to its end in {time.monotonic() - began_s:.1f} s")
        except (OSError, RecordError) as error:
            logger.error(f"{part}: was left by an earlier recorder and cannot be brought to its end: {error}")


def _publish(keeper: RecordKeeper, folder: Path, part: Path, process_time_s: float | None) -> None:
    if not is_whole(part):
        mend(part)
    keeper.publish_file(folder.name, part, part.name.removesuffix(run_files.PART), process_time_s)
