# SPDX-License-Identifier: Apache-2.0
"""The microscope camera of the twin: bright-field and dye images of the cells in the imaging channel.

A frame is a fixed background (uneven light, walls, dust, pixel gain) plus pre-rendered cells plus noise whose
variance follows the signal; the noise is read from a bank at an offset that is a function of the frame index, so
that a frame is the same whatever was rendered before. Source: PHYSICS §11, EMVA 1288.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mimedi_sim.models.imaging import blurred_disk, psf_sigma_px
from mimedi_sim.models.validation import require_not_negative, require_positive
from mimedi_sim.random_streams import PATTERN_SCALE, RandomStream
from mimedi_sim.rendering.cell_field import Cells, ImagingChannel
from mimedi_sim.rendering.templates import (
    FRACTION_BITS,
    GREY_SCALE,
    RADIUS_STEP,
    SUBPIXELS,
    Look,
    Optics,
    Template,
    TemplateBank,
    template_bank,
)

Image = npt.NDArray[np.uint8]

LOOKS = {
    "live": Look(absorption=0.22, fringe=0.10, halo=0.05, dye_dn=7.0, dye_cv=0.25),
    "dead": Look(absorption=0.17, fringe=0.04, halo=0.03, dye_dn=110.0, dye_cv=0.22),
    "bead": Look(absorption=0.40, fringe=0.15, halo=0.04, dye_dn=1.5, dye_cv=0.10),
}
"""Appearance by kind; dead cells take up the dye (propidium-iodide-like), living ones hardly [calibration]."""

MARK_ABSORPTION = 0.7
"""Share of the light that a chip's mark takes [calibration: chromium on glass is darker yet]."""

NOISE_BITS = 6
_BANK_EXTRA = 1 << 17
_BANK_STEP = PATTERN_SCALE >> NOISE_BITS


@dataclass(frozen=True)
class CameraSettings:
    """Exposure and sensor of both channels: grey levels (DN, 8 bit), gain (DN/e-), read noise (e-)."""

    bright_level_dn: float = 150.0
    dye_offset_dn: float = 8.0
    bright_gain_dn_e: float = 0.025
    dye_gain_dn_e: float = 0.08
    read_noise_e: float = 8.0
    pixel_gain_sd: float = 0.01
    vignetting: float = 0.05
    dust_spots: int = 6


def place(
    images: Template, templates: TemplateBank, cells: Cells, kind: npt.NDArray[np.int64], quarter: npt.NDArray[np.int64]
) -> None:
    """Add the templates of cells to images (2, height, width), cut off at their edges.

    kind: index of each cell's look; quarter: of the law of its brightness, 0..3, both (N,).
    """
    _, height, width = images.shape
    half_step = 0.5 / SUBPIXELS
    row, column = np.floor(cells.y_px + half_step), np.floor(cells.x_px + half_step)
    template_of = templates.template
    for look, radius, y, x, sub_y, sub_x, brightness in zip(
        kind.tolist(),
        np.rint(np.log(cells.radius_px) / math.log(RADIUS_STEP)).astype(int).tolist(),
        row.astype(int).tolist(),
        column.astype(int).tolist(),
        ((cells.y_px + half_step - row) * SUBPIXELS).astype(int).tolist(),
        ((cells.x_px + half_step - column) * SUBPIXELS).astype(int).tolist(),
        quarter.tolist(),
        strict=True,
    ):
        template = template_of(look, radius, sub_y, sub_x, brightness)
        half = template.shape[1] >> 1
        top, left, bottom, right = y - half, x - half, y + half + 1, x + half + 1
        if top >= 0 and left >= 0 and bottom <= height and right <= width:
            patch = images[:, top:bottom, left:right]
            np.add(patch, template, patch)
        elif bottom > 0 and right > 0 and top < height and left < width:
            low_y, low_x = max(0, -top), max(0, -left)
            patch = images[:, top + low_y : bottom, left + low_x : right]
            patch += template[:, low_y : low_y + patch.shape[1], low_x : low_x + patch.shape[2]]


class ChipMarks(NamedTuple):
    """Round dark marks of a chip: places (x, y) and diameter, px."""

    places_px: Sequence[tuple[float, float]]
    diameter_px: float


