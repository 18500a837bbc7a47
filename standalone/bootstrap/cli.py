# SPDX-License-Identifier: Apache-2.0
"""The command `./workcell`: brings the clone up where needed, then does what was asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mimedi_nodes.commands.names import BOOTSTRAP, COMMANDS, LOCAL_ONLY, WITH_ROS
from mimedi_nodes.commands.standard_output import status_of

from . import environment
from .errors import SetupError
from .host import Distribution, sourced_distribution
from .layout import Layout
from .provision import Provisioner

COULD_NOT_RUN = 2

HELP = """\
workcell: one patient's batch of cells, from apheresis to frozen dose, on ROS 2

  ./workcell demo                      set up, launch the simulated workcell, make one CAR-T batch,
                                       print its release table (exit 0: within specification)
  ./workcell demo --donor weak --seed 7 --json
  ./workcell test                      lint, types, import rules, then all tests
  ./workcell test test/unit -k ledger  only these tests (arguments go to pytest)

set up
  ./workcell setup                     all of it now; the other commands do it themselves when needed
                                       (WORKCELL_PYTHON=python3.12 names the interpreter of a new .venv)
  ./workcell clean                     remove what was built; `clean --all` also .venv (runs/ is kept)
  ./workcell lock                      renew standalone/bootstrap/requirements.lock

run
  ./workcell up hardware:=sim          launch the workcell and stay; arguments go to the launch file
                                       (exit 2: bad argument, or plant or supervisor died)
  ./workcell produce car_t_cd19        ask a running workcell for a batch
  ./workcell status                    modules, batch, alarms of a running workcell; --check for scripts
  ./workcell watch                     the same, live
  ./workcell alarms ack ALARM          list, acknowledge, reset, shelve alarms; `alarms explain` says what to do
  ./workcell answer                    the question that the batch waits for
  ./workcell hold --why "bag leaks"    likewise pause, resume, restart, stop, abort; person and reason go on record
  ./workcell dashboard [NAME]          the operator's windows: overview, workcell, batch, vision, alarms, trends, record
  ./workcell web                       the operator's page for a tablet; --foxglove also for Foxglove or Lichtblick
  ./workcell sim inject leak harvest   the simulated plant: faults, clock (speed, pause, step, run-until), truth
  ./workcell replay runs/BATCH         play a recorded batch back to dashboards
  . <(./workcell completion bash)      complete commands and options with Tab; zsh likewise
  ./workcell exec ros2 launch mimedi_workcell workcell.launch.py --show-args
                                       run anything inside the environment

without ROS, in seconds
  ./workcell simulate car_t_cd19 --seed 1 --json -
  ./workcell simulate car_t_cd19 -n 100 --jobs 2
                                       many donors: distributions of every step, a report folder
  ./workcell check-physics FILE.json   hold the simulated plant's models to reference values
  ./workcell recipe car_t_cd19         check a master recipe against the interfaces and modules
  ./workcell verify runs/BATCH         find any edit of a batch record
  ./workcell report runs/BATCH         write its report again
  ./workcell user add anna --name "Anna Ruiz" --role administrator
                                       accounts of the people who run and sign
  ./workcell sign BATCH --meaning performed|verified|approved|rejected …
  ./workcell release BATCH             the responsible pharmacist's signature
  ./workcell lab BATCH sterility.json  a signed laboratory result that comes later
  ./workcell review BATCH              verdict, summary and report from the record as it is now
  ./workcell export BATCH --format csv-wide|csv-long|json|parquet|b2mml
  ./workcell backup BATCH /mnt/copies  a copy that verifies, of a batch under way too; `restore` puts it back
  ./workcell label make …              labels with Data Matrix; `label read PICTURE` reads them
  ./workcell maintenance begin incubator --why "new probe"
                                       a signed maintenance mode
  ./workcell track movie.npz --out tracks.csv
                                       follow the cells of a movie (npz, video, folder of images)
  ./workcell chip --width-um 375       resonance, throughput and cut files of an acoustic chip
  ./workcell view --out workcell.png   the robot model, off screen; without --out in a window
  ./workcell segment images.npz --out cells.csv --labels labels.npz

