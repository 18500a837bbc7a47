# SPDX-License-Identifier: Apache-2.0
"""How well and how fast cells are tracked, beside trackpy, laptrack and plain OpenCV, in one run.

    ./workcell exec python bench/vision.py --bench FOLDER [--peers PYTHON] [--seeds 401 402] [--json]

FOLDER holds the judge's `channel_movie.py`, `metrics.py` and `score.py` (not part of this project). Movies of its five
levels are made for each seed, tracked, and scored by its `score.py`; figures are medians over the seeds. PYTHON is an
interpreter with bench/vision_peers.txt installed; it scores, and runs the peers. Give `--profile-pow`, `--skew` and
`--frames` for other movies. Everything runs on one thread, one after the other; times are processor time of that
thread, on this machine at this moment, so that only their ratios mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LEVELS = ("sparse", "medium", "dense", "fast", "hard")
PEERS = ("trackpy", "trackpy_nearest_velocity", "opencv_laptrack", "opencv_constant_velocity")
OURS = ("ours", "ours_fluorescence")
TABLE = (("HOTA", 3), ("HOTA_worst", 3), ("IDF1", 3), ("MOTA", 3), ("F1", 3), ("cross_f1", 3), ("cross_err", 1),
         ("RMSE", 2), ("class_accuracy", 3), ("diameter_bias_pct", 1), ("diameter_sd_pct", 1),
         ("p50_ms", 2), ("p99_ms", 2), ("live_p50_ms", 2), ("live_p99_ms", 2))
COULD_NOT_RUN = 2
PEER_TIMEOUT_S = 900.0


def tool(python: str, *arguments: str | Path) -> dict[str, Any]:
    """Run a script that prints JSON in its last line, and return that."""
    done = subprocess.run([python, *map(str, arguments)], capture_output=True, text=True, timeout=PEER_TIMEOUT_S,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    lines = done.stdout.strip().splitlines()
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return answer


def track(movie: Path, out: Path, fluorescence: bool) -> dict[str, float]:
    """Our tracker on one movie, with the default configuration."""
    from mimedi_nodes.vision.recordings.files import read_movie, track_movie, write_tracks

    frames, report = track_movie(read_movie(movie), fluorescence, clock=time.thread_time)
    write_tracks(frames, out)
    # As with a peer's batch linker, the time for the whole movie is spread over its frames.
    return {"p50_ms": report.p50_ms + report.hindsight_ms, "p99_ms": report.p99_ms + report.hindsight_ms,
            "live_p50_ms": report.p50_ms, "live_p99_ms": report.p99_ms}


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Scores by method, level and seed."""
    results: dict[str, dict[str, list[dict[str, float]]]] = {}
    score = options.bench / "score.py"
    for seed in options.seeds:
        for level in options.levels:
            movie, csv = scratch / "movie.npz", scratch / "tracks.csv"
            tool(options.peers, score, "make", "--level", level, "--seed", str(seed), "--frames", str(options.frames),
                 "--profile-pow", str(options.profile_pow), "--skew", str(options.skew), movie)
            for method in (*OURS, *(() if options.no_peers else PEERS)):
                try:
                    if method in OURS:
                        row: dict[str, float] = track(movie, csv, method == "ours_fluorescence")
                    else:
                        row = tool(options.peers, ROOT / "bench" / "vision_peers.py", method, level, movie, csv)
                    row |= tool(options.peers, score, "score", movie, csv)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    print(f"{method} {level} seed {seed}: {error}", file=sys.stderr)
                    continue
                if method == "ours":
                    row.pop("class_accuracy", None)
                results.setdefault(method, {}).setdefault(level, []).append(row)
                print(f"{method} {level} seed {seed}: HOTA {row['HOTA']:.3f}, {row['p50_ms']:.2f} ms", file=sys.stderr)
    return results


def medians(results: dict[str, dict[str, list[dict[str, float]]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Median over the seeds of each figure, and the worst HOTA."""
    return {method: {level: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
                     | {"HOTA_worst": min(row["HOTA"] for row in rows)}
                     for level, rows in levels.items()} for method, levels in results.items()}


def table(figures: dict[str, dict[str, dict[str, float]]], levels: list[str]) -> str:
    """One block a figure, one row a method, one column a level."""
    wide = max(len(method) for method in figures) + 2
    lines = []
    for key, digits in TABLE:
        rows = {method: by_level for method, by_level in figures.items()
                if any(key in row for row in by_level.values())}
        if not rows:
            continue
        lines.append(f"\n{key:<{wide}}" + "".join(f"{level:>10}" for level in levels))
        for method, by_level in rows.items():
            cells = [f"{by_level[level][key]:.{digits}f}" if key in by_level.get(level, {}) else "–"
                     for level in levels]
            lines.append(f"{method:<{wide}}" + "".join(f"{cell:>10}" for cell in cells))
    if "trackpy" in figures and "ours" in figures:
        ratios = [f"{figures['trackpy'][level]['p50_ms'] / figures['ours'][level]['p50_ms']:.1f}"
                  if level in figures["trackpy"] and level in figures["ours"] else "–" for level in levels]
        lines.append(f"\n{'times trackpy':<{wide}}" + "".join(f"{ratio:>10}" for ratio in ratios))
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("MIMEDI_SHARED")
    parser.add_argument("--bench", type=Path, default=Path(default) / "vision" / "bench" if default else None,
                        help="folder of channel_movie.py and score.py (default: $MIMEDI_SHARED/vision/bench)")
    parser.add_argument("--peers", default=str(ROOT / ".workcell" / "peers" / "bin" / "python"),
                        help="Python that has bench/vision_peers.txt (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[401, 402, 403])
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=list(LEVELS))
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--profile-pow", type=float, default=2.0)
    parser.add_argument("--skew", type=float, default=0.0)
    parser.add_argument("--no-peers", action="store_true", help="only ours")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.bench is None or not (options.bench / "score.py").is_file():
        print(f"bench/vision: no score.py in {options.bench}; give the folder of the movies and scores with --bench",
              file=sys.stderr)
        return COULD_NOT_RUN
    try:
        subprocess.run([options.peers, "-c", "import trackeval"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        print(f"bench/vision: {options.peers} has no trackeval; make an environment as bench/vision_peers.txt says and "
              "give its Python with --peers", file=sys.stderr)
        return COULD_NOT_RUN
    with tempfile.TemporaryDirectory() as scratch:
        figures = medians(measure(options, Path(scratch)))
    print(json.dumps(figures, indent=2) if options.json else table(figures, options.levels))
    return 0


if __name__ == "__main__":
    sys.exit(main())
