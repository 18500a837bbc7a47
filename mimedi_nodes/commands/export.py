# SPDX-License-Identifier: Apache-2.0
"""`workcell export BATCH --format …`: a batch record for other programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..records.chain import HEADS_FILE
from ..records.errors import RecordError
from ..records.export import FORMATS, export
from ..records.heads import Head
from ..records.summary import read_events
from .parts.people import Place, add_runs_option
from .verify import refuse_altered

EXAMPLES = """\
examples:
  ./workcell export B2026-001                                     every format, into runs/B2026-001/exports
  ./workcell export B2026-001 --format csv-wide --output tables   one row a moment, one column a quantity
  ./workcell export B2026-001 --format parquet --format b2mml --json

json          all rows with their data, and the signed head
csv-long      one row a value: measurements, results, laboratory, parameters
csv-wide      one row a moment of measurement, one column a quantity
parquet       csv-long with types; parquet-rows: all rows of the record
b2mml         XML after the batch production record of B2MML (ANSI/ISA-88.00.04)
The recording of topics (topics.mcap) lies in the run folder itself.

exit status: 0 written, 2 could not run; a record that was altered is not exported
"""


def main(argv: Sequence[str]) -> int:
    """Export a record; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell export",
        description="Writes a batch record for other programs, with hashes and the head that it was made from.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("batch", help="name of the batch, or its run folder")
    parser.add_argument("--format", action="append", choices=list(FORMATS), help="may be repeated (default: all)")
    parser.add_argument("--output", type=Path, help="folder to write into (default: RUN/exports)")
    parser.add_argument("--json", action="store_true", help="print the files as JSON")
    add_runs_option(parser)
    options = parser.parse_args(list(argv))
    run = Place(options.runs).run(options.batch).resolve()
    try:
        refuse_altered(run)
        written = export(
            options.output or run / "exports", read_events(run), last_head(run), options.format or list(FORMATS)
        )
    except RecordError as error:
        print(f"workcell export: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps([str(path) for path in written], indent=2))
    else:
        for path in written:
            print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")
    return 0


def last_head(run: Path) -> Head | None:
    """Return the last signed head of a run by the copy that travels with it, None without one."""
    path = run / HEADS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return Head.from_line(lines[-1]) if lines else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
