# SPDX-License-Identifier: Apache-2.0
"""Maintenance of a module: signed when it begins, at each manual act, and when it ends, in a chained record of its own.

While it lasts the module's alarms are out of service, and no batch that needs the module begins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ...records.batch_record import BatchRecord
from ...records.chain import first_hash
from ...records.errors import RecordError
from ...records.events import RecordEvent, wall_time
from ...records.heads import Signer
from ...records.signatures import Signature, Statement, signatures
from ...records.summary import read_events
from ..errors import WorkcellError
from .credentials import Person
from .roles import Roles

FOLDER = "maintenance"
BEGIN, END = "begin", "end"


class MaintenanceError(WorkcellError):
    """A maintenance that cannot begin or end; says why."""


def under_maintenance(folder: Path) -> dict[str, Signature]:
    """Return the modules in maintenance with the signature that began it; none when there is no record."""
    found: dict[str, Signature] = {}
    if not (folder / "record.sqlite").is_file():
        return found
    for signature in signatures(read_events(folder)):
        module, _, act = signature.statement.subject.partition(" ")
        if act == BEGIN:
            found[module] = signature
        elif act == END:
            found.pop(module, None)
    return found


class MaintenanceBook:
    """The record of maintenance, for the command on the host where it lies.

    Args:
        folder: folder of the record.
        signer: signs its heads.
        roles: who may sign maintenance.
        modules: names of the workcell's modules.
    """

    def __init__(self, folder: Path, signer: Signer, roles: Roles, modules: Collection[str]) -> None:
        self.folder, self._signer, self._roles, self._modules = folder, signer, roles, modules

    def begin(self, module: str, person: Person, why: str) -> Signature:
        """Take a module out of production.

        Raises:
            MaintenanceError: no such module, no reason, the person may not, or it is in maintenance already.
        """
        if module in under_maintenance(self.folder):
            raise MaintenanceError(f"{module} is in maintenance already")
        return self._sign(module, BEGIN, person, why)

    def end(self, module: str, person: Person, why: str) -> Signature:
        """Give a module back to production; raises MaintenanceError when it is not in maintenance."""
        if module not in under_maintenance(self.folder):
            raise MaintenanceError(f"{module} is not in maintenance")
        return self._sign(module, END, person, why)

    def acted(
        self, module: str, act: str, person: Person, why: str, values: Mapping[str, Any], found: Mapping[str, Any]
    ) -> Signature:
        """Sign a manual act, with its values and what was found and left, while the module is in maintenance.

        Raises:
            MaintenanceError: the module is not in maintenance, or as `begin`.
        """
        if module not in under_maintenance(self.folder):
            raise MaintenanceError(f"{module} is not in maintenance")
        return self._sign(module, act, person, why, {"values": dict(values), "found": dict(found)})

    def _sign(
        self, module: str, act: str, person: Person, why: str, data: Mapping[str, Any] | None = None
    ) -> Signature:
        if module not in self._modules:
            raise MaintenanceError(f"there is no module {module!r}; there are {', '.join(self._modules)}")
        if not why.strip():
            raise MaintenanceError("why is empty; say what is done, or what was done and checked")
        role = self._roles.role_for(person.roles, FOLDER)
        if role is None:
            allowed = ", ".join(self._roles.that_sign(FOLDER))
            raise MaintenanceError(f"{person.user} ({', '.join(person.roles)}) may not; roles that may: {allowed}")
        record = BatchRecord(self.folder, self._signer, batch_id=FOLDER)
        try:
            head = record.head
            count, content = (head.count, head.hash) if head is not None else (0, first_hash(FOLDER))
            if count == 0:
                # A signature is bound to rows before it: the first row says what this record is.
                record.append([self._event(record, "record_opened", person.user, FOLDER, "", {})])
                count, content = record.count, str(record.hash_of(record.count))
            if data is not None:
                # The row before the signature is what it is bound to.
                record.append([self._event(record, "manual_act", person.user, f"{module} {act}", why, dict(data))])
                count, content = record.count, str(record.hash_of(record.count))
            said = Statement(
                FOLDER, FOLDER, "", f"{module} {act}", person.user, person.name, role.role, why, count, content,
                wall_time(),
            )  # fmt: skip
            signature = person.sign(said)
            record.append([self._event(record, "signature", person.user, said.subject, why, signature.data())])
        except RecordError as error:
            raise MaintenanceError(str(error)) from error
        finally:
            record.close()
        return signature

    @staticmethod
    def _event(
        record: BatchRecord, kind: str, who: str, what: str, why: str, data: dict[str, Any]
    ) -> RecordEvent:
        number = record.last_sequences.get(FOLDER, 0) + 1
        return RecordEvent(FOLDER, number, FOLDER, float("nan"), wall_time(), kind, who, what, why, data)
