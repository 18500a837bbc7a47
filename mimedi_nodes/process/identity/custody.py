# SPDX-License-Identifier: Apache-2.0
"""Custody: which container holds whose material, and the gate before every phase.

A container is bound to a batch when its label is scanned, or when material of the batch goes into it. A phase that
names a container of another batch or person, or one that has to be scanned and was not, does not start: its module
never hears of it. Bindings outlive the process; they end with the batch, when its single-use sets are exchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..batch import Batch
from ..context import PhaseHeader
from ..durable_file import write_durably
from ..gateway import CommandReply, ModuleGateway, PhaseOutcome, PhaseRecall
from ..units.units import NO_UNITS, Unit, Units
from .identity import IdentityError

SUPPLIES = frozenset({"buffer", "medium", "beads", "excipient", "vector"})
"""Containers that material only leaves: they serve several batches, unless their label binds them to one."""
SHARED = frozenset({"waste", "sorter_waste", "sample_port", "imaging_cell"})
"""Containers that nothing comes back from into a product."""
VESSEL_OF = {"transduction": "activation_vessel", "incubator": "culture_vessel"}
"""Module → container that it works on without naming it (docs/architecture.md, rooms of the workcell)."""
WRONG_CONTAINER = 1018
"""Error code of a phase that was not started (`CoordinatorCode.CUSTODY`)."""


@dataclass(frozen=True)
class Binding:
    """Whose material a container holds.

    Args:
        chain_of_identity: the person.
        batch_id: the batch.
        by: `scan`, or the step that brought the material.
    """

    chain_of_identity: str
    batch_id: str
    by: str


class Custody:
    """Bindings of all containers of a workcell.

    Args:
        path: file that keeps them, None for runs that nothing outlives.
        units: of the workcell: what is in a unit whose set was not exchanged is not touched by another batch.

    Raises:
        IdentityError: the file is damaged: nobody knows whose containers these are.
    """

    def __init__(self, path: Path | None = None, units: Units = NO_UNITS) -> None:
        self._path, self._units = path, units
        self._bindings: dict[str, Binding] = {}
        self._stored: dict[str, dict[str, Binding]] = {}
        self._occupants: dict[str, str] = {}
        if path is not None and path.is_file():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                containers, stored, units_now = content["containers"], content["stored"], content["units"]
                self._bindings = {name: Binding(**fields) for name, fields in containers.items()}
                self._stored = {b: {name: Binding(**f) for name, f in own.items()} for b, own in stored.items()}
                self._occupants = {str(name): str(batch_id) for name, batch_id in units_now.items()}
            except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
                raise IdentityError(
                    f"{path}: cannot be read ({error}); look at every container, then remove the file"
                ) from error

    def of(self, container: str) -> Binding | None:
        """Return whose material a container holds, None when nobody's."""
        return self._bindings.get(container)

    def bind(self, container: str, chain_of_identity: str, batch_id: str, by: str) -> bool:
        """Bind a container; on disk when this returns. Return whether that is new.

        Raises:
            IdentityError: it holds another batch's or another person's material.
        """
        known = self._bindings.get(container)
        if known is not None:
            self._same(container, known, chain_of_identity, batch_id)
            return False
        self._bindings[container] = Binding(chain_of_identity, batch_id, by)
        try:
            self._write()
        except OSError:
            del self._bindings[container]  # what is not on disk is not bound: the next try writes it
            raise
        return True

    def bindings(self, batch_id: str) -> dict[str, dict[str, str]]:
        """Return the bindings of a batch, in units or in the store, as plain values, for `restore`."""
        own = {name: binding for name, binding in self._bindings.items() if binding.batch_id == batch_id}
        return {name: asdict(binding) for name, binding in (self._stored.get(batch_id, {}) | own).items()}

    def restore(self, bindings: Mapping[str, Mapping[str, str]]) -> None:
        """Take over what the journal of a batch says of its containers; raises IdentityError where others have them."""
        for container, fields in bindings.items():
            unit = self._units.of_vessel(container)
            occupant = self._occupants.get(unit) if unit is not None else None
            # Where another batch's set is in by now, this container is in the store, or was thrown away.
            if occupant in (None, fields["batch_id"]):
                self.bind(container, **fields)

    def end(self, batch_id: str) -> list[str]:
        """Forget the bindings of a batch whose containers are taken out; return them."""
        ended = [name for name, binding in self._bindings.items() if binding.batch_id == batch_id]
        for name in ended:
            del self._bindings[name]
        stored = self._stored.pop(batch_id, {})
        if ended or stored:
            self._write()
        return [*ended, *stored]

    def counterparts(self, name: str) -> tuple[str, ...]:
        """Return the modules or vessels that can stand for one, itself first."""
        return self._units.counterparts(name)

    def occupant(self, unit: str) -> str | None:
        """Return the batch whose set is in a unit, ended or not; None when nobody's ever was."""
        return self._occupants.get(unit)

    def exchange(self, unit: Unit, batch_id: str) -> None:
        """Note that a unit's set was exchanged for that of a batch; on disk when this returns.

        The containers of the set that goes keep their owner in the store, or are thrown away when the unit is a staying
        one; those of the set that comes are whose they were.
        """
        for name in unit.vessels:
            known = self._bindings.get(name)
            if known is not None and known.batch_id != batch_id:
                del self._bindings[name]
                if unit.kind == "shared":
                    self._stored.setdefault(known.batch_id, {})[name] = known
        own = self._stored.get(batch_id, {})
        for name in [name for name in own if name in unit.vessels]:
            self._bindings[name] = own.pop(name)
        self._occupants[unit.name] = batch_id
        self._write()

    def occupy(self, module: str, containers: Collection[str], batch_id: str) -> None:
        """Note whose set is in units that nobody's material has entered before; on disk when this returns."""
        free = self._units.touched(module, containers) - self._occupants.keys()
        if free:
            self._occupants.update(dict.fromkeys(free, batch_id))
            self._write()

    def check_units(self, module: str, containers: Collection[str], batch: Batch) -> None:
        """Raise IdentityError when a phase would reach into a unit that holds another batch's set."""
        for unit in sorted(self._units.touched(module, containers)):
            other = self._occupants.get(unit)
            if other is not None and other != batch.batch_id:
                raise IdentityError(
                    f"no changeover: {unit} has served batch {other} and its set was not exchanged; "
                    f"nothing of batch {batch.batch_id} may enter it"
                )

    def check(self, containers: Collection[str], batch: Batch, scanned: Collection[str] = ()) -> None:
        """Raise IdentityError when a batch must not use one of these containers now.

        Args:
            containers: what a phase names.
            scanned: those whose label must have been scanned before.
        """
        allowed = {batch.patient_id, batch.donor_id}
        for container in containers:
            known = self._bindings.get(container)
            if known is None:
                if container in scanned:
                    raise IdentityError(f"{container} has not been scanned for batch {batch.batch_id}: scan its label")
                continue
            if known.batch_id != batch.batch_id:
                raise IdentityError(
                    f"wrong container: {container} belongs to batch {known.batch_id} of {known.chain_of_identity}, "
                    f"this is batch {batch.batch_id}"
                )
            if known.chain_of_identity not in allowed:
                raise IdentityError(
                    f"wrong patient: {container} holds material of {known.chain_of_identity}, "
                    f"batch {batch.batch_id} is for {batch.patient_id}"
                )

    @staticmethod
    def _same(container: str, known: Binding, chain_of_identity: str, batch_id: str) -> None:
        if (known.chain_of_identity, known.batch_id) != (chain_of_identity, batch_id):
            raise IdentityError(
                f"{container} is bound to {known.chain_of_identity} of batch {known.batch_id}; "
                f"it cannot be bound to {chain_of_identity} of batch {batch_id}"
            )

    def _write(self) -> None:
        if self._path is None:
            return
        content = {
            "containers": {name: asdict(binding) for name, binding in self._bindings.items()},
            "stored": {b: {name: asdict(f) for name, f in own.items()} for b, own in self._stored.items()},
            "units": self._occupants,
        }
        write_durably(self._path, json.dumps(content, indent=1))


