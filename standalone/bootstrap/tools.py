# SPDX-License-Identifier: Apache-2.0
"""Commands and libraries around ROS: `ros2` and `launch_test` in the venv; what a ROS host must have."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from .errors import SetupError
from .host import Distribution
from .layout import Layout

# Command in the venv's bin, and the module of standalone/ros_launch that it runs.
_COMMANDS = {"ros2": "ros2_subset", "launch_test": "launch_testing.launch_test"}

_SCRIPT = """\
#!/bin/sh
# Made by `./workcell setup`: this machine has no ROS 2 distribution, so the subset in standalone/ answers.
exec '{python}' -m {module} "$@"
"""

# Import name and pip name of what rosdep cannot install; docs/ros_host.md tells the same.
PIP_ONLY = {
    "pymodbus": "pymodbus>=3.7",
    "simpleeval": "simpleeval>=1.0",
    "mcap": "mcap>=1.2",
    "ruamel.yaml": "ruamel.yaml>=0.18",
}
FROM_ROSDEP = ("numpy", "scipy", "cv2", "serial", "cryptography", "jinja2", "matplotlib", "rich")
REQUIRED_ON_ROS_HOSTS = " ".join([*PIP_ONLY, *FROM_ROSDEP])


def key(layout: Layout) -> str:
    """What the written commands depend on."""
    return _SCRIPT + str(_COMMANDS) + str(layout.venv)


def write(layout: Layout) -> list[str]:
    """Write `ros2` and `launch_test` into the venv, each unless a real one is there; returns those written."""
    written = []
    for name, module in _COMMANDS.items():
        path = layout.venv / "bin" / name
        if path.exists() and module not in path.read_text(encoding="utf-8", errors="replace"):
            continue
        path.write_text(_SCRIPT.format(python=layout.venv_python, module=module), encoding="utf-8")
        path.chmod(0o755)
        written.append(name)
    return written


def check_ros_host(distribution: Distribution, env: Mapping[str, str]) -> None:
    """Check that the distribution's Python has rclpy and every library of the product.

    Raises:
        SetupError: names what is missing and how to install it.
    """
    question = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError: print(name)\n"
    )
    answer = subprocess.run(
        [distribution.python, "-c", question, "rclpy", *FROM_ROSDEP, *PIP_ONLY],
        env=dict(env), capture_output=True, text=True, check=True,
    )  # fmt: skip
    missing = answer.stdout.split()
    if "rclpy" in missing:
        raise SetupError(
            f"ROS_DISTRO is '{distribution.name}' but {distribution.python} cannot import rclpy.\n"
            "Leave the virtual environment that hides it, or source the distribution's setup script again."
        )
    lines = []
    if any(name in FROM_ROSDEP for name in missing):
        lines.append("  rosdep install --from-paths . mimedi_msgs --ignore-src -y")
    wheels = [f"'{PIP_ONLY[name]}'" for name in missing if name in PIP_ONLY]
    if wheels:
        lines.append(f"  {distribution.python} -m pip install --user --break-system-packages {' '.join(wheels)}")
    if lines:
        raise SetupError(
            f"{distribution.python} lacks: {', '.join(missing)}. docs/ros_host.md has the reasons.\n" + "\n".join(lines)
        )
