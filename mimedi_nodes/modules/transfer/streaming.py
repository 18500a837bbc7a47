# SPDX-License-Identifier: Apache-2.0
"""A planned move as short blocks for GRBL, so that it drives the jerk-limited time law and no trapezoid of its own.

GRBL drives straight blocks: from one feed to the next with its full acceleration, at the start of a faster block and at
the end of one before a slower. While the speed changes, blocks of equal time are sent; the feed of each is the one with
which GRBL, coming with the feed of the block before, takes just the planned time for it. So the gantry is where the
plan has it, when the plan has it there, at every block's end. One block holds the constant speed; no feed exceeds the
planned peak.
At most `PLANNER_BLOCKS` blocks: a whole move lies in GRBL's planner at once, whose look-ahead brakes for its end in any
case, and a line that comes late stops nothing.
Source: gnea/grbl v1.1, grbl/planner.c (look-ahead over BLOCK_BUFFER_SIZE 16 blocks, one of which stays free).
"""

from __future__ import annotations

import math

import numpy as np

from .description import Array
from .planning import CONTROLLER_ACCELERATION, Move

PLANNER_BLOCKS = 15
RAMP_BLOCKS = 6
"""Blocks while it gets faster, and again while it gets slower."""
LEAST_FEED_MM_MIN, MOST_FEED_MM_MIN = 10.0, 30_000.0
"""Of the driver."""
LEAST_BLOCK_MM, CREEP_MM_MIN = 0.05, 300.0
"""Shorter blocks are put together, and a shorter move is one slow block: the axes step in 0.02 mm."""
RESOLUTION_MM = 0.0005
"""What is sent has three decimals."""

Block = tuple[tuple[float, float, float], float]
"""End of a straight way [mm], and its feed [mm/min]."""


def blocks(move: Move) -> list[Block]:
    """Return the straight ways of a move with their feeds; nothing when only the wrist turns."""
    start, end = (pose.as_array()[:3] * 1e3 for pose in (move.start, move.end))
    length = float(np.linalg.norm(end - start))
    if length < LEAST_BLOCK_MM:
        way = (float(end[0]), float(end[1]), float(end[2]))
        return [(way, CREEP_MM_MIN)] if length >= RESOLUTION_MM else []
    along = (end - start) / length
    acceleration = 1e3 * float(np.min(CONTROLLER_ACCELERATION / np.maximum(np.abs(along), 1e-9)))
    times = _times(move)
    ways = np.array([float((1e3 * move.at(float(t))[0][:3] - start) @ along) for t in times])
    peak = 1e3 * float(np.linalg.norm(move.at(0.5 * move.duration_s)[1][:3]))
    faster = _feeds(np.diff(ways[: RAMP_BLOCKS + 1]), float(times[1]), acceleration, peak)
    constant = [peak] if len(times) == 2 * RAMP_BLOCKS + 2 else []
    found: list[Block] = []
    since_mm = 0.0
    for way, speed in zip(ways[1:], [*faster, *constant, *reversed(faster)], strict=True):
        last = way == ways[-1]
        if way - since_mm >= LEAST_BLOCK_MM or last:
            place = end if last else start + way * along
            found.append(((float(place[0]), float(place[1]), float(place[2])), _within(60.0 * speed)))
            since_mm = way
    return found


def _feeds(lengths: Array, block_s: float, acceleration: float, peak: float) -> list[float]:
    """Return the speeds [mm/s] of the blocks [mm] that get faster from rest, so that each takes block_s [s].

    From the speed u a block of length d is driven at v with the acceleration a until v is reached, in the time
    (v - u)/a + (d - (v² - u²)/2a)/v; for the time t that is v² - 2 (u + a t) v + u² + 2 a d = 0.
    """
    found: list[float] = []
    speed, late_s = 0.0, 0.0
    for length in lengths:
        # A block that took longer than planned, since the acceleration did not suffice, is made up for by the next.
        most = speed + acceleration * (block_s - late_s)
        root = most**2 - speed**2 - 2.0 * acceleration * float(length)
        wanted = min(peak, max(speed, most - math.sqrt(root) if root > 0.0 else math.inf))
        reached = min(wanted, math.sqrt(speed**2 + 2.0 * acceleration * float(length)))
        ramp_mm = (reached**2 - speed**2) / (2.0 * acceleration)
        late_s += (reached - speed) / acceleration + (float(length) - ramp_mm) / reached - block_s
        speed = reached
        found.append(speed)
    return found


def _times(move: Move) -> Array:
    """Return when the blocks end: equal times while it gets faster and slower, one for the constant speed."""
    faster_s, constant_s, slower_s = move.phases_s
    ends = [np.linspace(0.0, faster_s, RAMP_BLOCKS + 1)]
    if constant_s > 1e-6:
        ends.append(np.array([faster_s + constant_s]))
    ends.append(faster_s + constant_s + np.linspace(0.0, slower_s, RAMP_BLOCKS + 1)[1:])
    return np.concatenate(ends)


def _within(feed_mm_min: float) -> float:
    return min(MOST_FEED_MM_MIN, max(LEAST_FEED_MM_MIN, feed_mm_min))
