# SPDX-License-Identifier: Apache-2.0
"""The variables that everything of the project runs in, computed, not sourced.

The result is what the venv, the overlay's `setup.bash` and the ROS wheels' own start hook would leave
behind, without a shell and without the hook's re-execution of Python.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from .host import Distribution
from .layout import INTERFACES, LACKING_INTERFACES, PACKAGE, Layout, site_packages

ROOT_VARIABLE = "MIMEDI_WORKCELL_ROOT"  # the clone, for whoever needs its files

_RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
_PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"


def compute(
    layout: Layout,
    distribution: Distribution | None,
    base: Mapping[str, str],
    *,
    local_only: bool = False,
) -> dict[str, str]:
    """The environment for a process of the project.

    Args:
        layout: the clone.
        distribution: the sourced ROS 2 distribution, or None for the wheels in `.venv`.
        base: the caller's variables; what they set for ROS 2 is kept.
        local_only: keep DDS discovery on this machine unless the caller chose a range.

    Entries that are already in front are not repeated, so nesting is harmless.
    """
    env = dict(base)
    env[ROOT_VARIABLE] = str(layout.root)
    prefixes = overlay_prefixes(layout, distribution)
    python_path = _python_path(layout, prefixes)
    if distribution is None:
        env["VIRTUAL_ENV"] = str(layout.venv)
        env.pop("PYTHONHOME", None)
        env.setdefault("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
        ros_prefixes = [*prefixes, layout.venv]
        _prepend(env, "PATH", [layout.venv / "bin"])
        _prepend(env, "LD_LIBRARY_PATH", [*(p / "lib" for p in prefixes), *_wheel_libraries(layout)])
        # Tells the wheels' start hook that LD_LIBRARY_PATH is set, so that it does not start Python again.
        env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
        if not _has_real_launch(layout):
            _append(env, "PYTHONPATH", [layout.launch_subset])
    else:
        ros_prefixes = list(prefixes)
        _prepend(env, "LD_LIBRARY_PATH", [p / "lib" for p in prefixes])
    _prepend(env, "AMENT_PREFIX_PATH", ros_prefixes)
    _prepend(env, "CMAKE_PREFIX_PATH", ros_prefixes)
    _prepend(env, "PYTHONPATH", python_path)
    # Log lines of a child process arrive whole, and in order with its other output.
    env.setdefault("RCUTILS_LOGGING_BUFFERED_STREAM", "1")
    env.setdefault("PYTHONUNBUFFERED", "1")
    # A workcell is a dozen processes of three hundred files: compiled once, not by each (0.25 s of every start).
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    # Our matrices are eight by eight: BLAS threads would only wait for work (0.1 s of a simulated batch).
    env.setdefault("OPENBLAS_NUM_THREADS", "1")
    _choose_discovery(env, layout.root / "launch" / "dds", local_only=local_only)
    return env


def _choose_discovery(env: dict[str, str], profiles: Path, *, local_only: bool) -> None:
    """Keep discovery on this machine where that is asked for, and let Fast DDS have sockets that hold it."""
    local_only = local_only and _RANGE not in env
    if env.get("RMW_IMPLEMENTATION") == "rmw_fastrtps_cpp" and _PROFILES not in env:
        env[_PROFILES] = str(profiles / ("loopback.xml" if local_only else "network.xml"))
        if local_only:
            env[_RANGE] = "SYSTEM_DEFAULT"  # the profile says it
    elif local_only:
        env[_RANGE] = "LOCALHOST"


def overlay_prefixes(layout: Layout, distribution: Distribution | None) -> list[Path]:
    """The install prefixes that colcon has made: one when merged, one a package when isolated."""
    if layout.is_isolated_install():
        packages = [PACKAGE, INTERFACES, *(LACKING_INTERFACES if distribution is None else ())]
        return [layout.install / package for package in packages if (layout.install / package).is_dir()]
    return [layout.install] if layout.install.is_dir() else []


def _python_path(layout: Layout, prefixes: Iterable[Path]) -> list[Path]:
    """The overlay's Python folders, the source tree, and the metadata of a linked installation.

    The source tree serves commands that need no overlay (`simulate`, `verify`, `report`). It comes after
    the overlay, where `mimedi_msgs` is a real package rather than this tree's folder of that name.
    """
    folders: list[Path] = []
    for prefix in prefixes:
        installed = site_packages(prefix)
        if installed:
            folders.append(installed)
        # Where Debian's Python puts what CMake installs.
        folders.extend(sorted(prefix.glob("local/lib/python3*/dist-packages")))
    folders += [layout.root, layout.root / "sim"]
    # A linked installation keeps the entry points of its executables where colcon built it.
    linked = layout.build / PACKAGE
    return [*folders, linked] if (linked / f"{PACKAGE}.egg-info").is_dir() else folders


def _wheel_libraries(layout: Layout) -> list[Path]:
    """Folders of shared libraries in the ROS wheels, in a fixed order."""
    folder = layout.venv_site_packages()
    bundled = sorted(folder.glob("ros_*.libs")) if folder else []
    return [layout.venv / "lib", *bundled]


def _has_real_launch(layout: Layout) -> bool:
    # `launch.actions`, not `launch`: the clone's folder launch/ passes for an empty namespace package.
    folder = layout.venv_site_packages()
    return folder is not None and (folder / "launch" / "actions").is_dir()


def _prepend(env: dict[str, str], name: str, paths: Iterable[Path]) -> None:
    wanted = [str(path) for path in paths]
    kept = [entry for entry in env.get(name, "").split(os.pathsep) if entry and entry not in wanted]
    env[name] = os.pathsep.join([*wanted, *kept])


def _append(env: dict[str, str], name: str, paths: Iterable[Path]) -> None:
    wanted = [str(path) for path in paths]
    kept = [entry for entry in env.get(name, "").split(os.pathsep) if entry and entry not in wanted]
    env[name] = os.pathsep.join([*kept, *wanted])
