# SPDX-License-Identifier: Apache-2.0
"""Percentiles over a stack of images, pixel by pixel, without sorting pixel by pixel."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.opencv import cv2

FloatImage = NDArray[np.float32]


def percentile_in_time(images: Sequence[FloatImage], percent: float) -> FloatImage:
    """Percentile (0..100, linear interpolation as `np.percentile`) of each pixel over images (H, W) float32.

    A sorting network compares whole images (minimum and maximum of two), so that all of its work is done by
    vector instructions: some ten times faster than sorting every pixel's values.
    """
    position = percent / 100.0 * (len(images) - 1)
    lower = min(int(position), len(images) - 1)
    upper = min(lower + 1, len(images) - 1)
    line = [image.copy() for image in images]
    spare = np.empty_like(line[0])
    for low, high in _comparators(len(images), lower, upper):
        cv2.min(line[low], line[high], dst=spare)
        cv2.max(line[low], line[high], dst=line[high])
        line[low], spare = spare, line[low]
    part = position - lower
    return cv2.addWeighted(line[lower], 1.0 - part, line[upper], part, 0.0)


@functools.lru_cache(maxsize=32)
def _comparators(count: int, first: int, second: int) -> tuple[tuple[int, int], ...]:
    """Comparators that bring the `first` and `second` smallest of `count` values to their places.

    Source: odd-even merge sort, K. E. Batcher, AFIPS Spring Joint Computing Conference 32 (1968) 307, for the next
    power of two; comparators with a place beyond `count` fall away, and so do those on which no answer depends.
    """
    size = 1 << max(0, math.ceil(math.log2(count)))
    every = []
    block = 1
    while block < size:
        step = block
        while step >= 1:
            for start in range(step % block, size - step, 2 * step):
                for i in range(start, start + min(step, size - start - step)):
                    if i // (2 * block) == (i + step) // (2 * block) and i + step < count:
                        every.append((i, i + step))
            step //= 2
        block *= 2
    needed, kept = {first, second}, []
    for low, high in reversed(every):
        if low in needed or high in needed:
            kept.append((low, high))
            needed |= {low, high}
    return tuple(reversed(kept))
