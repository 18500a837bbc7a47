# SPDX-License-Identifier: Apache-2.0
"""Error of the soft sensor's forecast over simulated donors, beside plain extrapolation, on three growth laws.

Plants: `tcell` is the twin's own culture (PHYSICS §5: IL-2, pH and oxygen act, which the sensor does not know);
`gompertz` and `theta` are other laws altogether (Gompertz 1825; theta-logistic, Gilpin & Ayala 1973) with a lag.
Each donor is counted every half day with 5 % error, perfused from day 4; the forecast is of day 10.

    python bench/soft_sensor.py --donors 200 --figures docs/images
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mimedi_nodes.process.control.soft_sensor import Count, Limits, Regime, SoftSensor, extrapolated
from mimedi_sim.models.donors import healthy_donor
from mimedi_sim.models.tcell import TCellCulture, TCellParameters
from mimedi_sim.random_streams import stream

START_CELLS, START_ML, DILUTED_ML = 2.0e8, 190.0, 955.0
END_DAY, LOOKS_D = 10.0, (4.0, 6.0, 8.0)
COUNT_SD = 0.05
LIMITS = Limits(4.5e9, 1.0e9, 8.0, 12.0)
REGIMES = (Regime(0.0, START_ML), Regime(48.0, DILUTED_ML), Regime(96.0, DILUTED_ML, 1.0))

Law = Callable[[int], Callable[[float], float]]


def tcell(seed: int) -> Callable[[float], float]:
    """Return the viable cells over time [h] of the twin's culture for a healthy donor."""
    donor = healthy_donor(seed)
    culture = TCellCulture.seeded(
        START_CELLS * donor.seed_viability / 0.92, START_CELLS * 0.08, START_ML,
        parameters=donor.culture_parameters(TCellParameters()),
    )
    cells: dict[float, float] = {}
    for half_day in range(2 * int(END_DAY) + 5):
        now_h = 12.0 * half_day
        if now_h == 48.0:
            culture.add_medium(now_h, DILUTED_ML - START_ML)
        if now_h == 96.0:
            culture.set_conditions(now_h, perfusion_vvd=1.0)
        cells[now_h] = culture.at(now_h).viable_cells
    return lambda time_h: cells[time_h]


def gompertz(seed: int) -> Callable[[float], float]:
    """Growth whose rate falls with the logarithm of the size, after a lag."""
    rate = stream(seed, "gompertz", "rate").lognormal(0, 0.0125, 0.12)
    top = stream(seed, "gompertz", "top").lognormal(0, 1.1e10, 0.2)
    lag = stream(seed, "gompertz", "lag").normal(0, 26.0, 4.0)
    ratio = math.log(START_CELLS / top)
    return lambda time_h: top * math.exp(ratio * math.exp(-rate * max(0.0, time_h - lag)))


def theta(seed: int) -> Callable[[float], float]:
    """Theta-logistic growth, after a lag, with a slow loss."""
    rate = stream(seed, "theta", "rate").lognormal(0, 0.024, 0.12)
    top = stream(seed, "theta", "top").lognormal(0, 9.0e9, 0.2)
    lag = stream(seed, "theta", "lag").normal(0, 28.0, 4.0)
    bend = 0.6

    def cells(time_h: float) -> float:
        grown = math.exp(rate * bend * max(0.0, time_h - lag))
        share = (START_CELLS / top) ** bend
        return float(top * (share * grown / (1.0 + share * (grown - 1.0))) ** (1.0 / bend))

    return cells


LAWS: dict[str, Law] = {"tcell": tcell, "gompertz": gompertz, "theta": theta}


def one(law: Law, name: str, seed: int, look_d: float) -> dict[str, float]:
    """Return relative errors of one donor's forecasts at one look."""
    cells = law(seed)
    draw = stream(seed, "soft sensor bench", name)
    counts = []
    for half_day in range(2, int(2 * look_d) + 1):
        now_h = 12.0 * half_day
        counts.append(Count(now_h, cells(now_h) * (1.0 + COUNT_SD * draw.normal(half_day, 0.0, 1.0)), COUNT_SD))
    sensor = SoftSensor(START_CELLS, REGIMES)
    begun_s = time.process_time()
    sensor.take(counts)
    forecast = sensor.forecast(END_DAY, LIMITS)
    spent_s = time.process_time() - begun_s
    true = cells(24.0 * END_DAY)
    return {
        "sensor": forecast.viable_cells.median / true - 1.0,
        "extrapolated": extrapolated(counts, 24.0 * END_DAY) / true - 1.0,
        "covered": float(forecast.viable_cells.low <= true <= forecast.viable_cells.high),
        "width": (forecast.viable_cells.high - forecast.viable_cells.low) / true,
        "seconds": spent_s,
    }