`./workcell COMMAND --help` tells the options of one command.
On a host with a sourced ROS 2 distribution (Jazzy or newer) its own packages are used: docs/ros_host.md.
"""


def main(arguments: Sequence[str], root: Path) -> int:
    """Run one command; returns its exit status, 2 when the machine or the clone cannot."""
    layout = Layout(root)
    if "_ARGCOMPLETE" in os.environ:
        return _complete(layout)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return status_of(_help)
    try:
        return status_of(lambda: _dispatch(layout, arguments[0], list(arguments[1:]), os.environ))
    except SetupError as error:
        print(f"workcell: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    except subprocess.CalledProcessError as error:
        command = " ".join(str(word) for word in error.cmd)
        print(f"workcell: failed with status {error.returncode}: {command}\n{error.stderr or ''}", file=sys.stderr)
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        print("workcell: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130


def _help() -> int:
    print(HELP, end="")
    return 0


def _dispatch(layout: Layout, command: str, arguments: list[str], env: Mapping[str, str]) -> int:
    if command in ("clean", "exec") and arguments in (["-h"], ["--help"]):
        return _help()
    if command == "clean":
        return _clean(layout, arguments)
    distribution = sourced_distribution(env)
    provisioner = Provisioner(layout, distribution, env)
    if command == "setup":
        _no_arguments(command, arguments)
        done = provisioner.ensure()
        print("The workcell is set up." if done else "The workcell was set up already.")
        return 0
    if command == "exec":
        if not arguments:
            raise SetupError("exec needs a command, for example: ./workcell exec ros2 run mimedi_workcell plant")
        provisioner.ensure()
        return _replace(layout, distribution, env, arguments)
    if command == "up":
        from . import up

        if arguments in (["-h"], ["--help"]):
            print(up.HELP, flush=True)
        command_line = up.launch_command(arguments, layout.launch_file, tells_failure=distribution is None)
        provisioner.ensure()
        return up.supervise(command_line, environment.compute(layout, distribution, env))
    if command == "test":
        from . import checks

        if arguments[:1] in (["-h"], ["--help"]):
            print(checks.HELP, end="")
            return 0
        provisioner.ensure()
        return checks.run(layout, environment.compute(layout, distribution, env, local_only=True),
                          _python(layout, distribution), arguments)  # fmt: skip
    if command == "lock":
        from . import lock

        _no_arguments(command, arguments)
        provisioner.ensure(overlay=False)
        print(f"requirements.lock: {lock.renew(layout, layout.venv_python)} distributions")
        return 0
    if command in COMMANDS:
        provisioner.ensure(overlay=command in WITH_ROS)
        delegated = [_python(layout, distribution), "-m", "mimedi_nodes.commands", command, *arguments]
        return _replace(layout, distribution, env, delegated, local_only=command in LOCAL_ONLY)
    known = sorted([*COMMANDS, *BOOTSTRAP])
    raise SetupError(f"unknown command '{command}'; known are {', '.join(known)}. See ./workcell --help")


def _complete(layout: Layout) -> int:
    """Serve the shell's completion; a clone that is not set up yet completes nothing."""
    distribution = sourced_distribution(os.environ)
    python = _python(layout, distribution)
    if Path(python).is_file():
        os.chdir(layout.root)
        # As where a command runs: some import the simulation before they parse.
        inside = environment.compute(layout, distribution, os.environ)
        os.execve(python, [python, "-m", "mimedi_nodes.commands"], inside)
    return 1


def _python(layout: Layout, distribution: Distribution | None) -> str:
    return distribution.python if distribution else str(layout.venv_python)


def _replace(
    layout: Layout,
    distribution: Distribution | None,
    env: Mapping[str, str],
    command: list[str],
    *,
    local_only: bool = False,
) -> int:
    """Become the command: signals and exit status are then its own."""
    inside = environment.compute(layout, distribution, env, local_only=local_only)
    if Path.cwd() == layout.root:
        # Its paths are relative to the clone's root.
        inside.setdefault("COLCON_DEFAULTS_FILE", str(layout.root / "colcon_defaults.yaml"))
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, inside)
    except OSError as error:
        raise SetupError(f"cannot run '{command[0]}': {error.strerror}") from error


def _clean(layout: Layout, arguments: list[str]) -> int:
    if arguments not in ([], ["--all"]):
        raise SetupError(f"clean takes only --all, not {' '.join(arguments)}")
    folders = [layout.build, layout.install, layout.colcon_log, layout.state]
    if arguments:
        folders.append(layout.venv)
    else:
        # Without their stamps the next set-up would make the venv again.
        folders.remove(layout.state)
        for name in ("base", "interfaces", "package"):
            (layout.state / "stamps" / name).unlink(missing_ok=True)
    for folder in folders:
        if folder == layout.state and folder.exists():
            print(f"removing {folder}, but not the keys: without them no record that was kept could be verified")
            for entry in folder.iterdir():
                if entry.name != "keys":
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        elif folder.exists():
            print(f"removing {folder}")
            shutil.rmtree(folder)
    return 0


def _no_arguments(command: str, arguments: list[str]) -> None:
    if arguments in (["-h"], ["--help"]):
        print(HELP, end="")
        raise SystemExit(0)
    if arguments:
        raise SetupError(f"{command} takes no arguments, not {' '.join(arguments)}")
