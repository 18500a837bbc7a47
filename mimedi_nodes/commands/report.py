# SPDX-License-Identifier: Apache-2.0
"""`workcell report RUN`: writes the report of a run again, from its record."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimedi_nodes.records.attachments import registered
from mimedi_nodes.records.errors import RecordError
from mimedi_nodes.records.report.pdf import render_pdf
from mimedi_nodes.records.report.report import REPORT_FILE, render_report, write_report
from mimedi_nodes.records.review import Evaluate, review
from mimedi_nodes.records.specification import product_file
from mimedi_nodes.records.specification import read_specification as read_file
from mimedi_nodes.records.summary import read_events

from .export import last_head
from .verify import refuse_altered

REPRINT_FILE = "report_reprint.html"
EXAMPLES = """\
examples:
  ./workcell report runs/B2026-001
  ./workcell report runs/B2026-001 --pdf --output B2026-001.pdf
  ./workcell report runs/B2026-001 --json | jq -r .file
  ./workcell report runs/B2026-001 --specification config/products/car_t_cd19.yaml

exit status: 0 written, 2 could not be written (no record, an altered one, or no specification)
"""


def main(argv: Sequence[str], evaluate: Evaluate | None = None) -> int:
    """Write the report of the run named in `argv`; return 0, or 2 when it cannot be written.

    Args:
        argv: arguments after the command's name.
        evaluate: evaluation of a specification; the process layer's when None.
    """
    parser = argparse.ArgumentParser(
        prog="workcell report",
        description="Writes the report of a run from its record, as HTML or PDF. It changes neither record nor "
        "verdict; from a record that was altered nothing is written.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="run folder, e.g. runs/B2026-001")
    parser.add_argument("--output", type=Path, help=f"file to write (default: RUN/{REPORT_FILE}, or {REPRINT_FILE}")
    parser.add_argument("--pdf", action="store_true", help="write it as PDF")
    parser.add_argument("--specification", type=Path, help="product file (default: config/products/<product>.yaml)")
    parser.add_argument("--json", action="store_true", help="tell file and verdict as JSON")
    options = parser.parse_args(list(argv))
    run = options.run.resolve()
    try:
        refuse_altered(run)
        events = read_events(run)
        started = next((event.data for event in events if event.kind == "batch_started"), {})
        specification = read_specification(options.specification, str(started.get("product", "")))
        reviewed = review(events, specification, evaluate or _evaluation())
        html = render_report(reviewed, last_head(run), run)
        # A report that was attached to the record stays as it is.
        default = run / (REPRINT_FILE if REPORT_FILE in registered(events) else REPORT_FILE)
        output = options.output.resolve() if options.output is not None else default
        content = render_pdf(html) if options.pdf else html
        path = write_report(output.parent, content, output.with_suffix(".pdf").name if options.pdf else output.name)
    except RecordError as error:
        print(f"workcell report: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"file": str(path), "verdict": reviewed.verdict}) if options.json else path)
    return 0


def read_specification(path: Path | None, product: str) -> Mapping[str, Any]:
    """Return the content of a specification file, of the product's own one when `path` is None.

    Raises:
        RecordError: there is none, or it cannot be read.
    """
    return read_file(path if path is not None else product_file(_products_folder(), product))


def _products_folder() -> Path:
    """The source tree's, or the installed share folder's."""
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "config", parent / "share" / "mimedi_workcell" / "config"):
            if (folder / "products").is_dir():
                return folder / "products"
    raise RecordError("config/products is not found beside the program; name the file with --specification")


def _evaluation() -> Evaluate:
    """The evaluation of the process layer."""
    release = importlib.import_module("mimedi_nodes.process.release")
    evaluate: Evaluate = release.evaluate
    return evaluate


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
