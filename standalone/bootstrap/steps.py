# SPDX-License-Identifier: Apache-2.0
"""Steps that are done once: stamps, a lock against a second set-up, a log, progress on the terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import SetupError
from .layout import Layout

_LAST_LINES = 15
_REFRESH_S = 0.5
_COUNTER = re.compile(rb"\[(\d+)/(\d+)\]")  # ninja's progress


@dataclass(frozen=True)
class Step:
    """One part of the set-up.

    `key` names everything that the outcome depends on; the step is skipped while its stamp holds the same.
    `present` is a path that must exist for the stamp to count: who deletes a folder gets it again.
    `makes_key` says that the step makes what its key is computed from; the key of every other step is taken before it
    runs, so that what changes meanwhile is not taken for done.
    """

    name: str
    title: str
    key: str
    present: Path
    run: Callable[[Runner], None]
    makes_key: bool = False


class Runner:
    """Carries out steps, shows them, and writes `.workcell/setup.log` and `.workcell/setup.json`."""

    def __init__(self, layout: Layout, screen: IO[str] | None = None) -> None:
        self._layout = layout
        self._screen = screen if screen is not None else sys.stderr
        self._live = self._screen.isatty()
        self._label = ""
        self._began = 0.0
        self._history: list[dict[str, object]] = []

    def pending(self, steps: Sequence[Step]) -> list[Step]:
        """The steps from the first one that is not done, since each stands on those before it."""
        for number, step in enumerate(steps):
            if not self._is_done(step):
                return [s for n, s in enumerate(steps) if n >= number and not self._is_done(s)]
        return []

    def carry_out(self, plan: Callable[[], Sequence[Step]]) -> None:
        """Run what is not done. `plan` is asked again after each step: later keys may depend on it.

        Raises:
            SetupError: a step failed; the text has the end of its output and where the rest is.
        """
        self._layout.state.mkdir(exist_ok=True)
        with self._exclusive():
            self._layout.setup_log.write_text("", encoding="utf-8")
            while True:
                steps = plan()
                waiting = self.pending(steps)
                if not waiting:
                    break
                done = waiting[0]
                self._one(done, steps.index(done) + 1, len(steps))
                if done.makes_key:
                    done = next(step for step in plan() if step.name == done.name)
                stamp = self._stamp(done)
                stamp.parent.mkdir(exist_ok=True)
                stamp.write_text(done.key + "\n", encoding="ascii")

    def _one(self, step: Step, number: int, count: int) -> None:
        self._stamp(step).unlink(missing_ok=True)
        self._label = f"[{number}/{count}] {step.title}"
        self._began = time.monotonic()
        self._note_progress(step, "running")
        self._show("")
        try:
            step.run(self)
        except BaseException as error:
            self._note_progress(step, "failed")
            self._finish("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        if not step.present.exists():
            raise SetupError(f"'{step.title}' ended without making {step.present}: see {self._layout.setup_log}")
        self._note_progress(step, "done")
        self._finish(f"{time.monotonic() - self._began:.1f} s")

    def command(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Run a command of a step in the clone's root, its output to the log.

        Raises:
            SetupError: it failed; with the last lines of its output.
        """
        log = self._layout.setup_log
        with log.open("ab") as sink:
            sink.write(f"\n$ {' '.join(command)}\n".encode())
            sink.flush()
            start = sink.tell()
            child = subprocess.Popen(
                command, cwd=self._layout.root, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
            try:
                while True:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        status = child.wait(timeout=_REFRESH_S if self._live else None)
                        break
                    self._show(_counter(log, start))
            except BaseException:
                child.terminate()
                child.wait()
                raise
        if status:
            lines = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
            raise SetupError(
                f"'{command[0]}' failed with status {status} in {self._label}. Its last lines:\n  "
                + "\n  ".join(lines[-_LAST_LINES:])
                + f"\nAll of its output: {log}"
            )

    def note(self, text: str) -> None:
        """Write a line to the log."""
        with self._layout.setup_log.open("a", encoding="utf-8") as sink:
            sink.write(text + "\n")

    def _is_done(self, step: Step) -> bool:
        try:
            return self._stamp(step).read_text(encoding="ascii").strip() == step.key and step.present.exists()
        except OSError:
            return False

    def _stamp(self, step: Step) -> Path:
        return self._layout.state / "stamps" / step.name

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with (self._layout.state / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another set-up of this clone is at work; waiting for it.", file=self._screen, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _show(self, detail: str) -> None:
        if self._live:
            elapsed = time.monotonic() - self._began
            self._screen.write(f"\r\x1b[K{self._label}  {elapsed:.0f} s  {detail}")
        elif not detail:
            self._screen.write(f"{self._label} …\n")
        self._screen.flush()

    def _finish(self, outcome: str) -> None:
        lead = "\r\x1b[K" if self._live else ""
        self._screen.write(f"{lead}{self._label}: {outcome}\n")
        self._screen.flush()

    def _note_progress(self, step: Step, status: str) -> None:
        entry: dict[str, object] = {"step": step.name, "title": step.title, "status": status}
        if status != "running":
            self._history.pop()
            entry["seconds"] = round(time.monotonic() - self._began, 1)
        self._history.append(entry)
        text = json.dumps({"steps": self._history}, indent=1) + "\n"
        (self._layout.state / "setup.json").write_text(text, encoding="utf-8")


def _counter(log: Path, start: int) -> str:
    """The latest `[done/all]` that the running command printed, or an empty text."""
    with log.open("rb") as source:
        source.seek(max(start, source.seek(0, 2) - 4096))
        found = _COUNTER.findall(source.read())
    return f"{int(found[-1][0])} of {int(found[-1][1])}" if found else ""
