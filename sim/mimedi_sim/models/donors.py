# SPDX-License-Identifier: Apache-2.0
"""Donors: what one patient's cells and one chip's making change in the nominal models.

`nominal` is the mean; `healthy` varies as the donors of PHYSICS §12, `patient` as the ill whose cells are used
(FIELD §C1); `weak` fails release by mechanism: cells of a heavily pre-treated patient that respond poorly to
stimulation and die faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from mimedi_sim.models.tcell import TCellParameters
from mimedi_sim.random_streams import stream


@dataclass(frozen=True)
class Donor:
    """Multipliers (1 = nominal) and starting material of one donor's batch.

    pbmc_count is what 20 mL of the apheresis hold (a fourteenth of it); viability is that of the cells at seeding
    (0..1); metabolism multiplies the glucose uptake, susceptibility the vector uptake; the next three belong to chip
    and lot. bendamustine tells a treatment in the last six months: what it does is in the other fields.
    """

    name: str = "nominal"
    pbmc_count: float = 4.0e8
    t_fraction: float = 0.60
    monocyte_fraction: float = 0.20
    incoming_viability: float = 0.95
    seed_viability: float = 0.92
    red_cells_per_pbmc: float = 0.30
    growth: float = 1.0
    residual_stimulus: float = 1.0
    lag: float = 1.0
    death: float = 1.0
    stress_death: float = 1.0
    metabolism: float = 1.0
    susceptibility: float = 1.0
    vector_titre: float = 1.0
    acoustic_efficiency: float = 1.0
    lamella_width: float = 1.0
    bendamustine: bool = False

    def __post_init__(self) -> None:
        for name in ("t_fraction", "monocyte_fraction", "incoming_viability", "seed_viability"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} of donor {self.name!r} is {value}; allowed: 0..1")
        if self.t_fraction + self.monocyte_fraction > 1.0:
            raise ValueError(
                f"t_fraction {self.t_fraction} + monocyte_fraction {self.monocyte_fraction} of donor "
                f"{self.name!r} exceed 1"
            )

    def culture_parameters(self, base: TCellParameters | None = None) -> TCellParameters:
        """Return the growth parameters of this donor's T cells."""
        p = base or TCellParameters()
        return replace(
            p, growth_per_h=p.growth_per_h * self.growth,
            residual_stimulus=min(1.0, p.residual_stimulus * self.residual_stimulus),
            lag_h=p.lag_h * self.lag, death_per_h=p.death_per_h * self.death,
            stress_death_per_h=p.stress_death_per_h * self.stress_death,
            yield_cells_per_mmol=p.yield_cells_per_mmol / self.metabolism,
            maintenance_mmol_cell_h=p.maintenance_mmol_cell_h * self.metabolism,
        )


NOMINAL = Donor()

WEAK = Donor(
    name="weak", t_fraction=0.35, monocyte_fraction=0.35, incoming_viability=0.86, seed_viability=0.78,
    growth=0.62, residual_stimulus=0.55, lag=1.5, death=2.6, stress_death=1.8, susceptibility=0.6,
)
"""Fails by poor growth and low viability, as after recent bendamustine (FIELD §C1)."""

# Coefficients of variation of the healthy population: growth parameters from PHYSICS §5, chip and lamella
# from §2; starting material, susceptibility and seed viability fitted to the donor ranges of §12.
_HEALTHY_CV = {
    "pbmc_count": 0.135, "growth": 0.07, "residual_stimulus": 0.12, "lag": 0.10, "death": 0.25,
    "susceptibility": 0.31, "vector_titre": 0.12, "acoustic_efficiency": 0.11, "lamella_width": 0.02,
}
_HEALTHY_MEAN = {"growth": 0.995}  # puts the median expansion of the population on that of §12
_HEALTHY_SD = {"t_fraction": 0.066, "seed_viability": 0.011}
_HEALTHY_LIMITS = {"t_fraction": (0.35, 0.78), "seed_viability": (0.85, 0.97)}


