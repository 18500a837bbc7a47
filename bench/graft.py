# SPDX-License-Identifier: Apache-2.0
"""The acceleration experiment of the graft: what stimulation saves of the days to the graft, against controls.

    ./workcell exec python bench/graft.py --batches 8 --figure docs/images/graft.png

The shipped recipe `osteoblast_graft`, whole batches, headless; every factor on the same seeds, so that each stimulated
batch has its own control. The day of the graft is when the recipe finds the graft mature: looks on day 12 and every
second day, each by the lower end of the interval of osteocalcin. That shear at 120 rpm multiplies both rates of
differentiation by 1.6 is the twin's assumption (`mimedi_sim/plant/osteoculture.py`), no measured fact.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mimedi_nodes.modules.registry import config_folder, manifests
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.people.operator import ScriptedOperator
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.process.release import evaluate
from mimedi_nodes.records.review import review
from mimedi_nodes.records.specification import product_file, read_specification
from mimedi_sim.headless import HeadlessRun, run_batch
from mimedi_sim.models.donors import donor

FACTORS = (1.0, 1.2, 1.4, 1.6)
CONFIG = config_folder()
PATIENT = make_identifier("F1234", 26, 1)


def batch(factor: float, seed: int) -> dict[str, Any]:
    """Return day of the graft, verdict and viability of one batch."""
    recipe = load_recipe(CONFIG / "recipes" / "osteoblast_graft.yaml", manifests()).with_parameters(
        {"stimulation": factor}
    )
    result = run_batch(
        HeadlessRun(
            recipe, Batch(f"G-{seed}", PATIENT, PATIENT, 70.0), load_site(CONFIG / "site" / "demo.yaml"),
            donor("nominal"), seed, ScriptedOperator(CONFIG / "operators" / "default.yaml"),
        )
    )  # fmt: skip
    found = review(result.events, read_specification(product_file(CONFIG / "products", recipe.product)), evaluate)
    days = [e.data["value"] for e in result.events if e.kind == "measurement" and e.data["name"] == "graft_day"]
    viability = next((row.value for row in found.rows if row.id == "viability"), math.nan)
    return {"day": float(days[-1]), "verdict": found.verdict, "viability": float(viability or math.nan)}


def main() -> int:
    """Run it; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=8, help="seeds for each factor")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    seeds = range(1, options.batches + 1)
    found = {factor: [batch(factor, seed) for seed in seeds] for factor in FACTORS}
    days = {factor: np.array([one["day"] for one in batches]) for factor, batches in found.items()}
    print("stimulation  day of graft (sd)   days saved (95 %)    viability  meet")
    for factor, batches in found.items():
        saved = days[1.0] - days[factor]
        half = 1.96 * saved.std(ddof=1) / math.sqrt(len(saved)) if len(saved) > 1 else math.nan
        meet = sum(one["verdict"] == "meets_provisionally" for one in batches)
        viability = np.mean([one["viability"] for one in batches])
        print(
            f"{factor:11.1f}  {days[factor].mean():9.1f} ({days[factor].std():.1f})   {saved.mean():7.1f} ± {half:4.1f}"
            f"     {viability:9.3f}    {meet}/{len(batches)}"
        )
    if options.figure:
        figure(days, options.figure)
    return 0


def figure(days: dict[float, np.ndarray], path: Path) -> None:
    """Draw the day of the graft over the factor, each batch and the mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, axis = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
    for factor, values in days.items():
        axis.plot(np.full(len(values), factor), values, "o", color="#2a6f97", alpha=0.4, ms=5)
    axis.plot(list(days), [values.mean() for values in days.values()], "-", color="#2a6f97", label="mean")
    axis.axhline(21.0, color="#777777", lw=1, ls="--", label="21 days in hospital")
    axis.set(xlabel="stimulation (rate of differentiation over that at rest)", ylabel="day of the graft")
    axis.set_xticks(list(days))
    axis.legend(frameon=False)
    drawn.savefig(path, dpi=110)
    plt.close(drawn)


if __name__ == "__main__":
    sys.exit(main())
