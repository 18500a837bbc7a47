# SPDX-License-Identifier: Apache-2.0
"""The maintenance side of a module's node: manual acts by service, by whom may, while no batch has the module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rclpy.callback_groups import CallbackGroup

from mimedi_msgs.msg import BatchStatus
from mimedi_msgs.srv import MaintainModule

from ...modules.module import Module
from ...modules.service.goal_store import GoalStore
from ...modules.service.manual import ManualRefused
from ...modules.service.service import ModuleService
from ...process.calibrations import CalibrationBook
from ...process.errors import WorkcellError
from ...process.people.maintenance import FOLDER, under_maintenance
from ...records.canonical import canonical_json
from ...records.errors import RecordError
from ..frame import qos
from ..frame.bridge import result_in_executor
from ..frame.doorkeeper import Doorkeeper
from ..frame.managed_node import ManagedNode

UNFINISHED = frozenset({"running", "pausing", "paused", "holding", "held", "restarting", "stopping", "aborting"})


class ModuleMaintenance:
    """Serves `~/maintain`; hears the coordinator, so that what a batch has is left alone.

    Args:
        node: the module's node.
        module: gives the manual acts.
        service: carries them out.
        users_dir: folder of the accounts; None where the node was told of none.
        store: goals of the module, to know which batches have been here.
        calibrations: what `list` tells of.
        group: for callbacks that wait.
    """

    def __init__(
        self,
        node: ManagedNode,
        module: Module,
        service: ModuleService,
        users_dir: Path | None,
        store: GoalStore,
        calibrations: CalibrationBook,
        group: CallbackGroup,
    ) -> None:
        self._node, self._module, self._module_service = node, module, service
        self._store, self._calibrations = store, calibrations
        self._doorkeeper = Doorkeeper(users_dir)
        self._folder = None if users_dir is None else users_dir.parent / FOLDER
        self._batches: dict[str, str] | None = None
        self._subscriptions = [
            node.create_subscription(BatchStatus, "coordinator/batch_status", self._on_batch, qos.STATE),
            node.create_subscription(BatchStatus, "coordinator/batches", self._on_batch, qos.EVENT),
        ]
        self._service = node.create_service(MaintainModule, "~/maintain", self._on_maintain, callback_group=group)

    def close(self) -> None:
        """Serve no longer."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._node.destroy_service(self._service)

    @property
    def unfinished(self) -> frozenset[str]:
        """The batches under way, as far as the coordinator was heard."""
        return frozenset(name for name, state in (self._batches or {}).items() if state in UNFINISHED)

    def why_not_produce(self) -> str:
        """Return why the module takes no goal of a batch now; empty when it does."""
        signed = self._in_maintenance()
        return f"{self._module.name} is in maintenance: {signed}" if signed else ""

    def _on_batch(self, message: BatchStatus) -> None:
        self._batches = self._batches or {}
        if message.batch_id:
            self._batches[message.batch_id] = message.state

    def _in_maintenance(self) -> str:
        """Return who signed for the module's maintenance and why; empty when it is in production.

        Raises:
            ManualRefused: the record of maintenance cannot be read.
        """
        if self._folder is None:
            return ""
        try:
            signature = under_maintenance(self._folder).get(self._module.name)
        except RecordError as error:
            raise ManualRefused(f"the record of maintenance cannot be read: {error}") from error
        return f"{signature.statement.name}, {signature.statement.comment}" if signature is not None else ""

    def _check_no_batch(self) -> None:
        if self._batches is None:
            raise ManualRefused("the coordinator was not heard yet: whether a batch is here is not known; try again")
        here = sorted(self.unfinished & self._store.batches())
        if here:
            raise ManualRefused(f"batch {', '.join(here)} has this module; wait for its end")

    async def _on_maintain(
        self, request: MaintainModule.Request, reply: MaintainModule.Response
    ) -> MaintainModule.Response:
        reply.result_json = "{}"
        try:
            reply.result_json = canonical_json(await self._act(request))
            reply.accepted = True
        except WorkcellError as error:
            reply.message = str(error)
        return reply

    async def _act(self, request: MaintainModule.Request) -> Mapping[str, Any]:
        if request.act == "list":
            acts = [act.as_fields() for act in self._module.manual]
            return {"acts": acts, "calibrations": [vars(c) for c in self._calibrations]}
        who = self._doorkeeper.name_of(request.who, "reset" if request.act == "reset" else "maintain")
        try:
            values = json.loads(request.values_json or "{}")
        except ValueError as error:
            raise ManualRefused(f"values_json is no JSON: {error}") from error
        if not isinstance(values, dict):
            raise ManualRefused(f"values_json is {request.values_json!r}; allowed: a JSON object")
        in_maintenance = self._in_maintenance() != ""
        if request.act != "reset":
            self._check_no_batch()
        act = self._module_service.manual(request.act, request.target, values, who, request.why, in_maintenance)
        return await result_in_executor(self._node, self._node.loop, act)
