# SPDX-License-Identifier: Apache-2.0
"""`./workcell up`: `ros2 launch` that always ends in order and leaves nobody behind.

Upstream's `ros2 launch` dies of SIGTERM and leaves its nodes running, and it ignores SIGINT when a
non-interactive shell started it in the background. So it gets default handlers and a session of its own, and
every signal that asks us to end reaches it as the one that it answers: SIGINT.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from .errors import SetupError

HELP = """\
usage: workcell up [NAME:=VALUE …]

Launches the workcell and stays until Ctrl-C; every argument goes to the launch file.

examples:
  ./workcell up hardware:=sim
  ./workcell up hardware:=sim speed:=3600 seed:=7
  ./workcell up site:=config/site/two_vessels.yaml

exit status: 0 ended in order, 2 bad argument, or the plant or the supervisor died
"""

_ASK_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LEFTOVERS_S = 5.0
_LAUNCH_FAILED = 1
COULD_NOT_RUN = 2


def launch_arguments(launch_file: Path) -> frozenset[str]:
    """Names of a launch file's arguments, read from its `ARGUMENTS` without running it."""
    for node in ast.walk(ast.parse(launch_file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ARGUMENTS":
            rows = node.value.elts if isinstance(node.value, ast.Tuple) else []
            return frozenset(ast.literal_eval(row.elts[0]) for row in rows if isinstance(row, ast.Tuple))
    raise SetupError(f"{launch_file} has no ARGUMENTS")


def launch_command(arguments: Sequence[str], launch_file: Path, *, tells_failure: bool = False) -> list[str]:
    """The `ros2 launch` command line for the workcell; `-h` shows the launch file's arguments.

    Args:
        tells_failure: the launcher is ours, which can say by its status that the plant or the supervisor died;
            upstream's ends with 0 then.

    Raises:
        SetupError: an argument that the launch file does not have; `ros2 launch` would drop it without a word.
    """
    known = launch_arguments(launch_file)
    for argument in arguments:
        if not argument.startswith("-") and argument.partition(":=")[0] not in known:
            raise SetupError(f"up does not know '{argument}'; give NAME:=VALUE, with {', '.join(sorted(known))}")
    shown = ["--show-args" if argument in ("-h", "--help") else argument for argument in arguments]
    status = ["--fail-on-error"] if tells_failure else []
    return ["ros2", "launch", *status, "mimedi_workcell", "workcell.launch.py", *shown]


def supervise(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a launcher until it ends; returns its exit status, 128 + n when signal n ended it, 2 instead of a launcher's
    1: as everywhere in `./workcell`, what could not run.
    """
    child = subprocess.Popen(
        command, env=dict(env), start_new_session=True, preexec_fn=_child_setup(os.getpid())
    )

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGINT)

    previous = {number: signal.signal(number, pass_on) for number in _ASK_TO_END}
    try:
        status = child.wait()
    finally:
        end_group(child.pid)
        for number, handler in previous.items():
            signal.signal(number, handler)
    if status == _LAUNCH_FAILED:
        return COULD_NOT_RUN
    return 128 - status if status < 0 else status


def end_group(group: int) -> None:
    """End what is left of a process group: SIGTERM, then SIGKILL after 5 s."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + _LEFTOVERS_S
        while time.monotonic() < deadline:
            os.killpg(group, 0)  # raises when the last one has gone
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)


def _child_setup(parent: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        for number in _ASK_TO_END:
            signal.signal(number, signal.SIG_DFL)
        # SIGINT when we are killed, so that the launched system ends even then.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGINT)

    return prepare
