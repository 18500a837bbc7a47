# SPDX-License-Identifier: Apache-2.0
"""Rendered channel movies with exact truth for the vision tests: soft discs whose absorbances add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from mimedi_nodes.vision.camera.settings import VisionSettings

UM_PER_PX = 0.65
WIDTH, HEIGHT, WALL_TOP, WALL_BOTTOM = 512, 128, 8.0, 119.0
RATE_HZ = 300.0


def settings() -> VisionSettings:
    return VisionSettings(UM_PER_PX, WALL_TOP, WALL_BOTTOM, channel_depth_um=50.0, frame_rate_hz=RATE_HZ)


@dataclass
class Truth:
    """Exact positions: arrays over (frame, cell); NaN where a cell is not in view."""

    movie: NDArray[np.uint8]
    dye: NDArray[np.uint8]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    dead: NDArray[np.bool_]
    speed_px: NDArray[np.float64]


def empty_channel() -> NDArray[np.float64]:
    """Uneven light and two dark walls, grey levels."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    light = 130.0 * (1.0 + 0.15 * (x / WIDTH - 0.5) - 0.1 * ((y - 64.0) / 128.0) ** 2)
    for wall in (WALL_TOP, WALL_BOTTOM):
        light *= 1.0 - 0.4 * np.exp(-(((y - wall) / 1.3) ** 2))
    return light


def profile(y_px: NDArray[np.float64], top_px: float = 14.0) -> NDArray[np.float64]:
    """Plane Poiseuille speed, px/frame."""
    eta = (2.0 * y_px - WALL_TOP - WALL_BOTTOM) / (WALL_BOTTOM - WALL_TOP)
    return top_px * (1.0 - eta**2)


def disc(shape: tuple[int, int], x: float, y: float, radius: float, softness: float = 1.0) -> NDArray[np.float64]:
    """A disc of height 1 with an edge blurred by `softness` px."""
    yy, xx = np.mgrid[0:shape[0], 0:shape[1]]
    return 0.5 * erfc((np.hypot(xx - x, yy - y) - radius) / (np.sqrt(2.0) * softness))


def draw(image: NDArray[np.float64], x: float, y: float, radius: float, height: float) -> None:
    """Add a disc to an image in place, only where it reaches."""
    reach = int(radius) + 6
    x0, x1 = max(0, int(x) - reach), min(image.shape[1], int(x) + reach + 2)
    y0, y1 = max(0, int(y) - reach), min(image.shape[0], int(y) + reach + 2)
    if x1 > x0 and y1 > y0:
        image[y0:y1, x0:x1] += height * disc((y1 - y0, x1 - x0), x - x0, y - y0, radius)


def render(x: NDArray[np.float64], y: NDArray[np.float64], radius_px: NDArray[np.float64],
           dead: NDArray[np.bool_], seed: int = 0, contrast: float = 0.2, noise: float = 2.0,
           dye_level: float = 60.0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bright-field and dye movies (T, H, W) for positions (T, N)."""
    rng = np.random.default_rng(seed)
    light = empty_channel()
    movie = np.empty((len(x), HEIGHT, WIDTH), np.uint8)
    dye = np.empty_like(movie)
    for t in range(len(x)):
        absorbance = np.zeros((HEIGHT, WIDTH))
        stain = np.full((HEIGHT, WIDTH), 8.0)
        for k in range(x.shape[1]):
            if -20 < x[t, k] < WIDTH + 20:
                draw(absorbance, x[t, k], y[t, k], radius_px[k], contrast)
                draw(stain, x[t, k], y[t, k], radius_px[k], dye_level if dead[k] else 1.5)
        movie[t] = np.clip(light * np.exp(-absorbance) + rng.normal(0, noise, light.shape), 0, 255)
        dye[t] = np.clip(stain + rng.normal(0, 2.0, light.shape), 0, 255)
    return movie, dye


def flow_movie(frames: int = 60, cells_per_frame: float = 15.0, seed: int = 1, top_px: float = 14.0,
               viability: float = 0.8, diameter_um: float = 10.0) -> Truth:
    """Cells spread evenly over a long stretch of channel that moves through the view."""
    rng = np.random.default_rng(seed)
    length = WIDTH + frames * top_px + 60.0
    count = rng.poisson(cells_per_frame * length / WIDTH)
    y = rng.uniform(WALL_TOP + 12, WALL_BOTTOM - 12, count)
    x0 = rng.uniform(WIDTH + 30 - length, WIDTH + 30, count)
    speed = profile(y, top_px)
    x = x0[None, :] + np.arange(frames)[:, None] * speed[None, :]
    radius = rng.normal(diameter_um, 0.7, count) / 2.0 / UM_PER_PX
    dead = rng.uniform(size=count) > viability
    movie, dye = render(x, np.broadcast_to(y, x.shape), radius, dead, seed)
    inside = (x >= 0) & (x <= WIDTH - 1)
    return Truth(movie, dye, np.where(inside, x, np.nan), np.where(inside, y, np.nan), radius, dead, speed)
