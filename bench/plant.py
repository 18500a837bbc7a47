# SPDX-License-Identifier: Apache-2.0
"""How fast the simulated plant is, and what the time goes into.

    ./workcell exec python bench/plant.py [--seed 1] [--repeat 3] [--json]
    ./workcell exec python bench/plant.py --graph --many 40 --jobs 2

Measures the nominal batch headless (simulated days per second), a 14-day culture alone, and images per second of the
microscope (640×128 px, 100 cells; each frame is a bright-field and a dye image). With --graph also the whole workcell
in the ROS graph (./workcell demo: all nodes, one batch at full speed), with --many N batches of healthy donors in
--jobs processes, extrapolated to 1,000. Each has its share of model, rendering, image analysis and Python overhead, by
the file in which time is spent; what NumPy, SciPy and OpenCV spend counts for the file that calls them. Profiling slows
calls down: shares, not seconds, are to be read. The ROS graph is measured in processor time of all its processes, not
profiled. Processor time of a busy machine is longer than that of an idle one: a loop of plain Python is timed beside.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "sim")]

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

AIM_BATCH_S, AIM_IMAGES_PER_S = 1.0, 1000.0
PICTURE_PX, CELLS_IN_VIEW, FRAMES = (640, 128), 100, 300

# First match decides; paths below the repository.
CATEGORIES = (
    ("rendering", ("sim/mimedi_sim/camera", "sim/mimedi_sim/cell_field", "sim/mimedi_sim/models/imaging")),
    ("model", ("sim/mimedi_sim/models", "sim/mimedi_sim/plant", "sim/mimedi_sim/random_streams", "sim/mimedi_sim/lab")),
    ("firmware", ("sim/mimedi_sim/firmware", "sim/mimedi_sim/memory_link")),
    ("image analysis", ("mimedi_nodes/vision",)),
    ("record", ("mimedi_nodes/records",)),
)
OTHER = "other Python"
"""Engine, phases, drivers, event loop."""


def category_of(file: str) -> str | None:
    """Return the category of a source file, None for built-in and library code that counts for its caller."""
    path = file.replace(os.sep, "/")
    for name, parts in CATEGORIES:
        if any(f"/{part}" in path for part in parts):
            return name
    library = "site-packages" in path or path.startswith(("~", "<"))
    return None if library else OTHER


def shares_of(profile: cProfile.Profile) -> dict[str, float]:
    """Return the share of the time by category; library time is passed up to whoever called it, by calls' time."""
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    spent: dict[str, float] = defaultdict(float)

    def give(function: Any, seconds: float, depth: int) -> None:
        own = category_of(function[0])
        callers = stats[function][4] if function in stats else {}
        weights = {caller: max(values[3], 0.0) for caller, values in callers.items() if caller != function}
        whole = sum(weights.values())
        if own is not None or whole <= 0.0 or depth > 12:
            spent[own or OTHER] += seconds
            return
        for caller, weight in weights.items():
            if weight > 1e-3 * whole:
                give(caller, seconds * weight / whole, depth + 1)

    for function, (_, _, own_s, _, _) in stats.items():
        if own_s > 0.0:
            give(function, own_s, 0)
    total = sum(spent.values())
    return {name: seconds / total for name, seconds in sorted(spent.items(), key=lambda item: -item[1])}


def seconds_of(work: Callable[[], Any], repeat: int) -> float:
    """Return the least processor time [s] of some runs: everything runs in one thread, the others were disturbed."""
    times = []
    for _ in range(repeat):
        begun_s = time.process_time()
        work()
        times.append(time.process_time() - begun_s)
    return min(times)


def plain_loop_ms() -> float:
    """Return the processor time [ms] of a loop of plain Python: how fast this machine is just now."""
    begun_s, seen, total = time.process_time(), {}, 0
    for number in range(600_000):
        total += number * number % 7
        seen[number & 255] = total
    return 1e3 * (time.process_time() - begun_s)


