# SPDX-License-Identifier: Apache-2.0
"""What this machine is: a sourced ROS 2 distribution, or a plain machine that takes the wheels."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import SetupError

# The ros-* wheels exist for CPython 3.10 to 3.13; the project's code needs 3.11.
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
# The wheels' tag is manylinux_2_28: glibc 2.28 or newer.
OLDEST_GLIBC = (2, 28)
# Distributions before Jazzy: rclpy lacks what the nodes use (discovery range, service introspection).
TOO_OLD_DISTRIBUTIONS = frozenset(
    ["ardent", "bouncy", "crystal", "dashing", "eloquent", "foxy", "galactic", "humble", "iron"]
)


@dataclass(frozen=True)
class Distribution:
    """A ROS 2 distribution that the caller's shell has sourced."""

    name: str
    python: str  # the interpreter that its rclpy belongs to


@dataclass(frozen=True)
class Interpreter:
    """A CPython that could carry the virtual environment, and what it lacks for that."""

    path: str
    version: tuple[int, int, int]
    lacks: tuple[str, ...]  # Debian package suffixes: "venv", "dev"


def sourced_distribution(env: Mapping[str, str]) -> Distribution | None:
    """The sourced ROS 2 distribution, or None on a plain machine.

    A distribution counts when ROS_DISTRO is set, `ros2` is on PATH and rclpy lies on PYTHONPATH, as its
    setup script leaves them. Nothing is started, since every command asks this.

    Raises:
        SetupError: the distribution is older than Jazzy.
    """
    name = env.get("ROS_DISTRO", "")
    if not name:
        return None
    search = env.get("PATH", os.defpath)
    if shutil.which("ros2", path=search) is None:
        return None
    on_path = (Path(entry, "rclpy", "__init__.py") for entry in env.get("PYTHONPATH", "").split(":") if entry)
    if not any(candidate.is_file() for candidate in on_path):
        return None
    if name in TOO_OLD_DISTRIBUTIONS:
        raise SetupError(
            f"ROS_DISTRO is '{name}', which is older than 'jazzy', the oldest distribution supported.\n"
            "Source Jazzy or newer; or open a shell that sources none, and the workcell brings its own ROS 2."
        )
    python = shutil.which("python3", path=search)
    if python is None:
        raise SetupError(f"ROS_DISTRO is '{name}' but there is no python3 on PATH: sudo apt install python3")
    return Distribution(name, python)


_PROBE = """
import os, sys, sysconfig, importlib.util as u
lacks = [] if u.find_spec('venv') and u.find_spec('ensurepip') else ['venv']
if not os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')): lacks.append('dev')
print(sys.implementation.name, *sys.version_info[:3], os.path.realpath(sys.executable), *lacks)
"""


def probe(python: str) -> Interpreter | None:
    """Ask an interpreter for its version and what it lacks; None when it is no CPython 3.11 to 3.13."""
    try:
        out = subprocess.run([python, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    words = out.stdout.split()
    version = (int(words[1]), int(words[2]), int(words[3]))
    if words[0] != "cpython" or not OLDEST_PYTHON <= version[:2] <= NEWEST_PYTHON:
        return None
    return Interpreter(words[4], version, tuple(words[5:]))


def choose_interpreter(env: Mapping[str, str]) -> Interpreter:
    """The first CPython 3.11 to 3.13 with venv and headers; WORKCELL_PYTHON names one explicitly.

    Raises:
        SetupError: wrong machine, no such interpreter, or parts missing, with the line that installs them.
    """
    check_machine()
    named = env.get("WORKCELL_PYTHON")
    minors = range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1)
    names = [named] if named else [sys.executable, "python3", *(f"python3.{minor}" for minor in minors)]
    usable: list[Interpreter] = []
    for name in names:
        path = shutil.which(name, path=env.get("PATH", os.defpath))
        interpreter = probe(path) if path else None
        if interpreter and not interpreter.lacks:
            usable = [interpreter]
            break
        if interpreter:
            usable.append(interpreter)
    if not usable:
        asked = f"WORKCELL_PYTHON={named} is not" if named else "This machine has no"
        raise SetupError(
            f"{asked} CPython 3.11, 3.12 or 3.13.\n"
            "On Debian 12 or Ubuntu 24.04:  sudo apt install python3 python3-venv python3-dev g++\n"
            "On Ubuntu 22.04:               sudo apt install python3.11 python3.11-venv python3.11-dev g++"
        )
    check_parts(usable[0], env)
    return usable[0]


def check_machine() -> None:
    """Refuse a machine that the ROS 2 wheels do not exist for.

    Raises:
        SetupError: not x86-64 Linux with glibc 2.28 or newer.
    """
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise SetupError(
            f"This machine is {system} on {machine}; the ROS 2 wheels exist for x86-64 Linux only.\n"
            "Source a ROS 2 distribution (Jazzy or newer) first: docs/ros_host.md says how to go on."
        )
    name, _, number = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    if name != "glibc" or tuple(int(part) for part in number.split(".")[:2]) < OLDEST_GLIBC:
        found = f"{name} {number}" if name else "another C library"
        raise SetupError(
            f"This machine has {found}; the ROS 2 wheels need glibc 2.28 or newer (Debian 12, Ubuntu 22.04)."
        )


def check_parts(interpreter: Interpreter, env: Mapping[str, str]) -> None:
    """Refuse a machine that lacks the compiler, the Python headers or venv.

    Raises:
        SetupError: names what is missing and the `apt install` line that cures it.
    """
    short = f"python{interpreter.version[0]}.{interpreter.version[1]}"
    words = {"venv": "Python's venv module", "dev": "Python's headers"}
    missing = [(words[suffix], f"{short}-{suffix}") for suffix in interpreter.lacks]
    if shutil.which("g++", path=env.get("PATH", os.defpath)) is None:
        missing.append(("the C++ compiler", "g++"))
    if missing:
        what = ", ".join(word for word, _ in missing)
        raise SetupError(
            f"Missing for {interpreter.path}: {what}.\n"
            f"  sudo apt install {' '.join(package for _, package in missing)}"
        )
