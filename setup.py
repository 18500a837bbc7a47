# SPDX-License-Identifier: Apache-2.0
"""Build of the ament_python package `mimedi_workcell`."""

from __future__ import annotations

import os
from collections import defaultdict

from setuptools import setup

NAME = "mimedi_workcell"

# Named, never found: find_packages() would take test/, and standalone/'s stand-ins for ROS packages.
NODE_PACKAGES = [
    "mimedi_nodes",
    "mimedi_nodes.commands",
    "mimedi_nodes.dashboard",
    "mimedi_nodes.instruments",
    "mimedi_nodes.modules",
    "mimedi_nodes.nodes",
    "mimedi_nodes.process",
    "mimedi_nodes.records",
    "mimedi_nodes.vision",
]
SIM_PACKAGES = [
    "mimedi_sim",
    "mimedi_sim.firmware",
    "mimedi_sim.models",
    "mimedi_sim.plant",
]

# Executable in lib/mimedi_workcell, and where its main() is.
EXECUTABLES = {
    "fluidics": "mimedi_nodes.nodes.fluidics",
    "acoustic_sorter": "mimedi_nodes.nodes.acoustic_sorter",
    "transduction": "mimedi_nodes.nodes.transduction",
    "incubator": "mimedi_nodes.nodes.incubator",
    "vision_qc": "mimedi_nodes.nodes.vision_qc",
    "coordinator": "mimedi_nodes.nodes.coordinator",
    "supervisor": "mimedi_nodes.nodes.supervisor",
    "recorder": "mimedi_nodes.nodes.recorder",
    "plant": "mimedi_nodes.nodes.plant",
    "dashboard": "mimedi_nodes.dashboard.window",
}

# Installed below share/mimedi_workcell under the same names.
DATA_FOLDERS = ("launch", "config", "urdf")
DATA_FILES = ("package.xml", "plugin.xml")
PACKAGE_DATA = ("*.html", "*.j2", "*.sql", "*.json", "*.yaml", "*.css", "*.ui", "py.typed")


def data_files() -> list[tuple[str, list[str]]]:
    """Destination folders and the files that go there, as setuptools wants them."""
    share = f"share/{NAME}"
    placed: dict[str, list[str]] = defaultdict(list)
    placed["share/ament_index/resource_index/packages"].append(f"resource/{NAME}")
    placed[share].extend(name for name in DATA_FILES if os.path.isfile(name))
    for top in DATA_FOLDERS:
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
            kept = sorted(name for name in files if not name.startswith(".") and not name.endswith("~"))
            placed[f"{share}/{folder}"].extend(f"{folder}/{name}" for name in kept)
    return [(where, files) for where, files in placed.items() if files]


setup(
    name=NAME,
    version="0.1.0",
    description="A workcell for cell therapies and its simulated plant",
    license="Apache-2.0",
    maintainer="mimedi maintainers",
    maintainer_email="maintainers@mimedi.example.org",
    python_requires=">=3.11",
    packages=[*NODE_PACKAGES, *SIM_PACKAGES],
    package_dir={"mimedi_sim": "sim/mimedi_sim"},
    package_data={package: list(PACKAGE_DATA) for package in (*NODE_PACKAGES, *SIM_PACKAGES)},
    data_files=data_files(),
    install_requires=["setuptools"],
    zip_safe=True,
    entry_points={"console_scripts": [f"{name} = {module}:main" for name, module in EXECUTABLES.items()]},
)