def bench_batch(seed: int, repeat: int) -> dict[str, Any]:
    """Measure the nominal batch, and where its time goes."""
    from mimedi_nodes.commands.parts.batch_options import recipe_path
    from mimedi_sim.population import Campaign, run_campaign

    campaign = Campaign(recipe_path("car_t_cd19"), 1, seed, "nominal")
    days: list[float] = []

    def one() -> None:
        (row,) = run_campaign(campaign)
        if row.error or row.ended != "completed":
            raise SystemExit(f"the batch ended {row.ended}: {row.error or row.reason}")
        days.append(row.days)

    one()  # imports, caches
    batch_s = seconds_of(one, repeat)
    shares = profiled(one, 1)
    day = statistics.median(days)
    return {"batch_s": batch_s, "days": day, "days_per_s": day / batch_s, "aim_batch_s": AIM_BATCH_S, "shares": shares}


def profiled(work: Callable[[], Any], times: int) -> dict[str, float]:
    """Return the shares of the time of some runs by category."""
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(times):
        work()
    profile.disable()
    return shares_of(profile)


def bench_graph(seed: int) -> dict[str, Any]:
    """Measure one batch through the whole ROS graph: all processes that ./workcell demo launches and waits for."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        before, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "mimedi_nodes.commands", "demo", "--seed", str(seed), "--runs", folder, "--json",
             str(result)], capture_output=True, text=True, check=False, cwd=ROOT,
        )
        wall_s, after = time.monotonic() - begun_s, resource.getrusage(resource.RUSAGE_CHILDREN)
        if not result.is_file():
            raise SystemExit(f"the demonstration could not run ({done.returncode}): {done.stderr.strip()[-500:]}")
        days = json.loads(result.read_text(encoding="utf-8"))["duration_d"]
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"wall_s": wall_s, "cpu_s": cpu_s, "days": days, "days_per_s": days / wall_s}


def bench_many(seed: int, number: int, jobs: int) -> dict[str, Any]:
    """Measure many batches of healthy donors in some processes, and what 1,000 would take."""
    from mimedi_nodes.commands.parts.batch_options import recipe_path
    from mimedi_sim.population import Campaign, run_campaign

    first = run_campaign(Campaign(recipe_path("car_t_cd19"), jobs, seed, "healthy"), jobs)  # what starting costs
    started_s = time.monotonic()
    rows = run_campaign(Campaign(recipe_path("car_t_cd19"), number, seed, "healthy"), jobs)
    wall_s = time.monotonic() - started_s
    failed = [row for row in (*first, *rows) if row.error]
    if failed:
        raise SystemExit(f"seed {failed[0].seed}: {failed[0].error}")
    busy_s = sum(row.wall_s for row in rows) / jobs
    return {"number": number, "jobs": jobs, "wall_s": wall_s, "batch_s": busy_s * jobs / number,
            "thousand_s": wall_s - busy_s + busy_s * 1000.0 / number, "extrapolated": number != 1000}


def bench_culture(repeat: int) -> dict[str, Any]:
    """Measure 14 days of the culture model with perfusion from day 4."""
    from mimedi_sim.models.tcell import TCellCulture

    def grow() -> None:
        culture = TCellCulture.seeded(1.8e8, 1.6e7, 950.0)
        culture.set_conditions(96.0, perfusion_vvd=1.0)
        culture.advance_to(14.0 * 24.0)

    grow()
    culture_s = seconds_of(grow, 5 * repeat)
    return {"culture_ms": 1e3 * culture_s, "days_per_s": 14.0 / culture_s, "shares": profiled(grow, 20)}


def bench_images(seed: int, repeat: int) -> dict[str, Any]:
    """Measure the microscope on a field of 100 cells in flow: bright field and dye, and both colours beside them."""
    from mimedi_sim.rendering.camera import MicroscopeCamera
    from mimedi_sim.rendering.cell_field import CellField, culture_populations
    from mimedi_sim.rendering.fluorescence import FluorescenceImages, stained_kinds

    width, height = PICTURE_PX
    camera = MicroscopeCamera(seed, width, height)
    per_ml = CELLS_IN_VIEW / camera.channel.view_volume_ml
    sample = CellField(seed, "bench", culture_populations(0.85 * per_ml, 0.15 * per_ml), camera.channel)

    def film() -> None:
        for frame in range(FRAMES):
            camera.render(frame, sample.at(frame / 50.0))

    colours = FluorescenceImages(camera)
    stains, alive = {0: (0.4, 0.2)}, [True, False, True]

    def in_colour() -> None:
        for frame in range(FRAMES):
            cells = sample.at(frame / 50.0)
            camera.render(frame, cells)
            colours.render(frame, cells, stained_kinds(cells, stains, alive))

    film()
    film_s = seconds_of(film, repeat)
    in_colour()
    colour_s = seconds_of(in_colour, repeat)
    seen = statistics.mean(len(sample.truth_in_view(n / 50.0).x_px) for n in range(0, FRAMES, 10))
    return {"shares": profiled(film, 1), "frames_per_s": FRAMES / film_s, "images_per_s": 2 * FRAMES / film_s,
            "colour_frames_per_s": FRAMES / colour_s, "colour_images_per_s": 4 * FRAMES / colour_s,
            "cells_in_view": seen, "picture_px": list(PICTURE_PX), "aim_images_per_s": AIM_IMAGES_PER_S}


def main() -> int:
    """Print the table, or JSON; returns 0."""
    parser = argparse.ArgumentParser(description="Speed of the simulated plant, in processor time of one core.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the fastest counts (default 3)")
    parser.add_argument("--graph", action="store_true", help="also one batch through the whole ROS graph")
    parser.add_argument("--many", type=int, default=0, metavar="N", help="also N batches, extrapolated to 1,000")
    parser.add_argument("--jobs", type=int, default=2, help="processes of --many (default 2)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "plain_loop_ms": plain_loop_ms(),
        "batch": bench_batch(options.seed, options.repeat),
        "culture": bench_culture(options.repeat),
        "images": bench_images(options.seed, options.repeat),
    }
    if options.graph:
        figures["graph"] = bench_graph(options.seed)
    if options.many:
        figures["many"] = bench_many(options.seed, options.many, options.jobs)
    if options.json:
        print(json.dumps(figures, indent=1))
        return 0
    print(f"plain loop               {figures['plain_loop_ms']:8.1f} ms  (this machine just now)")
    batch, culture, images = figures["batch"], figures["culture"], figures["images"]
    print(f"nominal batch headless   {batch['batch_s']:8.2f} s   {batch['days_per_s']:10.1f} simulated days/s"
          f"   aim {AIM_BATCH_S:g} s")
    show_shares(batch["shares"])
    print(f"14-day culture alone     {culture['culture_ms']:8.2f} ms  {culture['days_per_s']:10.0f} simulated days/s")
    show_shares(culture["shares"])
    print(f"microscope 640x128       {images['frames_per_s']:8.0f} frames/s, {images['images_per_s']:.0f} images/s "
          f"with {images['cells_in_view']:.0f} cells   aim {AIM_IMAGES_PER_S:g} images/s")
    print(f"  and both colours       {images['colour_frames_per_s']:8.0f} frames/s, "
          f"{images['colour_images_per_s']:.0f} images/s")
    show_shares(images["shares"])
    if options.graph:
        graph = figures["graph"]
        print(f"batch in the ROS graph   {graph['wall_s']:8.1f} s   {graph['days_per_s']:10.2f} simulated days/s"
              f"   {graph['cpu_s']:.1f} s of processor time, launch and end included")
    if options.many:
        many = figures["many"]
        how = "extrapolated" if many["extrapolated"] else "measured"
        print(f"1,000 batches, {many['jobs']} processes {many['thousand_s']:8.0f} s   {how} from {many['number']} in "
              f"{many['wall_s']:.1f} s; {many['batch_s']:.2f} s a batch")
    return 0


def show_shares(shares: dict[str, float]) -> None:
    """Print where time goes, what is above a hundredth of it."""
    for name, share in shares.items():
        if share >= 0.01:
            print(f"    {name:21}{100.0 * share:8.1f} %")


if __name__ == "__main__":
    sys.exit(main())
