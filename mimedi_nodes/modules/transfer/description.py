# SPDX-License-Identifier: Apache-2.0
"""The robot description of urdf/: the only place with dimensions. xacro expands it; what it gave is kept on disk.

Lengths in m, angles in rad, frame of the world: workcell_base.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...process.errors import WorkcellError
from ..registry import config_folder

Array = NDArray[np.float64]

TOOL = "gripper_tcp"
DOCK_PREFIX, FIDUCIAL_PREFIX = "cassette_dock_", "fiducial_"


class RobotModelError(WorkcellError):
    """The robot model cannot be read, or has not what was asked for."""


def urdf_folder() -> Path:
    """Return the folder of the robot model, beside config/ in the source tree and in an installation."""
    return config_folder().parent / "urdf"


def cache_folder() -> Path:
    """Return where what can be made again is kept between runs; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimedi"


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Return the hash of every file that the robot description is made of.

    Raises:
        RobotModelError: they cannot be read.
    """
    found = hashlib.sha256()
    try:
        for path in sorted(urdf_folder().glob("*.xacro")):
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    except OSError as error:
        raise RobotModelError(f"{urdf_folder()}: {error}") from error
    return found.hexdigest()


def robot_description(cassettes: Iterable[str] = (), prefix: str = "") -> str:
    """Return the URDF, with a cassette standing at each of the named docks.

    Raises:
        RobotModelError: xacro cannot expand it.
    """
    return _expanded("workcell.urdf.xacro", (("prefix", prefix), ("cassettes", " ".join(cassettes))))


def cassette_description() -> str:
    """Return the URDF of one cassette by itself; raises RobotModelError."""
    return _expanded("cassette.urdf.xacro", ())


@lru_cache(maxsize=16)
def _expanded(file: str, mappings: tuple[tuple[str, str], ...]) -> str:
    """Return a file expanded: as it was kept for these very sources, else by xacro, which takes a tenth of a second."""
    key = hashlib.sha256(repr((fingerprint(), file, mappings)).encode()).hexdigest()[:32]
    kept = cache_folder() / f"urdf-{key}.xml"
    with contextlib.suppress(OSError):
        text = kept.read_text(encoding="utf-8")
        if text.rstrip().endswith("</robot>"):
            return text
    import xacro

    path = urdf_folder() / file
    try:
        text = str(xacro.process_file(str(path), mappings=dict(mappings)).toxml())
    except (xacro.XacroException, OSError) as error:
        raise RobotModelError(f"{path}: {error}") from error
    # A disk that cannot keep it costs the time of the next expansion, nothing else.
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=kept.parent, delete=False) as file_:
            file_.write(text)
        Path(file_.name).replace(kept)
    return text
