# SPDX-License-Identifier: Apache-2.0
"""What the page is told: the workcell as plain values, and curves of bounded size."""

from __future__ import annotations

import math
import time
from typing import Any

from ..dashboard.feed.series import Series
from ..nodes.clients.alarm_rows import as_rows
from ..nodes.clients.workcell_client import WorkcellClient
from ..process.engine import batch_choice
from ..process.engine.procedure_state import TRANSITIONS, ProcedureCommand, ProcedureState
from ..process.service_state import ServiceState

SILENT_S = 5.0
"""Steady time [s] after which a module that says nothing is stale."""
QUANTITIES = (("viable_cells", "cells"), ("liquid_temperature_c", "°C"), ("glucose_mm", "mM"), ("lactate_mm", "mM"))
CURVES = tuple((module, name, unit) for module in ("incubator", "incubator_2") for name, unit in QUANTITIES)
"""Module, quantity, unit; the page draws those that have values."""
POINTS = 400


class PageState:
    """Takes what a client has heard and returns it as JSON-able values; unknown numbers are None.

    Args:
        client: the workcell.
    """

    def __init__(self, client: WorkcellClient) -> None:
        self._client = client
        self._curves = {(module, name): Series(POINTS) for module, name, _ in CURVES}
        self._counts: dict[tuple[str, str], int] = dict.fromkeys(self._curves, 0)

    def look(self) -> None:
        """Take the newest values into the curves."""
        with self._client.heard:
            for key, series in self._curves.items():
                found = self._client.seen.measured.get(key)
                if found is not None and series.add(found.time_s, found.value.value):
                    self._counts[key] += 1

    def snapshot(self, batch_id: str = "") -> dict[str, Any]:
        """Return the state of the workcell now, with the batch of this name, or the oldest in production."""
        coordinator, supervisor = self._client.sources()
        modules = self._client.modules
        with self._client.heard:
            seen = self._client.seen
            now_s = time.monotonic()
            batch, known = seen.shown(batch_id), seen.choices(batch_id)
            return {
                "coordinator": coordinator,
                "supervisor": supervisor,
                "batch": _batch(batch),
                "batches": {name: each.state for name, each in known.items()},
                "waiting": batch_choice.waiting(batch, known),
                "allowed": allowed(batch) if coordinator else [],
                "modules": [
                    _module(name, seen.modules.get(name), now_s - seen.heard_s.get(name, -math.inf))
                    for name in modules
                ],
                "alarms": [{**row, "time_s": _known(row["time_s"])} for row in as_rows(seen.alarms)],
                "prompt": _prompt(seen.question(batch_id)),
                "population": _population(seen.population),
                "curves": {f"{m}/{n}": count for (m, n), count in self._counts.items()},
            }

    def curves(self) -> list[dict[str, Any]]:
        """Return the curves; times are process days."""
        with self._client.heard:
            return [
                {
                    "module": module,
                    "name": name,
                    "unit": unit,
                    "days": [round(t / 86400.0, 5) for t in self._curves[(module, name)].times_s],
                    "values": [_known(v) for v in self._curves[(module, name)].values],
                }
                for module, name, unit in CURVES
            ]


def allowed(batch: Any) -> list[str]:
    """Return the commands that the ISA-88 table allows for a batch."""
    if batch is None or not batch.batch_id or batch.state not in ProcedureState._value2member_map_:
        return []
    return [str(c) for c in TRANSITIONS[ProcedureState(batch.state)] if c is not ProcedureCommand.RESET]


def _batch(batch: Any) -> dict[str, Any] | None:
    if batch is None or not batch.batch_id:
        return None
    return {
        "batch_id": batch.batch_id,
        "recipe": batch.recipe,
        "state": batch.state,
        "phase": batch.phase_id,
        "step": batch.step,
        "process_day": _known(batch.process_day),
        "progress": _known(batch.progress),
        "expected_remaining_h": _known(batch.expected_remaining_h),
        "viable_cells": _known(batch.viable_cells),
        "hold_reason": batch.hold_reason,
        "phases_done": batch.phases_done,
        "phases_total": batch.phases_total,
    }


def _module(name: str, module: Any, silent_s: float) -> dict[str, Any]:
    known = module is not None
    return {
        "module": name,
        "state": ServiceState(module.state).name if known else None,
        "stale": silent_s > SILENT_S,
        "action": module.action if known else "",
        "step": module.step if known else "",
        "progress": _known(module.progress) if known else None,
        "last_error": module.last_error if known else "",
    }


def _prompt(prompt: Any) -> dict[str, Any] | None:
    if prompt is None:
        return None
    return {
        "batch_id": prompt.batch_id, "prompt_id": prompt.prompt_id, "question": prompt.question,
        "answers": list(prompt.answers),
    }  # fmt: skip


def _population(seen: Any) -> dict[str, Any] | None:
    if seen is None:
        return None
    names = ("viability", "viability_low", "viability_high", "concentration_per_ml")
    return {"sample_id": seen.sample_id, "cells": seen.cells} | {name: _known(getattr(seen, name)) for name in names}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
