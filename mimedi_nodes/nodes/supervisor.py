# SPDX-License-Identifier: Apache-2.0
"""The supervisor node: brings the workcell up in order, watches it, takes it down in reverse, keeps its alarms."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from std_srvs.srv import Trigger

from mimedi_msgs.msg import ModuleState

from ..modules.registry import config_folder, known_modules, module_table
from ..process.alarms.board import AlarmBoard
from ..process.alarms.table import read_alarm_table
from ..process.people.maintenance import FOLDER as MAINTENANCE
from ..records.errors import RecordError
from ..records.outbox import Outbox
from .frame import qos
from .frame.doorkeeper import Doorkeeper
from .frame.managed_node import ManagedNode
from .frame.outbox_sender import OutboxSender
from .frame.parameters import Parameter, ParameterError, declare
from .frame.ros_calls import CallFailed, ready
from .frame.running import run_node
from .frame.storage_watch import StorageWatch
from .supervision.alarm_keeper import AlarmKeeper
from .supervision.bring_up import BringUp, BringUpFailed, Deadlines, TransitionFailed, Unanswered
from .supervision.lifecycle_peer import LifecyclePeer
from .supervision.supervisor_status import SupervisorStatus
from .supervision.watch import Watch

PARAMETERS = (
    Parameter("managed_nodes", ["recorder", *module_table(), "coordinator"], "nodes in the order of their bring-up"),
    Parameter("state_dir", "", "folder for what must survive the process: alarms, outbox"),
    Parameter("users_dir", "", "folder of the accounts; empty: none, names are taken as they are given"),
    Parameter("alarm_file", "", "path of the alarm table; empty: the shipped one"),
    Parameter("discovery_s", 60.0, "longest wait for a node's services [s]", 0.1, 600.0),
    Parameter("configure_s", 60.0, "longest time of a node's configuration [s]", 0.1, 600.0),
    Parameter("activate_s", 30.0, "longest time of a node's activation [s]", 0.1, 600.0),
    Parameter("deactivate_s", 30.0, "longest time of a node's deactivation [s]", 0.1, 600.0),
    Parameter("cleanup_s", 15.0, "longest time of a node's clean-up [s]", 0.1, 600.0),
    Parameter("answer_s", 2.0, "longest wait for the answer to a question about the state [s]", 0.1, 60.0),
    Parameter("stop_s", 8.0, "longest time of an orderly shutdown [s]; then each node ends by itself", 0.5, 60.0),
    Parameter("watch_period_s", 1.0, "steady time between two looks at all nodes [s]", 0.1, 60.0),
    Parameter("silent_after_s", 5.0, "silence after which a node counts as lost [s]", 0.5, 600.0),
    Parameter("retry_s", 5.0, "steady time between two attempts to bring up a node that came back [s]", 0.1, 600.0),
)

PLANT = "plant"
"""Who gives time in simulation."""

LOOKS_PER_ROUND = 5
"""Every so many looks all nodes are asked for their state, those included whose heartbeat is fresh."""


class SupervisorNode(ManagedNode):
    """Manages the other nodes, and itself; takes no part in simulated time.

    `~/status` tells how it stands, see `SupervisorStatus`.
    """

    def __init__(self) -> None:
        super().__init__("supervisor")
        self.settings = declare(self, PARAMETERS)
        names = [name for name in self.settings["managed_nodes"] if name]
        if not names or len(set(names)) != len(names):
            raise ParameterError(f"supervisor: managed_nodes is {names}; allowed: at least one node, each once")
        self._closers: list[Callable[[], object]] = []
        self._again = asyncio.Event()
        self._recoveries: dict[str, asyncio.Task[None]] = {}
        self._retry_at_s: dict[str, float] = {}
        self._looks = 0
        self._supervising: Future[None] | None = None
        self._stopping: Future[None] | None = None
        self._peers = {name: LifecyclePeer(self, self.loop, name) for name in names}
        beating = [name for name in names if name in known_modules()]
        self._watch = Watch(names, beating, self.settings["silent_after_s"])
        self._shown = SupervisorStatus(self, self._watch)
        for name in beating:
            self.create_subscription(ModuleState, f"{name}/state", partial(self._on_beat, name), qos.STATE)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, qos.TELEMETRY)
        self.create_service(Trigger, "~/bring_up", self._on_bring_up)
        deadlines = Deadlines(**{name: self.settings[name] for name in Deadlines.__dataclass_fields__})
        self._bring_up = BringUp(
            list(self._peers.values()), deadlines, self._tell, lambda name: self._alarms.begun_anew(name)
        )

    def begin(self) -> None:
        """Configure and activate itself: nobody else does.

        Raises:
            RuntimeError: it cannot; says why.
        """
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise RuntimeError(f"the supervisor cannot start: {self.last_error}")

    # -- its own lifecycle ------------------------------------------------------------------------------

    def configure(self) -> None:
        """Read the alarm table, open alarms and outbox."""
        if not self.settings["state_dir"]:
            raise ParameterError("supervisor: parameter state_dir must be set to a path")
        state_dir = Path(self.settings["state_dir"])
        state_dir.mkdir(parents=True, exist_ok=True)
        table = read_alarm_table(Path(self.settings["alarm_file"] or config_folder() / "alarms.yaml"))
        outbox = Outbox(state_dir / "supervisor.outbox.sqlite", "supervisor")
        self._closers.append(outbox.close)
        self._closers.append(OutboxSender(self, outbox).close)
        self._closers.append(StorageWatch(self, (outbox,), self._storage_lost).close)
        users_dir = self.settings["users_dir"]
        doorkeeper = Doorkeeper(Path(users_dir) if users_dir else None)
        maintenance = Path(users_dir).parent / MAINTENANCE if users_dir else None
        self._alarms = AlarmKeeper(
            self, AlarmBoard(table), state_dir / "alarms.json", outbox, doorkeeper, maintenance
        )
        self._closers.append(self._alarms.close)

    def _storage_lost(self, error: RecordError) -> None:
        for active in (True, False):  # latched: it stays until it is reset
            self._alarms.report("supervisor.storage_failed", "supervisor", str(error), active)

    def activate(self) -> None:
        """Begin to bring the workcell up."""
        self._supervising = self.loop.submit(self._supervise())

    def deactivate(self) -> None:
        """Leave the workcell as it is and watch it no longer."""
        if self._supervising is not None:
            self._supervising.cancel()

    def clean_up(self) -> None:
        """Close alarms and outbox."""
        while self._closers:
            self._closers.pop()()

    def ready_to_leave(self) -> bool:
        """Take the workcell down when asked first; return whether that is done."""
        if self._stopping is None:
            self._stopping = self.loop.submit(self._stop())
        return self._stopping.done()

    def destroy_node(self) -> None:
        """End what runs, close everything."""
        self.deactivate()
        self.loop.stop()
        self.clean_up()
        super().destroy_node()

    # -- bring-up and shutdown (in the loop) ------------------------------------------------------------

    async def _supervise(self) -> None:
        try:
            while True:
                await self._try_bring_up()
                while self._shown.phase == "active":
                    self._shown.publish()
                    await asyncio.sleep(self.settings["watch_period_s"])
                    await self._look()
                await self._again.wait()
        except Exception as error:
            self._shown.enter("failed", reason=f"the supervisor itself failed: {error!r}")
            self.get_logger().fatal(f"supervision has ended: {error!r}")
            raise

    async def _try_bring_up(self) -> None:
        self._again.clear()
        self._shown.enter("starting")
        began_s = time.monotonic()
        try:
            await self._time_known()
            await self._bring_up.up()
        except BringUpFailed as error:
            self.get_logger().error(f"bring-up failed and was rolled back: {error}")
            self._alarms.report("supervisor.bring_up_failed", f"supervisor/{error.node}", str(error), True)
            self._shown.enter("failed", error.node, error.reason)
            return
        now_s = time.monotonic()
        for name in self._peers:
            self._watch.begin(name, now_s)
        for name in (PLANT, *self._peers):
            self._alarms.report("supervisor.bring_up_failed", f"supervisor/{name}", "", False)
        self.get_logger().info(f"the workcell is up: {len(self._peers)} nodes in {now_s - began_s:.1f} s")
        self._shown.enter("active")

    async def _time_known(self) -> None:
        """Return when ROS time is valid: in simulation that is when the plant is ready; raises BringUpFailed."""
        limit_s = self.settings["discovery_s"]
        try:
            await ready(self.loop, lambda: self.get_clock().now().nanoseconds > 0, limit_s, "time on topic clock")
        except CallFailed as error:
            raise BringUpFailed(PLANT, str(error), []) from error

    async def _stop(self) -> None:
        if self._supervising is not None:
            self._supervising.cancel()
        for recovery in self._recoveries.values():
            recovery.cancel()
        self._shown.enter("stopping")
        stop_s = self.settings["stop_s"]
        try:
            leftovers = await asyncio.wait_for(self._bring_up.down(), stop_s)
        except TimeoutError:
            leftovers = [f"not finished after {stop_s:g} s"]
        if leftovers:
            self.get_logger().error(f"not taken down in order: {'; '.join(leftovers)}")
        else:
            self.get_logger().info("the workcell is down")
        self._shown.enter("stopped", reason="; ".join(leftovers))

    def _on_bring_up(self, request: Trigger.Request, reply: Trigger.Response) -> Trigger.Response:
        reply.success = self._shown.phase == "failed" and self._supervising is not None and not self._supervising.done()
        if reply.success:
            self.loop.call(self._again.set)
        else:
            reply.message = f"the workcell is {self._shown.phase}; it is brought up again only after a failure"
        return reply

    # -- watch (in the loop) ----------------------------------------------------------------------------

    def _on_beat(self, name: str, message: ModuleState) -> None:
        self.loop.call(self._watch.beat, name, time.monotonic())

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name, _, component = status.name.strip("/").partition("/")
            if name in self._peers and component == "lifecycle" and status.level == DiagnosticStatus.ERROR:
                self.loop.call(self._peers[name].tell_error, status.message)

    async def _look(self) -> None:
        self._looks += 1
        everybody = self._looks % LOOKS_PER_ROUND == 0
        now_s = time.monotonic()
        names = [
            name
            for name in self._peers
            if name not in self._recoveries and (everybody or self._watch.wants_asking(name, now_s))
        ]
        states = await asyncio.gather(*(self._state(name) for name in names))
        now_s = time.monotonic()
        for name, state in zip(names, states, strict=True):
            before = self._watch.nodes[name].lost
            verdict = self._watch.judge(name, state, now_s)
            lost = self._watch.nodes[name].lost
            self._shown.tell(name, f"lost: {lost}" if lost else state or "")
            if lost and not before:
                self._alarm_lost(name, f"{name} is lost: {lost}")
            if before and not lost:
                self.get_logger().info(f"{name} is back")
                self._alarms.report("supervisor.node_lost", f"supervisor/{name}", "", False)
            if verdict == "restarted" and now_s >= self._retry_at_s.get(name, 0.0):
                self._recoveries[name] = asyncio.get_running_loop().create_task(self._recover(name))

    async def _state(self, name: str) -> str | None:
        try:
            return await self._peers[name].get_state(self.settings["answer_s"])
        except Unanswered:
            return None

    async def _recover(self, name: str) -> None:
        try:
            await self._bring_up.one(name)
            self._watch.begin(name, time.monotonic())
            self._retry_at_s.pop(name, None)
        except TransitionFailed as error:
            self._alarm_lost(name, f"{name} came back but cannot be brought up: {error}")
            self._retry_at_s[name] = time.monotonic() + self.settings["retry_s"]
        finally:
            del self._recoveries[name]

    def _alarm_lost(self, name: str, message: str) -> None:
        self.get_logger().error(f"ALARM supervisor.node_lost: {message}")
        self._alarms.report("supervisor.node_lost", f"supervisor/{name}", message, True)

    def _tell(self, name: str, text: str) -> None:
        self.get_logger().info(f"{name}: {text}")
        self._shown.tell(name, text)


def _make() -> SupervisorNode:
    node = SupervisorNode()
    node.begin()
    return node


def main() -> None:
    """Run the node."""
    sys.exit(run_node(_make))
