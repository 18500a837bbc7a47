# SPDX-License-Identifier: Apache-2.0
"""Which colour a cell is lit in, and what share of the cells is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_nodes.vision.camera.frame import FrameTracks, TrackedCell
from mimedi_nodes.vision.recordings.annotate import annotate
from mimedi_nodes.vision.statistics.classes import class_share, classify

CONTROL = 8.0


def stained(rng: np.random.Generator, kinds: np.ndarray, level: float = 90.0, unlit: float = 1.0,
            spill: float = 0.0) -> np.ndarray:
    """Lights (N, 2) of cells of these classes, with a spread of a quarter and noise of half a grey level."""
    own = np.where(kinds[:, None] == [1, 2], level, unlit) * rng.lognormal(0.0, 0.25, (len(kinds), 2))
    return own + spill * own[:, ::-1] + rng.normal(0.0, 0.5, own.shape)


@pytest.mark.parametrize("look", [{}, {"level": 30.0}, {"unlit": 4.5}, {"spill": 0.15}, {"level": 2000.0}])
def test_cells_are_told_apart_whatever_lamp_and_stain(look: dict[str, float]) -> None:
    rng = np.random.default_rng(1)
    kinds = rng.integers(0, 3, 2000)
    assert np.mean(classify(stained(rng, kinds, **look), CONTROL) == kinds) > 0.99


def test_an_unstained_sample_has_no_lit_cells() -> None:
    rng = np.random.default_rng(2)
    for unlit in (0.0, 1.0, 4.5):
        lights = stained(rng, np.zeros(3000, int), unlit=unlit)
        assert np.mean(classify(lights, CONTROL) > 0) < 0.002, unlit


def test_a_wholly_stained_sample_has_no_unlit_cells() -> None:
    rng = np.random.default_rng(3)
    assert np.mean(classify(stained(rng, np.ones(3000, int)), CONTROL) == 1) > 0.995


def test_light_from_a_neighbours_edge_makes_no_class() -> None:
    rng = np.random.default_rng(4)
    kinds = np.repeat([0, 1], 500)
    lights = stained(rng, kinds)
    lights[:50, 0] += 25.0
    assert not classify(lights, CONTROL)[:50].any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_order_and_names_of_the_colours_do_not_matter(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    lights = stained(rng, rng.integers(0, 3, count))
    kinds, order = classify(lights, CONTROL), rng.permutation(count)
    assert np.array_equal(classify(lights[order], CONTROL), kinds[order])
    assert np.array_equal(classify(lights[:, ::-1], CONTROL), np.array([0, 2, 1])[kinds])


@pytest.mark.parametrize("share", [0.05, 0.4, 0.8])
@pytest.mark.parametrize("missing", [0.0, 0.08])
def test_the_interval_covers_though_cells_hide_each_other(share: float, missing: float) -> None:
    rng, held, runs = np.random.default_rng(5), 0, 2000
    values = []
    for _ in range(runs):
        lit = rng.random(400) < share
        lit |= (rng.random(400) < missing) & (rng.random(400) < share)
        read = class_share(int(lit.sum()), 400, 0.95, hidden=(missing, 0.02))
        held += read.low <= share <= read.high
        values.append(read.value)
    assert 0.93 <= held / runs <= 0.98
    assert np.mean(values) == pytest.approx(share, abs=0.006)


def test_of_no_cells_nothing_is_said() -> None:
    assert math.isnan(class_share(0, 0, 0.95).value)


def test_the_picture_shows_the_dead_and_the_classes_of_the_living() -> None:
    kinds = {30: (0, False), 90: (1, False), 150: (2, False), 210: (1, True)}
    cells = [
        TrackedCell(x, float(x), 32.0, 0.0, 0.0, 10.0, 0.0, 80.0, 1.0, 1.0, 0.8, 0.0, dead, kind, False)
        for x, (kind, dead) in kinds.items()
    ]

    def colours(lit: bool) -> list[tuple[int, ...]]:
        drawn = annotate(np.zeros((64, 256), np.uint8), FrameTracks(0.0, 0, cells, 256, 64, lit=lit))
        return [tuple(drawn[32, x].tolist()) for x in kinds]

    none, first, second, dead = colours(lit=True)
    assert len({none, first, second, dead}) == 4
    assert dead[2] > 2 * max(dead[:2]), "red"
    assert len(set(colours(lit=False)[:3])) == 1
