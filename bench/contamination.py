# SPDX-License-Identifier: Apache-2.0
"""False alarms, detection and time to detection of the contamination watch on the twin's screening station.

    ./workcell exec python bench/contamination.py --batches 1000 --figure docs/images/contamination.png

Every screening is the real phase over driver, wire and firmware. A batch: a kit of its own (blank CV 5 %), one
calibration, samples of 1 mL on days 4, 6, 8 and 10 of a 955 mL culture; its cells are known to 2.5 %, the reagent is up
to half a day old. Contaminated: 10 CFU of one of four organisms on day 3, lag 2 h, washed out by one volume a day from
day 4.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from mimedi_nodes.modules.contamination_watch.calibrate import calibrate_background
from mimedi_nodes.modules.contamination_watch.instruments import WatchInstruments, build
from mimedi_nodes.modules.contamination_watch.screen import screen_sample
from mimedi_nodes.process.context import PhaseHeader
from mimedi_sim.firmware.photon_counter import PhotonCounterFirmware
from mimedi_sim.memory_link import MemoryLink
from mimedi_sim.models.bacteria import DOUBLING_TIME_H, Colony, growth_rate_per_h
from mimedi_sim.plant.photon_counter import ScreeningStation

DAYS, CELLS_PER_ML = (4.0, 6.0, 8.0, 10.0), {4.0: 1.05e6, 6.0: 2.6e6, 8.0: 3.9e6, 10.0: 4.7e6}
CULTURE_ML, SAMPLE_ML = 955.0, 1.0
CONTAMINATED_DAY, PERFUSION_DAY, WASHOUT_PER_H = 3.0, 4.0, 1.0 / 24.0
CULTURE_METHODS_H = {
    "flow cytometry (after enrichment)": (1.0, 2.0), "RT-PCR": (2.0, 3.0), "CO2 respiration": (48.0, 72.0),
    "ATP, enriched": (48.0, 72.0), "automated culture": (48.0, 120.0), "USP <71>": (336.0, 336.0),
}
"""Time to result (FIELD §C4)."""


class Context:
    """What a phase needs of its context, on a time of its own."""

    restored = None

    def __init__(self) -> None:
        self.time_s = 0.0
        self.header = PhaseHeader(batch_id="B")

    def now_s(self) -> float:
        """Return the process time [s]."""
        return self.time_s

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.time_s += seconds

    def ignore(self, *_: Any, **__: Any) -> None:
        """Take what a bench does not look at."""

    feedback = measured = alarm = clear_alarm = record = ignore


def drive(phase: Coroutine[Any, Any, Any]) -> Any:
    """Run a phase that never waits for anything real."""
    try:
        phase.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("the phase waits for something real")


class Batch:
    """One batch's kit, station and calibration."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.ctx = Context()
        self.station = ScreeningStation(seed, 0.0)
        firmware = PhotonCounterFirmware(self.station)
        link = MemoryLink("photon_counter", lambda data: firmware.receive(data, self.ctx.time_s))
        drive(link.open())
        self.instruments: WatchInstruments = build(None, {"photon_counter": link}, {})  # type: ignore[arg-type]
        drive(calibrate_background(SimpleNamespace(duration_s=600.0), self.instruments, self.ctx))  # type: ignore[arg-type]

    def screen(self, day: float, cfu: float, false_alarm_rate: float) -> Any:
        """Screen a sample with so many expected CFU in it."""
        self.ctx.time_s = max(self.ctx.time_s, 86400.0 * day)
        cells = SAMPLE_ML * float(np.interp(day, list(CELLS_PER_ML), list(CELLS_PER_ML.values())))
        self.station.load(self.ctx.time_s, cfu, cells, float(self.random.uniform(0.0, 0.5)))
        goal = SimpleNamespace(
            sample_id="S", volume_ul=1000.0 * SAMPLE_ML, false_alarm_rate=false_alarm_rate, carrier_cfu_per_ml=0.0,
            watch_s=0.0,
            somatic_cells_per_ml=cells / SAMPLE_ML * math.exp(self.random.normal(0.0, 0.025)),
        )
        return drive(screen_sample(goal, self.instruments, self.ctx))  # type: ignore[arg-type]


def density(seed: int, organism: str, inoculum: int, day: float) -> float:
    """Return CFU/mL on a day: divisions one by one while few, washed out by perfusion."""
    hours = 24.0 * (day - CONTAMINATED_DAY)
    if hours <= 0.0:
        return 0.0
    washed_h = max(0.0, 24.0 * (day - max(PERFUSION_DAY, CONTAMINATED_DAY)))
    colony = Colony(seed, organism, inoculum, CULTURE_ML, growth_rate_per_h(DOUBLING_TIME_H[organism]))
    return colony.cells_at(hours) * math.exp(-WASHOUT_PER_H * washed_h) / CULTURE_ML


def clean_batches(count: int, rate: float) -> dict[str, float]:
    """Screen clean batches; return false alarms a test and a batch."""
    tests = alarms = batches = 0
    delays = []
    for seed in range(count):
        batch, outcomes = Batch(seed), []
        for day in DAYS:
            result = batch.screen(day, 0.0, rate)
            outcomes.append(result["outcome"])
            delays.append(result["time_to_decision_s"])
        tests += len(outcomes)
        alarms += outcomes.count("suspect")
        batches += "suspect" in outcomes
    return {"batches": count, "tests": tests, "false_alarms": alarms, "false_alarm_rate": alarms / tests,
            "batches_with_false_alarm": batches, "median_decision_s": float(np.median(delays))}  # fmt: skip


