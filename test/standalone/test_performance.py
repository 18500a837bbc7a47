# SPDX-License-Identifier: Apache-2.0
"""What the launcher costs, in CPU time: what other work on the machine stretches is measured by bench/launch.py."""

import os
import signal
import time
from pathlib import Path

import pytest

START_LIMIT_S = 0.5
IDLE_LIMIT = 0.001  # of one core
IDLE_WINDOW_S = 4.0


def context_switches(pid):
    """Return how often the process' threads have been scheduled out by themselves."""
    lines = [
        line
        for status in Path(f'/proc/{pid}/task').glob('*/status')
        for line in status.read_text().splitlines()
        if line.startswith('voluntary_ctxt_switches')
    ]
    return sum(int(line.split()[1]) for line in lines)


def cpu_s(pid):
    """Return the process time used so far [s], to the nanosecond (that in /proc/stat has 10 ms ticks)."""
    return sum(
        int(path.read_text().split()[0]) for path in Path(f'/proc/{pid}/task').glob('*/schedstat')
    ) / 1e9


def test_first_process_starts_soon(launch, launch_file):
    """An idle machine takes little longer from the command to the first process than the CPU time of that."""
    path = launch_file("return LaunchDescription([Node(package='up_demo', executable='patient', output='screen')])")
    launcher = launch(path)
    launcher.wait_for('process started')
    took_s = launcher.time_of('process started') - launcher.started_s
    used_s = cpu_s(launcher.process.pid)
    launcher.wait_for('helper')
    launcher.signal(signal.SIGINT)
    assert launcher.finish() == 0
    print(f'first process after {took_s:.3f} s, {used_s:.3f} s of CPU')
    assert 0.0 < used_s <= START_LIMIT_S


def test_idle_launcher_sleeps(launch, launch_file):
    """With two processes that wait, launcher and guardian wait too: nothing is polled."""
    node = "Node(package='up_demo', executable='patient', output='screen')"
    launcher = launch(launch_file(f'return LaunchDescription([{node}, {node}])'))
    launcher.wait_for(r'patient-1\] helper')
    launcher.wait_for(r'patient-2\] helper')
    time.sleep(0.5)  # let it settle; the window below is what is measured
    pid = launcher.process.pid
    cpu_before_s, switches_before = cpu_s(pid), context_switches(pid)
    time.sleep(IDLE_WINDOW_S)
    used = (cpu_s(pid) - cpu_before_s) / IDLE_WINDOW_S
    switches = context_switches(pid) - switches_before
    print(f'idle launcher: {used:.6f} of a core, {switches} wake-ups in {IDLE_WINDOW_S} s')
    assert cpu_before_s > 0.0  # the kernel does account for threads
    assert used <= IDLE_LIMIT
    assert switches <= 1


@pytest.mark.ros
def test_idle_launcher_with_a_lifecycle_node(launch):
    """rclpy's threads (DDS heartbeats included) stay within the same limit."""
    launcher = launch('up_demo', 'up.launch.py', 'rate:=1.0')
    launcher.wait_for(r'\[lc_node\]: activated')
    time.sleep(1.0)  # discovery settles; the window below is what is measured
    pid = launcher.process.pid
    used = []
    # A busy machine makes each wake-up dearer; polling would show in every window.
    while not used or (used[-1] > IDLE_LIMIT and len(used) < 3):
        cpu_before_s = cpu_s(pid)
        time.sleep(IDLE_WINDOW_S)
        used.append((cpu_s(pid) - cpu_before_s) / IDLE_WINDOW_S)
    print(f'idle launcher with rclpy: {used} of a core ({os.cpu_count()} cores)')
    assert cpu_before_s > 0.0  # the kernel does account for threads
    assert used[-1] <= IDLE_LIMIT