class GuardedModules:
    """A ModuleGateway that lets a phase through only when custody allows all containers that it names.

    Args:
        modules: the gateway behind.
        custody: bindings.
        batch: for whom the phases run.
        vessels: names of the workcell's containers, by which a goal's fields are known as such.
        scanned: containers whose label must be scanned before their first use.
        keep: called with all bindings of the batch whenever one is new; durable when it returns.
        record: told `container_bound` and `identity_refused`: kind, subject, why, data.
        vessel_of: module → container that it works on without naming it.
    """

    def __init__(
        self,
        modules: ModuleGateway,
        custody: Custody,
        batch: Batch,
        vessels: Collection[str],
        scanned: Collection[str] = (),
        keep: Callable[[dict[str, dict[str, str]]], None] = lambda bindings: None,
        record: Callable[..., None] = lambda kind, what, why="", **data: None,
        vessel_of: Mapping[str, str] = VESSEL_OF,
    ) -> None:
        self._modules, self._custody, self._batch = modules, custody, batch
        self._vessels = frozenset(vessels)
        self._scanned = frozenset(other for name in scanned for other in custody.counterparts(name))
        self._vessel_of = {
            at: vessel
            for module, name in vessel_of.items()
            for at, vessel in zip(custody.counterparts(module), custody.counterparts(name), strict=True)
        }
        self._keep, self._record = keep, record
        self._told: set[str] = set()

    def scan(self, container: str, chain_of_identity: str) -> None:
        """Bind a container whose label was read and is the expected one; raises IdentityError."""
        if container in self._vessels:
            self._bind(container, chain_of_identity, "scan", "its label was scanned")

    async def run_phase(
        self,
        module: str,
        action: str,
        goal: Mapping[str, Any],
        header: PhaseHeader,
        goal_id: str,
        on_feedback: Callable[[float, str], None],
    ) -> PhaseOutcome:
        """Start a phase when custody allows it; otherwise it ends aborted, unstarted, with the reason."""
        named = self._named(module, goal)
        try:
            self._custody.check_units(module, named, self._batch)
            self._custody.check(named, self._batch, self._scanned)
            self._custody.occupy(module, named, self._batch.batch_id)
            for container in sorted(named):  # in one order, whatever the process hashes by
                if container not in SUPPLIES and container not in SHARED:
                    self._bind(container, self._chain_of(container), header.phase_id, header.phase_id)
        except IdentityError as error:
            data = {"phase_id": header.phase_id, "containers": sorted(named)}
            self._record("identity_refused", header.phase_id, str(error), **data)
            return PhaseOutcome("aborted", {"error_code": WRONG_CONTAINER, "error_msg": str(error)})
        return await self._modules.run_phase(module, action, goal, header, goal_id, on_feedback)

    async def await_phase(
        self, module: str, goal_id: str, on_feedback: Callable[[float, str], None]
    ) -> PhaseOutcome:
        """Wait for a phase that was let through before."""
        return await self._modules.await_phase(module, goal_id, on_feedback)

    async def recall_phase(self, module: str, goal_id: str) -> PhaseRecall:
        """Return what the module remembers of a goal."""
        return await self._modules.recall_phase(module, goal_id)

    async def command(self, module: str, command: int, who: str, why: str) -> CommandReply:
        """Send an MTP command."""
        return await self._modules.command(module, command, who, why)

    def _named(self, module: str, goal: Mapping[str, Any]) -> set[str]:
        named = {value for value in goal.values() if isinstance(value, str) and value in self._vessels}
        own = self._vessel_of.get(module)
        return named | ({own} if own else set())

    def _chain_of(self, container: str) -> str:
        """Whose material a container holds from now on: the person that it is bound to, or the recipient."""
        known = self._custody.of(container)
        return known.chain_of_identity if known is not None else self._batch.patient_id

    def _bind(self, container: str, chain_of_identity: str, by: str, why: str) -> None:
        batch_id = self._batch.batch_id
        if self._custody.bind(container, chain_of_identity, batch_id, by):
            self._keep(self._custody.bindings(batch_id))
        if container not in self._told:
            self._told.add(container)
            self._record("container_bound", container, why, chain_of_identity=chain_of_identity, container=container)
