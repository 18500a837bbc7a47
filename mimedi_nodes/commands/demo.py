# SPDX-License-Identifier: Apache-2.0
"""`workcell demo`: launches the whole workcell on the simulated plant and produces one batch."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import domain_coordinator
from rich.console import Console

from mimedi_sim.plant.kits import kit_of
from mimedi_sim.scenarios import find_scenario

from ..modules.registry import config_folder, manifests
from ..modules.state_lock import lock_state
from ..process.errors import WorkcellError
from ..process.recipe_loader import load_recipe
from ..records.errors import RecordError
from .batch_options import (
    DEFAULT_RECIPE,
    EXIT_COULD_NOT_RUN,
    EXIT_TEXT,
    add_batch_options,
    add_operator_option,
    add_plant_options,
    batch_of,
    paired,
    recipe_path,
    script_of,
)
from .option_types import speed
from .produce import produce

STOP_TIMEOUT_S = 30.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


def main(argv: Sequence[str]) -> int:
    """Run the demonstration; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell demo",
        description="Launches the workcell on the simulated plant, produces one batch with live progress, prints its "
        "release table and leaves a report. " + EXIT_TEXT,
        epilog="Examples: ./workcell demo   ./workcell demo --donor weak --seed 7   ./workcell demo --speed 3600   "
        "./workcell demo --drill",
    )
    parser.add_argument("--recipe", default=DEFAULT_RECIPE, help=f"recipe (default {DEFAULT_RECIPE})")
    parser.add_argument(
        "--drill", action="store_true",
        help="two patients, a leak, a wrong cassette, a power cut; ends with one page by exception",
    )  # fmt: skip
    parser.add_argument(
        "--speed", type=speed, default="max", help="process time per wall time: a factor, or max (default)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run's files (default runs)")
    add_plant_options(parser)
    add_batch_options(parser)
    add_operator_option(parser)
    options = parser.parse_args(list(argv))
    options.namespace = ""
    runs = options.runs.resolve()
    begun_s = time.monotonic()
    try:
        recipe = load_recipe(recipe_path(options.recipe), manifests())
        batch = paired(batch_of(options, recipe.name), recipe)
        find_scenario(options.scenario, config_folder() / "scenarios")
        script_of(options.operator)
        runs.mkdir(parents=True, exist_ok=True)
        options.kit = kit_of(recipe.product)
        if options.drill:
            from .drill_command import drill

            return drill(options)
        options.batch_id, options.donor_id = batch.batch_id, batch.donor_id
        console = Console(stderr=options.json == "-")
        with own_domain(), Launched(options, runs) as workcell:
            status = produce(options, console, workcell.is_running, runs)
            if status == EXIT_COULD_NOT_RUN:
                workcell.explain()
    except (WorkcellError, RecordError, OSError, ValueError) as error:
        print(f"workcell: could not run: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    console.print(f"{time.monotonic() - begun_s:.0f} s of wall time", highlight=False, markup=False)
    return status


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
