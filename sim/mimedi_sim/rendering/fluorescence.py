# SPDX-License-Identifier: Apache-2.0
"""The microscope's two fluorescence images: antibodies against what the transgene shows, and against cells that are
no T cells.

The first colour lights cells that show the transgene (CAR, marker or reporter), the second monocytes and other
leukocytes (CD14, CD19, CD56): class 1, class 2, and T cells without the transgene, which have neither. They are
rendered beside bright field and dead dye, by the same kind of templates, only when somebody asks for them.
Source: PHYSICS §11; brightness, spread, spill-over and binding to dead cells [calibration].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mimedi_sim.random_streams import RandomStream
from mimedi_sim.rendering.camera import Image, MicroscopeCamera, digitised, place
from mimedi_sim.rendering.cell_field import Cells
from mimedi_sim.rendering.templates import (
    DYE_CLASS_DEVIATES,
    GREY_SCALE,
    RADIUS_STEP,
    STEPS_PER_PX,
    NumberArray,
    Optics,
    TemplateBank,
    dye_profile,
)

STAINED_DN = (90.0, 80.0)
"""Grey levels at the centre of a stained cell, by colour."""
STAIN_CV = 0.25
SPILL = 0.02
"""Share of a colour's light that passes the other one's filter."""
UNSPECIFIC = (0.01, 0.08)
"""Of a stained cell's light: that of a living cell without the antigen, and of a dead one, which binds anything."""
NONE, TRANSGENE, OTHER, DEAD = range(4)
"""What a cell is to the two antibodies; the first three are vision's classes."""


class _StainBank(TemplateBank):
    """Templates of both colours by what a cell is to the antibodies: shape (2, side, side)."""

    def __init__(self, optics: Optics) -> None:
        super().__init__((), 0.0, optics)

    def _profile(self, kind: int, radius: int, brightness: int) -> tuple[int, tuple[NumberArray, NumberArray]]:
        found = self._profiles.get((kind, radius, brightness))
        if found is None:
            optics, radius_px = self._optics, RADIUS_STEP**radius
            half = math.ceil(1.35 * radius_px + 2.5 * optics.blur_px + 0.5 * optics.motion_px)
            reach = math.ceil((math.sqrt(2.0) * (half + 1.0) + 0.5 * optics.motion_px) * STEPS_PER_PX) + 1
            shape = dye_profile(np.arange(reach + 1) / STEPS_PER_PX, radius_px, optics.blur_px)
            spread = math.exp(math.sqrt(math.log1p(STAIN_CV**2)) * DYE_CLASS_DEVIATES[brightness])
            tables = [shape * level * spread * GREY_SCALE for level in levels_dn(kind)]
            first: NumberArray = tables[0]
            second: NumberArray = tables[1]
            if optics.motion_px < 0.02:  # whole numbers for a cell at rest, as the bank takes them
                first, second = (np.rint(table).astype(np.int16) for table in tables)
            found = self._profiles[kind, radius, brightness] = (half, (first, second))
        return found


def levels_dn(kind: int) -> tuple[float, float]:
    """Return the mean grey levels of a cell in both colours."""
    low = UNSPECIFIC[1] if kind == DEAD else UNSPECIFIC[0]
    own = [STAINED_DN[k] * (1.0 if kind == k + 1 else low) for k in (0, 1)]
    return own[0] + SPILL * own[1], own[1] + SPILL * own[0]


class FluorescenceImages:
    """Both colours of a microscope's frames; equal arguments, equal images."""

    def __init__(self, camera: MicroscopeCamera) -> None:
        self._camera = camera
        self._stains = _StainBank(camera.optics)
        self._optics = camera.optics
        offset = camera.settings.dye_offset_dn
        self._background = np.stack([
            np.rint(camera.fixed_pattern(f"fluorescence {k}") * offset * GREY_SCALE).astype(np.int16) for k in (1, 2)
        ])
        self._signal, self._sigma = np.empty_like(self._background), np.empty_like(self._background)
        self._sigma_of = camera.noise_table(camera.settings.dye_gain_dn_e, offset)
        self._offsets = RandomStream(camera.seed, camera.name, "noise offset fluorescence")

    def render(self, frame_index: int, cells: Cells, kind: npt.NDArray[np.int64]) -> tuple[Image, Image]:
        """Return both images (height, width) uint8 of a frame; kind: what each cell is to the antibodies, (N,)."""
        camera = self._camera
        if camera.optics != self._optics:
            self._optics, self._stains = camera.optics, _StainBank(camera.optics)
        signal = self._signal
        np.copyto(signal, self._background)
        if len(cells.id):
            place(signal, self._stains, cells, kind, np.minimum((_uniform(_own(cells), 1) * 4.0).astype(np.int64), 3))
        sigma = camera.noise_of(self._sigma_of, signal, self._sigma)
        for k in (0, 1):
            np.multiply(sigma[k], camera.noise(2 * frame_index + k, self._offsets), out=sigma[k])
        images = digitised(signal, sigma)
        return images[0], images[1]


def stained_kinds(cells: Cells, shares: Mapping[int, Sequence[float]], alive: Sequence[bool]) -> npt.NDArray[np.int64]:
    """Return what each cell is to the antibodies, (N,): drawn by what is its own, so that it stays so from frame to
    frame.

    Args: shares: of TRANSGENE and OTHER in a population, by its index (none: neither); alive: of each population.
    """
    first, second = np.zeros(len(alive)), np.zeros(len(alive))
    for population, (transgene, other) in shares.items():
        first[population], second[population] = transgene, other
    drawn = _uniform(_own(cells), 0)
    kind = np.where(drawn < first[cells.kind], TRANSGENE, np.where(drawn < (first + second)[cells.kind], OTHER, NONE))
    return np.where(np.asarray(alive)[cells.kind], kind, DEAD).astype(np.int64)


def _own(cells: Cells) -> npt.NDArray[np.int64]:
    """Return a number of each cell's own, (N,): two seeds number their cells alike, what they drew differs."""
    return cells.id ^ np.ascontiguousarray(cells.dye, dtype=np.float64).view(np.int64)


def _uniform(identity: npt.NDArray[np.int64], channel: int) -> npt.NDArray[np.float64]:
    """Return a number 0..1 of each identity (SplitMix64's mixing function; Steele, Lea & Flood 2014)."""
    with np.errstate(over="ignore"):
        z = identity.astype(np.uint64) * np.uint64(2) + np.uint64(channel + 1)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
