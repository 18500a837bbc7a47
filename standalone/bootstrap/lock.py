# SPDX-License-Identifier: Apache-2.0
"""Renew requirements.lock: every distribution that requirements.in brings in, with its exact version."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from .layout import Layout

_HEADER = """\
# Exact versions of everything in .venv, direct or not. Made from requirements.in by `./workcell lock`;
# the reasons are there. Valid for CPython 3.11 to 3.13 on x86-64 Linux.
"""


def renew(layout: Layout, python: Path) -> int:
    """Resolve requirements.in from nothing and write the lock file; returns the number of pins.

    Raises:
        subprocess.CalledProcessError: the resolver failed; its message is on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
             "--report", str(report), "-r", str(layout.requirements)],
            check=True,
        )  # fmt: skip
        text = report.read_text(encoding="utf-8")
    pins = pins_of_report(text)
    layout.lock_file.write_text(_HEADER + "".join(f"{pin}\n" for pin in pins), encoding="utf-8")
    return len(pins)


def pins_of_report(report: str) -> list[str]:
    """`name==version` of every distribution in pip's installation report, sorted by name."""
    found = {
        entry["metadata"]["name"].lower(): entry["metadata"]["version"] for entry in json.loads(report)["install"]
    }
    return [f"{name}=={version}" for name, version in sorted(found.items())]
