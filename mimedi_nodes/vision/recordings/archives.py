# SPDX-License-Identifier: Apache-2.0
"""The door for npz files from outside: what cannot be read is refused by name."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.settings import VisionInputError


def read_arrays(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Those of the named arrays that an npz file holds; nothing in it is executed.

    Raises:
        VisionInputError: not an npz file, cut off, or objects in it instead of numbers.
        OSError: no such file.
    """
    allowed = "an npz file of arrays of numbers, as numpy.savez writes it"
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise VisionInputError("file", path, allowed)
            return {name: stored[name] for name in names if name in stored}
    except VisionInputError:
        raise
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise VisionInputError("file", path, allowed, f"Reading it failed: {error}") from error


def scalar(arrays: dict[str, NDArray[Any]], name: str) -> float | None:
    """The one number of that name, None where there is none.

    Raises:
        VisionInputError: an array of several numbers, or no number.
    """
    if name not in arrays:
        return None
    value = arrays[name]
    if value.size != 1 or value.dtype.kind not in "iuf":
        raise VisionInputError(name, f"{value.dtype} {value.shape}", "one number")
    return float(value.reshape(-1)[0])


def check_pixels(name: str, images: NDArray[Any], shape: str, dimensions: int) -> None:
    """Raise VisionInputError unless `images` are mono8 or mono16 of so many dimensions, with anything in them."""
    if images.dtype not in (np.uint8, np.uint16):
        raise VisionInputError(f"{name} encoding", images.dtype, "uint8 (mono8) or uint16 (mono16)")
    if images.ndim != dimensions or images.size == 0:
        raise VisionInputError(name, images.shape, shape)
