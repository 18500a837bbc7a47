# SPDX-License-Identifier: Apache-2.0
"""Microscope images: determinism, photometry, and a cell field whose truth means what it says."""

import math

import numpy as np
import pytest

from mimedi_sim.models.imaging import CameraNoise, blurred_disk, blurred_disk_centre
from mimedi_sim.rendering.camera import LOOKS, MicroscopeCamera
from mimedi_sim.rendering.cell_field import CellField, Cells, ImagingChannel, culture_populations
from mimedi_sim.rendering.templates import RADIUS_STEP, Optics, TemplateBank

CHANNEL = ImagingChannel()


@pytest.fixture(scope="module")
def camera():
    return MicroscopeCamera(seed=4)


def one_cell(x, y, radius=8.0, kind=0, dye=0.5):
    return Cells(np.array([1]), np.array([x]), np.array([y]), np.array([radius]), np.array([kind]),
                 np.array([kind == 0]), np.array([0.0]), np.array([dye]))


NO_CELLS = one_cell(0.0, 0.0).select(np.array([False]))


def field(in_view, **options):
    per_ml = in_view / CHANNEL.view_volume_ml
    return CellField(4, "sample", culture_populations(0.85 * per_ml, 0.15 * per_ml), CHANNEL, **options)


def test_frames_depend_on_their_index_and_cells_only(camera):
    sample = field(30)
    first = [camera.render(i, sample.at(i / 50)) for i in (0, 1, 2)]
    fresh = MicroscopeCamera(seed=4)
    for i in (2, 0, 1):
        again = fresh.render(i, field(30).at(i / 50))
        np.testing.assert_array_equal(again[0], first[i][0])
        np.testing.assert_array_equal(again[1], first[i][1])
    other = MicroscopeCamera(seed=5).render(0, sample.at(0.0))
    assert np.any(other[0] != first[0][0])
    bright, dye = first[0]
    assert bright.shape == dye.shape == (128, 512)
    assert bright.dtype == dye.dtype == np.uint8


def test_noise_differs_between_frames_and_follows_the_camera_model(camera):
    stack = np.array([camera.render(i, NO_CELLS)[0] for i in range(60)], dtype=float)
    s = camera.settings
    inner = stack[:, 30:90, 50:450]
    level = inner.mean()
    expected = CameraNoise(1.0, s.read_noise_e, s.bright_gain_dn_e, 0.0).variance_dn2(level / s.bright_gain_dn_e)
    assert inner.var(axis=0).mean() == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("position", [(200.0, 60.0), (200.3, 60.7), (99.95, 40.49)])
def test_a_cell_stands_where_the_truth_says(camera, position):
    x, y = position
    empty = np.mean([camera.render(i, NO_CELLS)[1] for i in range(40)], axis=0)
    seen = np.mean([camera.render(i, one_cell(x, y, 6.0, kind=1))[1] for i in range(40)], axis=0) - empty
    seen[seen < 4.0] = 0.0
    rows, columns = np.mgrid[0:128, 0:512]
    assert float((seen * columns).sum() / seen.sum()) == pytest.approx(x, abs=0.12)
    assert float((seen * rows).sum() / seen.sum()) == pytest.approx(y, abs=0.12)


def test_dead_cells_shine_and_living_ones_hardly(camera):
    background = camera.render(0, NO_CELLS)[1].astype(float).mean()
    dead = camera.render(0, one_cell(100.0, 60.0, 5.0, kind=1))[1][58:63, 98:103].mean() - background
    live = camera.render(0, one_cell(100.0, 60.0, 8.0, kind=0))[1][58:63, 98:103].mean() - background
    assert dead > 60.0
    assert 2.0 < live < 15.0


def test_bright_field_shows_a_dark_disk_of_the_true_size(camera):
    empty = np.mean([camera.render(i, NO_CELLS)[0] for i in range(30)], axis=0)
    seen = np.mean([camera.render(i, one_cell(256.0, 64.0, 9.0))[0] for i in range(30)], axis=0) - empty
    dark = seen < -0.5 * 0.22 * camera.settings.bright_level_dn
    assert math.sqrt(dark.sum() / math.pi) == pytest.approx(9.0, abs=0.5)
    assert seen.max() > 3.0  # the bright fringe around it


def test_cells_at_the_border_are_cut_off_and_outside_ones_invisible(camera):
    half_out = camera.render(3, one_cell(-1.0, 60.0))[0]
    assert np.any(half_out != camera.render(3, NO_CELLS)[0])
    far = camera.render(3, one_cell(-60.0, 60.0))[0]
    np.testing.assert_array_equal(far, camera.render(3, NO_CELLS)[0])


