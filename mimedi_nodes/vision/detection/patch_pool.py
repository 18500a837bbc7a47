# SPDX-License-Identifier: Apache-2.0
"""Places for the pictures of tracked cells: who owns which, and what is known of each."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.kernels import kernel

# The kernel reads so many numbers at a time.
_LANES = 16
# Places that nobody owns: the mean cell, and scratch for the mean cell made longer and wider.
MEAN, SCRATCH, _FIRST = 0, 1, 2
_NOBODY = -1


class _Places(ctypes.Structure):
    """`places` of kernel_source/places.c."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("count", "channels", "size", "stride", "mean_count", "used")),
        *((name, ctypes.c_void_p) for name in ("pool", "owner", "seen", "reach", "learnt")),
        ("extent", ctypes.c_double * 2)]


class PatchPool:
    """Patches (places, C, P, P) float32, by place: 0 is the mean cell's, the first two are no track's.

    A place is its owner's (a track's number) until that is gone. `seen`: for how many frames in which the cell stood
    alone its patch counts, `learnt`: whether anything came from overlaps, `reach`: how far from its middle a patch is
    not 0, px (along, across).

    Args:
        size: odd side of a patch, px.
        channels: images of a patch.
    """

    def __init__(self, size: int, channels: int) -> None:
        self.size, self.channels = size, channels
        # A patch stands between rows and columns of zeros: shifted by part of a pixel it still ends softly.
        self.stride = (size + 2 + _LANES + _LANES - 1) // _LANES * _LANES
        self.state = _Places(0, channels, size, self.stride)
        self.address = ctypes.addressof(self.state)
        self._pool, self.owner = np.empty(0, np.float32), np.empty(0, np.int64)
        self.seen, self.reach, self.learnt = np.empty(0, np.int32), np.empty((0, 2), np.int32), np.empty(0, bool)
        self._grow(64)

    @property
    def start(self) -> int:
        """Address of the first patch."""
        return int(self.state.pool)

    @property
    def reach_at(self) -> int:
        """Address of `reach`."""
        return int(self.state.reach)

    def make_room(self, more: int) -> None:
        """See to it that so many tracks more can be given a place."""
        if self.state.used + more > self.state.count - _FIRST:
            self._grow(2 * (self.state.count + more))

    def place_for(self, track_id: int) -> int:
        """The place of a track, a new one if it has none."""
        found = np.flatnonzero(self.owner == track_id)
        if not len(found):
            self.make_room(1)
            found = np.flatnonzero(self.owner[_FIRST:] == _NOBODY) + _FIRST
            self.owner[found[0]] = track_id
            self.state.used += 1
        return int(found[0])

    def places_of(self, ids: NDArray[np.int64]) -> NDArray[np.int32]:
        """Places of these tracks, the mean cell's for who has none, or is none (-1); (N,)."""
        owned = (self.owner[_FIRST:] == ids[:, None]) & (ids[:, None] != _NOBODY)
        return np.where(owned.any(axis=1), owned.argmax(axis=1) + _FIRST, MEAN).astype(np.int32)

    def kept(self, places: NDArray[np.int32]) -> NDArray[np.bool_]:
        """For which of these places a patch is kept of who owns them."""
        kept: NDArray[np.bool_] = (places != MEAN) & (self.learnt[places] | (self.seen[places] > 0))
        return kept

    def release_all_but(self, alive: NDArray[np.int64]) -> None:
        """Free the places of tracks that are not among these."""
        gone = (self.owner != _NOBODY) & ~np.isin(self.owner, alive)
        self.owner[gone], self.seen[gone], self.reach[gone], self.learnt[gone] = _NOBODY, 0, 0, False
        self.state.used -= int(gone.sum())

    def _grow(self, places: int) -> None:
        one, before = self.channels * (self.size + 2) * self.stride, len(self.seen)
        pool = np.zeros(2 * kernel.SLACK + places * one, np.float32)
        pool[:len(self._pool)] = self._pool
        owner, seen = np.full(places, _NOBODY, np.int64), np.zeros(places, np.int32)
        reach, learnt = np.zeros((places, 2), np.int32), np.zeros(places, bool)
        owner[:before], seen[:before], reach[:before], learnt[:before] = self.owner, self.seen, self.reach, self.learnt
        self._pool, self.owner, self.seen, self.reach, self.learnt = pool, owner, seen, reach, learnt
        own = pool[kernel.SLACK:kernel.SLACK + places * one]
        self.patches = own.reshape(places, self.channels, self.size + 2, self.stride)[:, :, 1:-1, :self.size]
        state = self.state
        state.count, state.pool = places, pool.ctypes.data + 4 * kernel.SLACK
        state.owner, state.seen, state.reach, state.learnt = (a.ctypes.data for a in (owner, seen, reach, learnt))
