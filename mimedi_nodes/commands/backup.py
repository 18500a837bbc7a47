# SPDX-License-Identifier: Apache-2.0
"""`workcell backup BATCH FOLDER` and `workcell restore BATCH FOLDER`: a copy of a run that verifies by itself."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..process.errors import WorkcellError
from ..process.people.accounts import read_accounts, signer_keys
from ..records.backup import back_up, restore
from ..records.errors import RecordError
from ..records.heads import PUBLIC_KEY_FILE
from .parts.people import Place, add_runs_option

TEXT = {
    "backup": "Copies a run, also while it is being written, with its signed heads and the recorder's public key, and "
    "verifies the copy. The private key and the accounts are not copied: keep them by other means.",
    "restore": "Puts the copy of a run back where its record is gone or altered. What lies there is kept below "
    "RUNS/.damaged. Refused while a recorder has the batch, and where the copy lacks acknowledged rows.",
}
EXAMPLES = """\
examples:
  ./workcell backup B2026-001 /mnt/copies       /mnt/copies/B2026-001, verified; again at any time
  ./workcell restore B2026-001 /mnt/copies
  ./workcell verify /mnt/copies/B2026-001 --key /mnt/copies/.keys/record.pub.pem --users .workcell/users

exit status: 0 done, 2 could not be; nothing was changed then
"""


def main(argv: Sequence[str], name: str) -> int:
    """Back a run up or restore it; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"workcell {name}",
        description=TEXT[name],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("batch", help="name of the batch")
    parser.add_argument("folder", type=Path, help="folder of the copies")
    parser.add_argument("--json", action="store_true", help="print what was verified as JSON")
    add_runs_option(parser)
    options = parser.parse_args(list(argv))
    place = Place(options.runs)
    run, key = options.runs.resolve() / Path(options.batch).name, place.keys / PUBLIC_KEY_FILE
    try:
        accounts = read_accounts(place.users)
        signers = signer_keys(accounts) if accounts else None
        if name == "backup":
            report = back_up(run, key, options.folder, signers)
        else:
            report = restore(run, options.folder, key, signers)
    except (RecordError, WorkcellError) as error:
        print(f"workcell {name}: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        where = options.folder / run.name if name == "backup" else run
        print(f"{where}: {report.rows} rows, verified; head {report.head_hash[:16]}")
    return 0
