# SPDX-License-Identifier: Apache-2.0
"""A copy of a line's traffic in a file, to see afterwards what was said."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

_LOG = logging.getLogger(__name__)


class TrafficCapture:
    """JSON lines `{"t_s", "line", "dir", "hex"}`, appended.

    `t_s` is the steady clock [s]; `dir` is `>` sent, `<` received, `?` incomplete at the deadline, `~` late
    and dropped, `!` line lost (text).
    """

    def __init__(self, path: Path, line: str) -> None:
        self._line = line
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="ascii", buffering=1)

    def note(self, direction: str, data: bytes) -> None:
        """Write one entry; a full disk ends the capture with a warning, never the traffic."""
        if self._file.closed:
            return
        entry = {"t_s": round(time.monotonic(), 6), "line": self._line, "dir": direction, "hex": data.hex()}
        try:
            self._file.write(json.dumps(entry) + "\n")
        except OSError as error:
            _LOG.warning("capture of line %s to %s ended: %s", self._line, self._path, error)
            self.close()

    def close(self) -> None:
        """End the capture; harmless when ended."""
        try:
            self._file.close()
        except OSError as error:
            _LOG.warning("capture of line %s: last entries lost: %s", self._line, error)
