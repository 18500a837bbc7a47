# SPDX-License-Identifier: Apache-2.0
"""A batch's questions on the terminal, for people who follow it there."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console

from .batch_view import BatchView
from .people import RUNS
from .who import who_acts

if TYPE_CHECKING:
    from ...nodes.clients.batch_client import BatchClient


class Questions:
    """Asks each open question once where somebody can type, and says where to answer it elsewhere."""

    def __init__(self, client: BatchClient, view: BatchView, console: Console) -> None:
        self._client = client
        self._view = view
        self._console = console
        self._seen: set[str] = set()
        self._name = ""

    def take(self, prompt: Any, batch_id: str) -> None:
        """Take the last Prompt that was heard, None before the first."""
        if prompt is None or not prompt.open or prompt.batch_id != batch_id or prompt.prompt_id in self._seen:
            return
        self._seen.add(prompt.prompt_id)
        if not sys.stdin.isatty():
            self._console.print(
                f"QUESTION: {prompt.question}  (answer it: ./workcell answer, or in the dashboard)",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
            return
        with self._view.suspended():
            self._ask(prompt)

    def _who(self) -> str:
        """A session token, or a name: asked for once."""
        if not self._name:
            unknown = argparse.Namespace(runs=RUNS, who=None, user=None, password_file=None)
            self._name = who_acts(unknown)
        return self._name

    def _ask(self, prompt: Any) -> None:
        allowed = f" [{' / '.join(prompt.answers)}]" if prompt.answers else ""
        while True:
            self._console.print(f"{prompt.question}{allowed}", end=" ", highlight=False, markup=False)
            answer = self._console.input().strip()
            outcome = self._client.answer(prompt.prompt_id, answer, self._who())
            if outcome.accepted:
                return
            self._console.print(f"not taken: {outcome.message}", style="bold red", highlight=False, markup=False)