def table(donors: int, first_seed: int = 1) -> list[dict[str, Any]]:
    """Return the errors by law and day of the look."""
    rows = []
    for name, law in LAWS.items():
        for look_d in LOOKS_D:
            found = [one(law, name, seed, look_d) for seed in range(first_seed, first_seed + donors)]
            sensor, plain = (np.abs([f[key] for f in found]) for key in ("sensor", "extrapolated"))
            rows.append({
                "law": name, "day": look_d, "donors": donors,
                "sensor_mean": float(sensor.mean()), "sensor_p95": float(np.quantile(sensor, 0.95)),
                "extrapolated_mean": float(plain.mean()), "extrapolated_p95": float(np.quantile(plain, 0.95)),
                "coverage": float(np.mean([f["covered"] for f in found])),
                "width": float(np.median([f["width"] for f in found])),
                "seconds": float(np.mean([f["seconds"] for f in found])),
                "errors": [[f["sensor"], f["extrapolated"]] for f in found],
            })  # fmt: skip
    return rows


def figures(rows: list[dict[str, Any]], folder: Path) -> None:
    """Draw the errors by day and law, and one donor's forecast with its band."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(LAWS), figsize=(10.5, 3.4), sharey=True, layout="constrained")
    for axis, name in zip(axes, LAWS, strict=True):
        own = [row for row in rows if row["law"] == name]
        for index, row in enumerate(own):
            errors = np.abs(np.array(row["errors"])) * 100.0
            boxes = axis.boxplot(errors, positions=[3 * index, 3 * index + 1], widths=0.7, sym="", patch_artist=True)
            for box, colour in zip(boxes["boxes"], ("#2a6f97", "#c9ada7"), strict=True):
                box.set_facecolor(colour)
        axis.set_xticks([3 * i + 0.5 for i in range(len(own))], [f"day {row['day']:g}" for row in own])
        axis.set_title(f"plant: {name}")
        axis.set_yscale("log")
        axis.set_ylim(0.3, 4000.0)
    axes[0].set_ylabel("error of the count on day 10 [%]")
    axes[-1].plot([], [], "s", color="#2a6f97", label="soft sensor")
    axes[-1].plot([], [], "s", color="#c9ada7", label="extrapolation")
    axes[-1].legend(frameon=False)
    figure.savefig(folder / "soft_sensor_errors.png", dpi=110)
    plt.close(figure)
    figure, axis = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    cells = tcell(7)
    draw = stream(7, "soft sensor bench", "figure")
    counts = [Count(12.0 * i, cells(12.0 * i) * (1.0 + COUNT_SD * draw.normal(i, 0.0, 1.0))) for i in range(2, 25)]
    axis.plot([0.5 * i for i in range(25)], [cells(12.0 * i) for i in range(25)], "k-", lw=1, label="truth")
    for look_d, colour in zip(LOOKS_D, ("#c1666b", "#d4a373", "#2a6f97"), strict=True):
        sensor = SoftSensor(START_CELLS, REGIMES)
        sensor.take([count for count in counts if count.time_h <= 24.0 * look_d])
        days = np.arange(look_d, 12.01, 0.5)
        bands = [sensor.forecast(day, LIMITS).viable_cells for day in days]
        axis.fill_between(days, [b.low for b in bands], [b.high for b in bands], color=colour, alpha=0.25)
        axis.plot(days, [b.median for b in bands], color=colour, label=f"forecast on day {look_d:g}")
    axis.plot([c.time_h / 24.0 for c in counts], [c.viable_cells for c in counts], "k.", ms=4, label="counts")
    axis.set(yscale="log", xlabel="day", ylabel="viable cells")
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(folder / "soft_sensor_forecast.png", dpi=110)
    plt.close(figure)


def main() -> int:
    """Run the comparison; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--donors", type=int, default=200)
    parser.add_argument("--figures", type=Path, help="folder for the figures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = table(options.donors)
    print(f"{'plant':10} {'day':>4} {'sensor mean':>12} {'p95':>7} {'extrapol. mean':>15} {'p95':>7} {'covered':>8} "
          f"{'width':>6} {'ms':>5}")  # fmt: skip
    for row in rows:
        print(
            f"{row['law']:10} {row['day']:4g} {row['sensor_mean']:12.1%} {row['sensor_p95']:7.1%} "
            f"{row['extrapolated_mean']:15.1%} {row['extrapolated_p95']:7.1%} {row['coverage']:8.1%} "
            f"{row['width']:6.2f} {1e3 * row['seconds']:5.0f}"
        )
    if options.figures:
        figures(rows, options.figures)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
