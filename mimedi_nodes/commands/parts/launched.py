# SPDX-License-Identifier: Apache-2.0
"""The workcell launched by a command for its own time: in a ROS domain of its own, ended in order with it."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import domain_coordinator

from ...modules.registry import config_folder
from ...modules.state_lock import lock_state

STOP_TIMEOUT_S = 30.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


@contextlib.contextmanager
def own_domain() -> Iterator[None]:
    """Have a ROS domain of one's own, unless one is given: neither seen nor disturbed by another workcell here."""
    if "ROS_DOMAIN_ID" in os.environ:
        yield
        return
    with domain_coordinator.domain_id() as number:
        os.environ["ROS_DOMAIN_ID"] = str(number)
        yield


class Launched:
    """The workcell, launched by `ros2 launch` in a session of its own; a context manager that ends it in order."""

    def __init__(self, options: argparse.Namespace, runs: Path) -> None:
        self._log = runs / ".launch" / f"{options.batch_id}.log"
        self._log.parent.mkdir(exist_ok=True)
        self._state = runs / ".state" / "workcell"
        arguments = {
            "hardware": "sim",
            "run_dir": str(runs),
            "seed": str(options.seed),
            "donor": options.donor,
            "kit": options.kit,
            "scenario": options.scenario,
            "speed": options.speed,
            "operator": options.operator,
            "on_hold": "wait" if options.operator == "ask" else "end",
        }
        launch_file = config_folder().parent / "launch" / "workcell.launch.py"
        self._command = ["ros2", "launch", str(launch_file), *(f"{k}:={v}" for k, v in arguments.items())]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Launched:
        with lock_state(self._state):  # the launch takes it next
            # A batch that an interrupted demonstration left unfinished has lost its simulated cells with its plant.
            # So have its containers: whose they are would hold this batch at its first scan.
            for name in ("active_batch.json", "custody.json"):
                (self._state / name).unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        return self

    def is_running(self) -> bool:
        """Tell whether the launch is alive."""
        return self._process is not None and self._process.poll() is None

    def explain(self) -> None:
        """Show the end of the launch log: that is where the reason stands."""
        print(f"last lines of {self._log}:", file=sys.stderr)
        for line in self._log.read_text(errors="replace").splitlines()[-15:]:
            print(f"  {line}", file=sys.stderr)

    def __exit__(self, *error: object) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _end_with_parent() -> None:
    """Have the launch end in order when this command dies, even by SIGKILL (prctl(2), PR_SET_PDEATHSIG)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
