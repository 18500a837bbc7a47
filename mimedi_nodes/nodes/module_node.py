# SPDX-License-Identifier: Apache-2.0
"""The one ROS shell of all modules: lifecycle, actions, MTP service, telemetry, alarms, record."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup

from mimedi_msgs.msg import Alarm, Measurement, ModuleState, Telemetry
from mimedi_msgs.srv import CommandModule, RecallPhase

from ..instruments.link import InstrumentError, LinkLost, ReplyTimeout
from ..modules.memory import open_memory
from ..modules.module import Module
from ..modules.registry import load_module
from ..modules.service import ModuleService
from ..modules.service_hooks import ServiceHooks
from ..modules.site_file import load_site
from ..process.calibrations import CalibrationBook, book_file
from ..process.context import PhaseHeader
from ..process.errors import WorkcellError
from ..process.gateway import PhaseOutcome, PhaseRecall
from ..process.interfaces import default_interfaces
from ..records.canonical import canonical_json
from ..records.errors import RecordError
from . import qos
from .bridge import result_in_executor
from .clocks import NodeClock, make_clock, steady_ticks
from .conversion import action_class, fill_message, header_from, message_fields, ros_time, seconds
from .interlock_listener import InterlockListener
from .links import make_links
from .managed_node import ManagedNode
from .module_maintenance import ModuleMaintenance
from .outbox_sender import OutboxSender
from .parameters import COMMON, ParameterError, declare
from .running import run_node
from .storage_watch import StorageWatch

RESULT_TIMEOUT_S = 1_000_000_000
"""Results expire in ROS time, of which a simulated batch spends days in seconds: keep them for good."""

COORDINATOR = "coordinator"
TELL_ALARMS_S = 5.0
"""Steady time [s] after which a module tells again which of its alarms stand and which have gone."""
SILENT_LOOKS = 2
"""After so many looks in a row that an instrument did not answer, its module's running phase is held."""

Extras = Callable[["ModuleNode"], Mapping[str, Any]]
"""Makes what a module needs besides serial links, by name (a camera, say)."""


