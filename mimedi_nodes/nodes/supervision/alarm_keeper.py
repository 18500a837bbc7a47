# SPDX-License-Identifier: Apache-2.0
"""The alarm board behind its topics and service; on disk, so that it outlives its process."""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from mimedi_msgs.msg import Alarm as AlarmMsg
from mimedi_msgs.msg import AlarmList, BatchStatus
from mimedi_msgs.srv import AcknowledgeAlarm

from ...process.alarms.board import Alarm, AlarmBoard, AlarmError
from ...process.alarms.states import CAUSE_STANDS
from ...process.durable_file import write_durably
from ...process.people.maintenance import under_maintenance
from ...records.errors import RecordError
from ...records.outbox import Outbox
from ..frame import qos
from ..frame.conversion import ros_time, seconds
from ..frame.doorkeeper import Doorkeeper, NotAllowed

LOOK_S = 1.0
"""Steady time [s] between two looks at whether a shelving has ended."""
MAX_UNWRITTEN = 1000
"""Events that wait for the disk to be writable; older ones are dropped, they stand in the log."""
_PAST = {
    "acknowledge": "acknowledged", "reset": "reset", "shelve": "shelved", "unshelve": "unshelved",
    "remove": "removed", "restore": "restored",
}  # fmt: skip
_RIGHT = {"shelve": "shelve", "unshelve": "shelve", "remove": "remove", "restore": "remove"}
"""What a role must allow for an act that is more than an acknowledgement."""
_RUNNING = frozenset({"running", "pausing", "paused", "holding", "held", "restarting", "stopping", "aborting"})


