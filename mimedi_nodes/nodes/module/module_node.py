# SPDX-License-Identifier: Apache-2.0
"""The one ROS shell of all modules: lifecycle, actions, MTP service, telemetry, alarms, record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup

from mimedi_msgs.msg import ModuleState

from ...modules.module import Module
from ...modules.registry import load_module
from ...modules.service.hooks import ServiceHooks
from ...modules.service.memory import open_memory
from ...modules.service.service import ModuleService
from ...modules.site_file import load_site
from ...process.calibrations import CalibrationBook, book_file
from ...process.context import PhaseHeader
from ...process.errors import WorkcellError
from ...process.interfaces import default_interfaces
from ...records.errors import RecordError
from ..frame import qos
from ..frame.clocks import NodeClock, make_clock, steady_ticks
from ..frame.conversion import ros_time
from ..frame.interlock_listener import InterlockListener
from ..frame.managed_node import ManagedNode
from ..frame.outbox_sender import OutboxSender
from ..frame.parameters import COMMON, ParameterError, declare
from ..frame.running import run_node
from ..frame.storage_watch import StorageWatch
from .doors import ModuleDoors
from .links import make_links
from .looks import keep_watch, read_telemetry
from .maintenance import ModuleMaintenance
from .voice import ModuleVoice

TELL_ALARMS_S = 5.0
"""Steady time [s] after which a module tells again which of its alarms stand and which have gone."""

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
        self._state = self.create_publisher(ModuleState, "~/state", qos.STATE)
        self.clock = make_clock(self, self.loop, module.name)
        self._voice = ModuleVoice(self, module.name, self.clock)
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
            hooks = ServiceHooks(self._record, self._changed, self._voice.measured, self._voice.alarm)
            service = ModuleService(self.module, instruments, self.clock, store, self._interfaces, hooks)
            service.enabled = False
            interrupted = await service.recover()
            if interrupted:
                self.get_logger().warning(f"{len(interrupted)} goal(s) were interrupted; actuators made safe")
            return service

        async def close_all() -> None:
            await instruments.disconnect()

        self._closers.append(lambda: self.loop.submit(close_all()).result(10.0))
        self.service = service = self.loop.submit(open_all()).result(30.0)
        self._closers.append(StorageWatch(self, (store, self.outbox), self._storage_lost).close)
        users_dir = Path(self.settings["users_dir"]) if self.settings["users_dir"] else None
        self._maintenance = ModuleMaintenance(self, self.module, service, users_dir, store, calibrations, self._waiting)
        self._closers.append(self._maintenance.close)
        doors = ModuleDoors(
            self, self.module, service, self.clock, self._interfaces, self._waiting, self._why_not_produce
        )
        self._closers.append(doors.close)
        self._closers.append(InterlockListener(self, self.module.name, self._interlocked).close)
        self._look(service)

    def _look(self, service: ModuleService) -> None:
        """Begin what is done again and again, whether a phase runs or not."""
        of = self.settings
        repeated = [
            steady_ticks(of["state_period_s"], self._publish_state),
            steady_ticks(TELL_ALARMS_S, self._voice.tell_alarms_again),
        ]
        if self.module.watch is not None:
            repeated.append(keep_watch(self.module.watch, service, of["watch_period_s"], self._voice, self._watched))
        if of["telemetry_period_s"] > 0.0:
            repeated.append(read_telemetry(self.module.name, service, of["telemetry_period_s"], self._voice))
        self._closers += [self.loop.submit(coroutine).cancel for coroutine in repeated]

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

    def _watched(self, alarm_id: str, message: str, active: bool) -> None:
        """Alarm what concerns everybody: it goes into the record of every batch under way."""
        self._voice.alarm(alarm_id, message, active)
        kind = "alarm_raised" if active else "alarm_cleared"
        for batch_id in self._maintenance.unfinished:
            self._record(PhaseHeader(batch_id=batch_id), kind, alarm_id, "", {"alarm_id": alarm_id, "message": message})

    def _why_not_produce(self) -> str:
        try:
            return self._maintenance.why_not_produce()
        except WorkcellError as error:
            return str(error)

    def _storage_lost(self, error: RecordError) -> None:
        if self.service is not None:
            self.loop.submit(self.service.storage_lost(error))

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