class ModuleNode(ManagedNode):
    """A module of the workcell as a ROS 2 lifecycle node.

    configure opens the lines and identifies the instruments; activate accepts goals; deactivate makes safe and stays
    readable; cleanup closes the lines. Life support keeps its set points throughout.
    """

    def __init__(self, module: Module, extras: Extras = lambda node: {}) -> None:
        super().__init__(module.name)
        self.module = module
        self.settings = declare(self, COMMON)
        self.clock: NodeClock
        self.service: ModuleService | None = None
        self._interfaces = default_interfaces()
        self._closers: list[Callable[[], object]] = []
        self._waiting = ReentrantCallbackGroup()  # for callbacks that await the phases: others go on meanwhile
        self._state_pending = False
        self._told_alarms: dict[str, tuple[str, bool]] = {}
        self._state = self.create_publisher(ModuleState, "~/state", qos.STATE)
        self._telemetry = self.create_publisher(Telemetry, "~/telemetry", qos.TELEMETRY)
        self._alarms = self.create_publisher(Alarm, "alarm_events", qos.EVENT)
        self.clock = make_clock(self, self.loop, module.name)
        self._extras = extras(self)

    def configure(self) -> None:
        """Open the lines, identify the instruments, offer the actions; moves nothing."""
        if not self.settings["site"] or not self.settings["state_dir"]:
            raise ParameterError(f"{self.module.name}: parameters site and state_dir must be set to paths")
        site = load_site(Path(self.settings["site"]))
        state_dir = Path(self.settings["state_dir"])
        capture_dir = state_dir / "capture" if self.settings["capture"] else None
        links = make_links(site, self.module.name, Path(self.settings["port_dir"]), self.clock, capture_dir)
        calibrations = CalibrationBook(book_file(state_dir, self.module.name))
        instruments = self.module.build(site, links, {**self._extras, "calibrations": calibrations})
        store, self.outbox = open_memory(state_dir, self.module.name)
        self._closers += [store.close, self.outbox.close]
        self._closers.append(OutboxSender(self, self.outbox).close)

        async def open_all() -> ModuleService:
            await instruments.connect()
            hooks = ServiceHooks(self._record, self._changed, self._measured, self._alarm)
            service = ModuleService(self.module, instruments, self.clock, store, self._interfaces, hooks)
            service.enabled = False
            interrupted = await service.recover()
            if interrupted:
                self.get_logger().warning(f"{len(interrupted)} goal(s) were interrupted; actuators made safe")
            return service

        async def close_all() -> None:
            await instruments.disconnect()

        self._closers.append(lambda: self.loop.submit(close_all()).result(10.0))
        self.service = self.loop.submit(open_all()).result(30.0)
        self._closers.append(StorageWatch(self, (store, self.outbox), self._storage_lost).close)
        self._offer()
        users_dir = self.settings["users_dir"]
        self._maintenance = ModuleMaintenance(
            self, Path(users_dir) if users_dir else None, store, calibrations, self._waiting
        )
        self._closers.append(self._maintenance.close)
        self._closers.append(InterlockListener(self, self.module.name, self._interlocked).close)
        if self.module.watch is not None:
            self._closers.append(self._repeat(self._watch(self.settings["watch_period_s"])))
        period_s = self.settings["state_period_s"]
        self._closers.append(self._repeat(steady_ticks(period_s, self._publish_state)))
        self._closers.append(self._repeat(steady_ticks(TELL_ALARMS_S, self._tell_alarms_again)))
        if self.settings["telemetry_period_s"] > 0.0:
            self._closers.append(self._repeat(self._read_telemetry(self.settings["telemetry_period_s"])))

    def activate(self) -> None:
        """Accept goals from now on."""
        assert self.service is not None
        self.service.enabled = True
        self.loop.call(self._publish_state)

    def deactivate(self) -> None:
        """Refuse goals; a running phase is held and its actuators made safe before this returns."""
        assert self.service is not None
        self.service.enabled = False
        self.loop.submit(self.service.hold(self.get_name(), "the node is deactivated")).result(30.0)

    def clean_up(self) -> None:
        """Close everything that configure opened, last first."""
        self.service = None
        while self._closers:
            self._closers.pop()()

    def destroy_node(self) -> None:
        """Leave simulated time and close everything; life support keeps its set points in the instruments."""
        if self.service is not None and self.active:
            self.loop.submit(self.service.hold(self.get_name(), "the node is shut down")).result(30.0)
        self.active = False
        self.clock.close()
        self.clean_up()
        for extra in self._extras.values():
            # A thread of its own that still spins when the interpreter ends would abort the process.
            if hasattr(extra, "close"):
                extra.close()
        super().destroy_node()

    def _interlocked(self, causes: Mapping[str, str]) -> None:
        """Hold when the cause of an interlock is heard of, whoever else is there."""
        if self.service is not None:
            self.loop.submit(self.service.interlock(dict(causes)))

    async def _watch(self, period_s: float) -> None:
        """Look at what the module watches; tell again and again what stands, so that late comers hear of it."""
        watch = self.module.watch
        assert watch is not None
        standing: dict[str, str] | None = None
        while True:
            assert self.service is not None
            try:
                found = dict(await watch.look(self.service.instruments))
            except InstrumentError:
                await asyncio.sleep(period_s)  # alarmed by whoever reads the values to be shown
                continue
            for alarm_id in watch.alarms:
                active = alarm_id in found
                if standing is None or active != (alarm_id in standing):
                    if active or standing is not None:
                        self._tell_watched(alarm_id, found.get(alarm_id, ""), active)
                    else:
                        self._publish_alarm(alarm_id, "", False)  # what an earlier life has told may have gone since
                elif active:
                    self._publish_alarm(alarm_id, found[alarm_id], True)
            standing = found
            await asyncio.sleep(period_s)

    def _tell_watched(self, alarm_id: str, message: str, active: bool) -> None:
        """Alarm what concerns everybody: it goes into the record of every batch under way."""
        self._alarm(alarm_id, message, active)
        kind = "alarm_raised" if active else "alarm_cleared"
        for batch_id in self._maintenance.unfinished:
            self._record(PhaseHeader(batch_id=batch_id), kind, alarm_id, "", {"alarm_id": alarm_id, "message": message})

    def _offer(self) -> None:
        for phase in self.module.phases:
            action = self._interfaces.action(phase.action)
            server = ActionServer(
                self,
                action_class(phase.action, self._interfaces),
                f"~/{action.snake_name}",
                execute_callback=partial(self._execute, phase.action),
                goal_callback=lambda goal: GoalResponse.ACCEPT,
                cancel_callback=self._cancel,
                result_timeout=RESULT_TIMEOUT_S,
            )
            self._closers.append(server.destroy)
        for kind, topic, callback in (
            (CommandModule, "~/command", self._on_command),
            (RecallPhase, "~/recall", self._on_recall),
        ):
            service = self.create_service(kind, topic, callback, callback_group=self._waiting)
            self._closers.append(partial(self.destroy_service, service))

    async def _execute(self, action: str, handle: ServerGoalHandle) -> Any:
        values = message_fields(handle.request)
        header = header_from(handle.request.header)
        values.pop("header")
        feedback = action_class(action, self._interfaces).Feedback

        def tell(progress: float, step: str) -> None:
            if handle.is_active:
                handle.publish_feedback(feedback(progress=progress, step=step))

        goal_id = header.goal_id or bytes(handle.goal_id.uuid).hex()
        outcome = await result_in_executor(self, self.loop, self._run(action, values, header, goal_id, tell))
        result = fill_message(action_class(action, self._interfaces).Result(), outcome.result)
        if outcome.status == "succeeded":
            handle.succeed()
        elif outcome.status == "canceled" and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return result

    async def _run(
        self,
        action: str,
        values: Mapping[str, Any],
        header: PhaseHeader,
        goal_id: str,
        tell: Callable[[float, str], None],
    ) -> PhaseOutcome:
        counted = header.goal_id != ""  # chosen by the coordinator; a goal sent by hand leaves it empty
        await self.clock.ready()  # a node that was started again may be asked before it has been told the time
        if counted:
            self.clock.take(COORDINATOR, f"goal:{goal_id}")
        assert self.service is not None
        try:
            if why := self._why_not_produce():
                return self.service.refused(action, why)
            return await self.service.run(action, values, header, goal_id, tell)
        finally:
            if counted:
                self.clock.owe(COORDINATOR, f"end:{goal_id}")

    def _why_not_produce(self) -> str:
        try:
            return self._maintenance.why_not_produce()
        except WorkcellError as error:
            return str(error)

    def _cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        if self.service is not None:
            self.loop.submit(self.service.command(8, "action client", "the goal was cancelled"))
        return CancelResponse.ACCEPT

    async def _on_command(self, request: CommandModule.Request, reply: CommandModule.Response) -> Any:
        assert self.service is not None
        answer = await result_in_executor(self, self.loop, self._commanded(request))
        reply.accepted, reply.state, reply.message = answer.accepted, answer.state, answer.message
        return reply

    async def _commanded(self, request: CommandModule.Request) -> Any:
        assert self.service is not None
        await self.clock.settle()
        await self.clock.catch_up(seconds(request.stamp))
        return await self.service.command(request.command, request.who, request.why)

    async def _on_recall(self, request: RecallPhase.Request, reply: RecallPhase.Response) -> Any:
        assert self.service is not None
        known: PhaseRecall | None = None
        while known is None:
            try:
                known = self.service.recall(request.goal_id)
            except RecordError as error:  # no answer until it can be read: "unknown" would start the goal again
                self.get_logger().error(f"nothing can be told of goal {request.goal_id}: {error}")
                await result_in_executor(self, self.loop, asyncio.sleep(1.0))
        reply.status, reply.action = known.status, known.action
        reply.goal_json, reply.result_json = canonical_json(known.goal), canonical_json(known.result)
        reply.checkpoint_json = canonical_json(known.checkpoint)
        reply.started_s, reply.ended_s = known.started_s, known.ended_s
        return reply

    def _storage_lost(self, error: RecordError) -> None:
        if self.service is not None:
            self.loop.submit(self.service.storage_lost(error))

    def _repeat(self, coroutine: Any) -> Callable[[], object]:
        future = self.loop.submit(coroutine)
        return future.cancel

    async def _read_telemetry(self, period_s: float) -> None:
        failing, silent_looks = "", 0
        while True:
            assert self.service is not None
            try:
                values = await self.service.instruments.telemetry()
                self._publish_telemetry({k: (v, u, math.nan, math.nan) for k, (v, u) in values.items()})
                if failing:
                    self._alarm(failing, "", False)
                failing, silent_looks = "", 0
            except InstrumentError as error:
                # A running phase may look at its instruments once in half an hour, and an idle module does not at all.
                if not failing:
                    failing = f"{self.module.name}.{error.instrument}_fault"
                    self._alarm(failing, str(error), True)
                silent_looks = silent_looks + 1 if isinstance(error, LinkLost | ReplyTimeout) else 0
                if silent_looks >= SILENT_LOOKS and self.service is not None:
                    await self.service.line_silent(error)
            await asyncio.sleep(period_s)

    def _publish_telemetry(self, values: Mapping[str, tuple[float, str, float, float]]) -> None:
        self._telemetry.publish(
            Telemetry(
                stamp=ros_time(self.clock.now_s()),
                module=self.module.name,
                values=[
                    Measurement(name=name, value=float(value), unit=unit, low=low, high=high)
                    for name, (value, unit, low, high) in values.items()
                ],
            )
        )

    def _measured(self, name: str, value: float, unit: str, low: float, high: float) -> None:
        self._publish_telemetry({name: (value, unit, low, high)})

    def _alarm(self, alarm_id: str, message: str, active: bool) -> None:
        self._publish_alarm(alarm_id, message, active)
        if active:
            self.get_logger().error(f"ALARM {alarm_id}: {message}")

    def _tell_alarms_again(self) -> None:
        """For a supervisor that was not there when they came or went."""
        for alarm_id, (message, active) in list(self._told_alarms.items()):
            self._publish_alarm(alarm_id, message, active)

    def _publish_alarm(self, alarm_id: str, message: str, active: bool) -> None:
        self._told_alarms[alarm_id] = (message, active)
        state = Alarm.UNACKNOWLEDGED if active else Alarm.NORMAL
        stamp = ros_time(self.clock.now_s())
        self._alarms.publish(
            Alarm(
                stamp=stamp,
                alarm_id=alarm_id,
                source=self.module.name,
                state=state,
                priority=Alarm.MEDIUM,
                message=message,
            )
        )

    def _record(self, header: PhaseHeader, kind: str, what: str, why: str, data: Mapping[str, Any]) -> None:
        data = {"phase_id": header.phase_id, "module": self.module.name, **data}
        who = str(data.pop("who", self.module.name))
        write = self.outbox.append_soon if kind == "measurement" else self.outbox.append
        write(header.batch_id, self.clock.now_s(), kind, who, what, why, data)

    def _changed(self) -> None:
        if not self._state_pending:
            self._state_pending = True
            self.loop.loop.call_soon(self._publish_state)

    def _publish_state(self) -> None:
        self._state_pending = False
        service = self.service
        if service is None:
            return
        action, goal_id, run = service.present()
        self._state.publish(
            ModuleState(
                stamp=ros_time(self.clock.now_s()),
                module=self.module.name,
                state=int(service.state),
                commands_enabled=int(service.commands_enabled),
                action=action,
                goal_id=goal_id,
                phase_id=run.header.phase_id if run else "",
                step=run.step if run else "",
                progress=run.progress if run else math.nan,
                outbox_pending=self.outbox.pending_count,
                last_error=service.last_error or self.last_error,
            )
        )


def run_module(name: str, extras: Extras = lambda node: {}, argv: list[str] | None = None) -> int:
    """Run a module's node by the module's name; returns the exit status."""
    return run_node(lambda: ModuleNode(load_module(name), extras), argv)
