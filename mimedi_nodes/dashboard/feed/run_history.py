# SPDX-License-Identifier: Apache-2.0
"""What recipe and record tell of the batch that is shown: read in a thread of its own, never in Qt's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...modules.expectations import expected_phase_s
from ...modules.registry import config_folder, manifests
from ...process.errors import WorkcellError
from ...process.interfaces import default_interfaces
from ...process.recipes.durations import expected_step_s
from ...process.recipes.loader import load_recipe
from ...process.recipes.recipe import Recipe
from ...process.recipes.steps import IfStep, LoopStep, ParallelStep, Step
from ...records.chain import DATABASE_FILE
from ...records.errors import RecordError
from ...records.specification import product_file, read_specification
from ...records.summary import read_events
from ..views import BatchSnapshot, HistoryView, PlanView, SpanView
from .batch_history import BatchHistory
from .limits import limits_of

LOOK_S = 5.0
"""Shortest steady time between two looks into a record [s]."""
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
        self._over = self._news = False
        self._planned = ""
        self._known = BatchHistory("")
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
                self._news = True  # kept: nobody waits for a word while a record is read
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
                self._wanted.wait_for(lambda: self._over or self._news, LOOK_S)
                if self._over:
                    return
                batch, self._news = self._batch, False
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
            if (folder / DATABASE_FILE).is_file() and self._read(batch.batch_id, folder):
                self._post(self._known.view())
        except (WorkcellError, RecordError, OSError) as error:
            # The window goes on with what the topics tell.
            _log.warning("recipe or record of %s cannot be read: %s", batch.batch_id, error)

    def _read(self, batch_id: str, folder: Path) -> bool:
        """Read what has been added, all of it for another batch, or where the record is no longer what it was.

        Returns whether there is news.
        """
        if self._known.batch_id != batch_id:
            self._known = BatchHistory(batch_id)
        rows = self._known.rows
        # The last known row is read again: it says whether the others are known.
        added = read_events(folder, max(rows - 1, 0))
        if rows and added[:1] != [self._known.last]:
            self._known = BatchHistory(batch_id)
            added = read_events(folder)
        elif rows:
            del added[0]
        self._known.take(added)
        return bool(added)