class AlarmKeeper:
    """Takes `alarm_events`, publishes `alarms`, serves `~/acknowledge_alarm`, records what people do.

    Args:
        node: the supervisor.
        board: the alarms.
        path: file in which the board is kept.
        outbox: takes the events for the record.
        maintenance_dir: folder of the record of maintenance; None where the node was told of none.
        doorkeeper: tells who acts on an alarm.
    """

    def __init__(
        self,
        node: Node,
        board: AlarmBoard,
        path: Path,
        outbox: Outbox,
        doorkeeper: Doorkeeper | None = None,
        maintenance_dir: Path | None = None,
    ) -> None:
        self._maintenance_dir = maintenance_dir
        self._maintained: frozenset[str] = frozenset()
        self._maintenance_seen: tuple[int, ...] = ()
        self._doorkeeper = doorkeeper or Doorkeeper(None)
        self._node = node
        self._board = board
        self._path = path
        self._outbox = outbox
        self._lock = threading.RLock()  # sources call from the executor's thread and from the loop
        self._batches: set[str] = set()
        self._unwritten: deque[tuple[str, float, str, str, str, str, dict[str, object]]] = deque(maxlen=MAX_UNWRITTEN)
        self._read()
        self._list = node.create_publisher(AlarmList, "alarms", qos.STATE)
        self._subscriptions = (
            node.create_subscription(AlarmMsg, "alarm_events", self._on_event, qos.EVENT),
            node.create_subscription(BatchStatus, "coordinator/batches", self._on_batch, qos.EVENT),
        )
        self._service = node.create_service(AcknowledgeAlarm, "~/acknowledge_alarm", self._on_act)
        self._timer = node.create_timer(LOOK_S, self._pass_time, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._publish()

    def close(self) -> None:
        """Stop; the board stays on disk."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_service(self._service)
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_publisher(self._list)

    def report(self, alarm_id: str, source: str, message: str, active: bool) -> None:
        """Raise or clear an alarm of the supervisor itself, which goes into the record as its own; from any thread."""
        with self._lock:
            before = self._board.standing(alarm_id, source)
            if not active and before is None:
                return
            alarm = self._take(alarm_id, source, message, active, self._now_s())
            if alarm is not None:
                data = {"alarm_id": alarm_id, "source": source, "message": message}
                if active:
                    data |= {"priority": alarm.entry.priority.name, "response": alarm.entry.response}
                self._record("alarm_raised" if active else "alarm_cleared", "supervisor", alarm_id, "", data)

    def begun_anew(self, source: str) -> None:
        """A node's process is a new one: its alarms have no cause until it tells so again, and the record says so."""
        with self._lock:
            for alarm in [alarm for alarm in self._board if alarm.source == source]:
                if alarm.beneath in CAUSE_STANDS:
                    data = {"alarm_id": alarm.alarm_id, "source": source, "message": alarm.message}
                    why = f"the process of {source} is a new one; what still stands it raises again"
                    self._record("alarm_cleared", "supervisor", alarm.alarm_id, why, data)
                self._take(alarm.alarm_id, source, "", False, self._now_s())

    def _now_s(self) -> float:
        now_s: float = self._node.get_clock().now().nanoseconds * 1e-9
        return now_s if now_s > 0.0 else math.nan

    def _on_batch(self, message: BatchStatus) -> None:
        if message.state in _RUNNING:
            self._batches.add(message.batch_id)
        else:
            self._batches.discard(message.batch_id)

    def _on_event(self, message: AlarmMsg) -> None:
        time_s = seconds(message.stamp) or self._now_s()
        with self._lock:
            if not self._board.table.has(message.alarm_id):
                self._node.get_logger().error(f"alarm {message.alarm_id} has no entry in config/alarms.yaml")
            self._take(message.alarm_id, message.source, message.message, message.state != AlarmMsg.NORMAL, time_s)

    def _take(self, alarm_id: str, source: str, message: str, active: bool, time_s: float) -> Alarm | None:
        alarm = self._board.report(alarm_id, source, message, active, time_s)
        if alarm is not None:
            self._changed()
        return alarm

    def _on_act(self, request: AcknowledgeAlarm.Request, reply: AcknowledgeAlarm.Response) -> AcknowledgeAlarm.Response:
        with self._lock:
            try:
                who = self._doorkeeper.name_of(request.who, _RIGHT.get(request.act, "acknowledge"))
                olds = {a.source: a.state.name for a in self._board if a.alarm_id == request.alarm_id}
                moved = self._board.act(
                    request.alarm_id, request.act, self._now_s(), shelve_h=request.shelve_h, why=request.why
                )
            except (AlarmError, NotAllowed) as error:
                reply.message = str(error)
                return reply
            for alarm in moved:
                data = {"alarm_id": alarm.alarm_id, "source": alarm.source, "message": alarm.message}
                data |= {"old": olds[alarm.source], "new": alarm.state.name}
                if request.act == "shelve":
                    data["shelve_h"] = request.shelve_h
                self._record(f"alarm_{_PAST[request.act]}", who, alarm.alarm_id, request.why, data)
            if not moved and request.act in ("remove", "restore"):  # an alarm that does not stand now
                data = {"alarm_id": request.alarm_id, "source": "", "old": "", "new": _PAST[request.act]}
                self._record(f"alarm_{_PAST[request.act]}", who, request.alarm_id, request.why, data)
            self._changed()
        reply.accepted = True
        return reply

    def _pass_time(self) -> None:
        with self._lock:
            back = self._board.pass_time(self._now_s())
            settled = self._board.settle(self._now_s()) + self._follow_maintenance()
            for alarm in back:
                data = {"alarm_id": alarm.alarm_id, "source": alarm.source, "old": "SHELVED", "new": alarm.state.name}
                self._record("alarm_unshelved", "supervisor", alarm.alarm_id, "the time of shelving is over", data)
            self._write_out()
            if back or settled:
                self._changed()

    def _follow_maintenance(self) -> list[Alarm]:
        """Take the alarms of modules in maintenance out of service, and back when it has ended."""
        if self._maintenance_dir is None:
            return []
        files = sorted(self._maintenance_dir.glob("record.sqlite*"))
        seen = tuple(file.stat().st_mtime_ns for file in files)
        if seen == self._maintenance_seen:
            return []
        try:
            modules = frozenset(under_maintenance(self._maintenance_dir))
        except RecordError as error:
            self._node.get_logger().error(f"the record of maintenance cannot be read: {error}")
            return []
        self._maintenance_seen = seen
        if modules == self._maintained:
            return []
        moved = self._board.take_out_of_service(modules, self._now_s())
        for module in sorted(modules ^ self._maintained):
            act = "removed" if module in modules else "restored"
            data = {"alarm_id": f"{module}.*", "source": "supervisor", "old": "", "new": act}
            self._record(f"alarm_{act}", "supervisor", f"{module}.*", "maintenance, signed in its own record", data)
        self._maintained = modules
        return moved

    def _record(self, kind: str, who: str, what: str, why: str, data: dict[str, object]) -> None:
        for batch_id in sorted(self._batches) or [""]:
            self._unwritten.append((batch_id, self._now_s(), kind, who, what, why, data))
        self._write_out()

    def _write_out(self) -> None:
        """Put on disk what is to go into the record; what a full disk refuses is tried again at every look."""
        while self._unwritten:
            try:
                self._outbox.append(*self._unwritten[0])
            except RecordError as error:
                self._tell_of_disk(error)
                return
            self._unwritten.popleft()

    def _changed(self) -> None:
        self._publish()
        try:
            write_durably(self._path, json.dumps(self._board.as_fields()))
        except OSError as error:  # they are shown all the same, and raised again by their sources after a crash
            self._tell_of_disk(error)

    def _tell_of_disk(self, error: Exception) -> None:
        self._node.get_logger().error(f"alarms cannot be written to disk: {error}", throttle_duration_sec=10.0)

    def _publish(self) -> None:
        shown = {alarm.alarm_id for alarm in self._board}
        away = [self._away(alarm_id, why) for alarm_id, why in self._board.removed.items() if alarm_id not in shown]
        self._list.publish(AlarmList(alarms=[*(_message(alarm) for alarm in self._board), *away]))

    def _away(self, alarm_id: str, why: str) -> AlarmMsg:
        """Return an alarm out of service that nobody raises now: it is to be seen that it would not be shown."""
        entry = self._board.table.entry(alarm_id)
        return AlarmMsg(
            alarm_id=alarm_id, source="supervisor", state=AlarmMsg.OUT_OF_SERVICE, priority=int(entry.priority),
            message=f"out of service: {why}", response=entry.response,
        )

    def _read(self) -> None:
        if not self._path.is_file():
            return
        try:
            self._board.restore(json.loads(self._path.read_text(encoding="utf-8")))
        except (AlarmError, ValueError) as error:
            # Alarms that still stand are raised again by their sources; starting must not depend on this file.
            self._node.get_logger().error(f"the alarms of the last run are lost: {self._path}: {error}")


def _message(alarm: Alarm) -> AlarmMsg:
    return AlarmMsg(
        stamp=ros_time(alarm.changed_s),
        alarm_id=alarm.alarm_id,
        source=alarm.source,
        state=int(alarm.state),
        priority=int(alarm.entry.priority),
        message=alarm.message,
        response=alarm.entry.response,
    )
