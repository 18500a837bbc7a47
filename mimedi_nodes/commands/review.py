# SPDX-License-Identifier: Apache-2.0
"""`workcell review BATCH`: the verdict from the record as it is now, with summary and report anew."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..modules.registry import config_folder
from ..nodes.recording.batch_review import review_batch
from ..process.release import evaluate
from ..records.errors import RecordError
from .parts.at_desk import is_held, keeper
from .parts.batch_options import EXIT_COULD_NOT_RUN, EXIT_OF_VERDICT, EXIT_REJECTED, EXIT_TEXT
from .parts.people import Place, add_runs_option
from .parts.release_table import print_release


def main(argv: Sequence[str]) -> int:
    """Review a batch; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell review",
        description="Evaluates a batch by its specification from the record as it is now, writes summary and report "
        "(earlier ones stay, under a number) and registers them. " + EXIT_TEXT,
        epilog="Examples: ./workcell review B2026-001   ./workcell review B2026-001 --json",
    )
    parser.add_argument("batch", help="name of the batch, or its run folder")
    parser.add_argument("--products", type=Path, default=config_folder() / "products")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    add_runs_option(parser)
    options = parser.parse_args(list(argv))
    place = Place(options.runs)
    run = place.run(options.batch)
    place = Place(run.parent) if run.is_dir() else place
    try:
        records = keeper(place, options.products)
        try:
            reviewed = review_batch(records, run.name, options.products, evaluate, write_files=True)
        finally:
            records.close()
    except RecordError as error:
        hint = "; a running workcell has it and reviews it by itself" if is_held(error) else ""
        print(f"workcell review: {error}{hint}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    summary = json.loads(reviewed.summary_json)
    if reviewed.lack:
        print(f"workcell review: {reviewed.lack}", file=sys.stderr)
    if options.json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        print_release(summary, Console())
        print(f"Files: {run} (report.html, report.pdf, summary.json)")
    return EXIT_OF_VERDICT.get(reviewed.verdict, EXIT_REJECTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
