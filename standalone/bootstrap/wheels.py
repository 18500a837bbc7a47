# SPDX-License-Identifier: Apache-2.0
"""Mend the ROS wheels after installation: their CMake exports name the machine that built them."""

from __future__ import annotations

import re
from pathlib import Path

# The wheels were built in the manylinux image, whose Pythons live here.
_BUILD_PYTHON = r"/opt/python/cp3\d+-cp3\d+"


def mend(share: Path, prefix: Path, site_packages: Path, include: Path, numpy_include: Path) -> int:
    """Replace the build machine's Python folders in every text file below `share`.

    Args:
        share: the venv's share folder.
        prefix: the venv, for what names the installation as a whole.
        site_packages: the venv's site-packages folder.
        include: the folder of Python.h.
        numpy_include: NumPy's headers; they moved between NumPy 1 and 2.

    Returns:
        The number of files changed; 0 when they are mended already.
    """
    replacements = (
        (re.compile(_BUILD_PYTHON + r"/include/python3\.\d+"), str(include)),
        (re.compile(_BUILD_PYTHON + r"/lib/python3\.\d+/site-packages/numpy/(?:_core|core)/include"),
         str(numpy_include)),
        (re.compile(_BUILD_PYTHON + r"/lib/python3\.\d+/site-packages"), str(site_packages)),
        (re.compile(_BUILD_PYTHON), str(prefix)),
    )  # fmt: skip
    changed = 0
    for path in sorted(share.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        if b"/opt/python/" not in content or b"\0" in content:
            continue
        text = mended = content.decode("utf-8")
        for pattern, replacement in replacements:
            mended = pattern.sub(replacement.replace("\\", r"\\"), mended)
        if mended != text:
            path.write_text(mended, encoding="utf-8")
            changed += 1
    return changed
