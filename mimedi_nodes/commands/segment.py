# SPDX-License-Identifier: Apache-2.0
"""`workcell segment IMAGES`: the cells of single images, each with its outline and shape."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.recordings.files import segment_file

COULD_NOT_RUN = 2
USUAL_UM_PER_PX = 0.34
"""Pixel of the deformability cytometers whose images usually come without a scale [um]."""


def main(argv: Sequence[str]) -> int:
    """Segment the images named in `argv`; return 0, or 2 when they cannot be read or a file cannot be written."""
    parser = argparse.ArgumentParser(
        prog="workcell segment",
        description="Finds the cells in unordered images of one channel: an npz file with `image` (N, H, W) uint8, "
        "optional `px_um` and `image_bg`. Writes one row per cell (area and deformation of the convex hull, as "
        "deformability cytometry defines them) and the label images (N, H, W) uint16. Exit status: 0 done, 2 could "
        "not run.",
        epilog="Example: ./workcell segment images.npz --out cells.csv --labels labels.npz",
    )
    parser.add_argument("images", type=Path, help="npz file")
    parser.add_argument("--out", type=Path, required=True, metavar="CSV", help="table to write")
    parser.add_argument("--labels", type=Path, required=True, metavar="NPZ", help="label images to write")
    parser.add_argument("--um-per-px", type=float, default=USUAL_UM_PER_PX, metavar="UM",
                        help="size of a pixel when the file has no px_um, um (default: %(default)s)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the count and the files as JSON")
    options = parser.parse_args(list(argv))
    try:
        with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                      console=Console(stderr=True), transient=True) as bar:  # fmt: skip
            task = bar.add_task("segmenting", total=None)
            count = segment_file(options.images, options.out, options.labels,
                                 lambda done, of: bar.update(task, completed=done, total=of),
                                 options.um_per_px)
    except (VisionInputError, OSError, ValueError) as error:
        print(f"workcell segment: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    if options.json:
        print(json.dumps({"cells": count, "table": str(options.out), "labels": str(options.labels)}))
    else:
        print(f"{count} cells: {options.out}, {options.labels}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
