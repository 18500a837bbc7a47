# SPDX-License-Identifier: Apache-2.0
"""What the watch remembers over its own death: the calibrated background, and the last screening of each batch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...instruments.wire.link import InstrumentError
from ...process.durable_file import write_durably
from .assay import MOST_BLANK_PER_S, MOST_DARK_PER_S, Background, Rate
from .organisms import Finding

MOST_BATCHES = 100
"""Batches whose last screening is kept, the oldest are forgotten first."""


class MemoryUnreadable(InstrumentError):
    """The file of what was calibrated cannot be used."""


class WatchMemory:
    """Background and findings, on disk when a call returns.

    Args:
        file: returns the file's path; None keeps everything in memory only.
    """

    def __init__(self, file: Callable[[], Path] | None = None) -> None:
        self._file = file
        self.background: Background | None = None
        self.findings: dict[str, Finding] = {}

    def load(self) -> None:
        """Read what an earlier life has kept.

        Raises:
            MemoryUnreadable: the file is there and cannot be used: an unknown background is not taken for a good one.
        """
        if self._file is None or not self._file().is_file():
            return
        path = self._file()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            known = data["background"]
            self.background = None if known is None else _background(known)
            self.findings = {batch: Finding(*map(_number, values)) for batch, values in data["findings"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MemoryUnreadable(
                "photon_counter", f"{path} cannot be used: {error}; remove it and calibrate the background"
            ) from error

    def keep_background(self, background: Background) -> None:
        """Keep a calibration."""
        self.background = background
        self._write()

    def keep_finding(self, batch_id: str, finding: Finding) -> None:
        """Keep the last screening of a batch."""
        self.findings.pop(batch_id, None)
        self.findings[batch_id] = finding
        for old in list(self.findings)[:-MOST_BATCHES]:
            del self.findings[old]
        self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        known = self.background
        text = json.dumps({
            "background": None if known is None else {
                "blank": [known.blank.per_s, known.blank.sd_per_s], "dark": [known.dark.per_s, known.dark.sd_per_s],
            },
            "findings": {b: [f.time_s, f.cfu_per_ml, f.sd_per_ml] for b, f in self.findings.items()},
        })  # fmt: skip
        write_durably(self._file(), text)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def _background(data: Any) -> Background:
    rates = {}
    for name, most in (("blank", MOST_BLANK_PER_S), ("dark", MOST_DARK_PER_S)):
        per_s, sd_per_s = map(_number, data[name])
        if not (0.0 < per_s <= most and 0.0 < sd_per_s <= most):
            raise ValueError(f"{name} is {per_s:g} ± {sd_per_s:g} counts/s; allowed above 0 to {most:g}")
        rates[name] = Rate(per_s, sd_per_s)
    return Background(rates["blank"], rates["dark"])
