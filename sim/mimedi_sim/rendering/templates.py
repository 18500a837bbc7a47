# SPDX-License-Identifier: Apache-2.0
"""Pre-rendered cell images on a sub-pixel grid: what the microscope shows of one cell, without noise.

Templates are signed 16-bit in units of 1/16 grey level, to be added to a background. Bright field: a dark disk with
a bright fringe and halo; dye: the projection of a filled sphere. Source: PHYSICS §11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mimedi_sim.models.imaging import blurred_disk, blurred_sphere, defocused_sigma_px

FRACTION_BITS = 4
GREY_SCALE = 1 << FRACTION_BITS
SUBPIXELS = 8
RADIUS_STEP = 1.035
"""Ratio between neighbouring template radii: radii are right within 1.8 %."""
DYE_CLASS_DEVIATES = (-1.27, -0.32, 0.32, 1.27)
"""Normal deviates of the four equally likely classes of dye brightness (means of the quarters of the law)."""
STEPS_PER_PX = 64
"""Steps per pixel in the table of a profile: a template is right within half a grey level."""
_TEMPLATES_KEPT = 12_000

FloatArray = npt.NDArray[np.float64]
Template = npt.NDArray[np.int16]
NumberArray = npt.NDArray[np.number[Any]]


@dataclass(frozen=True)
class Look:
    """How one kind of cell looks: contrasts relative to the bright-field level, brightness in the dye image.

    absorption: depth of the dark disk; fringe: bright ring of 0.15 a around it; halo: wide glow; dye_dn: grey
    levels at the cell's centre in the dye image, dye_cv its cell-to-cell spread.
    """

    absorption: float
    fringe: float
    halo: float
    dye_dn: float
    dye_cv: float


@dataclass(frozen=True)
class Optics:
    """What blurs an image: point spread (px), motion along x (px), distance from focus (µm)."""

    sigma_px: float
    motion_px: float = 0.0
    defocus_um: float = 0.0
    wavelength_um: float = 0.525
    aperture: float = 0.30

    @property
    def blur_px(self) -> float:
        """Gaussian width in px at the present focus."""
        return defocused_sigma_px(self.sigma_px, self.defocus_um, self.wavelength_um, self.aperture)


@lru_cache(maxsize=1024)
def _blurred_table(radius_px: float, sigma_px: float, sphere: bool) -> tuple[FloatArray, FloatArray]:
    """Return (distances, values) of a blurred disk or sphere, fine enough for linear interpolation."""
    reach = radius_px + 5.0 * sigma_px
    distance = np.linspace(0.0, reach, max(64, math.ceil(12.0 * reach)))
    shape = blurred_sphere if sphere else blurred_disk
    return distance, shape(radius_px, sigma_px, distance)


def _blurred(distance_px: FloatArray, radius_px: float, sigma_px: float, sphere: bool = False) -> FloatArray:
    distance, values = _blurred_table(radius_px, sigma_px, sphere)
    return np.interp(distance_px, distance, values, right=0.0)


def bright_field_profile(distance_px: FloatArray, radius_px: float, sigma_px: float, look: Look) -> FloatArray:
    """Return the relative change of brightness at distances from a cell's centre, same shape."""
    disk = _blurred(distance_px, radius_px, sigma_px)
    fringe = _blurred(distance_px, 1.15 * radius_px, sigma_px) - disk
    glow_width = math.hypot(0.35 * radius_px, sigma_px)
    glow = np.exp(-0.5 * ((distance_px - 1.15 * radius_px) / glow_width) ** 2) * (1.0 - disk)
    return -look.absorption * disk + look.fringe * fringe + look.halo * glow


def dye_profile(distance_px: FloatArray, radius_px: float, sigma_px: float) -> FloatArray:
    """Return the blurred projection of a filled sphere (1 at the centre of a sharp one), same shape."""
    return _blurred(distance_px, radius_px, sigma_px, sphere=True)


def radius_class(radius_px: float) -> int:
    """Return the class of template radii that a radius in px falls into."""
    return round(math.log(radius_px) / math.log(RADIUS_STEP))


