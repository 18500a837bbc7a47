# SPDX-License-Identifier: Apache-2.0
"""What `ros2 launch` costs: time to the first node started, CPU while the launched system idles.

    ./workcell exec python bench/launch.py [--runs 10] [--window 20] [--json]

Measures whichever `ros2` is first on PATH, so the subset and a distribution's launch can be compared. The
launched nodes are processes that wait; one launch has a lifecycle node besides, for which the launcher starts
rclpy. The aims are those of the stand-alone launch: 0.5 s and 0.1 % of a core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

AIM_START_S = 0.5
AIM_IDLE_PERCENT = 0.1
DEADLINE_S = 30.0
SETTLE_S = 3.0  # discovery and first heartbeats
PLAIN = """
from launch import LaunchDescription
from launch_ros.actions import Node

def generate_launch_description():
    wait = dict(executable='sleep', package='bench_demo', arguments=['600'], output='screen')
    return LaunchDescription([Node(**wait) for _ in range(2)])
"""
LIFECYCLE = """
from launch import LaunchDescription
from launch.actions import EmitEvent
from launch.events import matches_action
from launch_ros.actions import LifecycleNode
from launch_ros.events.lifecycle import ChangeState

def generate_launch_description():
    node = LifecycleNode(package='bench_demo', executable='lc_node', name='idle', namespace='', output='screen')
    configure = EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=1))
    return LaunchDescription([node, configure])
"""
LC_NODE = """
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

class Idle(LifecycleNode):
    def on_configure(self, state):
        print('configured', flush=True)
        return TransitionCallbackReturn.SUCCESS

try:
    rclpy.init()
    rclpy.spin(Idle('idle'))
except (KeyboardInterrupt, ExternalShutdownException):
    rclpy.try_shutdown()
"""


def make_prefix(folder: Path) -> None:
    """Write the package bench_demo: an executable that waits, and a lifecycle node."""
    (folder / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (folder / "share/ament_index/resource_index/packages/bench_demo").touch()
    executables = folder / "lib/bench_demo"
    executables.mkdir(parents=True)
    scripts = {
        # A node's arguments end with --ros-args, which the real sleep would refuse.
        "sleep": '#!/bin/sh\nexec sleep "$1"\n',
        "lc_node": f"#!{sys.executable}\n{LC_NODE}",
    }
    for name, text in scripts.items():
        (executables / name).write_text(text)
        (executables / name).chmod(0o755)
    (folder / "plain.launch.py").write_text(PLAIN)
    (folder / "lifecycle.launch.py").write_text(LIFECYCLE)


class Launch:
    """A running `ros2 launch FILE`."""

    def __init__(self, file: Path, env: dict[str, str]) -> None:
        self.began_s = time.monotonic()
        self.process = subprocess.Popen(
            ["ros2", "launch", str(file)], env=env, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)
        self._text = b""

    def wait_for(self, pattern: bytes) -> float:
        """Wait for output that matches; returns when it came, in seconds since the start.

        Raises:
            RuntimeError: not within 30 s, or the launch ended.
        """
        while not re.search(pattern, self._text):
            left_s = self.began_s + DEADLINE_S - time.monotonic()
            if left_s <= 0 or not self._selector.select(left_s):
                raise RuntimeError(f"{pattern!r} not within {DEADLINE_S} s:\n{self._text.decode()}")
            assert self.process.stdout is not None
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise RuntimeError(f"the launch ended before {pattern!r}:\n{self._text.decode()}")
            self._text += chunk
        return time.monotonic() - self.began_s

    def cpu_s(self) -> float:
        """Process time of the launcher and of what it started for itself (not its nodes) [s]."""
        nodes = {int(pid) for pid in re.findall(rb"process started with pid \[(\d+)\]", self._text)}
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        own = [self.process.pid, *(int(pid) for pid in children if int(pid) not in nodes)]
        # Nanoseconds; /proc/PID/stat has ticks of 10 ms.
        tasks = (task for pid in own for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def end(self) -> None:
        """End it as ctrl-c does."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(DEADLINE_S)
        self._selector.close()


def time_starts(file: Path, env: dict[str, str], runs: int) -> tuple[list[float], list[float]]:
    """From the command to the line that tells of the first process: seconds, and CPU seconds; both sorted."""
    times_s, cpu_s = [], []
    for _ in range(runs):
        launch = Launch(file, env)
        try:
            times_s.append(launch.wait_for(b"process started with pid"))
            cpu_s.append(launch.cpu_s())
        finally:
            launch.end()
    return sorted(times_s), sorted(cpu_s)


def idle_percent(file: Path, env: dict[str, str], ready: bytes, window_s: float) -> float:
    """CPU of the idle launcher over the window [% of one core]."""
    launch = Launch(file, env)
    try:
        launch.wait_for(ready)
        time.sleep(SETTLE_S)
        before_s = launch.cpu_s()
        time.sleep(window_s)
        return 100.0 * (launch.cpu_s() - before_s) / window_s
    finally:
        launch.end()


def main() -> int:
    """Measure and print; returns 0 whatever comes out: figures depend on the machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="starts to time (default: 10)")
    parser.add_argument("--window", type=float, default=20.0, help="seconds of idling to measure (default: 20)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench_launch_") as name:
        folder = Path(name)
        make_prefix(folder)
        prefixes = [name, *filter(None, [os.environ.get("AMENT_PREFIX_PATH")])]
        env = {
            **os.environ, "AMENT_PREFIX_PATH": os.pathsep.join(prefixes), "ROS_LOG_DIR": f"{name}/log",
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        starts_s, cpu_s = time_starts(folder / "plain.launch.py", env, options.runs)
        idle = idle_percent(folder / "plain.launch.py", env, rb"sleep-2\]: process st", options.window)
        idle_lifecycle = idle_percent(folder / "lifecycle.launch.py", env, b"configured", options.window)
        figures = {
            "first_start_s": {"median": statistics.median(starts_s), "least": starts_s[0], "most": starts_s[-1]},
            "first_start_cpu_s": statistics.median(cpu_s),
            "idle_percent": idle,
            "idle_with_lifecycle_node_percent": idle_lifecycle,
            "load_average": os.getloadavg()[0],
        }
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"first node started after  {statistics.median(starts_s):.3f} s  (median of {len(starts_s)}; "
          f"{starts_s[0]:.3f} to {starts_s[-1]:.3f}; aim {AIM_START_S})")  # fmt: skip
    print(f"its CPU time              {statistics.median(cpu_s):.3f} s  (what a busy machine does not stretch)")
    print(f"idle launcher             {idle:.4f} % of a core  (aim {AIM_IDLE_PERCENT})")
    print(f"with a lifecycle node     {idle_lifecycle:.4f} % of a core")
    print(f"load average              {figures['load_average']:.1f} on {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
