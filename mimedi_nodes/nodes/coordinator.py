# SPDX-License-Identifier: Apache-2.0
"""The coordinator node: carries a batch out by its recipe, and on after its own death."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup

from mimedi_msgs.msg import Alarm
from mimedi_msgs.srv import CommandBatch, ReviewBatch

from ..modules.expectations import expected_phase_s
from ..modules.registry import modules_of
from ..modules.site_file import load_site
from ..process.alarms.interlocks import BATCHES
from ..process.batch import CommandOutcome
from ..process.engine.engine import Engine
from ..process.engine.journal import Journal
from ..process.errors import WorkcellError
from ..process.gateway import ModuleUnavailable, OperatorGateway
from ..process.identity.custody import Custody
from ..process.interfaces import default_interfaces
from ..process.people.maintenance import FOLDER as MAINTENANCE
from ..process.people.operator import ScriptedOperator
from ..process.service_state import ServiceCommand
from ..process.units.arbiter import Arbiter
from ..process.units.units import NO_UNITS, read_units, units_file
from ..records.errors import RecordError
from ..records.outbox import Outbox
from .coordination.active_batch import ActiveBatch, ActiveBatchFile
from .coordination.batch_display import BatchDisplay
from .coordination.order_check import CoordinatorCode, OrderCheck, Refused
from .coordination.produce_action import ProduceAction
from .coordination.production import Ended, NoSuchBatch, Production, Productions
from .coordination.ros_laboratory import RosLaboratory
from .coordination.ros_modules import RosModules
from .coordination.ros_operator import RosOperator
from .frame import qos
from .frame.bridge import result_in_executor
from .frame.clocks import make_clock, steady_ticks
from .frame.conversion import ros_time
from .frame.doorkeeper import Doorkeeper, NotAllowed
from .frame.interlock_listener import InterlockListener
from .frame.managed_node import ManagedNode
from .frame.outbox_sender import OutboxSender
from .frame.parameters import Parameter, ParameterError, declare
from .frame.ros_calls import CallFailed, call
from .frame.running import run_node
from .frame.storage_watch import StorageWatch

PARAMETERS = (
    Parameter("site", "", "path of the site file"),
    Parameter("state_dir", "", "folder for what must survive the process"),
    Parameter("recipes_dir", "", "folder of the master recipes"),
    Parameter("users_dir", "", "folder of the accounts; empty: none, names are taken as they are given"),
    Parameter("operator", "ask", "who answers questions: ask, or scripted:FILE"),
    Parameter(
        "on_hold", "wait", "what a hold does: wait for a restart, or end the batch as held", choices=("wait", "end")
    ),
    Parameter("status_period_s", 1.0, "steady time between two status messages [s]", 0.1, 10.0),
    Parameter("review_timeout_s", 60.0, "longest wait for the recorder's review [s]", 1.0, 600.0),
)


class CoordinatorNode(ManagedNode):
    """Runs batches on shared units; journals every intent before acting; takes unfinished ones up when activated."""

    def __init__(self) -> None:
        super().__init__("coordinator")
        self.settings = declare(self, PARAMETERS)
        self._closers: list[Callable[[], object]] = []
        self._batches = Productions()
        self._display = BatchDisplay(self, self._batches)
        self._alarms = self.create_publisher(Alarm, "alarm_events", qos.EVENT)
        self.clock = make_clock(self, self.loop, "coordinator")

    # -- lifecycle --------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Open journal and outbox, reach out to modules, laboratory and operator."""
        missing = [name for name in ("site", "state_dir", "recipes_dir") if not self.settings[name]]
        if missing:
            raise ParameterError(f"coordinator: parameters {', '.join(missing)} must be set to paths")
        site = load_site(Path(self.settings["site"]))
        self._state_dir = Path(self.settings["state_dir"])
        self._vessels = frozenset(site.vessels)
        units_path = units_file(Path(self.settings["site"]))
        self._units = read_units(units_path, modules_of(site), site.vessels) if units_path.is_file() else NO_UNITS
        self._custody = Custody(self._state_dir / "custody.json", self._units)
        self._arbiter = Arbiter(self._units)
        self._active = ActiveBatchFile(self._state_dir / "active_batch.json")
        self._outbox = Outbox(self._state_dir / "coordinator.outbox.sqlite", "coordinator")
        self._closers.append(self._outbox.close)
        self._closers.append(OutboxSender(self, self._outbox).close)
        self._closers.append(StorageWatch(self, (self._outbox,), self._storage_lost).close)
        self._modules = RosModules(
            self, self.loop, self.clock, modules_of(site), default_interfaces(), self._on_module_held
        )
        self._laboratory = RosLaboratory(self, self.loop, self.clock, site.laboratory_keys, self._on_result)
        users_dir = self.settings["users_dir"]
        self._doorkeeper = Doorkeeper(Path(users_dir) if users_dir else None)
        self._check = OrderCheck(
            site, Path(self.settings["site"]), self._units, self._state_dir, Path(self.settings["recipes_dir"]),
            Path(users_dir).parent / MAINTENANCE if users_dir else None,
        )  # fmt: skip
        self._operator = RosOperator(self, self.loop, self.clock, self._script(), self._doorkeeper)
        self._interlock = InterlockListener(self, BATCHES, self._interlocked)
        self._closers.append(self._interlock.close)
        self._review = self.create_client(ReviewBatch, "recorder/review_batch")
        action = ProduceAction(self, self._batches, self._check.order, self._begin)
        self._closers.append(action.close)
        service = self.create_service(
            CommandBatch, "~/command_batch", self._on_command, callback_group=ReentrantCallbackGroup()
        )
        self._closers.append(partial(self.destroy_service, service))
        ticks = self.loop.submit(steady_ticks(self.settings["status_period_s"], self._tick))
        self._closers.append(ticks.cancel)

    def _script(self) -> OperatorGateway | None:
        kind, _, path = self.settings["operator"].partition(":")
        if kind == "scripted" and path:
            return ScriptedOperator(Path(path))
        if self.settings["operator"] == "ask":
            return None
        raise ParameterError(f"coordinator: operator is {self.settings['operator']!r}; allowed: ask, scripted:FILE")

    def activate(self) -> None:
        """Take up the batches that an earlier life left unfinished."""
        unfinished = self._active.read()
        if unfinished:
            names = ", ".join(active.batch.batch_id for active in unfinished)
            self.get_logger().warning(f"taking up batch {names}")
            # Not waited for: process time may become valid only through the executor that runs this transition.
            self.loop.submit(self._take_up(unfinished))

    def clean_up(self) -> None:
        """Stop the engines where they are; the journals know where that was."""
        if not self.loop.loop.is_closed():
            self.loop.submit(self._batches.cancel()).result(10.0)
        while self._closers:
            self._closers.pop()()

    def destroy_node(self) -> None:
        """Leave simulated time, stop the engine, close everything."""
        self.active = False
        self.clean_up()
        self.clock.close()
        super().destroy_node()

    # -- a batch ----------------------------------------------------------------------------------------

    async def _prepare(self, active: ActiveBatch, resumed: bool) -> Production:
        """Load the recipe, open the journal, make the engine; raises Refused."""
        await self.clock.ready()
        if self._batches.going and not self._units:
            raise Refused(CoordinatorCode.BUSY, "another batch is being produced; wait for its end")
        batch_id = active.batch.batch_id
        path = self._state_dir / "batches" / f"{batch_id}.sqlite"
        if path.exists() and not resumed:
            raise Refused(
                CoordinatorCode.BATCH_EXISTS,
                f"batch {batch_id} was started before; a batch is produced once: choose a new id",
            )
        recipe = self._check.recipe(active)
        if not resumed and self._interlock.standing:
            raise Refused(CoordinatorCode.RECORD, f"interlocked by {'; '.join(self._interlock.standing.values())}")
        facts = self._check.facts_again() if resumed else self._check.may_begin(recipe, active.batch)
        self._active.add(active)
        journal = Journal(path)
        engine = Engine(
            recipe,
            active.batch,
            self._modules,
            self._operator,
            self._laboratory,
            self.clock,
            journal,
            self._record(batch_id),
            on_status=self._display.changed,
            expected_phase_s=expected_phase_s(recipe),
            on_hold=self.settings["on_hold"],
            on_alarm=self._alarm,
            at_start=facts,
            custody=self._custody,
            vessels=self._vessels,
            units=self._units,
            arbiter=self._arbiter,
            unfit=self._check.in_maintenance,
        )
        production = Production(active, engine, journal)
        self._batches.add(production)
        self.clock.declare_held(self._batches.all_held)
        return production

    async def _begin(self, active: ActiveBatch) -> tuple[Production, asyncio.Task[Ended]]:
        production = await self._prepare(active, resumed=False)
        return production, self._launch(production)

    def _launch(self, production: Production) -> asyncio.Task[Ended]:
        production.run = asyncio.get_running_loop().create_task(self._produce(production))
        return production.run

    async def _take_up(self, unfinished: list[ActiveBatch]) -> None:
        """All engines first: each gets back the units that it held before any of them goes on."""
        taken_up = []
        for active in unfinished:
            try:
                taken_up.append(await self._prepare(active, resumed=True))
            except (WorkcellError, OSError) as error:
                self.last_error = f"batch {active.batch.batch_id} cannot be taken up: {error}"
                self.get_logger().error(self.last_error)
        for production in taken_up:
            self._launch(production)

    async def _produce(self, production: Production) -> Ended:
        """Run the engine to its end, then have the record reviewed: outcome, verdict, summary JSON, folder."""
        batch_id = production.active.batch.batch_id
        try:
            outcome = await production.engine.run()
        except (WorkcellError, RecordError, sqlite3.Error, OSError) as error:
            await self._give_up(batch_id, error)
            raise Refused(CoordinatorCode.ENGINE, self.last_error) from error
        production.outcome = outcome
        self.clock.declare_held(self._batches.all_held)
        self._display.tell(production)
        self._display.tell_all()
        reply = await self._reviewed(batch_id)
        if outcome.state != "held":
            self._active.remove(batch_id)
        return outcome, reply.verdict, reply.summary_json, reply.folder

    async def _give_up(self, batch_id: str, error: Exception) -> None:
        """The engine cannot write its journal: hold every module, alarm, and leave the batch to be taken up again."""
        self.last_error = (
            f"batch {batch_id} cannot go on: {error}; every module is held. Free space or mend the disk, "
            "then restart the coordinator: it takes the batch up where the journal ends"
        )
        self.get_logger().error(self.last_error)
        self._alarm("coordinator.engine_failed", self.last_error)
        for module in self._modules.names:
            try:
                await self._modules.command(module, ServiceCommand.HOLD, "coordinator", str(error))
            except ModuleUnavailable as gone:
                self.get_logger().error(f"{module} cannot be told to hold: {gone}")

    def _alarm(self, alarm_id: str, message: str, active: bool = True) -> None:
        state = Alarm.UNACKNOWLEDGED if active else Alarm.NORMAL
        alarm = Alarm(alarm_id=alarm_id, source="coordinator", state=state, priority=Alarm.HIGH)
        alarm.stamp, alarm.message = ros_time(self.clock.now_s()), message
        self._alarms.publish(alarm)

    async def _reviewed(self, batch_id: str) -> ReviewBatch.Response:
        timeout_s = self.settings["review_timeout_s"]
        deadline_s = self.loop.loop.time() + timeout_s
        self.clock.hold()
        try:
            while self._outbox.pending_count or self._modules.outboxes_pending():
                if self.loop.loop.time() > deadline_s:
                    raise CallFailed(f"events of the batch are still not at the recorder after {timeout_s:g} s")
                await asyncio.sleep(0.1)
            await asyncio.sleep(0)
            request = ReviewBatch.Request(batch_id=batch_id, write_report=True)
            reply = await call(self.loop, self._review, request, timeout_s)
        finally:
            self.clock.release()
        if reply.error_msg:
            raise CallFailed(f"the recorder cannot review batch {batch_id}: {reply.error_msg}")
        return reply  # type: ignore[no-any-return]

    def _record(self, batch_id: str) -> Any:
        def record(kind: str, what: str, why: str = "", **data: Any) -> None:
            who = str(data.pop("by", "coordinator"))
            self._outbox.append(batch_id, self.clock.now_s(), kind, who, what, why, data)

        return record

    # -- what others tell -------------------------------------------------------------------------------

    async def _on_command(self, request: CommandBatch.Request, reply: CommandBatch.Response) -> CommandBatch.Response:
        try:
            engine = self._batches.find(request.batch_id).engine
        except NoSuchBatch as error:
            reply.state, reply.message = "idle", str(error)
            return reply
        try:
            who = self._doorkeeper.name_of(request.who, "command")
        except NotAllowed as error:
            reply.state, reply.message = str(engine.snapshot().state), str(error)
            return reply
        if request.command in ("restart", "resume") and self._interlock.standing:
            reply.state = str(engine.snapshot().state)
            reply.message = f"interlocked by {'; '.join(self._interlock.standing.values())}"
            return reply
        command = self._commanded(engine, request.command, who, request.why)
        answer = await result_in_executor(self, self.loop, command)
        reply.accepted, reply.state, reply.message = answer.accepted, answer.state, answer.message
        return reply

    async def _commanded(self, engine: Engine, command: str, who: str, why: str) -> CommandOutcome:
        await self.clock.settle()
        return await engine.command(command, who, why)

    def _interlocked(self, causes: Mapping[str, str]) -> None:
        """Hold what could not be put on record; a person restarts it when the cause has gone."""
        if causes:
            self._hold_all("interlock", f"interlocked by {'; '.join(causes.values())}")

    def _storage_lost(self, error: RecordError) -> None:
        """Hold what could not be put on record; latched alarm: it stays until it is reset."""
        for active in (True, False):
            self._alarm("coordinator.storage_failed", str(error), active)
        self._hold_all("coordinator", str(error))

    def _hold_all(self, who: str, why: str) -> None:
        for production in self._batches.going:
            self.loop.submit(production.engine.command("hold", who, why))

    def _on_module_held(self, module: str, reason: str) -> None:
        for production in self._batches.going:
            self.loop.submit(production.engine.report_held(module, reason))

    def _on_result(self, record: Mapping[str, Any]) -> None:
        try:
            production = self._batches.find(str(record.get("batch_id", "")))
        except NoSuchBatch as error:
            raise Refused(CoordinatorCode.BUSY, f"{error}; submit the result again later") from error
        production.engine.submit_laboratory_result(record)

    def _tick(self) -> None:
        jumped_s = self.clock.jumped_s()
        if jumped_s:
            text = f"process time jumped by {jumped_s:+.1f} s: the clock of this host was set"
            self._alarm("coordinator.clock_jumped", text, True)
            self._alarm("coordinator.clock_jumped", text, False)  # latched: it stays until it is reset
            # Durations under way were counted by that clock: a person says what they are worth now.
            self._hold_all("coordinator", f"{text}; look at the steps under way before restarting")
        self._display.tell_all()


def main() -> None:
    """Run the node."""
    sys.exit(run_node(CoordinatorNode))
