# SPDX-License-Identifier: Apache-2.0
"""What recipe and record tell of the batch that is shown: read in a thread of its own, never in Qt's."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..modules.expectations import expected_phase_s
from ..modules.registry import config_folder, manifests
from ..process.durations import expected_step_s
from ..process.errors import WorkcellError
from ..process.interfaces import default_interfaces
from ..process.recipe import IfStep, LoopStep, ParallelStep, Recipe, Step
from ..process.recipe_loader import load_recipe
from ..records.chain import DATABASE_FILE
from ..records.errors import RecordError
from ..records.events import RecordEvent
from ..records.specification import product_file, read_specification
from ..records.summary import read_events
from .analyses import analysis_view
from .limits import limits_of
from .views import AnalysisView, BatchSnapshot, HistoryView, PlanView, SpanView

LOOK_S = 5.0
"""Shortest steady time between two looks into a record [s]."""
_ALARM_KINDS = frozenset(
    {"alarm_raised", "alarm_cleared", "alarm_acknowledged", "alarm_reset", "alarm_shelved", "alarm_unshelved"}
)
_log = logging.getLogger(__name__)


def plan_of(recipe: Recipe, limits: Mapping[str, tuple[float, float]] | None = None) -> PlanView:
    """Return when each phase of a recipe is due, by its expected durations, from the start of the batch."""
    expected = expected_phase_s(recipe)
    spans: list[SpanView] = []

    def lay(steps: Sequence[Step], start_s: float) -> float:
        for step in steps:
            if isinstance(step, ParallelStep):
                for branch in step.branches.values():
                    lay(branch, start_s)
                start_s += expected_step_s(step, expected, ())
            elif isinstance(step, LoopStep):
                start_s = lay(step.steps, start_s)
            elif isinstance(step, IfStep):
                start_s = lay(step.then_steps, start_s)
            else:
                end_s = start_s + expected_step_s(step, expected, ())
                if end_s > start_s:
                    spans.append(SpanView(step.path, start_s, end_s))
                start_s = end_s
        return start_s

    now_s = 0.0
    for operation in recipe.operations():
        now_s = lay(list(operation.steps), now_s)
    return PlanView(recipe.name, tuple(spans), limits or {})


def history_of(batch_id: str, events: Sequence[RecordEvent]) -> HistoryView:
    """Return a batch's phases, alarms and measurements by its record."""
    started: dict[str, float] = {}
    spans: list[SpanView] = []
    alarms: list[tuple[float, str, str, str]] = []
    harvest: list[tuple[float, float, float, float]] = []
    curves: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    analyses: dict[tuple[str, str], AnalysisView] = {}
    for event in events:
        if event.kind == "phase_intended":
            started[event.what] = event.process_time_s
        elif event.kind == "step_ended" and event.what in started:
            failed = event.data.get("status") not in ("succeeded", None)
            spans.append(SpanView(event.what, started.pop(event.what), event.process_time_s, failed))
        elif event.kind in _ALARM_KINDS:
            alarms.append((event.process_time_s, event.kind.removeprefix("alarm_"), event.what, event.who))
        elif event.kind == "analysis":
            seen = _analysis(event)
            if seen is not None:
                analyses[(seen.module, seen.name)] = seen
        elif event.kind == "control_decision":
            harvest += _forecast(event)
        elif event.kind == "measurement":
            value = event.data.get("value")
            if isinstance(value, int | float) and math.isfinite(value) and math.isfinite(event.process_time_s):
                key = (event.producer, event.what, str(event.data.get("unit", "")))
                curves.setdefault(key, []).append((event.process_time_s, float(value)))
    spans += [SpanView(path, start_s) for path, start_s in started.items()]
    measured = {key: tuple(sorted(points)) for key, points in curves.items()}
    return HistoryView(
        batch_id, tuple(spans), tuple(alarms), measured, tuple(harvest), tuple(analyses.values())
    )


def _analysis(event: RecordEvent) -> AnalysisView | None:
    try:
        return analysis_view(event.producer, event.what, event.process_time_s, event.data)
    except ValueError as error:
        _log.warning("not shown: %s", error)
        return None


def _forecast(event: RecordEvent) -> list[tuple[float, float, float, float]]:
    """The harvest that a decision of in-process control expected; nothing where it is about something else."""
    day = event.data.get("forecast", {}).get("harvest_day")
    if not isinstance(day, dict):
        return []
    return [(event.process_time_s, float(day["median"]), float(day["low"]), float(day["high"]))]


class RunHistory:
    """Follows the record of the batch that is shown, where its runs folder is on this machine.

    Args:
        runs_dir: folder of the runs.
        post: takes a PlanView or HistoryView; called in this object's thread.
    """

    def __init__(self, runs_dir: Path, post: Callable[[PlanView | HistoryView], None]) -> None:
        self._runs_dir = runs_dir
        self._post = post
        self._wanted = threading.Condition()
        self._batch: BatchSnapshot | None = None
        self._over = False
        self._planned = ""
        self._size = (-1, -1)
        self._thread = threading.Thread(target=self._follow, name="run-history", daemon=True)
        self._thread.start()

    def take(self, batch: BatchSnapshot) -> None:
        """Take where the batch stands; returns at once."""
        with self._wanted:
            news = self._batch is None or (batch.batch_id, batch.phase_id, batch.state) != (
                self._batch.batch_id, self._batch.phase_id, self._batch.state,
            )  # fmt: skip
            self._batch = batch
            if news:
                self._wanted.notify()

    def close(self) -> None:
        """End the thread."""
        with self._wanted:
            self._over = True
            self._wanted.notify()
        self._thread.join(5.0)

    def _follow(self) -> None:
        manifests()  # takes a second of imports: while the window opens, not when the first batch is shown
        while True:
            with self._wanted:
                self._wanted.wait(LOOK_S)
                if self._over:
                    return
                batch = self._batch
            if batch is not None and batch.batch_id:
                self._look(batch)
                with self._wanted:  # a fast batch changes its phase many times a second
                    self._wanted.wait_for(lambda: self._over, 1.0)

    def _look(self, batch: BatchSnapshot) -> None:
        try:
            if batch.recipe != self._planned:
                self._planned = batch.recipe
                path = config_folder() / "recipes" / f"{batch.recipe.split()[0]}.yaml"
                if path.is_file():
                    recipe = load_recipe(path, manifests(), default_interfaces())
                    product = product_file(config_folder() / "products", recipe.product)
                    limits = limits_of(read_specification(product)) if product.is_file() else {}
                    self._post(plan_of(recipe, limits))
            folder = self._runs_dir / batch.batch_id
            database = folder / DATABASE_FILE
            if database.is_file():
                size = tuple(
                    part.stat().st_size if part.is_file() else 0 for part in (database, Path(f"{database}-wal"))
                )
                if size != self._size or not math.isfinite(batch.time_s):
                    self._size = size  # type: ignore[assignment]
                    self._post(history_of(batch.batch_id, read_events(folder)))
        except (WorkcellError, RecordError, OSError) as error:
            # The window goes on with what the topics tell.
            _log.warning("recipe or record of %s cannot be read: %s", batch.batch_id, error)