def contaminated_batches(count: int, rate: float, inoculum: int = 10) -> dict[str, Any]:
    """Screen contaminated batches until one sample is suspect; return how many were found before release, and when."""
    found: dict[str, list[float]] = {name: [] for name in DOUBLING_TIME_H}
    number = dict.fromkeys(DOUBLING_TIME_H, 0)
    for seed in range(count):
        organism = list(DOUBLING_TIME_H)[seed % len(DOUBLING_TIME_H)]
        number[organism] += 1
        batch = Batch(100_000 + seed)
        for day in DAYS:
            cfu = density(seed, organism, inoculum, day) * SAMPLE_ML
            if batch.screen(day, cfu, rate)["outcome"] == "suspect":
                found[organism].append(day)
                break
    return {
        "batches": count, "inoculum": inoculum, "found": sum(map(len, found.values())) / count,
        "by_organism": {name: len(days) / max(1, number[name]) for name, days in found.items()},
        "median_day": {name: float(np.median(days)) if days else math.nan for name, days in found.items()},
    }  # fmt: skip


def scores(inocula: tuple[int, ...], count: int, organism: str, day: float) -> dict[int, list[float]]:
    """Return the standardised signal of samples by inoculum: what a threshold would cut."""
    found: dict[int, list[float]] = {n: [] for n in inocula}
    for inoculum in inocula:
        for seed in range(count):
            batch = Batch(200_000 + 10_000 * inoculum + seed)
            cfu = density(seed, organism, inoculum, day) * SAMPLE_ML if inoculum else 0.0
            found[inoculum].append(batch.screen(day, cfu, 1e-3)["signal_per_s"])
    return found


def times_to_detection(inoculum: int, organism: str, count: int, rate: float) -> list[float]:
    """Return the time [h] from contamination to the first suspect sample, sampling every six hours."""
    times = []
    for seed in range(count):
        batch = Batch(300_000 + seed)
        for step in range(1, 48):
            day = CONTAMINATED_DAY + 0.25 * step
            if batch.screen(day, density(seed, organism, inoculum, day) * SAMPLE_ML, rate)["outcome"] == "suspect":
                times.append(6.0 * step)
                break
        else:
            times.append(math.inf)
    return times


def figure(path: Path, count: int, rate: float) -> dict[str, Any]:
    """Draw ROC and time to detection; return the medians."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), gridspec_kw={"width_ratios": [1, 1.5]})
    slow, day = "cutibacterium_acnes", 7.5
    by_inoculum = scores((0, 1, 10, 100), 2 * count, slow, day)
    clean = np.sort(by_inoculum.pop(0))
    for inoculum, values in by_inoculum.items():
        cuts = np.concatenate([[-np.inf], np.sort(np.concatenate([clean, values])), [np.inf]])
        false = [np.mean(clean >= cut) for cut in cuts]
        true = [np.mean(np.array(values) >= cut) for cut in cuts]
        left.plot(false, true, drawstyle="steps-post", label=f"{inoculum} CFU on day 3")
    left.plot([0, 1], [0, 1], ":", color="0.6")
    title = f"C. acnes (doubles in 6.5 h), 1 mL of 955 mL on day {day:g}"
    left.set(xlabel="false alarms", ylabel="found", title=title)
    left.title.set_fontsize(9)
    left.legend(loc="lower right")
    medians: dict[str, Any] = {}
    rows, colours = [], {1: "C0", 10: "C1", 100: "C2"}
    for organism in DOUBLING_TIME_H:
        for inoculum, colour in colours.items():
            times = np.array(times_to_detection(inoculum, organism, count, rate))
            low, middle, high = np.quantile(times, [0.05, 0.5, 0.95], method="nearest")
            medians[f"{organism} {inoculum}"] = float(middle)
            y = len(rows)
            rows.append(f"{organism.replace('_', ' ')}, {inoculum} CFU")
            right.plot([low, min(high, 400.0)], [y, y], color=colour, lw=3)
            right.plot(middle, y, "o", color=colour)
    for name, (low, high) in CULTURE_METHODS_H.items():
        y = len(rows)
        rows.append(name)
        right.plot([low, high], [y, y], color="0.5", lw=3)
        right.plot([low, high], [y, y], "|", color="0.5")
    right.set_yticks(range(len(rows)), rows, fontsize=7)
    right.invert_yaxis()
    right.set_xscale("log")
    right.set(xlabel="h to the result", title="From contamination, sampled every 6 h (grey: others, from the sample)")
    right.title.set_fontsize(9)
    right.grid(axis="x", alpha=0.3)
    fig.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)
    return medians


def main() -> int:
    """Run it; print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=200, help="clean ones, and as many contaminated ones")
    parser.add_argument("--false-alarm-rate", type=float, default=1e-3, help="per test, the one setting (default 1e-3)")
    parser.add_argument("--figure", type=Path, help="draw ROC and time to detection into this PNG")
    parser.add_argument("--runs", type=int, default=40, help="batches a point of the figure")
    parser.add_argument("--json", metavar="FILE", help="write the numbers, - for stdout")
    options = parser.parse_args()
    begun = time.process_time()
    found: dict[str, Any] = {
        "false_alarm_rate_set": options.false_alarm_rate,
        "clean": clean_batches(options.batches, options.false_alarm_rate),
        "contaminated": contaminated_batches(options.batches, options.false_alarm_rate),
    }
    if options.figure:
        found["median_h"] = figure(options.figure, options.runs, options.false_alarm_rate)
    found["processor_s"] = time.process_time() - begun
    text = json.dumps(found, indent=2)
    if options.json and options.json != "-":
        Path(options.json).write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
