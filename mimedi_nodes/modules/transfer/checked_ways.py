# SPDX-License-Identifier: Apache-2.0
"""No way is gone unchecked; and no way is checked twice.

A verdict depends on the robot model, the checker and the way with what stands beside it, on nothing else. The hash of
all of these is kept once the way was found free, so that the same way in the same workcell needs no MuJoCo: loading it
and both models takes longer than a whole batch on virtual time. Only "free" is kept, and only as such a hash: a torn or
foreign line in the file frees nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .description import cache_folder, fingerprint
from .planning import Move

_CHECKER = ("collision.py", "workcell_model.py")


@dataclass(frozen=True)
class Surroundings:
    """What stands beside a way.

    Args:
        cassettes: docks where cassettes stand (without the one that is carried).
        carried: whether one is carried.
        may_touch: links that the carried cassette may touch: the plates that it leaves and reaches.
    """

    cassettes: frozenset[str]
    carried: bool
    may_touch: frozenset[str] = frozenset()


class CheckedWays:
    """The ways that were found free.

    Args:
        folder: where they are kept; in memory only when None or not writable.
    """

    def __init__(self, folder: Path | None) -> None:
        self._basis = _basis()
        self._file = None if folder is None else folder / f"ways-{self._basis[:16]}.txt"
        self._free: set[str] = set()
        self.checked = 0
        """Ways that were looked at now, since nobody had before."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._free = set(self._file.read_text(encoding="ascii", errors="replace").split("\n"))

    def check(self, moves: Iterable[Move], surroundings: Surroundings) -> None:
        """Look at the whole way of each move that is not known to be free.

        Raises:
            PathError: one would collide; names place and link.
        """
        found = []
        for move in moves:
            key = self._key(move, surroundings)
            if key not in self._free:
                self._look(move, surroundings)
                found.append(key)
        self.checked += len(found)
        self._keep(found)

    def _look(self, move: Move, surroundings: Surroundings) -> None:
        from .collision import CollisionChecker

        CollisionChecker(
            surroundings.cassettes, carried=surroundings.carried, may_touch=surroundings.may_touch
        ).check(move)

    def _key(self, move: Move, surroundings: Surroundings) -> str:
        ends = [[f"{value:.7f}" for value in pose.as_array()] for pose in (move.start, move.end)]
        around = (sorted(surroundings.cassettes), surroundings.carried, sorted(surroundings.may_touch))
        return hashlib.sha256(repr((self._basis, ends, around)).encode()).hexdigest()

    def _keep(self, keys: list[str]) -> None:
        self._free.update(keys)
        if self._file is None or not keys:
            return
        # A disk that cannot keep them costs the time of another check, nothing else.
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._file.open("a", encoding="ascii") as file:
                file.write("".join(f"\n{key}" for key in keys) + "\n")


@lru_cache(maxsize=1)
def known_ways() -> CheckedWays:
    """Return the ways that this user's cache knows, read once."""
    return CheckedWays(cache_folder())


@lru_cache(maxsize=1)
def _basis() -> str:
    """Return the hash of what every verdict rests on: the robot model, the checker's text, MuJoCo's version."""
    found = hashlib.sha256(fingerprint().encode())
    for name in _CHECKER:
        found.update(Path(__file__).with_name(name).read_bytes())
    found.update(_engine().encode())
    return found.hexdigest()


def _engine() -> str:
    for name in ("mujoco-core", "mujoco"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "unknown"
