# SPDX-License-Identifier: Apache-2.0
"""Where things lie in the clone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "mimedi_workcell"
INTERFACES = "mimedi_msgs"
# Interface packages below standalone/ that every ROS 2 distribution has and the wheels lack.
LACKING_INTERFACES = ("tf2_msgs",)


@dataclass(frozen=True)
class Layout:
    """Every path that the bootstrap reads or writes, from the clone's root."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def venv_python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def install(self) -> Path:
        return self.root / "install"

    @property
    def colcon_log(self) -> Path:
        return self.root / "log"

    @property
    def state(self) -> Path:
        """Stamps, lock and logs of the set-up; safe to delete, which only costs time."""
        return self.root / ".workcell"

    @property
    def setup_log(self) -> Path:
        return self.state / "setup.log"

    @property
    def lock_file(self) -> Path:
        return self.root / "standalone" / "bootstrap" / "requirements.lock"

    @property
    def requirements(self) -> Path:
        return self.root / "standalone" / "bootstrap" / "requirements.in"

    @property
    def launch_file(self) -> Path:
        return self.root / "launch" / "workcell.launch.py"

    @property
    def interfaces(self) -> Path:
        return self.root / INTERFACES

    def interface_package(self, package: str) -> Path:
        """The source folder of an interface package, ours or one that the wheels lack."""
        return self.root / "standalone" / package if package in LACKING_INTERFACES else self.root / package

    @property
    def launch_subset(self) -> Path:
        return self.root / "standalone" / "ros_launch"

    def is_isolated_install(self) -> bool:
        """Whether `install/` has one prefix a package, as plain `colcon build` makes it."""
        try:
            marker = (self.install / ".colcon_install_layout").read_text(encoding="ascii")
        except OSError:
            return False
        return marker.strip() == "isolated"

    def venv_site_packages(self) -> Path | None:
        """The venv's site-packages folder, or None while there is no venv."""
        return site_packages(self.venv)


def site_packages(prefix: Path) -> Path | None:
    """The `lib/pythonX.Y/site-packages` folder below a prefix, or None."""
    try:
        versions = sorted(entry for entry in os.listdir(prefix / "lib") if entry.startswith("python3"))
    except OSError:
        return None
    for version in versions:
        folder = prefix / "lib" / version / "site-packages"
        if folder.is_dir():
            return folder
    return None
