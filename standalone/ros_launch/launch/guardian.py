# SPDX-License-Identifier: Apache-2.0
"""A small process that outlives the launcher just long enough to end what it has started.

PR_SET_PDEATHSIG would reach only the direct children and could not escalate; this process ends whole
process groups, in order, however the launcher died. It sits in a session of its own, sleeps in the
kernel while the launcher lives, and ends with it.

It is run as a script with nothing but the standard library. Protocol on its standard input, one line each:
`+PGID SIGTERM_AFTER_S SIGKILL_AFTER_S` adds a process group, `-PGID` removes it, end of file: act.
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress

POLL_S = 0.02  # only between the launcher's death and that of its children


def group_exists(group: int) -> bool:
    """Return whether any process, zombies aside from our view, is left in the group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_groups(groups: dict[int, tuple[float, float]]) -> None:
    """End all groups: SIGINT now, SIGTERM and SIGKILL after each group's own times in seconds."""
    start = time.monotonic()
    stages = {group: 0 for group in groups}
    for group in groups:
        _signal(group, signal.SIGINT)
    while stages:
        elapsed = time.monotonic() - start
        for group in list(stages):
            term_after, kill_after = groups[group]
            if not group_exists(group):
                del stages[group]
            elif stages[group] == 0 and elapsed >= term_after:
                _signal(group, signal.SIGTERM)
                stages[group] = 1
            elif stages[group] == 1 and elapsed >= term_after + kill_after:
                _signal(group, signal.SIGKILL)
                stages[group] = 2
            elif stages[group] == 2 and elapsed >= term_after + kill_after + 5.0:
                del stages[group]  # unkillable (stuck in the kernel): nothing more can be done
        if stages:
            time.sleep(POLL_S)


def watch(stream: int, launcher: int) -> dict[int, tuple[float, float]]:
    """Follow the protocol until the stream or the launcher ends; return the groups that are left."""
    groups: dict[int, tuple[float, float]] = {}
    poller = select.poll()
    poller.register(stream, select.POLLIN)
    launcher_fd = -1
    with suppress(OSError):  # gone already: end of file follows
        launcher_fd = os.pidfd_open(launcher)
        poller.register(launcher_fd, select.POLLIN)
    pending = b''
    while True:
        ready = {fd for fd, _ in poller.poll()}
        if stream in ready:
            data = os.read(stream, 65536)
            if not data:
                return groups
            *lines, pending = (pending + data).split(b'\n')
            for line in lines:
                group, *times = line[1:].split()
                if line.startswith(b'+'):
                    groups[int(group)] = (float(times[0]), float(times[1]))
                else:
                    groups.pop(int(group), None)
        elif launcher_fd in ready:
            # The pipe may still be held open by a fork of the launcher.
            return groups


def main() -> None:
    """Watch over the launcher whose process id is the first argument."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_groups(watch(sys.stdin.fileno(), int(sys.argv[1])))


if __name__ == '__main__':
    main()
