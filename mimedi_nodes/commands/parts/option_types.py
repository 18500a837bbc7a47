# SPDX-License-Identifier: Apache-2.0
"""Types of command line options: what cannot be right is refused before anything is launched or simulated."""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

LARGEST_SEED = 2**31 - 1
"""Largest seed: the launch argument and the plant node's parameter are 32-bit integers."""
LARGEST_PORT = 65535


def seed(text: str) -> int:
    """Return a seed of the simulated noise; raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"is {text!r}; allowed: a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def port(text: str) -> int:
    """Return a TCP port, 0 for a free one; raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"is {text!r}; allowed: a whole number from 0 to {LARGEST_PORT}")
    return int(text)


def speed(text: str) -> str:
    """Return process time per wall time as the plant takes it, a factor or `max`; raises ArgumentTypeError."""
    if text == "max":
        return text
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0.0 < factor < math.inf:
        raise argparse.ArgumentTypeError(f"is {text!r}; allowed: max, or a factor above 0, for example 3600")
    return text


def json_target(text: str) -> str:
    """Return where JSON goes, a file or `-` for the screen; raises ArgumentTypeError when it cannot be written there.

    Looked at first, so that the result of a long run is not lost at its end.
    """
    path = Path(text)
    if text == "-":
        return text
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder; give a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {str(path.parent)!r} for {path.name!r}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text!r} may not be written")
    return text


def write_json(value: Any, target: str | None) -> None:
    """Write a result where `json_target` found that it can go; nowhere for None."""
    if target is None:
        return
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if target == "-":
        print(text)
    else:
        Path(target).write_text(text + "\n", encoding="utf-8")
