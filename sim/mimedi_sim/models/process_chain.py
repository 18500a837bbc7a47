# SPDX-License-Identifier: Apache-2.0
"""The nominal CAR-T-like batch as one chain of the models, without instruments: a check on the whole twin.

The plant runs the same models behind instruments; this chain carries the idealised schedule of PHYSICS §12 (ideal
lamella, oxygen and growth-limiting pH controlled) and gives its table of results.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mimedi_sim.models import transduction
from mimedi_sim.models.donors import NOMINAL, Donor
from mimedi_sim.models.sorter import SorterGeometry, default_population, population_recovery
from mimedi_sim.models.tcell import CultureConditions, TCellCulture
from mimedi_sim.models.validation import require_positive

_OXYGEN_RESERVE_ACTIVITY = 0.4
"""Share of the peak growth rate for which oxygen transfer is sized (a design reserve, not the actual rate)."""


@dataclass(frozen=True)
class BatchSchedule:
    """Settings of the idealised batch (PHYSICS §12); hours count from activation."""

    pbmc_per_ml: float = 1.0e7
    total_flow_ul_min: float = 3200.0
    residence_time_s: float = 0.6
    energy_j_m3: float = 14.0
    seed_per_ml: float = 1.0e6
    seed_limit_cells: float = 2.0e8
    il2_iu_ml: float = 100.0
    glucose_mm: float = 11.0
    moi: float = 5.0
    vector_at_h: float = 24.0
    contact_h: float = 18.0
    vector_tu_per_ml: float | None = None
    """Titre of the vector, whose volume dilutes the cells; None: it has no volume."""
    dilute_at_h: float = 48.0
    dilution: float = 5.0
    perfuse_from_h: float = 96.0
    perfusion_vvd: float = 1.0
    harvest_at_h: float = 240.0
    wash_recovery: float = 0.90
    sampled_share: float = 0.0
    """Share of the aliquot that goes into samples before it is sorted."""
    sort_volume_ml: float | None = None
    """Sample volume that is sorted; None: as much as dilutes the aliquot to pbmc_per_ml."""
    wash_residual: float = 1.0
    """Share of the old medium that is left after the vector was washed out; 1: it is not washed."""
    target_viable_cells: float | None = None
    """Harvest as soon as so many viable cells are counted, from not_before_h on; None: at harvest_at_h in any case."""
    not_before_h: float = 192.0
    grow_on_h: float = 0.0
    """How long the culture goes on after its last count, while the laboratory works."""
    conditions: CultureConditions = field(default_factory=CultureConditions)


PROCESS = BatchSchedule(
    energy_j_m3=14.045, sampled_share=0.021, sort_volume_ml=39.5, wash_residual=0.03, grow_on_h=4.5,
    vector_tu_per_ml=1.0e8,
)
"""What PROCESS.md does otherwise than PHYSICS §12: 5.3 Vpp are 14.045 J/m³; 0.8 of 38.5 mL are sampled; 40 mL with
their beads are sorted whatever they hold; the vector comes in 9 mL and is washed out on day 2, and lactate with it; the
culture grows on while its last sample is tested."""


@dataclass(frozen=True)
class SortOutcome:
    """Numbers of particles in centre and side outlets by species, and the derived figures of merit."""

    centre: dict[str, float]
    sides: dict[str, float]
    recovery_t: float
    purity_cd3: float
    red_cell_carryover: float
    hours: float


def nominal_sort(
    donor: Donor = NOMINAL, schedule: BatchSchedule | None = None, geometry: SorterGeometry | None = None
) -> SortOutcome:
    """Return the outcome of sorting one donor's labelled cells; centre + sides = what went in, exactly."""
    plan, chip = schedule or BatchSchedule(), geometry or SorterGeometry()
    half = 0.5 * (chip.lamella_end_m - chip.lamella_start_m)
    middle = chip.lamella_start_m + half
    chip = replace(chip, lamella_start_m=middle - half * donor.lamella_width,
                   lamella_end_m=middle + half * donor.lamella_width)
    share = population_recovery(
        default_population(), plan.energy_j_m3 * donor.acoustic_efficiency, plan.residence_time_s, geometry=chip
    )
    count = donor.pbmc_count * (1.0 - plan.sampled_share)
    fed = {
        "t_cell": count * donor.t_fraction,
        "monocyte": count * donor.monocyte_fraction,
        "other_lymphocyte": count * (1.0 - donor.t_fraction - donor.monocyte_fraction),
        "red_blood_cell": count * donor.red_cells_per_pbmc,
    }
    centre = {name: number * share[name] for name, number in fed.items()}
    sides = {name: number - centre[name] for name, number in fed.items()}
    nucleated = centre["t_cell"] + centre["monocyte"] + centre["other_lymphocyte"]
    sample_ul_min = plan.total_flow_ul_min * chip.lamella_flow_fraction()
    sorted_ml = count / plan.pbmc_per_ml if plan.sort_volume_ml is None else plan.sort_volume_ml
    hours = sorted_ml * 1e3 / sample_ul_min / 60.0
    return SortOutcome(
        centre, sides, share["t_cell"], centre["t_cell"] / nucleated if nucleated > 0.0 else 0.0,
        share["red_blood_cell"], hours,
    )


