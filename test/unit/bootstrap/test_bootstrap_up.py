# SPDX-License-Identifier: Apache-2.0
"""`up` ends a launcher in order whatever it is asked with, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from standalone.bootstrap import up
from standalone.bootstrap.errors import SetupError

ROOT = Path(__file__).resolve().parents[3]
LAUNCH_FILE = ROOT / "launch" / "workcell.launch.py"

# A launcher with one node: ends with status 7 on SIGINT, after the node; dies of SIGTERM like upstream's.
LAUNCHER = """
import signal, subprocess, sys
node = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
def on_interrupt(*_):
    if {in_order}:
        node.terminate()
        node.wait()
    sys.exit(7)
signal.signal(signal.SIGINT, on_interrupt)
print(node.pid, flush=True)
signal.pause()
"""


def start(in_order=True, ignore_interrupt=False):
    """A process that runs `supervise` on the launcher; returns it and the node's process id."""
    code = (
        "import os, sys\n"
        "from standalone.bootstrap.up import supervise\n"
        "sys.exit(supervise([sys.executable, '-c', sys.argv[1]], os.environ))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, LAUNCHER.format(in_order=in_order)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignore_interrupt else None,
    )  # fmt: skip
    return process, int(process.stdout.readline())


def has_ended(pid, timeout_s=10.0):
    """Whether a process ends within the time; a zombie that nobody waits for has ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True], ids=["foreground", "background of a script"])
def test_every_wish_to_end_reaches_the_launcher_as_an_interrupt(number, ignored):
    process, node = start(ignore_interrupt=ignored)
    process.send_signal(number)
    assert process.wait(10) == 7
    assert has_ended(node)


def test_nodes_that_the_launcher_forgot_are_ended(tmp_path):
    process, node = start(in_order=False)
    process.terminate()
    assert process.wait(15) == 7
    assert has_ended(node)


def test_the_system_ends_when_up_is_killed():
    process, node = start()
    process.kill()
    process.wait(10)
    assert has_ended(node)


def test_help_shows_the_arguments_of_the_launch_file():
    assert up.launch_command(["--help"], LAUNCH_FILE)[-1] == "--show-args"
    command = up.launch_command(["hardware:=sim"], LAUNCH_FILE)
    assert command == ["ros2", "launch", "mimedi_workcell", "workcell.launch.py", "hardware:=sim"]


@pytest.mark.parametrize(("status", "told"), [(0, 0), (1, 2), (7, 7)])
def test_a_launch_that_failed_is_told_as_one_that_could_not_run(status, told):
    assert up.supervise([sys.executable, "-c", f"raise SystemExit({status})"], os.environ) == told


def test_only_our_own_launcher_is_asked_to_tell_that_a_required_node_died():
    ours = up.launch_command(["hardware:=sim"], LAUNCH_FILE, tells_failure=True)
    assert ours[:3] == ["ros2", "launch", "--fail-on-error"]


@pytest.mark.parametrize("wrong", ["opertor:=ask", "sim", "hardware=sim"])
def test_an_argument_that_the_launch_file_does_not_have_is_refused_with_those_that_it_has(wrong):
    with pytest.raises(SetupError, match=f"does not know '{wrong}'.*hardware.*operator"):
        up.launch_command(["speed:=60", wrong], LAUNCH_FILE)
