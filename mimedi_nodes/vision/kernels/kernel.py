# SPDX-License-Identifier: Apache-2.0
"""The inner loops of the overlap fit and of the blob features in C, compiled once per machine that has a compiler.

Without a compiler, or with MIMEDI_NO_KERNEL set, callers use their NumPy or OpenCV version of the same. The library is
kept in the user's cache, named by the hash of its source, so that it is never older than the files in kernel_source.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

SOURCE = "\n".join(
    (Path(__file__).parent / "kernel_source" / f"{part}.c").read_text(encoding="utf-8")
    for part in ("lanes", "tables", "images", "blobs", "fit", "places", "overlaps", "cells", "pairs", "solve", "sort",
                 "links", "smooth", "bubbles")
)
"""One translation unit; each part uses what stands before it."""

# Arguments (i: int, L: 64 bits, p: pointer, d: double) and result of each function of the source.
_SIGNATURES: dict[str, tuple[str, Any]] = {
    "look_at_frame": ("ppiiip", ctypes.c_int),
    "measure_shift": ("piiippipddd", ctypes.c_double),
    "against_shifted": ("ppiidp", None),
    "smooth_and_mark": ("piididppp", None),
    "close_gaps": ("piip", None),
    "empty_around": ("ppiii" + "pppp", ctypes.c_int),
    "follow_level": ("pppii" + "ddd", None),
    "find_bubbles": ("ippii" + "ddd" + "pp", ctypes.c_int),
    "release_places": ("pip", None),
    "places_to_learn": ("pi" + "ppp" + "i" + "pp", None),
    "patch_lights": ("pipip", None),
    "patch_sizes": ("pipdp", None),
    "means_around": ("piii" + "pp" + "ip", None),
    "find_blobs": ("ppii" + "dddd" + "ppppp" + "ipi", ctypes.c_int),
    "size_blobs": ("ipppii" + "p" + "ddddd" + "ppppp", None),
    "fit_cells": ("iiiiiii" + "p" * 14 + "idd", None),
    "remember_alone": ("piip" + "ipp" + "iiid", ctypes.c_int),
    "size_of_detection": ("", ctypes.c_int),
    "size_of_track": ("", ctypes.c_int),
    "predict_tracks": ("ipddpidd" + "pp", None),
    "expect_cells": ("ipd" + "ppp", None),
    "advance_tracks": ("ipipppp" + "id" + "pi" + "pppp", ctypes.c_int),
    "settle_tracks": ("ipip" + "pip" + "ddpid" + "dd" + "iLi" + "pd" + "ppp", ctypes.c_int),
    "sizes_of_tracks": ("ipdpp", ctypes.c_int),
    "report_tracks": ("ipddiid" + "ddpid" + "pp", None),
    "flow_learn": ("ippddipddppp", ctypes.c_double),
    "solve_overlaps": ("ppi" + "pppp" + "ii" + "ppppppppp" + "p", ctypes.c_int),
    "sort_by_expectation": ("pppippp" + "p", None),
    "list_detections": ("ppp" + "ip" + "ddid" + "p", ctypes.c_int),
    "typical_of": ("ipdpp", ctypes.c_int),
    "smooth_tracks": ("i" + "pppppp" + "dd" + "pp", None),
    "one_or_two": ("pp" + "dddddddd" + "p", None),
}

SLACK = 64
"""Numbers that must stand behind an image (or a line of scratch) that the kernel writes in steps."""

_FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fassociative-math", "-fno-signed-zeros",
          "-fno-trapping-math", "-shared", "-fPIC", "-std=c99", "-x", "c"]


@functools.lru_cache(maxsize=1)
def _loaded() -> ctypes.CDLL | None:
    if os.environ.get("MIMEDI_NO_KERNEL"):
        return None
    try:
        return ctypes.CDLL(str(_library()))
    except (OSError, subprocess.SubprocessError) as error:
        # Not in silence: what was three to eight times faster yesterday is missed today.
        logging.getLogger(__name__).warning("vision runs without its compiled kernel, slower: %s", error)
        return None


def prepare() -> bool:
    """Compile and load the kernel now rather than at the first image; False where it cannot be had."""
    return _loaded() is not None


@functools.lru_cache(maxsize=32)
def compiled(name: str) -> Any | None:
    """The compiled function of that name, or None where it cannot be had."""
    arguments, result = _SIGNATURES[name]
    library = _loaded()
    if library is None:
        return None
    function = getattr(library, name)
    kinds = {"i": ctypes.c_int, "p": ctypes.c_void_p, "d": ctypes.c_double, "L": ctypes.c_int64}
    function.argtypes = [kinds[letter] for letter in arguments]
    function.restype = result
    return function


def _library() -> Path:
    """Path of the compiled library; compiles it the first time.

    Raises:
        OSError: no compiler, or no writable cache.
        subprocess.SubprocessError: the compiler failed.
    """
    # The processor's name is part of the key: a cache on a shared home may serve different machines.
    key = hashlib.sha256("\n".join([SOURCE, *_FLAGS, platform.machine(), _processor()]).encode()).hexdigest()[:16]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimedi"
    target = base / f"vision-{key}.so"
    if target.exists():
        return target
    compiler = next((path for name in ("cc", "gcc", "clang", "g++") if (path := shutil.which(name))), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        source, built = Path(scratch) / "vision.c", Path(scratch) / "vision.so"
        source.write_text(SOURCE, encoding="utf-8")
        subprocess.run([compiler, *_FLAGS, str(source), "-o", str(built)], check=True, capture_output=True, timeout=60)
        built.replace(target)
    return target


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), platform.processor())


if __name__ == "__main__":
    print("vision kernel ready" if prepare() else "no C compiler: the vision runs without its kernel, slower")