class MicroscopeCamera:
    """Renders frames of one microscope; same seed, same dust and pixel pattern, same noise per frame index.

    Args: width and height in px; um_per_px; channel gives the walls (its size must agree); kinds names the looks
    of the populations by their index in `Cells.kind`; name seeds this camera's dust, pixels and noise; marks are what
    the chip shows beside its walls.
    Raises: ValueError on an unknown kind or a channel of another picture size.
    """

    def __init__(
        self, seed: int, width: int = 512, height: int = 128, um_per_px: float = 0.65, *,
        channel: ImagingChannel | None = None, kinds: Sequence[str] = ("live", "dead", "bead"),
        settings: CameraSettings | None = None, optics: Optics | None = None, name: str = "microscope",
        marks: ChipMarks | None = None,
    ) -> None:
        require_positive(width=width, height=height, um_per_px=um_per_px)
        self.channel = channel or ImagingChannel(
            width, height, um_per_px, wall_top_px=4.0, wall_bottom_px=height - 5.0
        )
        if (self.channel.width_px, self.channel.height_px) != (width, height):
            raise ValueError(
                f"channel is {self.channel.width_px}x{self.channel.height_px} px, the picture {width}x{height}"
            )
        unknown = [kind for kind in kinds if kind not in LOOKS]
        if unknown:
            raise ValueError(f"kinds {unknown} have no look; allowed: {sorted(LOOKS)}")
        import cv2  # a plant whose cameras nobody uses shall not wait for it

        self._look_up = cv2.LUT  # in a third of the time of NumPy's `take`, which widens the indices
        self.seed, self.name, self.width, self.height = seed, name, width, height
        self.settings = settings or CameraSettings()
        base = Optics(sigma_px=1.0)
        sharp = max(psf_sigma_px(base.wavelength_um, base.aperture, 1.0, um_per_px), 0.5)
        self.optics = optics or Optics(sigma_px=sharp)
        self._marks, self._sharp_px = marks, self.optics.blur_px
        self._looks = tuple(LOOKS[kind] for kind in kinds)
        self._templates = template_bank(self._looks, self.settings.bright_level_dn, self.optics)
        self._noise_offsets = RandomStream(seed, name, "noise offset")
        bank = RandomStream(seed, name, "noise bank").pattern(width * height + _BANK_EXTRA)
        self._bank = (bank + (_BANK_STEP >> 1)) // _BANK_STEP
        s = self.settings
        self._bright_noise = self._noise_line(s.bright_gain_dn_e, s.bright_level_dn)
        self._dye_noise = self.noise_table(s.dye_gain_dn_e, s.dye_offset_dn)
        self._background = np.stack([self._make_bright_background(), self._make_dye_background()])
        self._both = np.empty_like(self._background)
        self._sigma = np.empty_like(self._background)

    # -- fixed pattern ----------------------------------------------------------------------------------

    def fixed_pattern(self, channel: str) -> npt.NDArray[np.float64]:
        """Return gain and vignetting of every pixel in a channel, (height, width)."""
        s = self.settings
        normals = RandomStream(self.seed, self.name, f"pixel gain {channel}").pattern(self.width * self.height)
        gain = 1.0 + (s.pixel_gain_sd / PATTERN_SCALE) * normals.reshape(self.height, self.width)
        y, x = np.ogrid[0 : self.height, 0 : self.width]
        reach = math.hypot(self.width, self.height) / 2.0
        distance = np.hypot(y - (self.height - 1) / 2.0, x - (self.width - 1) / 2.0) / reach
        return np.asarray(gain * (1.0 - s.vignetting * distance**2))

    def _make_bright_background(self) -> Template:
        s, c = self.settings, self.channel
        image = self.fixed_pattern("bright")
        draw = RandomStream(self.seed, self.name, "dust")
        y, x = np.arange(self.height, dtype=float)[:, None], np.arange(self.width, dtype=float)[None, :]
        for spot in range(s.dust_spots):
            u = draw.uniforms(4 * spot, 4)
            radius = 1.5 + 3.0 * u[2]
            high, wide = (np.exp(-0.5 * ((at - middle) / radius) ** 2)
                          for at, middle in ((y, u[0] * self.height), (x, u[1] * self.width)))
            image *= 1.0 - (0.02 + 0.04 * u[3]) * high * wide
        # Out of focus the chip's lines are wider and as much fainter; dust lies on the sensor's window.
        blur = math.sqrt(max(0.0, self.optics.blur_px**2 - self._sharp_px**2))
        line, fringe, step = (math.hypot(sharp, blur) for sharp in (1.3, 1.2, 0.8))
        for wall, outwards in ((c.wall_top_px, -1.0), (c.wall_bottom_px, 1.0)):
            beyond = outwards * (y - wall)
            image *= 1.0 - 0.45 * (1.3 / line) * np.exp(-0.5 * (beyond / line) ** 2)
            image += 0.10 * (1.2 / fringe) * np.exp(-0.5 * ((beyond + 3.2) / fringe) ** 2)
            image *= 1.0 - 0.12 / (1.0 + np.exp(-np.clip(beyond / step, -40.0, 40.0)))
        if self._marks is not None:
            radius, sigma = 0.5 * self._marks.diameter_px, self.optics.blur_px
            reach = math.ceil(radius + 5.0 * sigma)
            for mark_x, mark_y in self._marks.places_px:
                near = np.s_[max(0, int(mark_y) - reach) : int(mark_y) + reach + 2,
                             max(0, int(mark_x) - reach) : int(mark_x) + reach + 2]
                image[near] *= 1.0 - MARK_ABSORPTION * blurred_disk(
                    radius, sigma, np.hypot(y[near[0]] - mark_y, x[:, near[1]] - mark_x)
                )
        return np.rint(image * s.bright_level_dn * GREY_SCALE).astype(np.int16)

    def _make_dye_background(self) -> Template:
        image = self.fixed_pattern("dye") * self.settings.dye_offset_dn
        return np.rint(image * GREY_SCALE).astype(np.int16)

    def noise_table(self, gain_dn_e: float, offset_dn: float) -> npt.NDArray[np.int16]:
        """Return the noise (1/16 DN) as a function of the grey level: shot and read noise."""
        signal_e = np.maximum(np.arange(256) - offset_dn, 0.0) / gain_dn_e
        if offset_dn > 0.0:
            signal_e += 2.0 / gain_dn_e  # stray light under the dye image
        sigma_dn = gain_dn_e * np.sqrt(signal_e + self.settings.read_noise_e**2)
        return np.rint(sigma_dn * GREY_SCALE).astype(np.int16)

    def _noise_line(self, gain_dn_e: float, level_dn: float) -> tuple[int, int]:
        """Return (slope, constant) of noise (1/16 DN) = ((signal >> 7) slope + constant) >> 8, tangent at level.

        The bright field stays within 0.6–1.2 of its level, where the tangent is right to 3 %.
        """
        signal_e = level_dn / gain_dn_e + self.settings.read_noise_e**2
        at_level = gain_dn_e * math.sqrt(signal_e)
        slope = 0.5 * gain_dn_e / at_level
        constant = (at_level - slope * level_dn) * GREY_SCALE * 256.0
        return round(slope * 128.0 * 256.0), round(constant)

    # -- focus ------------------------------------------------------------------------------------------

    def set_focus(self, defocus_um: float) -> None:
        """Move the focal plane by defocus_um from the cells (0: in focus)."""
        self._set_optics(replace(self.optics, defocus_um=float(defocus_um)))

    def set_motion_blur(self, speed_um_s: float, exposure_s: float) -> None:
        """Set the smear along the flow from a speed in µm/s and an exposure in s, to 0.05 px."""
        require_not_negative(exposure_s=exposure_s)
        smear = abs(speed_um_s) * exposure_s / self.channel.um_per_px
        self._set_optics(replace(self.optics, motion_px=round(smear * 20.0) / 20.0))

    def _set_optics(self, optics: Optics) -> None:
        if optics != self.optics:
            refocused = optics.blur_px != self.optics.blur_px
            self.optics = optics
            if refocused:
                self._background[0] = self._make_bright_background()
            self._templates = template_bank(self._looks, self.settings.bright_level_dn, optics)

    # -- frames -----------------------------------------------------------------------------------------

    def render(self, frame_index: int, cells: Cells) -> tuple[Image, Image]:
        """Return (bright field, dye) of a frame, each (height, width) uint8; equal arguments, equal images.

        Raises: ValueError on a negative frame index.
        """
        np.copyto(self._both, self._background)
        if len(cells.id):
            place(self._both, self._templates, cells, cells.kind, np.minimum((cells.dye * 4.0).astype(int), 3))
        self._bright_sigma()
        self.noise_of(self._dye_noise, self._both[1], self._sigma[1])
        return self._digitised(frame_index)

    def noise(self, index: int, offsets: RandomStream | None = None) -> npt.NDArray[np.int16]:
        """Return unit noise [1/64], (height, width), of an image's index; offsets: another channel's own stream."""
        start = int((offsets or self._noise_offsets).uniform(index) * _BANK_EXTRA)
        return self._bank[start : start + self.width * self.height].reshape(self.height, self.width)

    def _bright_sigma(self) -> None:
        """Noise of the bright field [1/16 DN]."""
        sigma = self._sigma[0]
        slope, constant = self._bright_noise
        np.right_shift(self._both[0], 7, out=sigma)
        np.multiply(sigma, slope, out=sigma)
        np.add(sigma, constant, out=sigma)
        np.right_shift(sigma, 8, out=sigma)

    def noise_of(self, table: npt.NDArray[np.int16], signal: Template, out: Template) -> Template:
        """Return into out the noise [1/16 DN] of a signal [1/16 DN] by its table (`noise_table`), any shape alike."""
        np.right_shift(signal, FRACTION_BITS, out=out)
        np.clip(out, 0, 255, out=out)
        lines = out.reshape(-1, out.shape[-1])
        self._look_up(lines.astype(np.uint8), table, dst=lines)
        return out

    def _digitised(self, frame_index: int) -> tuple[Image, Image]:
        """Add noise of width self._sigma to the signals (all 1/16 DN) and convert to 8 bits."""
        for channel in (0, 1):
            np.multiply(self._sigma[channel], self.noise(2 * frame_index + channel), out=self._sigma[channel])
        images = digitised(self._both, self._sigma)
        return images[0], images[1]


def digitised(signal: Template, noise: Template) -> Image:
    """Return the 8-bit images of signals [1/16 DN] with their noise [1/1024 DN]; both are used up."""
    np.right_shift(noise, NOISE_BITS, out=noise)
    np.add(signal, noise, out=signal)
    np.add(signal, GREY_SCALE // 2, out=signal)
    np.right_shift(signal, FRACTION_BITS, out=signal)
    np.clip(signal, 0, 255, out=signal)
    return signal.astype(np.uint8)
