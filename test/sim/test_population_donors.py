# SPDX-License-Identifier: Apache-2.0
"""Patients are those of FIELD §C1, and they fail by mechanism."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest
from scipy.stats import binomtest, chi2_contingency

from mimedi_sim.models.donors import BENDAMUSTINE_SHARE, KINDS, donor, patient
from mimedi_sim.population.outcomes import GROWTH, MATERIAL, VIABILITY, aliquot_ul, failure

PATIENTS = 1000


def test_patients_are_collected_as_in_the_united_kingdom() -> None:
    """FIELD §C1, tisagenlecleucel UK, n = 134: quartiles within what 134 patients can tell."""
    people = [patient(seed) for seed in range(2000)]
    cells = np.array([14.0 * p.pbmc_count for p in people])
    assert np.quantile(cells, (0.25, 0.5, 0.75)) == pytest.approx([3.1e9, 5.6e9, 8.4e9], rel=0.15)
    cd3 = np.array([14.0 * p.pbmc_count * p.t_fraction for p in people])
    assert np.quantile(cd3, (0.25, 0.5, 0.75)) == pytest.approx([1.2e9, 2.6e9, 4.1e9], rel=0.25)
    assert np.mean([p.bendamustine for p in people]) == pytest.approx(BENDAMUSTINE_SHARE, abs=0.015)
    taken = [p.pbmc_count * aliquot_ul(p) / 20_000.0 for p in people]
    assert np.median(taken) == pytest.approx(4e8, rel=0.01)


def test_a_patient_is_a_function_of_the_seed_and_keeps_her_own_cells_without_the_treatment() -> None:
    assert patient(7) == patient(7) != patient(8)
    with_it, without = patient(7, treated=True), patient(7, treated=False)
    assert with_it.bendamustine
    assert with_it.growth / without.growth == pytest.approx(0.90)
    assert with_it.metabolism == without.metabolism
    with pytest.raises(ValueError, match="allowed: 'nominal', 'healthy', 'patient', 'weak'"):
        donor("rich")
    assert all(donor(kind, 3).pbmc_count > 0.0 for kind in KINDS)


@cache
def cause(seed: int) -> str:
    """Why a patient's batch fails."""
    return failure(patient(seed))


def test_patients_fail_at_published_rates_and_for_published_reasons() -> None:
    """FIELD §C1: 1 to 8 % in trials, 3.9 % of the UK's lymphoma patients; growth and viability alike (12 and 12)."""
    causes = Counter(cause(seed) for seed in range(PATIENTS))
    failed = 1.0 - causes[""] / PATIENTS
    assert 0.02 < failed < 0.08, causes
    assert causes[MATERIAL] < 0.01 * PATIENTS
    ours = [causes[why] for why in (GROWTH, VIABILITY)]
    assert chi2_contingency([ours, [12, 12]]).pvalue > 0.05, causes


def test_bendamustine_is_as_frequent_among_failures_as_published() -> None:
    """FIELD §C1: 23.7 % of those whose manufacture failed had had it within six months, next to none of the others."""
    failed = [patient(seed).bendamustine for seed in range(PATIENTS) if cause(seed)]
    fine = [patient(seed).bendamustine for seed in range(PATIENTS) if not cause(seed)]
    assert binomtest(sum(failed), len(failed), 0.237).pvalue > 0.05
    assert np.mean(fine) < 0.03


def test_without_bendamustine_its_excess_goes() -> None:
    seeds = range(200)
    treated = sum(bool(failure(patient(seed, treated=True))) for seed in seeds)
    spared = sum(bool(failure(patient(seed, treated=False))) for seed in seeds)
    assert treated > 4 * spared
    assert treated > 0.25 * len(seeds)
    assert spared < 0.08 * len(seeds)


def test_better_perfusion_saves_batches_of_low_viability() -> None:
    """Cells that burn much glucose drown in their lactate; more medium takes it away."""
    low = [seed for seed in range(PATIENTS) if cause(seed) == VIABILITY]
    still = [seed for seed in low if failure(patient(seed), perfusion_vvd=2.0) == VIABILITY]
    assert len(low) >= 10
    assert len(still) < 0.5 * len(low)
    burning = np.median([patient(seed).metabolism for seed in low])
    assert burning > 1.1  # a mechanism, not a coin
