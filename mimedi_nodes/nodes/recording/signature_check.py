# SPDX-License-Identifier: Apache-2.0
"""The look at a signature before it goes into a record: by the accounts, roles and specifications of the site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...process.errors import WorkcellError
from ...process.people.accounts import read_accounts
from ...process.people.roles import read_roles
from ...process.people.signing import refusal
from ...records.errors import RecordError
from ...records.events import RecordEvent
from ...records.specification import product_file, read_specification
from .record_keeper import Refusal


def specification_of(events: Sequence[RecordEvent], products_dir: Path) -> Mapping[str, Any]:
    """Return the specification of the product that a record's batch was started for.

    Raises:
        RecordError: the batch names none, or the file cannot be read.
    """
    product = next((e.data.get("product", "") for e in events if e.kind == "batch_started"), "")
    return read_specification(product_file(products_dir, str(product)))


def signature_check(users_dir: Path, roles_file: Path, products_dir: Path) -> Refusal:
    """Return the check of a recorder whose accounts, roles and specifications lie there."""

    def check(event: RecordEvent, events: Sequence[RecordEvent], hash_of_row: str | None) -> str:
        try:
            roles, accounts = read_roles(roles_file), read_accounts(users_dir)
            specification = specification_of(events, products_dir) if event.batch_id else {}
            return refusal(event, events, hash_of_row, accounts, roles, specification)
        except (WorkcellError, RecordError) as error:
            return f"it cannot be checked: {error}"

    return check