def healthy_donor(seed: int) -> Donor:
    """Return a healthy donor, a pure function of the seed: every property from its own random stream."""
    base = Donor()
    changes: dict[str, Any] = {}
    for name, cv in _HEALTHY_CV.items():
        mean = getattr(base, name) * _HEALTHY_MEAN.get(name, 1.0)
        changes[name] = stream(seed, "donor", name).lognormal(0, mean, cv)
    for name, sd in _HEALTHY_SD.items():
        low, high = _HEALTHY_LIMITS[name]
        changes[name] = min(high, max(low, stream(seed, "donor", name).normal(0, getattr(base, name), sd)))
    changes["monocyte_fraction"] = (1.0 - changes["t_fraction"]) / 2.0
    return replace(base, name=f"healthy-{seed}", **changes)


# Patients. The collection is that of the UK's tisagenlecleucel patients (FIELD §C1: nucleated cells median 5.6e9,
# quartiles 3.1 and 8.4; CD3+ median 2.6e9, quartiles 1.2 and 4.1). How the cells of the ill respond is calibration:
# the spreads are wider than in health, so that one batch in twenty-five fails (FIELD §C1: 1 to 8 % in trials, 3.9 % in
# the UK), by poor growth, low viability and low purity as often as there (12, 12 and 6 of 30).
PATIENT_COUNT_SIGMA_LN = 0.739
PATIENT_T_FRACTION_MEDIAN, PATIENT_T_FRACTION_LOGIT_SD = 0.46, 0.40
PATIENT_CV = {
    "growth": 0.18, "residual_stimulus": 0.35, "lag": 0.30, "death": 0.14, "stress_death": 0.6, "metabolism": 0.24,
    "susceptibility": 0.36, "vector_titre": 0.12, "acoustic_efficiency": 0.11, "lamella_width": 0.02,
}
PATIENT_MEDIAN = {"death": 0.85}
PATIENT_VIABILITY_SD = {"incoming_viability": 0.015, "seed_viability": 0.020}
BENDAMUSTINE_SHARE = 0.03
"""Patients who had bendamustine in the six months before the apheresis [calibration: with its effect it makes about a
quarter of the failures, FIELD §C1: 23.7 % against 0 %]."""
BENDAMUSTINE_EFFECT = {
    "pbmc_count": 0.6, "t_fraction": 0.7, "growth": 0.90, "residual_stimulus": 0.75, "lag": 1.2, "death": 1.35,
}
"""What it does to T cells: fewer of them, that respond later and less and die sooner [calibration]."""


def patient(seed: int, treated: bool | None = None) -> Donor:
    """Return a patient, a pure function of the seed; `treated` overrides whether bendamustine was given recently.

    The same seed with and without it is the same patient but for its effect.
    """

    def normal(name: str) -> float:
        return stream(seed, "patient", name).normal(0)

    base = Donor()
    values: dict[str, Any] = {
        name: PATIENT_MEDIAN.get(name, 1.0) * math.exp(math.sqrt(math.log1p(cv * cv)) * normal(name))
        for name, cv in PATIENT_CV.items()
    }
    values["pbmc_count"] = base.pbmc_count * math.exp(PATIENT_COUNT_SIGMA_LN * normal("pbmc_count"))
    median = PATIENT_T_FRACTION_MEDIAN
    logit = math.log(median / (1.0 - median)) + PATIENT_T_FRACTION_LOGIT_SD * normal("t_fraction")
    values["t_fraction"] = 1.0 / (1.0 + math.exp(-logit))
    for name, sd in PATIENT_VIABILITY_SD.items():
        values[name] = min(0.99, getattr(base, name) + sd * normal(name))
    drawn = stream(seed, "patient", "bendamustine").uniform(0) < BENDAMUSTINE_SHARE
    ill = drawn if treated is None else treated
    if ill:
        for name, factor in BENDAMUSTINE_EFFECT.items():
            values[name] *= factor
    values["monocyte_fraction"] = 0.5 * (1.0 - values["t_fraction"])
    return replace(base, name=f"patient-{seed}", bendamustine=ill, **values)


KINDS = ("nominal", "healthy", "patient", "weak")
"""Kinds of donors."""


def donor(kind: str, seed: int = 0) -> Donor:
    """Return a donor by kind: "nominal", "healthy" and "patient" (drawn by seed), or "weak".

    Raises: ValueError on another kind.
    """
    if kind == "nominal":
        return NOMINAL
    if kind == "weak":
        return WEAK
    if kind == "healthy":
        return healthy_donor(seed)
    if kind == "patient":
        return patient(seed)
    raise ValueError(f"donor kind is {kind!r}; allowed: {', '.join(map(repr, KINDS))}")
