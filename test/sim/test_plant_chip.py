# SPDX-License-Identifier: Apache-2.0
"""The chip sorts and concentrates as forces and flows say."""

from __future__ import annotations

import numpy as np
import pytest

from mimedi_sim.plant.chip import Chip, Drive
from mimedi_sim.plant.ledger import INDEX, VOLUME, amounts

RESONANCE_HZ = 2.0093e6  # PBS at 25 °C (PHYSICS §2)
SORT = (510.0 / 60.0, 2690.0 / 60.0)
CONCENTRATE = (3200.0 / 60.0, 320.0 / 60.0)


def driven(frequency_hz: float, amplitude_vpp: float, until_s: float = 600.0) -> Chip:
    """A chip that has come to its steady temperature."""
    chip = Chip(0.0)
    drive = Drive(frequency_hz, amplitude_vpp)
    chip.commit(0.0, drive)
    while chip.next_event() < until_s:
        chip.commit(chip.next_event(), drive)
    chip.commit(until_s, drive)
    return chip


def split(chip: Chip, flows: tuple[float, float]) -> dict[str, float]:
    """Centre-outlet share of everything for a minute of nominal sample."""
    ul = 60.0 * flows[0]
    cells = {name: 1e3 * ul for name in ("lymphocyte", "monocyte", "t_bead", "dead", "rbc", "t_act_neg", "bead_free")}
    sample = amounts(volume_ul=ul, plasma_ul=ul, vector_tu=1e6, bead_bound=2.9e3 * ul, **cells)
    buffer = amounts(volume_ul=60.0 * flows[1], buffer_ul=60.0 * flows[1])
    centre = chip.split(sample, buffer, *flows, 600.0)
    assert (centre >= 0.0).all()
    assert (centre <= (sample + buffer) * (1.0 + 1e-12)).all()
    shares = {name: float(centre[i] / sample[i]) for name, i in INDEX.items() if sample[i] > 0.0}
    shares["split"] = float(centre[VOLUME] / (sample[VOLUME] + buffer[VOLUME]))
    shares["old_liquid"] = float(centre[INDEX["plasma_ul"]] / centre[VOLUME])
    shares["centre_ul"] = float(centre[VOLUME])
    return shares


def test_sorting_sends_beaded_cells_to_the_centre_and_leaves_the_others() -> None:
    shares = split(driven(RESONANCE_HZ, 5.3), SORT)
    assert shares["split"] == pytest.approx(0.46, abs=0.01)
    assert shares["t_bead"] == pytest.approx(0.83, abs=0.04)
    assert shares["lymphocyte"] < 0.001
    assert shares["rbc"] < 0.01
    assert 0.005 < shares["monocyte"] < 0.12
    assert shares["old_liquid"] == pytest.approx(0.02)


def test_recovery_rises_with_the_drive_and_red_cells_come_along_when_it_is_too_strong() -> None:
    steps = [split(driven(RESONANCE_HZ, volts), SORT) for volts in (0.0, 4.0, 5.3, 6.0, 8.0)]
    recovery = [s["t_bead"] for s in steps]
    assert recovery[0] == 0.0
    assert recovery == sorted(recovery)
    assert steps[-1]["rbc"] > 0.2


@pytest.mark.parametrize("offset_hz", [-10_000.0, -15_000.0, 15_000.0])
def test_ten_kilohertz_beside_the_resonance_more_than_half_is_lost(offset_hz: float) -> None:
    tuned, detuned = (split(driven(RESONANCE_HZ + off, 5.3), SORT)["t_bead"] for off in (0.0, offset_hz))
    assert detuned < 0.5 * tuned


def test_driving_at_the_plates_own_maximum_hardly_sorts() -> None:
    assert split(driven(1.980e6, 5.3), SORT)["t_bead"] < 0.05


def test_ten_volts_warm_the_chip_and_move_its_resonance() -> None:
    chip = driven(RESONANCE_HZ, 10.0)
    assert 1.5 < chip.temperature_c(600.0) - 25.0 < 7.0
    shift = chip.transducer.channel_resonance_hz(chip.temperature_c(600.0)) - chip.transducer.channel_resonance_hz(25.0)
    assert shift > 4_000.0
    assert chip.energy_j_m3(600.0) < 0.85 * 50.0


def test_concentrating_keeps_the_cells_and_leaves_the_liquid() -> None:
    shares = split(driven(RESONANCE_HZ, 10.0), CONCENTRATE)
    assert shares["centre_ul"] == pytest.approx(320.0)  # a tenth of the cells' flow, and of new liquid
    assert 0.97 <= shares["t_act_neg"] <= 0.995
    assert shares["t_act_neg"] > shares["dead"] + 0.2
    assert shares["old_liquid"] == pytest.approx(np.exp(-3.5), rel=1e-6)
    assert shares["vector_tu"] == pytest.approx(0.1 * np.exp(-3.5), rel=1e-6)


def test_the_buffer_flow_sets_the_concentration() -> None:
    chip = driven(RESONANCE_HZ, 10.0)
    for factor in (5.0, 10.0, 20.0):
        shares = split(chip, (3200.0 / 60.0, 3200.0 / factor / 60.0))
        assert shares["centre_ul"] == pytest.approx(3200.0 / factor, rel=1e-6)


def test_a_pump_that_refills_does_not_change_the_way_of_working() -> None:
    chip = driven(RESONANCE_HZ, 5.3)
    split(chip, SORT)
    assert chip.centre_share(SORT[0], 0.0) == pytest.approx(0.46, abs=0.01)
    split(chip, CONCENTRATE)
    assert chip.centre_share(CONCENTRATE[0], 0.0) == pytest.approx(1.0 / 11.0)


@pytest.mark.parametrize(("defect", "branches"), [("channel_filled", 1), ("delaminated", 1)])
def test_a_dry_or_delaminated_chip_shows_no_channel_and_does_not_sort(defect: str, branches: int) -> None:
    chip = driven(RESONANCE_HZ, 5.3)
    sound = {"channel_filled": True, "bubble": False, "delaminated": False}
    chip.set_defects(**sound | {defect: defect != "channel_filled"})
    assert len(chip.transducer.at(25.0).branches) == branches
    assert split(chip, SORT)["t_bead"] == 0.0


