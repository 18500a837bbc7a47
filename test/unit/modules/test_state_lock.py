# SPDX-License-Identifier: Apache-2.0
"""A state folder has one workcell at a time, and is free again when its process dies."""

import signal
import subprocess
import sys

import pytest

from mimedi_nodes.modules.state_lock import StateInUse, lock_state

HOLDER = """
import pathlib, signal, sys
from mimedi_nodes.modules.state_lock import lock_state
kept = lock_state(pathlib.Path(sys.argv[1]))
print("held", flush=True)
signal.pause()
"""


def test_a_second_workcell_is_refused_until_the_first_ones_process_has_died(tmp_path):
    state = tmp_path / "runs" / ".state" / "workcell"
    first = subprocess.Popen([sys.executable, "-c", HOLDER, str(state)], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(StateInUse, match=r"another workcell works in .*namespace:="):
            lock_state(state)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
        first.stdout.close()
    lock_state(state).close()
    with lock_state(state), pytest.raises(StateInUse):
        lock_state(state)
