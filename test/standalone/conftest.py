# SPDX-License-Identifier: Apache-2.0
"""A demo package in a temporary prefix, and launchers started as a user starts them."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUBSET = HERE.parents[1] / 'standalone' / 'ros_launch'
TOKEN_VARIABLE = 'UP_DEMO_TOKEN'
EXECUTABLES = ('lc_node', 'stubborn', 'crasher', 'patient')

if str(SUBSET) not in sys.path:
    # In front: these tests are about the subset, also where a distribution has the real packages.
    sys.path.insert(0, str(SUBSET))


@pytest.fixture(scope='session')
def domain():
    """A ROS domain that nobody else on this machine uses.

    Reserved as `domain_coordinator` does it, by a TCP port; the UDP port of a domain's first participant tells
    of those who reserve nothing. Domains up to 101 have no port conflicts with the system's ephemeral ports.
    """
    for attempt in range(100):
        number = 1 + (os.getpid() + attempt) % 100
        with socket.socket() as reserved, socket.socket(type=socket.SOCK_DGRAM) as first_participant:
            try:
                reserved.bind(('', 32768 + number))
                first_participant.bind(('', 7400 + 250 * number + 10))
            except OSError:
                continue
            first_participant.close()
            yield number
            return
    pytest.fail('all 100 ROS domains are in use')


@pytest.fixture(scope='session')
def demo_prefix(tmp_path_factory):
    """A prefix with the package up_demo."""
    prefix = tmp_path_factory.mktemp('prefix')
    (prefix / 'share/ament_index/resource_index/packages').mkdir(parents=True)
    (prefix / 'share/ament_index/resource_index/packages/up_demo').touch()
    for folder in ('share/up_demo/launch', 'share/up_demo/config', 'lib/up_demo'):
        (prefix / folder).mkdir(parents=True)
    for name in EXECUTABLES:
        path = prefix / 'lib/up_demo' / name
        path.write_text(f'#!{sys.executable}\n' + (HERE / 'demo' / f'{name}.py').read_text())
        path.chmod(0o755)
    shutil.copy(HERE / 'demo/params.yaml', prefix / 'share/up_demo/config')
    for path in (HERE / 'demo').glob('*.launch.py'):
        shutil.copy(path, prefix / 'share/up_demo/launch')
    return prefix


@pytest.fixture
def environment(demo_prefix, tmp_path, domain):
    """The environment of a user's shell, with a token by which all descendants are found again."""
    env = dict(os.environ)
    env.update(
        AMENT_PREFIX_PATH=os.pathsep.join(
            filter(None, [str(demo_prefix), os.environ.get('AMENT_PREFIX_PATH', '')])
        ),
        PYTHONPATH=os.pathsep.join(filter(None, [str(SUBSET), os.environ.get('PYTHONPATH', '')])),
        ROS_DOMAIN_ID=str(domain),
        ROS_LOG_DIR=str(tmp_path / 'log'),
        TMPDIR=str(tmp_path),
        PYTHONUNBUFFERED='1',
    )
    env.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    env[TOKEN_VARIABLE] = uuid.uuid4().hex
    return env


def processes_of(env):
    """Return {pid: command} of the living processes that carry the environment's token."""
    needle = f'{TOKEN_VARIABLE}={env[TOKEN_VARIABLE]}'.encode()
    found = {}
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            if needle in (folder / 'environ').read_bytes().split(b'\0'):
                found[int(folder.name)] = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def shared_memory_of(env):
    """Return the Fast DDS segments in /dev/shm that the environment's processes own.

    The owner keeps a lock file open beside its segment. Segments of others that a process has merely mapped, and
    ports, which all participants of a domain share, do not count.
    """
    files = set()
    for pid in processes_of(env):
        try:
            targets = [os.readlink(link) for link in Path(f'/proc/{pid}/fd').iterdir()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        files.update(
            match[1]
            for target in targets
            if (match := re.fullmatch(r'(/dev/shm/fast(?:rtps|dds)_[0-9a-f]{16})_el', target))
        )
    return files


def existing(segments):
    """Return those segments of which a file, the segment or its lock, is still there."""
    return [path for path in segments if Path(path).exists() or Path(f'{path}_el').exists()]


def wait_until(condition, timeout_s, what):
    """Wait for a condition that no event tells."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f'not after {timeout_s} s: {what}'
        time.sleep(0.02)


class Launcher:
    """A running launcher, with the times at which it wrote each line."""

    def __init__(self, command, env, cwd=None, prepare=None):
        """Start it in a session of its own."""
        self.env = env
        self.started_s = time.monotonic()
        self.lines = []
        self._condition = threading.Condition()
        self.process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True, preexec_fn=prepare,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._condition:
                self.lines.append((time.monotonic(), line.rstrip('\n')))
                self._condition.notify_all()

    @property
    def text(self):
        """Everything written so far."""
        return '\n'.join(line for _, line in self.lines)

    def time_of(self, pattern, occurrence=0):
        """Return when the line that matches was written [s, monotonic]."""
        return [at for at, line in self.lines if re.search(pattern, line)][occurrence]

    def wait_for(self, pattern, timeout_s=15.0):
        """Wait for a line and return its match."""
        with self._condition:
            if not self._condition.wait_for(lambda: re.search(pattern, self.text, re.M), timeout_s):
                raise AssertionError(f'{pattern!r} not written within {timeout_s} s:\n{self.text}')
        return re.search(pattern, self.text, re.M)

    def signal(self, number):
        """Signal the launcher alone."""
        self.process.send_signal(number)

    def finish(self, timeout_s=20.0):
        """Wait for the end and return the exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(5.0)
        return code


@pytest.fixture
def launch(environment):
    """A function that starts `ros2 launch …`; nothing it started survives the test."""
    running = []

    def start(*arguments, env=None, cwd=None, module='ros2_subset', prefix=('launch',), prepare=None):
        command = [sys.executable, '-m', module, *prefix, *map(str, arguments)]
        running.append(Launcher(command, {**environment, **(env or {})}, cwd=cwd, prepare=prepare))
        return running[-1]

    yield start
    for launcher in running:
        for pid in processes_of(launcher.env):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        launcher.process.wait(10.0)


@pytest.fixture
def launch_file(tmp_path):
    """A function that writes the body of generate_launch_description() into a file."""

    def write(body, name='case.launch.py'):
        lines = [
            'from launch import LaunchDescription',
            'from launch.actions import *',
            'from launch.conditions import *',
            'from launch.event_handlers import *',
            'from launch.substitutions import *',
            'from launch_ros.actions import *',
            'def generate_launch_description():',
            *('    ' + line for line in body.strip().splitlines()),
        ]
        path = tmp_path / name
        path.write_text('\n'.join(lines) + '\n')
        return path

    return write


def pytest_collection_modifyitems(items):
    """Skip what needs rclpy where there is none; in CI that is a failure."""
    if importlib.util.find_spec('rclpy') is not None or os.environ.get('CI'):
        return
    for item in items:
        if item.get_closest_marker('ros') and HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason='rclpy is not installed'))
