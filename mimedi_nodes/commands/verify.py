# SPDX-License-Identifier: Apache-2.0
"""`workcell verify RUN`: tells whether a run's record is the one that was written."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mimedi_nodes.process.errors import WorkcellError
from mimedi_nodes.process.people.accounts import read_accounts, signer_keys
from mimedi_nodes.records.errors import RecordError
from mimedi_nodes.records.heads import PUBLIC_KEY_FILE, load_public_key
from mimedi_nodes.records.verify import verify
from mimedi_nodes.records.verify_report import VerifyReport

EXIT = {"intact": 0, "altered": 1, "unverifiable": 2}
TEXT = {
    "intact": "INTACT: the record is the one that was written",
    "altered": "ALTERED: the record is not the one that was written",
    "unverifiable": "CANNOT BE VERIFIED: something to compare with is missing",
}


EXAMPLES = """\
examples:
  ./workcell verify runs/B2026-001
  ./workcell verify runs/B2026-001 --json | jq .verdict
  ./workcell verify runs/B2026-001 --head dec5c79e          the hash that the printed report bears
  ./workcell verify /mnt/copy/B2026-001 --heads /vault/heads --key /vault/record.pub.pem

exit status: 0 intact, 1 altered, 2 cannot be verified: something to compare with is missing
"""


def main(argv: Sequence[str]) -> int:
    """Verify the run named in `argv`; return 0 when intact, 1 when altered, 2 when it cannot be told."""
    parser = argparse.ArgumentParser(
        prog="workcell verify",
        description="Finds any edit of a batch record: changed, removed, inserted or reordered rows, a cut tail, "
        "a recomputed chain, altered heads and attachments.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="run folder, e.g. runs/B2026-001")
    parser.add_argument("--heads", type=Path, help="folder of the signed heads (default: RUN/../.heads)")
    parser.add_argument(
        "--key",
        type=Path,
        action="append",
        help="public key of the recorder, may be repeated (default: .workcell/keys/record.pub.pem beside the runs)",
    )
    parser.add_argument("--users", type=Path, help="folder of the accounts (default: .workcell/users beside the runs)")
    parser.add_argument("--head", default="", help="hash on the printed report, or its first digits")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(list(argv))
    run = options.run.resolve()
    report = verify_run(run, options.heads, options.key, options.users, options.head)
    if options.json:
        print(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        print_report(report, run)
    return EXIT[report.verdict]


def verify_run(
    run: Path,
    heads: Path | None = None,
    key_files: Sequence[Path] | None = None,
    users: Path | None = None,
    expected_head: str = "",
) -> VerifyReport:
    """Return what the verification of a run folder finds, with heads, keys and accounts beside it unless named."""
    try:
        keys = [load_public_key(path) for path in key_files or [default_key(run)]]
    except RecordError as error:
        return VerifyReport(batch_id=run.name, missing=[str(error)])
    try:
        accounts, forged = read_accounts(users or run.parent.parent / ".workcell" / "users"), ""
    except WorkcellError as error:
        accounts, forged = {}, str(error)
    heads = heads if heads is not None else run.parent / ".heads"
    report = verify(run, heads, keys, expected_head, signer_keys(accounts) if accounts else None)
    if forged:
        report.find("accounts_forged", forged)
    return report


def refuse_altered(run: Path) -> None:
    """Raise RecordError when a record is not the one that was written: nothing is made from it that bears its hash.

    What cannot be told (a run that came without keys) passes.
    """
    report = verify_run(run)
    if report.verdict == "altered":
        raise RecordError(f"{run}: the record was altered ({report.findings[0].message}); see `workcell verify {run}`")


def default_keys_folder(run: Path) -> Path:
    """Return the folder of the recorder's keys: of the environment, or beside the runs folder."""
    named = os.environ.get("WORKCELL_KEYS")
    return Path(named) if named else run.parent.parent / ".workcell" / "keys"


def default_key(run: Path) -> Path:
    """Return the recorder's public key for a run."""
    return default_keys_folder(run) / PUBLIC_KEY_FILE


def print_report(report: VerifyReport, run: Path) -> None:
    """Print a report for people."""
    print(f"{run}\n{TEXT[report.verdict]}")
    if report.rows:
        print(f"  rows         {report.rows}")
        when, key = report.head_wall_time or "-", report.key_id or "-"
        print(f"  signed heads {report.heads}, the last on {when} with key {key}")
        print(f"  attachments  {report.attachments}")
        print(f"  signatures   {report.signatures}")
        print(f"  head         {report.head_hash}")
    for finding in report.findings:
        print(f"  ! {finding.message}")
    for text in report.missing:
        print(f"  ? {text}")
    for text in report.notes:
        print(f"  - {text}")
    if report.verdict == "altered":
        print("  Keep the run as it is, tell quality assurance, and compare with a copy.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
