# SPDX-License-Identifier: Apache-2.0
"""The nominal batch end to end: PHYSICS §12's nominal column, its donor ranges, and donors that must fail."""

from dataclasses import replace

import numpy as np
import pytest

from mimedi_sim.models.donors import NOMINAL, WEAK, donor, healthy_donor
from mimedi_sim.models.process_chain import BatchSchedule, nominal_batch, nominal_sort
from mimedi_sim.models.tcell import CultureConditions

# PHYSICS §12: nominal, 2.5 %, median, 97.5 % of 400 virtual donors.
TABLE = {
    "sort_recovery_T": (0.7957, 0.676, 0.7912, 0.8796),
    "sort_purity_CD3": (0.9663, 0.9181, 0.9667, 0.9921),
    "sort_T_cells": (1.91e8, 1.28e8, 1.884e8, 2.667e8),
    "sort_hours": (1.306, 1.01, 1.3, 1.696),
    "d1_viability": (0.8902, 0.8594, 0.8914, 0.9177),
    "m_adsorbed": (0.5703, 0.2865, 0.5424, 0.9995),
    "transduced_fraction": (0.3945, 0.2349, 0.3812, 0.5554),
    "VCN_per_CARpos": (1.445, 1.22, 1.423, 1.8),
    "d2_viability": (0.8525, 0.8089, 0.854, 0.8836),
    "d2_total_viable": (2.443e8, 1.56e8, 2.343e8, 3.035e8),
    "d4_X": (9.324e5, 6.704e5, 9.145e5, 1.312e6),
    "d4_glucose": (8.768, 7.803, 8.809, 9.451),
    "d4_lactate": (3.794, 2.633, 3.725, 5.435),
    "d7_X": (3.192e6, 2.029e6, 3.105e6, 4.652e6),
    "d7_lactate": (4.517, 2.783, 4.392, 6.493),
    "d7_glucose": (8.343, 7.18, 8.417, 9.363),
    "d10_X": (5.404e6, 3.283e6, 5.286e6, 7.697e6),
    "d10_total_viable": (5.16e9, 2.603e9, 4.805e9, 7.36e9),
    "d10_viability": (0.8669, 0.8107, 0.8701, 0.9105),
    "d10_glucose": (7.866, 6.755, 7.94, 9.128),
    "d10_lactate": (5.328, 3.182, 5.202, 7.217),
    "d10_fold": (27.02, 16.42, 26.43, 38.48),
    "volume_mL": (954.8, 640, 941.8, 1000),
    "d10_pH": (7.327, 7.28, 7.33, 7.375),
    "harvest_CARpos": (1.832e9, 7.616e8, 1.568e9, 2.99e9),
    "harvest_total": (4.644e9, 2.297e9, 4.323e9, 6.667e9),
    "medium_L": (6.684, 4.48, 6.593, 7),
    "kLa_needed_50pct": (1.297, 0.7879, 1.269, 1.847),
}


@pytest.fixture(scope="module")
def nominal():
    return nominal_batch()


@pytest.mark.parametrize("name", TABLE)
def test_nominal_column(nominal, name):
    assert nominal[name] == pytest.approx(TABLE[name][0], rel=0.01)


def test_red_cell_carry_over_is_a_few_in_a_thousand(nominal):
    # The published value counts some 260 of 120,000 simulated particles: 7 % is its own sampling error.
    assert nominal["sort_RBC_carryover"] == pytest.approx(0.002175, rel=0.15)


def test_healthy_donors_spread_as_published():
    batches = [nominal_batch(healthy_donor(seed)) for seed in range(400)]
    for name, (_, low, median, high) in TABLE.items():
        got = np.percentile([batch[name] for batch in batches], [2.5, 50.0, 97.5])
        assert got[1] == pytest.approx(median, rel=0.05), name
        assert got[0] == pytest.approx(low, rel=0.15), name
        assert got[2] == pytest.approx(high, rel=0.15), name


def test_donors_are_functions_of_their_seed():
    assert healthy_donor(7) == healthy_donor(7)
    assert healthy_donor(7) != healthy_donor(8)
    assert donor("nominal") is NOMINAL
    with pytest.raises(ValueError, match="'nominal', 'healthy', 'patient', 'weak'"):
        donor("superhuman")
    with pytest.raises(ValueError, match="t_fraction"):
        replace(NOMINAL, t_fraction=1.2)


def test_the_weak_donor_fails_release_by_growth_and_viability(nominal):
    weak = nominal_batch(WEAK)
    assert weak["d10_viability"] < 0.70
    assert weak["d10_total_viable"] < 5e8
    # By mechanism: with nominal growth and death the same material passes.
    cured = replace(WEAK, growth=1.0, residual_stimulus=1.0, lag=1.0, death=1.0, stress_death=1.0)
    assert nominal_batch(cured)["d10_viability"] > 0.80


def test_fault_scenarios_point_the_right_way(nominal):
    cold = nominal_batch(schedule=BatchSchedule(conditions=CultureConditions(temperature_c=33.0)))
    assert cold["d10_fold"] < nominal["d10_fold"] / 3.0
    unfed = nominal_batch(schedule=BatchSchedule(perfusion_vvd=0.0))
    assert unfed["d10_viability"] < 0.70
    detuned = nominal_batch(schedule=BatchSchedule(energy_j_m3=7.0))
    assert detuned["sort_recovery_T"] < 0.5 * nominal["sort_recovery_T"]


def test_purity_falls_with_energy_and_cells_are_conserved():
    sorts = [nominal_sort(schedule=BatchSchedule(energy_j_m3=e)) for e in (10.0, 12.0, 14.0, 18.0, 25.0)]
    assert [s.purity_cd3 for s in sorts] == pytest.approx([0.997, 0.987, 0.966, 0.90, 0.78], abs=0.006)
    fed = {"t_cell": 2.4e8, "monocyte": 0.8e8, "other_lymphocyte": 0.8e8, "red_blood_cell": 1.2e8}
    for sort in sorts:
        for name, number in fed.items():
            assert sort.centre[name] + sort.sides[name] == pytest.approx(number, rel=1e-12)


def test_a_schedule_out_of_order_is_refused():
    with pytest.raises(ValueError, match="out of order"):
        nominal_batch(schedule=BatchSchedule(dilute_at_h=12.0))
