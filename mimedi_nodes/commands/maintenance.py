# SPDX-License-Identifier: Apache-2.0
"""`workcell maintenance`: takes a module out of production and gives it back, by signature."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..modules.registry import module_table
from ..process.errors import WorkcellError
from ..process.maintenance import FOLDER, MaintenanceBook, under_maintenance
from ..records.errors import RecordError
from ..records.heads import Signer
from .people import Place, add_person_options, add_runs_option, authenticate, registry

EXAMPLES = """\
examples:
  ./workcell maintenance begin incubator --why "new temperature probe" --user mia
  ./workcell maintenance end incubator --why "calibrated, 37.00 against reference 37.02" --user mia
  ./workcell maintenance list --json
  ./workcell verify .workcell/maintenance        the record of all maintenance

While it lasts the module's alarms are out of service and no batch begins.
exit status: 0 done, 1 refused, 2 could not run
"""


def main(argv: Sequence[str]) -> int:
    """Begin, end or list maintenance; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell maintenance",
        description="Takes a module out of production for maintenance and gives it back; both are signed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    acts = parser.add_subparsers(dest="act", required=True, metavar="begin|end|list")
    for name in ("begin", "end"):
        act = acts.add_parser(name)
        act.add_argument("module", help=", ".join(module_table()))
        act.add_argument("--why", required=True, help="what is done, or what was done and checked")
        add_person_options(act)
    acts.add_parser("list").add_argument("--json", action="store_true")
    for act in acts.choices.values():
        add_runs_option(act)
    options = parser.parse_args(list(argv))
    place = Place(options.runs)
    folder = place.state / FOLDER
    try:
        if options.act == "list":
            return _list(folder, options.json)
        users = registry(place)
        book = MaintenanceBook(folder, Signer.load_or_create(place.keys), users.roles, tuple(module_table()))
        person = authenticate(options, users)
        act = book.begin if options.act == "begin" else book.end
        signature = act(options.module, person, options.why)
    except WorkcellError as error:
        print(f"workcell maintenance: {error}", file=sys.stderr)
        return 1
    except (RecordError, OSError) as error:
        print(f"workcell maintenance: {error}", file=sys.stderr)
        return 2
    said = signature.statement
    state = "in maintenance" if options.act == "begin" else "back in production"
    print(f"{options.module} is {state}; signed by {said.name} ({said.role}).")
    return 0


def _list(folder: Path, as_json: bool) -> int:
    found = under_maintenance(folder)
    if as_json:
        rows = {module: vars(signature.statement) for module, signature in found.items()}
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for module, signature in found.items():
            said = signature.statement
            print(f"{module}: since {said.signed_at[:19]} UTC by {said.name}: {said.comment}")
        if not found:
            print("No module is in maintenance.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