def nominal_batch(donor: Donor = NOMINAL, schedule: BatchSchedule | None = None) -> dict[str, float]:
    """Return the step-by-step results of one batch of a donor, named as in PHYSICS §12.

    Cells in numbers, X in cells/mL, metabolites in mM, volumes in mL (medium in L), times in h.
    Raises: ValueError if the schedule is out of order.
    """
    plan = schedule or BatchSchedule()
    require_positive(seed_per_ml=plan.seed_per_ml, dilution=plan.dilution)
    if plan.target_viable_cells is not None and plan.not_before_h < 168.0:
        raise ValueError(f"not_before_h is {plan.not_before_h}; allowed: >= 168, after the count of day 7")
    if not 0.0 < plan.vector_at_h < plan.dilute_at_h <= plan.perfuse_from_h < plan.harvest_at_h:
        raise ValueError(f"schedule out of order: {plan}")
    sort = nominal_sort(donor, plan)
    out = {
        "sort_recovery_T": sort.recovery_t, "sort_purity_CD3": sort.purity_cd3,
        "sort_RBC_carryover": sort.red_cell_carryover, "sort_T_cells": sort.centre["t_cell"],
        "sort_hours": sort.hours,
    }
    seeded = min(sort.centre["t_cell"], plan.seed_limit_cells)
    volume = seeded / plan.seed_per_ml
    culture = TCellCulture.seeded(
        seeded * donor.seed_viability, seeded * (1.0 - donor.seed_viability), volume,
        glucose_mm=plan.glucose_mm, il2_iu_ml=plan.il2_iu_ml, parameters=donor.culture_parameters(),
        conditions=replace(plan.conditions, feed_glucose_mm=plan.glucose_mm, feed_il2_iu_ml=plan.il2_iu_ml),
    )
    day1 = culture.at(plan.vector_at_h)
    out["d1_viability"] = day1.viability
    # Vector that comes to a millilitre of culture [mL].
    added = plan.moi * day1.viable_per_ml / plan.vector_tu_per_ml if plan.vector_tu_per_ml else 0.0
    copies = transduction.adsorbed_per_cell(
        plan.moi * donor.vector_titre, day1.viable_per_ml / (1.0 + added),
        transduction.ADSORPTION_ML_PER_CELL_H * donor.susceptibility, transduction.VECTOR_DECAY_PER_H, plan.contact_h,
    )
    positive = transduction.transduced_fraction(copies)
    out["m_adsorbed"], out["transduced_fraction"] = copies, positive
    out["VCN_per_CARpos"] = transduction.copies_per_positive_cell(copies)
    culture.kill(plan.vector_at_h, transduction.vector_viability_factor(plan.moi * donor.vector_titre))

    day2 = culture.at(plan.dilute_at_h)
    out["d2_viability"], out["d2_total_viable"] = day2.viability, day2.viable_cells
    culture.exchange_medium(plan.dilute_at_h, 1.0 - plan.wash_residual, glucose_mm=plan.glucose_mm,
                            il2_iu_ml=plan.il2_iu_ml)
    culture.add_medium(plan.dilute_at_h, (plan.dilution - 1.0) * volume, glucose_mm=plan.glucose_mm,
                       il2_iu_ml=plan.il2_iu_ml)
    day4 = culture.at(plan.perfuse_from_h)
    out["d4_X"], out["d4_glucose"], out["d4_lactate"] = day4.viable_per_ml, day4.glucose_mm, day4.lactate_mm
    culture.set_conditions(plan.perfuse_from_h, perfusion_vvd=plan.perfusion_vvd)
    if plan.harvest_at_h > 168.0 > plan.perfuse_from_h:
        day7 = culture.at(168.0)
        out["d7_X"], out["d7_lactate"], out["d7_glucose"] = day7.viable_per_ml, day7.lactate_mm, day7.glucose_mm
    end = culture.at(_harvest_h(culture, plan))
    uptake = culture.oxygen_uptake_mmol_cell_h(_OXYGEN_RESERVE_ACTIVITY * culture.parameters.growth_per_h)
    half_saturated = 0.5 * plan.conditions.oxygen_saturation_mm
    harvested = culture.at(end.time_h + plan.grow_on_h)
    out.update({
        "d10_X": end.viable_per_ml, "d10_total_viable": end.viable_cells, "d10_viability": end.viability,
        "d10_glucose": end.glucose_mm, "d10_lactate": end.lactate_mm, "d10_fold": end.viable_cells / seeded,
        "volume_mL": end.volume_ml, "d10_pH": culture.ph_of(end),
        "harvest_CARpos": harvested.viable_cells * plan.wash_recovery * positive,
        "harvest_total": harvested.viable_cells * plan.wash_recovery,
        "medium_L": (end.volume_ml + end.medium_perfused_ml) / 1e3,
        "kLa_needed_50pct": uptake * end.viable_per_ml * 1e3 / half_saturated,
    })
    return out


def _harvest_h(culture: TCellCulture, plan: BatchSchedule) -> float:
    """Return when the culture is harvested: looked at every half hour by rule, at the latest at harvest_at_h."""
    if plan.target_viable_cells is None:
        return plan.harvest_at_h
    time_h = plan.not_before_h
    while time_h < plan.harvest_at_h and culture.at(time_h).viable_cells < plan.target_viable_cells:
        time_h += 0.5
    return min(time_h, plan.harvest_at_h)
