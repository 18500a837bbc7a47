# SPDX-License-Identifier: Apache-2.0
"""A small process that outlives the launcher just long enough to end what it has started.

PR_SET_PDEATHSIG would reach only the direct children and could not escalate; this process ends whole
process groups, in order, however the launcher died. It sits in a session of its own, sleeps in the
kernel while the launcher lives, and ends with it.

It is run as a script with nothing but the standard library. Protocol on its standard input, one line each:
`+PGID SIGTERM_AFTER_S SIGKILL_AFTER_S` adds a process group, `-PGID` removes it, `=PATH` names a shared
memory segment to remove if its owner was killed; end of file: act.
"""

import fcntl
import os
import re
import select
import signal
import sys
import time
from contextlib import suppress

GIVE_UP_S = 5.0  # after SIGKILL
POLL_S = 0.02  # only between the launcher's death and that of its children


# Segments of Fast DDS: a killed process leaves them; the `_el` file beside one is locked while it is in use.
SEGMENT = re.compile(r'(/dev/shm/fast(?:rtps|dds)_[0-9a-f]{16})(?:_el)?$', re.M)


def segments_of(pid: int) -> set[str]:
    """Return the paths of the Fast DDS segments that a process has mapped."""
    try:
        with open(f'/proc/{pid}/maps', encoding='utf-8') as maps:
            return set(SEGMENT.findall(maps.read()))
    except OSError:
        return set()


def remove_stale(segments: set[str]) -> None:
    """Remove those segments that no living process has locked."""
    for path in segments:
        with suppress(OSError), open(f'{path}_el', 'rb') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in (path, f'{path}_el'):
                with suppress(FileNotFoundError):
                    os.unlink(name)


def group_exists(group: int) -> bool:
    """Return whether any process is left in the group."""
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


def _leader_lives(group: int) -> bool:
    try:
        os.kill(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def end_groups(groups: dict[int, tuple[float, float]]) -> None:
    """End all groups: SIGINT now, SIGTERM and SIGKILL after each group's own times in seconds.

    A group whose leader has gone gets SIGTERM at once: there is nobody left to end it in order.
    """
    for group in groups:
        _signal(group, signal.SIGINT if _leader_lives(group) else signal.SIGTERM)
    now = time.monotonic()
    term_at = {group: now + times[0] for group, times in groups.items()}
    kill_at: dict[int, float] = {}
    give_up_at: dict[int, float] = {}
    left = set(groups)
    while left:
        now = time.monotonic()
        for group in list(left):
            if not group_exists(group) or now >= give_up_at.get(group, now + 1.0):
                left.discard(group)  # gone, or stuck in the kernel, where no signal helps
            elif group not in kill_at and (now >= term_at[group] or not _leader_lives(group)):
                _signal(group, signal.SIGTERM)
                kill_at[group] = now + groups[group][1]
            elif group in kill_at and group not in give_up_at and now >= kill_at[group]:
                _signal(group, signal.SIGKILL)
                give_up_at[group] = now + GIVE_UP_S
        if left:
            time.sleep(POLL_S)


def watch(stream: int, launcher: int) -> tuple[dict[int, tuple[float, float]], set[str]]:
    """Follow the protocol until the stream or the launcher ends; return the groups left and the segments."""
    groups: dict[int, tuple[float, float]] = {}
    segments: set[str] = set()
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
                return groups, segments
            *lines, pending = (pending + data).split(b'\n')
            for line in lines:
                if line.startswith(b'='):
                    segments.add(os.fsdecode(line[1:]))
                    continue
                group, *times = line[1:].split()
                if line.startswith(b'+'):
                    groups[int(group)] = (float(times[0]), float(times[1]))
                else:
                    groups.pop(int(group), None)
        elif launcher_fd in ready:
            # The pipe may still be held open by a fork of the launcher.
            return groups, segments


def main() -> None:
    """Watch over the launcher whose process id is the first argument."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups, segments = watch(sys.stdin.fileno(), int(sys.argv[1]))
    for group in groups:
        segments |= segments_of(group)
    end_groups(groups)
    remove_stale(segments)


if __name__ == '__main__':
    main()
