# SPDX-License-Identifier: Apache-2.0
"""Build the packages with colcon into `install/`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from . import environment
from .errors import SetupError
from .host import Distribution
from .layout import INTERFACES, LACKING_INTERFACES, PACKAGE, Layout
from .steps import Runner


def share_folder(layout: Layout, package: str) -> Path:
    """Where the package's share folder is, or will be, installed."""
    return (layout.install / package if layout.is_isolated_install() else layout.install) / "share" / package


def build(
    runner: Runner, layout: Layout, distribution: Distribution | None, env: Mapping[str, str], package: str
) -> None:
    """Build one package and install it into the overlay.

    The Python package is linked rather than copied, so that an edit needs no build.

    Raises:
        SetupError: colcon is missing or the build failed, with the end of the output.
    """
    building = environment.compute(layout, distribution, env)
    # Base paths: colcon does not look for packages inside a package, and mimedi_msgs lies inside the root's.
    building["COLCON_DEFAULTS_FILE"] = str(layout.root / "colcon_defaults.yaml")
    # colcon would add a load limit, which halves the speed of a machine that does nothing else.
    building.setdefault("MAKEFLAGS", f"-j{len(os.sched_getaffinity(0))}")
    python, tool = _tools(layout, distribution, building)
    command = [
        *tool, "--log-base", str(layout.colcon_log), "build", "--symlink-install",
        "--packages-select", package, "--event-handlers", "console_direct+", "console_stderr-",
    ]  # fmt: skip
    # One overlay prefix, unless somebody built here with colcon's default; it refuses to mix the two.
    if not layout.is_isolated_install():
        command.append("--merge-install")
    if package in LACKING_INTERFACES:
        # Named here alone: no other build of the clone sees it.
        command += ["--base-paths", str(layout.interface_package(package))]
    if package != PACKAGE:
        # Messages are C code: links would save nothing.
        command.remove("--symlink-install")
        command += ["--cmake-args", f"-DPython3_EXECUTABLE={python}", "-DBUILD_TESTING=OFF"]
        if package == INTERFACES and distribution is None:
            command.append("-DMIMEDI_MSGS_CPP=OFF")
        if shutil.which("ninja", path=building["PATH"]) and not _built_with_make(layout, package):
            command.append("-GNinja")
        ccache = shutil.which("ccache", path=building["PATH"])
        if ccache:
            command += [f"-DCMAKE_C_COMPILER_LAUNCHER={ccache}", f"-DCMAKE_CXX_COMPILER_LAUNCHER={ccache}"]
    else:
        forget_removed(layout.build / package)
        forget_removed(share_folder(layout, package))
    runner.command(command, env=building)


def forget_removed(folder: Path) -> None:
    """Remove the links to source files that are there no more: setuptools takes them for files and fails."""
    for parent, folders, files in os.walk(folder):
        for link in (Path(parent, name) for name in (*folders, *files)):
            if link.is_symlink() and not link.exists():
                link.unlink()


def _built_with_make(layout: Layout, package: str) -> bool:
    """Whether somebody's plain `colcon build` was here; CMake refuses to change the generator."""
    cache = layout.build / package / "CMakeCache.txt"
    return cache.is_file() and "CMAKE_GENERATOR:INTERNAL=Ninja" not in cache.read_text(encoding="utf-8")


def _tools(layout: Layout, distribution: Distribution | None, env: Mapping[str, str]) -> tuple[str, list[str]]:
    """The Python to build for, and the colcon command that runs on it."""
    if distribution is None:
        # By the venv's Python: installed scripts carry the interpreter of the Python that ran colcon.
        return str(layout.venv_python), [str(layout.venv_python), "-m", "colcon"]
    colcon = shutil.which("colcon", path=env.get("PATH"))
    if colcon is None:
        raise SetupError("colcon is not installed:  sudo apt install python3-colcon-common-extensions")
    return distribution.python, [colcon]
