# SPDX-License-Identifier: Apache-2.0
"""Shape features and masks against deformability-cytometry measurements made by others."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from mimedi_nodes.vision.detection.shape import hull_shape, outer_contour
from mimedi_nodes.vision.recordings.segment import background_of, segment_image

SHARED = Path(os.environ.get("MIMEDI_SHARED") or Path(__file__).resolve().parents[4] / "shared")
RTDC = SHARED / "vision" / "rtdc"
pytestmark = pytest.mark.skipif(not RTDC.is_dir(), reason=f"no reference images in {RTDC} (set MIMEDI_SHARED)")
SETS = ["naiad_blood_2024", "cytoshot_2022", "shapein_blood_2019", "shapein_wide_2022"]


def load(name: str) -> tuple[np.lib.npyio.NpzFile, np.ndarray, list[dict[str, str]]]:
    stored = np.load(RTDC / f"{name}.npz")
    masks = np.unpackbits(stored["mask"], axis=-1)[..., :int(stored["mask_width"])].astype(bool)
    with (RTDC / f"{name}_events.csv").open(encoding="utf-8") as file:
        return stored, masks, list(csv.DictReader(file))


@pytest.mark.parametrize("name", SETS)
def test_hull_features_equal_the_files_own(name: str) -> None:
    _, masks, events = load(name)
    for mask, event in zip(masks, events, strict=True):
        shape, um = hull_shape(outer_contour(mask)), float(event["pixel_size_um"])
        assert shape.area_px2 * um**2 == pytest.approx(float(event["area_um"]), rel=1e-5)
        assert shape.deformation == pytest.approx(float(event["deform"]), abs=1e-6)


# Part of cytoshot's events are specks of noise smaller than 2 µm² that the instrument recorded.
@pytest.mark.parametrize(("name", "least_recall"), [
    ("naiad_blood_2024", 0.95), ("cytoshot_2022", 0.78), ("shapein_blood_2019", 1.0), ("shapein_wide_2022", 1.0)])
def test_masks_agree_with_the_instruments(name: str, least_recall: float) -> None:
    stored, masks, events = load(name)
    images = stored["image"]
    common = background_of(images)
    overlaps, area_errors, deformation_errors = [], [], []
    for index, (image, mask, event) in enumerate(zip(images, masks, events, strict=True)):
        um = float(event["pixel_size_um"])
        background = stored["image_bg"][index] if "image_bg" in stored else common
        labels, cells = segment_image(image, background, um)
        overlap, best = max([((labels == c.label) & mask).sum() / ((labels == c.label) | mask).sum(), c.label]
                            for c in cells) if cells else (0.0, 0)
        overlaps.append(overlap)
        if overlap > 0.5:
            cell = cells[int(best) - 1]
            area_errors.append(cell.area_um2 / float(event["area_um"]) - 1.0)
            deformation_errors.append(abs(cell.deformation - float(event["deform"])))
    good = np.array(overlaps) > 0.5
    assert good.mean() >= least_recall
    assert np.median(np.array(overlaps)[good]) >= 0.94
    assert abs(np.median(area_errors)) <= 0.02
    assert np.median(deformation_errors) <= 0.010


@pytest.mark.parametrize(("name", "share", "least_recall"), [
    ("shapein_wide_2022", 0.25, 0.9), ("shapein_wide_2022", 0.1, 0.8), ("naiad_blood_2024", 0.1, 0.75)])
def test_faded_cells_are_found_whole(name: str, share: float, least_recall: float) -> None:
    """Large pale cells keep but pieces of their outline above the noise: a quarter as dark, one in five was found."""
    rng = np.random.default_rng(0)
    stored, masks, events = load(name)
    common = background_of(stored["image"])
    overlaps = []
    for index, (image, mask, event) in enumerate(zip(stored["image"], masks, events, strict=True)):
        background = (stored["image_bg"][index] if "image_bg" in stored else common).astype(float)
        brightening = float(np.median(image - background))
        faded = background + brightening + (image - background - brightening) * share
        faded = np.clip(np.rint(faded + rng.normal(0.0, 1.2 * (1.0 - share), faded.shape)), 0, 255).astype(np.uint8)
        labels, cells = segment_image(faded, background.astype(np.uint8), float(event["pixel_size_um"]))
        overlaps.append(max([((labels == c.label) & mask).sum() / ((labels == c.label) | mask).sum() for c in cells],
                            default=0.0))
    good = np.array(overlaps) > 0.5
    assert good.mean() >= least_recall
    assert np.median(np.array(overlaps)[good]) >= 0.9
