# SPDX-License-Identifier: Apache-2.0
"""Donors: what one patient's cells and one chip's making change in the nominal models.

`nominal` is the mean; `healthy` varies as the donors of PHYSICS §12; `weak` fails release by mechanism: cells of
a heavily pre-treated patient that respond poorly to stimulation and die faster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mimedi_sim.models.tcell import TCellParameters
from mimedi_sim.random_streams import stream


@dataclass(frozen=True)
class Donor:
    """Multipliers (1 = nominal) and starting material of one donor's batch.

    pbmc_count and t_fraction describe the recorded aliquot that enters the process; viability is that of the
    cells at seeding (0..1); susceptibility multiplies the vector uptake; the last three belong to chip and lot.
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
    susceptibility: float = 1.0
    vector_titre: float = 1.0
    acoustic_efficiency: float = 1.0
    lamella_width: float = 1.0

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
    changes: dict[str, float] = {}
    for name, cv in _HEALTHY_CV.items():
        mean = getattr(base, name) * _HEALTHY_MEAN.get(name, 1.0)
        changes[name] = stream(seed, "donor", name).lognormal(0, mean, cv)
    for name, sd in _HEALTHY_SD.items():
        low, high = _HEALTHY_LIMITS[name]
        changes[name] = min(high, max(low, stream(seed, "donor", name).normal(0, getattr(base, name), sd)))
    changes["monocyte_fraction"] = (1.0 - changes["t_fraction"]) / 2.0
    return replace(base, name=f"healthy-{seed}", **changes)


def donor(kind: str, seed: int = 0) -> Donor:
    """Return a donor by kind: "nominal", "healthy" (drawn by seed) or "weak".

    Raises: ValueError on another kind.
    """
    if kind == "nominal":
        return NOMINAL
    if kind == "weak":
        return WEAK
    if kind == "healthy":
        return healthy_donor(seed)
    raise ValueError(f"donor kind is {kind!r}; allowed: 'nominal', 'healthy', 'weak'")
