# SPDX-License-Identifier: Apache-2.0
"""Keys of the set-up steps: a step is done while its key is what its stamp says."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from .layout import INTERFACES, Layout


def digest(*parts: str | bytes) -> str:
    """SHA-256 over the parts, each with its length, as hexadecimal text."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(b"%d:" % len(data))
        total.update(data)
    return total.hexdigest()


def of_files(root: Path, files: Iterable[Path]) -> str:
    """Digest of names (below `root`) and contents; a missing file counts by its absence."""
    parts: list[str | bytes] = []
    for path in sorted(files):
        parts.append(os.path.relpath(path, root))
        parts.append(path.read_bytes() if path.is_file() else b"<missing>")
    return digest(*parts)


def interface_files(layout: Layout, package: str = INTERFACES) -> list[Path]:
    """The .msg, .srv and .action files and the build files of an interface package."""
    folder = layout.interface_package(package)
    found = [folder / "package.xml", folder / "CMakeLists.txt"]
    for kind in ("msg", "srv", "action"):
        found.extend((folder / kind).glob(f"*.{kind}"))
    return sorted(found)


def interfaces_key(layout: Layout, interpreter_key: str, package: str = INTERFACES) -> str:
    """What the built messages depend on: interfaces, interpreter, NumPy's and all other pinned versions."""
    return digest(interpreter_key, of_files(layout.root, interface_files(layout, package)))


def rehearsed_files(layout: Layout) -> list[Path]:
    """What the caches are made from that a batch fills: the vision kernel's sources, the robot model."""
    kernel = (layout.root / "mimedi_nodes" / "vision" / "kernel_source").glob("*.c")
    return sorted([*kernel, *(layout.root / "urdf").glob("*.xacro")])


# Installed as data: colcon links to each file, so that a change of content needs no rebuild, a new file does.
_DATA_FOLDERS = ("launch", "config", "urdf", "resource")
_CODE_FOLDERS = ("mimedi_nodes", "sim/mimedi_sim")
_BUILD_FILES = ("package.xml", "setup.py", "setup.cfg", "plugin.xml")


def package_key(layout: Layout, interpreter_key: str) -> str:
    """What the installed Python package depends on: its build files, and the names of code and data.

    Contents of code and data do not count: the installation links to them.
    """
    names = [
        os.path.relpath(Path(folder, name), layout.root)
        for top in _DATA_FOLDERS
        for folder, folders, files in _walk(layout.root / top)
        for name in files
    ]
    packages = [
        os.path.relpath(folder, layout.root)
        for top in _CODE_FOLDERS
        for folder, _, files in _walk(layout.root / top)
        if "__init__.py" in files
    ]
    build_files = of_files(layout.root, [layout.root / name for name in _BUILD_FILES])
    return digest(interpreter_key, build_files, *sorted(names), "|", *sorted(packages))


def _walk(top: Path) -> Iterable[tuple[str, list[str], list[str]]]:
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        yield folder, folders, files


def pinned_version(lock_text: str, name: str) -> str:
    """The version that the lock file pins for a distribution, or an empty text."""
    match = re.search(rf"^{re.escape(name)}==(\S+)", lock_text, re.MULTILINE | re.IGNORECASE)
    return match.group(1) if match else ""