def test_defocus_and_motion_spread_a_cell():
    bank = [TemplateBank([LOOKS["dead"]], 150.0, optics) for optics in (
        Optics(0.6), Optics(0.6, defocus_um=15.0), Optics(0.6, motion_px=6.0))]
    radius = round(math.log(4.0) / math.log(RADIUS_STEP))
    sharp, blurred, smeared = (b.template(0, radius, 0, 0, 1)[1].astype(float) for b in bank)
    assert blurred.max() < sharp.max()

    def width(image, axis):
        profile = image.sum(axis=axis)
        place = np.arange(len(profile)) - (len(profile) - 1) / 2
        return float((profile * place**2).sum() / profile.sum())

    assert width(smeared, 0) == pytest.approx(width(sharp, 0) + 36.0 / 12.0, rel=0.1)
    assert width(smeared, 1) == pytest.approx(width(sharp, 1), rel=0.02)


def test_focus_changes_the_image_and_back(camera):
    sharp = camera.render(0, one_cell(100.0, 60.0))[0]
    camera.set_focus(20.0)
    assert np.any(camera.render(0, one_cell(100.0, 60.0))[0] != sharp)
    camera.set_focus(0.0)
    np.testing.assert_array_equal(camera.render(0, one_cell(100.0, 60.0))[0], sharp)


def test_blurred_disk_is_the_convolution():
    assert float(blurred_disk(2.0, 1.2, 0.0)) == pytest.approx(blurred_disk_centre(2.0, 1.2), rel=1e-9)
    r = np.linspace(0.0, 40.0, 4001)
    area = float(np.trapezoid(2 * np.pi * r * blurred_disk(6.0, 0.8, r), r)) if hasattr(np, "trapezoid") else float(
        np.trapz(2 * np.pi * r * blurred_disk(6.0, 0.8, r), r))
    assert area == pytest.approx(math.pi * 36.0, rel=1e-4)


# -- cell field ---------------------------------------------------------------------------------------------


def test_truth_does_not_depend_on_the_order_of_the_questions():
    asked = field(40)
    times = [7.3, 0.0, 3.21, 100.0, 3.23]
    found = {t: asked.at(t) for t in times}
    for t in reversed(times):
        for here, there in zip(field(40).at(t), found[t], strict=True):
            np.testing.assert_array_equal(here, there)


def test_mean_count_in_view_is_concentration_times_volume():
    sample = field(20, mean_speed_um_s=3000.0)
    seen = [sample.truth_in_view(0.2 * i) for i in range(1500)]
    counts = np.array([len(c.id) for c in seen])
    assert counts.mean() == pytest.approx(20.0, abs=0.45)
    assert counts.var() == pytest.approx(20.0, rel=0.2)
    alive = np.concatenate([c.alive for c in seen])
    assert alive.mean() == pytest.approx(0.85, abs=0.01)


def test_cells_keep_their_identity_and_move_with_the_flow():
    sample = field(30)
    before, after = sample.at(2.0), sample.at(2.02)
    _, i, j = np.intersect1d(before.id, after.id, return_indices=True)
    assert len(i) > 20
    np.testing.assert_allclose(after.x_px[j] - before.x_px[i], 0.02 * before.speed_px_s[i], atol=1e-9)
    np.testing.assert_array_equal(after.y_px[j], before.y_px[i])
    near_wall = before.y_px < 20.0
    assert before.speed_px_s[near_wall].mean() < before.speed_px_s[~near_wall].mean()
    assert np.all(before.y_px - before.radius_px >= CHANNEL.wall_top_px - 1e-9)
    assert np.all(before.y_px + before.radius_px <= CHANNEL.wall_bottom_px + 1e-9)


def test_samples_differ_and_an_empty_sample_shows_nothing():
    per_ml = 20 / CHANNEL.view_volume_ml
    kinds = culture_populations(per_ml, 0.0)
    first, second = (CellField(1, name, kinds, CHANNEL).at(0.0) for name in ("a", "b"))
    assert len(first.x_px) != len(second.x_px) or np.any(first.x_px != second.x_px)
    assert len(CellField(1, "c", culture_populations(0.0, 0.0), CHANNEL).at(5.0).id) == 0


def test_occlusion_flags_touching_cells():
    pair = Cells(np.array([1, 2, 3]), np.array([10.0, 18.0, 90.0]), np.array([50.0, 50.0, 50.0]), np.full(3, 5.0),
                 np.zeros(3, int), np.ones(3, bool), np.zeros(3), np.full(3, 0.5))
    assert pair.occluded().tolist() == [True, True, False]


def test_refusals():
    with pytest.raises(ValueError, match="unicorn"):
        MicroscopeCamera(1, kinds=("unicorn",))
    with pytest.raises(ValueError, match="640x128"):
        MicroscopeCamera(1, channel=ImagingChannel(width_px=640))
    with pytest.raises(ValueError, match="wall_top_px"):
        ImagingChannel(wall_top_px=100.0, wall_bottom_px=20.0)
