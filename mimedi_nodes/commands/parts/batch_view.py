# SPDX-License-Identifier: Apache-2.0
"""Live progress of a batch on the terminal: phase, process day, cells, time left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


def _number(value: float, text: str) -> str:
    return "–" if math.isnan(value) else text.format(value)


class BatchView:
    """Shows a batch while it is produced: a bar on a terminal, a line a phase elsewhere. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._hold = ""
        self._progress = Progress(
            TextColumn("{task.fields[phase]}", justify="left"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("day {task.fields[day]} · {task.fields[cells]} viable cells · {task.fields[left]} left"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("batch", total=1.0, phase="waiting", day="–", cells="–", left="–")

    def __enter__(self) -> BatchView:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Leave the screen to a question."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def show(self, status: Any) -> None:
        """Take a BatchStatus (or None before the first)."""
        if status is None or not status.batch_id:
            return
        day, cells = _number(status.process_day, "{:.2f}"), _number(status.viable_cells, "{:.2e}")
        left = _number(status.expected_remaining_h / 24.0, "{:.1f} d")
        phase = status.phase_id or status.state
        completed = 0.0 if math.isnan(status.progress) else status.progress
        self._progress.update(self._task, completed=completed, phase=phase[:44], day=day, cells=cells, left=left)
        if not self._console.is_terminal and phase != self._phase:
            self._console.print(
                f"day {day:>6} · {phase} · {cells} viable cells · {left} left",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip
        self._phase = phase
        if status.hold_reason and status.hold_reason != self._hold:
            self._console.print(
                f"HELD: {status.hold_reason}", style="bold red", highlight=False, markup=False, soft_wrap=True
            )
        self._hold = status.hold_reason
