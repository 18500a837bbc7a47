# SPDX-License-Identifier: Apache-2.0
"""What a measurement must know of its chip and camera; everything else is estimated from the images."""

from __future__ import annotations

import math
from dataclasses import dataclass


class VisionInputError(ValueError):
    """An image, stamp or setting that the vision code refuses; names the field, its value and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str, remedy: str = "") -> None:
        self.field = field
        self.value = value
        self.allowed = allowed
        text = f"{field} is {value}; allowed: {allowed}"
        super().__init__(f"{text}. {remedy}" if remedy else text)


@dataclass(frozen=True)
class VisionSettings:
    """Geometry and timing of one measuring position.

    Args:
        um_per_px: object-side size of a pixel, µm, in (0, 20].
        wall_top_px, wall_bottom_px: rows of the channel's two walls, px, top < bottom.
        channel_depth_um: channel depth along the optical axis, µm, > 0.
        frame_rate_hz: nominal camera rate, Hz, > 0; the stamps decide what really happened.
        cell_diameter_min_um, cell_diameter_max_um: what counts as a cell, µm; smaller is debris, larger is
            a bubble or a clump.
        dye_dead_level: dye signal above background that tells dead from living cells when a sample holds only
            one of them, grey levels of an 8-bit picture, > 0; with both in view the data decide. From a stained control
            sample.
        fluorescence_lit_level: light above background below which no cell has class 1 or 2, grey levels likewise, >= 0:
            what cells give by themselves or through the other colour's filter. From an unstained control sample.
        stained_diameter_min_um: dying cells shrink, and beads do not take up dye: what is smaller than a cell but not
            than this is a dead cell when it is stained, µm, <= cell_diameter_min_um; 0: one limit for all.
        width_px, height_px: image size when known beforehand; 0: taken from the first frame.

    Raises:
        VisionInputError: a value outside its range.
    """

    um_per_px: float
    wall_top_px: float
    wall_bottom_px: float
    channel_depth_um: float
    frame_rate_hz: float
    cell_diameter_min_um: float = 5.0
    cell_diameter_max_um: float = 24.0
    dye_dead_level: float = 20.0
    fluorescence_lit_level: float = 8.0
    stained_diameter_min_um: float = 0.0
    width_px: int = 0
    height_px: int = 0

    def __post_init__(self) -> None:
        def need(ok: bool, field: str, allowed: str) -> None:
            value = getattr(self, field)
            if not (math.isfinite(value) and ok):
                raise VisionInputError(field, value, allowed, "Check the site configuration or the calibration.")

        need(0.0 < self.um_per_px <= 20.0, "um_per_px", "0 < um_per_px <= 20 µm")
        need(self.wall_bottom_px > self.wall_top_px, "wall_bottom_px", f"> wall_top_px ({self.wall_top_px} px)")
        need(self.channel_depth_um > 0.0, "channel_depth_um", "> 0 µm")
        need(self.frame_rate_hz > 0.0, "frame_rate_hz", "> 0 Hz")
        need(self.cell_diameter_min_um > 0.0, "cell_diameter_min_um", "> 0 µm")
        need(self.cell_diameter_max_um > self.cell_diameter_min_um, "cell_diameter_max_um",
             f"> cell_diameter_min_um ({self.cell_diameter_min_um} µm)")
        need(0.0 <= self.stained_diameter_min_um <= self.cell_diameter_min_um, "stained_diameter_min_um",
             f"0 <= stained_diameter_min_um <= cell_diameter_min_um ({self.cell_diameter_min_um} µm)")
        need(self.dye_dead_level > 0.0, "dye_dead_level", "> 0 grey levels")
        need(self.fluorescence_lit_level >= 0.0, "fluorescence_lit_level", ">= 0 grey levels")
        need(self.width_px >= 0, "width_px", ">= 0 px (0: from the first frame)")
        need(self.height_px >= 0, "height_px", ">= 0 px (0: from the first frame)")

    @property
    def particle_diameter_min_um(self) -> float:
        """The smallest thing worth finding, µm."""
        return self.stained_diameter_min_um or self.cell_diameter_min_um

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Rows and columns of a picture, None where they are taken from the first."""
        return (self.height_px, self.width_px) if self.height_px and self.width_px else None

    @property
    def channel_width_um(self) -> float:
        """Distance between the walls, µm."""
        return (self.wall_bottom_px - self.wall_top_px) * self.um_per_px
