# SPDX-License-Identifier: Apache-2.0
"""`workcell track MOVIE`: the cells of a recorded movie, followed from frame to frame, as a table."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.recordings.files import read_movie, track_movie, write_overlay, write_tracks
from mimedi_nodes.vision.statistics.intervals import Interval
from mimedi_nodes.vision.statistics.sorting import SortCounts, count_outlets

COULD_NOT_RUN = 2


def main(argv: Sequence[str]) -> int:
    """Track the movie named in `argv`; return 0, or 2 when it cannot be read or a file cannot be written."""
    parser = argparse.ArgumentParser(
        prog="workcell track",
        description="Follows the cells of a movie and writes one row per cell and frame (px, first pixel's centre "
        "(0, 0)). The movie is an npz file with `movie` (T, H, W) uint8, optional `fl` (T, 2, H, W), `px_um`, `wall`, "
        "`fps`; a video; or a folder of images. Prints frames/s and the times of a frame on one core. "
        "Exit status: 0 done, 2 could not run.",
        epilog="Example: ./workcell track movie.npz --out tracks.csv --fluorescence --overlay tracks.mp4",
    )
    parser.add_argument("movie", type=Path, help="npz file, video or folder of images")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="table to write")
    parser.add_argument("--fluorescence", action="store_true", help="use the movie's fluorescence images too")
    parser.add_argument("--overlay", type=Path, metavar="MP4", help="write the movie with its tracks drawn in")
    parser.add_argument("--outlets", type=float, nargs=3, metavar=("X", "FROM", "TO"),
                        help="count cells over the column X; those between rows FROM and TO leave through the centre "
                        "outlet. Tells purity and recovery of the target class")
    parser.add_argument("--target", type=int, choices=(0, 1, 2), default=1,
                        help="class that should leave through the centre: 0 lit in neither fluorescence image, 1 or 2")
    parser.add_argument("--um-per-px", type=float, metavar="UM", help="size of a pixel, um (default: the file's px_um)")
    parser.add_argument("--wall", type=float, metavar="PX", help="both walls' distance from the edge, px (the file's)")
    parser.add_argument("--fps", type=float, metavar="HZ", help="frame rate, Hz (default: the file's fps, else 1)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(list(argv))
    console = Console(stderr=True)
    try:
        movie = read_movie(options.movie, options.um_per_px, options.wall, options.fps)
        with _progress(console) as bar:
            task = bar.add_task("tracking", total=len(movie.frames))
            frames, report = track_movie(movie, options.fluorescence, lambda done, of: bar.update(task, completed=done))
        write_tracks(frames, options.out)
        sort = None if options.outlets is None else count_outlets(
            frames, options.outlets[0], (options.outlets[1], options.outlets[2]), options.target)
        if options.overlay is not None:
            write_overlay(movie, frames, options.overlay)
    except (VisionInputError, OSError, ValueError) as error:
        print(f"workcell track: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    if options.json:
        print(json.dumps(asdict(report) | ({} if sort is None else _sort_figures(sort))))
    else:
        print(f"{report.tracks} cells in {report.frames} frames: {options.out}\n{report.frames_per_s:.0f} frames/s, "
              f"{report.p50_ms:.2f} ms a frame (p50), {report.p99_ms:.2f} ms (p99), and {report.hindsight_ms:.2f} ms a "
              "frame to look back over the whole movie at its end")
        if sort is not None:
            print(f"centre {sort.centre.targets} targets, {sort.centre.others} others; beside it {sort.side.targets} "
                  f"targets, {sort.side.others} others\npurity {_interval(sort.purity)}, "
                  f"recovery {_interval(sort.recovery)}")
    return 0


def _interval(found: Interval) -> str:
    if math.isnan(found.value):
        return "unknown (no such cells)"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f} with 95 %)"


def _sort_figures(sort: SortCounts) -> dict[str, object]:
    """Counts, purity and recovery with their intervals, as JSON has them: null where they are not known."""
    figures: dict[str, object] = {"centre": asdict(sort.centre), "side": asdict(sort.side)}
    for name, found in (("purity", sort.purity), ("recovery", sort.recovery)):
        figures[name] = None if math.isnan(found.value) else [found.value, found.low, found.high]
    return figures


def _progress(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                    console=console, transient=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
