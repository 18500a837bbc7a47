# SPDX-License-Identifier: Apache-2.0
"""Whether the file on disk is still the database that is open, with all that was committed to it.

SQLite keeps pages in memory and commits to its log: a database that is cut short, or whose name is given to another
file, under a running program is written on without a word, and what was acknowledged is gone at the next start. Neither
file shrinks in a program that never vacuums (SQLite documentation, "Write-Ahead Logging", 4.3), so that this shows.
"""

from __future__ import annotations

import os
from pathlib import Path

from .errors import LostFileError

OF_A_RECORD = (
    "run `workcell verify` on the run; if it was altered, keep it as it is and restore a copy of the run folder"
)


class FileGuard:
    """Watches a database file in WAL mode and its log.

    Args:
        path: the database, open already.
        advice: what to do when it is lost.
    """

    def __init__(self, path: Path, advice: str = OF_A_RECORD) -> None:
        self._advice = advice
        self._files = (path, Path(f"{path}-wal"))
        self._seen: list[os.stat_result] = []

    def note(self) -> None:
        """Remember the files as they are after a commit; raises LostFileError when one is not there."""
        self._seen = [self._stat(path) for path in self._files]

    def check(self) -> None:
        """Raise LostFileError when a file is another one, or shorter, than it was at the last `note`."""
        for path, before in zip(self._files, self._seen, strict=False):
            now = self._stat(path)
            if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino):
                raise LostFileError(f"{path}: another file took its place while it was in use; {self._advice}")
            if now.st_size < before.st_size:
                raise LostFileError(f"{path}: was cut from {before.st_size} to {now.st_size} bytes; {self._advice}")

    def _stat(self, path: Path) -> os.stat_result:
        try:
            return path.stat()
        except OSError as error:
            raise LostFileError(f"{path}: {error.strerror} while it was in use; {self._advice}") from error
