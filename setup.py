# SPDX-License-Identifier: Apache-2.0
"""Build of the ament_python package `mimedi_workcell`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

from setuptools import setup

NAME = "mimedi_workcell"

# Python package and the folder that it lies in. Only what is below these is taken, never find_packages():
# that would install test/, and standalone/'s stand-ins for ROS packages.
ROOTS = {"mimedi_nodes": "mimedi_nodes", "mimedi_sim": "sim/mimedi_sim"}


def walk(top: str) -> Iterator[tuple[str, list[str]]]:
    """Folders below `top`, itself first, with the files in each; no caches, no hidden or backup files."""
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        yield folder, sorted(name for name in files if not name.startswith(".") and not name.endswith("~"))


def packages() -> list[str]:
    """The root packages and all packages below them, by their __init__.py."""
    return [
        name + folder.removeprefix(top).replace("/", ".")
        for name, top in ROOTS.items()
        for folder, files in walk(top)
        if "__init__.py" in files
    ]


def package_data() -> dict[str, list[str]]:
    """What is no Python in the packages (templates, reference tables), by root package."""
    return {
        name: [
            os.path.relpath(os.path.join(folder, file), top)
            for folder, files in walk(top)
            for file in files
            if not file.endswith((".py", ".pyc"))
        ]
        for name, top in ROOTS.items()
    }


# Executable in lib/mimedi_workcell, and where its main() is.
EXECUTABLES = {
    "fluidics": "mimedi_nodes.nodes.fluidics",
    "acoustic_sorter": "mimedi_nodes.nodes.acoustic_sorter",
    "transduction": "mimedi_nodes.nodes.transduction",
    "incubator": "mimedi_nodes.nodes.incubator",
    "incubator_2": "mimedi_nodes.nodes.incubator_2",
    "vision_qc": "mimedi_nodes.nodes.vision_qc",
    "camera": "mimedi_nodes.nodes.camera",
    "enclosure": "mimedi_nodes.nodes.enclosure",
    "contamination_watch": "mimedi_nodes.nodes.contamination_watch",
    "transfer": "mimedi_nodes.nodes.transfer",
    "analytics": "mimedi_nodes.nodes.analytics",
    "coordinator": "mimedi_nodes.nodes.coordinator",
    "supervisor": "mimedi_nodes.nodes.supervisor",
    "recorder": "mimedi_nodes.nodes.recorder",
    "plant": "mimedi_nodes.nodes.plant",
    "robot_model": "mimedi_nodes.nodes.robot_model",
    "dashboard": "mimedi_nodes.dashboard.window",
}

# Installed below share/mimedi_workcell under the same names.
DATA_FOLDERS = ("launch", "config", "urdf", "sim/gazebo")
DATA_FILES = ("package.xml", "plugin.xml")


def data_files() -> list[tuple[str, list[str]]]:
    """Destination folders and the files that go there, as setuptools wants them."""
    share = f"share/{NAME}"
    placed: dict[str, list[str]] = defaultdict(list)
    placed["share/ament_index/resource_index/packages"].append(f"resource/{NAME}")
    placed[share].extend(name for name in DATA_FILES if os.path.isfile(name))
    for top in DATA_FOLDERS:
        for folder, files in walk(top):
            placed[f"{share}/{folder}"].extend(f"{folder}/{name}" for name in files)
    return [(where, files) for where, files in placed.items() if files]


setup(
    name=NAME,
    version="0.1.0",
    description="A workcell for cell therapies and its simulated plant",
    license="Apache-2.0",
    maintainer="mimedi maintainers",
    maintainer_email="maintainers@mimedi.example.org",
    python_requires=">=3.11",
    packages=packages(),
    # colcon refuses a folder that is mapped to its own name.
    package_dir={name: top for name, top in ROOTS.items() if name != top},
    package_data=package_data(),
    data_files=data_files(),
    install_requires=["setuptools"],
    zip_safe=True,
    entry_points={"console_scripts": [f"{name} = {module}:main" for name, module in EXECUTABLES.items()]},
)
