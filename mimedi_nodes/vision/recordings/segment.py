# SPDX-License-Identifier: Apache-2.0
"""Masks of cells in single, unordered channel images, with the shape features of deformability cytometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.detection.shape import hull_shape
from mimedi_nodes.vision.opencv import cv2

_MIN_DIAMETER_UM = 0.8
# Outlines run where the darkening leaves the pixel noise, never below this many grey levels.
_SHARP_SIGMAS, _SHARP_LEVEL = 3.0, 5.5
_FAINT_SIGMAS, _FAINT_LEVEL = 3.5, 1.5
_HAZE_SIGMA_PX, _HAZE_LEVEL = 2.0, 0.7
_PEAK_SIGMAS = 5.0
# A cell's outline is broken when its pieces span at least one share of the cell and fill less than another one.
_COMPACT, _BROKEN = 0.8, 0.7
_LEAST_BROKEN_PX2 = 50.0
_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class SegmentedCell:
    """One region of a label image: centre px, hull area µm², deformation as RT-DC defines them."""

    label: int
    x_px: float
    y_px: float
    area_um2: float
    deformation: float
    aspect: float
    edge: bool


def background_of(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Background (H, W) of unordered images (N, H, W) of one channel: where few images are, rows help out.

    With eight images or more the median over the images; with fewer the median along the flow as well.
    """
    if len(images) >= 8:
        return np.median(images, axis=0).astype(np.uint8)
    rows = np.median(images, axis=(0, 2))
    return np.repeat(np.rint(rows)[:, None], images.shape[2], axis=1).astype(np.uint8)


def segment_image(image: NDArray[Any], background: NDArray[Any],
                  um_per_px: float) -> tuple[NDArray[np.uint16], list[SegmentedCell]]:
    """Label image (H, W) uint16 (0 background) and the cells of one image.

    A cell is darker than the background; its outline runs where the difference leaves the noise, and a cell
    must somewhere stand well above it.

    Raises:
        VisionInputError: image and background differ in size, or are not mono8.
    """
    if image.dtype != np.uint8 or image.ndim != 2:
        raise VisionInputError("image", f"{image.dtype} {image.shape}", "uint8 (height, width)")
    if background.shape != image.shape:
        raise VisionInputError("image_bg size", background.shape, f"{image.shape}")
    difference = cv2.subtract(background, image, dtype=cv2.CV_32F)
    smooth = cv2.GaussianBlur(difference, (3, 3), 0.8)
    # Some cameras brighten between background and image: the most frequent difference is the zero.
    level = float(np.median(smooth))
    noise = max(1.4826 * float(np.median(np.abs(smooth - level))), 0.3)
    raw_noise = max(1.4826 * float(np.median(np.abs(difference - level))), 0.5)
    sharp = cv2.compare(difference, level + max(_SHARP_SIGMAS * raw_noise, _SHARP_LEVEL), cv2.CMP_GT)
    sharp = cv2.morphologyEx(sharp, cv2.MORPH_CLOSE, _SQUARE)
    faint = cv2.compare(smooth, level + max(_FAINT_SIGMAS * noise, _FAINT_LEVEL), cv2.CMP_GT)
    faint = cv2.morphologyEx(faint, cv2.MORPH_CLOSE, _SQUARE)
    hazy = cv2.GaussianBlur(difference, (0, 0), _HAZE_SIGMA_PX)
    haze = max(1.4826 * float(np.median(np.abs(hazy - level))), _HAZE_LEVEL / _FAINT_SIGMAS)
    _fill_broken_outlines(faint, cv2.compare(hazy, level + _FAINT_SIGMAS * haze, cv2.CMP_GT))
    _fill_broken_outlines(sharp, faint)
    labels = np.zeros(image.shape, np.uint16)
    cells: list[SegmentedCell] = []
    least = math.pi / 4.0 * (_MIN_DIAMETER_UM / um_per_px) ** 2
    _take(sharp, smooth, level + _PEAK_SIGMAS * noise, least, um_per_px, labels, cells)
    # What is too faint for a sharp outline: the smoothed image, where no cell was found yet.
    faint[cv2.dilate((labels > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0] = 0
    _take(cv2.morphologyEx(faint, cv2.MORPH_CLOSE, _SQUARE), smooth, level + _PEAK_SIGMAS * noise, least, um_per_px,
          labels, cells)
    return labels, cells


def _fill_broken_outlines(sharp: NDArray[np.uint8], faint: NDArray[np.uint8]) -> None:
    """Fill in `sharp` the cells of which it shows but pieces of the outline, though `faint` shows them whole.

    Large pale cells darken at their rims most. Pieces of one cell span it without filling it; two cells in one haze
    fill it.
    """
    contours, _ = cv2.findContours(faint, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        area = cv2.contourArea(contour)
        if area < _LEAST_BROKEN_PX2 or area < _COMPACT * cv2.contourArea(cv2.convexHull(contour)):
            continue
        left, top, wide, high = cv2.boundingRect(contour)
        whole = np.zeros((high, wide), np.uint8)
        cv2.drawContours(whole, [contour], -1, 255, -1, offset=(-left, -top))
        part = sharp[top:top + high, left:left + wide]
        pieces, _ = cv2.findContours(part & whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not pieces:
            continue
        filled = sum(cv2.contourArea(piece) for piece in pieces)
        spanned = cv2.contourArea(cv2.convexHull(np.concatenate(pieces)))
        if filled < _BROKEN * area and spanned > _COMPACT * area:
            part |= whole


def _take(mask: NDArray[np.uint8], smooth: NDArray[Any], peak: float, least_px2: float, um_per_px: float,
          labels: NDArray[np.uint16], cells: list[SegmentedCell]) -> None:
    """Add the regions of a mask that are large enough and somewhere above `peak` to labels and cells."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        if cv2.contourArea(contour) < least_px2:
            continue
        left, top, wide, high = cv2.boundingRect(contour)
        filled = np.zeros((high, wide), np.uint8)
        cv2.drawContours(filled, [contour], -1, 255, -1, offset=(-left, -top))
        if cv2.minMaxLoc(smooth[top:top + high, left:left + wide], filled)[1] < peak:
            continue
        # A thread of noise that hangs on a cell is not part of it.
        opened = cv2.morphologyEx(filled, cv2.MORPH_OPEN, _SQUARE)
        outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not outlines:
            continue
        outline = max(outlines, key=cv2.contourArea)
        moments = cv2.moments(outline)
        if moments["m00"] < least_px2:
            continue
        label = len(cells) + 1
        cv2.drawContours(labels[top:top + high, left:left + wide], [outline], -1, label, -1)
        shape = hull_shape(outline)
        cells.append(SegmentedCell(label, moments["m10"] / moments["m00"] + left, moments["m01"] / moments["m00"] + top,
                                   shape.area_px2 * um_per_px**2, shape.deformation, wide / high,
                                   left == 0 or left + wide == mask.shape[1]))