@lru_cache(maxsize=4096)
def _steps(half: int, sub_y: int, sub_x: int, shift_px: float) -> npt.NDArray[np.intp]:
    """Return the distances from a cell's centre of the pixels of a template, in steps of a profile's table."""
    axis = np.arange(-half, half + 1, dtype=float)
    y = axis[:, None] - sub_y / SUBPIXELS
    x = axis[None, :] - sub_x / SUBPIXELS - shift_px
    return np.rint(np.hypot(y, x) * STEPS_PER_PX).astype(np.intp)


def _motion_shifts(motion_px: float) -> list[float]:
    if motion_px < 0.02:
        return [0.0]
    samples = max(3, math.ceil(motion_px * 4))
    return [motion_px * ((i + 0.5) / samples - 0.5) for i in range(samples)]


class TemplateBank:
    """Templates of all kinds of cells for one set of optics, rendered when first needed.

    A template holds both images, bright field and dye, shape (2, 2h+1, 2h+1): one addition places a cell in both.
    """

    def __init__(self, looks: Sequence[Look], bright_level_dn: float, optics: Optics) -> None:
        self._looks = tuple(looks)
        self._level = bright_level_dn
        self._optics = optics
        self._profiles: dict[tuple[int, int, int], tuple[int, tuple[NumberArray, NumberArray]]] = {}
        self._templates: dict[int, Template] = {}

    def template(self, kind: int, radius: int, sub_y: int, sub_x: int, brightness: int) -> Template:
        """Return the template of a kind, radius class, sub-pixel phase (0..7) and dye class (0..3)."""
        key = ((((kind << 10) + radius + 512 << 3) + sub_y << 3) + sub_x << 2) + brightness
        found = self._templates.get(key)
        if found is None:
            if len(self._templates) >= _TEMPLATES_KEPT:
                self._templates.clear()
            found = self._templates[key] = self._render(kind, radius, sub_y, sub_x, brightness)
        return found

    def _render(self, kind: int, radius: int, sub_y: int, sub_x: int, brightness: int) -> Template:
        half, tables = self._profile(kind, radius, brightness)
        side = 2 * half + 1
        template = np.empty((2, side, side), np.int16)
        steps = [_steps(half, sub_y, sub_x, shift) for shift in _motion_shifts(self._optics.motion_px)]
        for image, table in zip(template, tables, strict=True):
            if len(steps) == 1:
                table.take(steps[0], out=image)
            else:
                image[...] = np.rint(sum(table[step] for step in steps) / len(steps))
        return template

    def _profile(self, kind: int, radius: int, brightness: int) -> tuple[int, tuple[NumberArray, NumberArray]]:
        """Return the half side of a kind's template [px], and both images over the distance in 1/16 grey level.

        Whole numbers for a cell at rest; smeared ones are rounded once their images are added up.
        """
        found = self._profiles.get((kind, radius, brightness))
        if found is None:
            optics, look, radius_px = self._optics, self._looks[kind], RADIUS_STEP**radius
            half = math.ceil(1.35 * radius_px + 2.5 * optics.blur_px + 0.5 * optics.motion_px)
            reach = math.ceil((math.sqrt(2.0) * (half + 1.0) + 0.5 * optics.motion_px) * STEPS_PER_PX) + 1
            distance = np.arange(reach + 1) / STEPS_PER_PX
            sigma = math.sqrt(math.log1p(look.dye_cv**2))
            dye_dn = look.dye_dn * math.exp(sigma * DYE_CLASS_DEVIATES[brightness])
            bright: NumberArray = bright_field_profile(distance, radius_px, optics.blur_px, look) * self._level
            dye: NumberArray = dye_profile(distance, radius_px, optics.blur_px) * dye_dn
            if len(_motion_shifts(optics.motion_px)) == 1:
                bright, dye = (np.rint(table * GREY_SCALE).astype(np.int16) for table in (bright, dye))
            else:
                bright, dye = bright * GREY_SCALE, dye * GREY_SCALE
            found = self._profiles[kind, radius, brightness] = (half, (bright, dye))
        return found


@lru_cache(maxsize=4)
def template_bank(looks: tuple[Look, ...], bright_level_dn: float, optics: Optics) -> TemplateBank:
    """Return the bank of these looks and optics: cameras that show alike share it, as do the batches of a campaign."""
    return TemplateBank(looks, bright_level_dn, optics)
