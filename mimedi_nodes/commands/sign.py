# SPDX-License-Identifier: Apache-2.0
"""`workcell sign BATCH --meaning …` and `workcell release BATCH`: electronic signatures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..modules.registry import config_folder
from ..nodes.recording.batch_review import review_batch
from ..nodes.recording.signature_check import specification_of
from ..process.errors import WorkcellError
from ..process.people.accounts import read_accounts, signer_keys
from ..process.people.signing import Content, SigningError, sign
from ..process.release import evaluate
from ..records.attachments import registered
from ..records.disposition import Disposition, disposition
from ..records.errors import RecordError
from ..records.heads import PUBLIC_KEY_FILE, load_public_key
from ..records.review import review
from ..records.signatures import DECISIVE, MEANINGS, Signature
from ..records.summary import read_events, summarize
from ..records.verify import verify
from .parts.at_desk import is_held, keeper, put_on_record
from .parts.people import Place, add_person_options, add_runs_option, authenticate, registry
from .parts.release_table import print_release

EXAMPLES = """\
examples:
  ./workcell sign B2026-001 --meaning performed --user ben
  ./workcell sign B2026-001 --meaning verified --user cleo
  ./workcell sign B2026-001 --meaning approved --user dora
  ./workcell release B2026-001 --user eva                       the same as sign --meaning released
  ./workcell sign B2026-001 --meaning rejected --user eva --why "viability 0.71"
out of specification, in this order:
  ./workcell sign B2026-001 --meaning requested --about "Dr F. Gil, haematology" --why "no other option" --user eva
  ./workcell sign B2026-001 --meaning evaluated --why "low dose, no safety finding" --user dora
  ./workcell sign B2026-001 --meaning notified --about "national authority" --why "OOS-2026-04" --user eva
  ./workcell sign B2026-001 --meaning supplied --why "on request" --user eva

exit status: 0 signed, 1 refused, 2 could not run
"""


def main(argv: Sequence[str]) -> int:
    """Sign a batch; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell sign",
        description="Signs a batch record, with the signer's own password, for what the record is at this moment. "
        + " ".join(f"{text}." for name, text in MEANINGS.items() if name != "maintenance"),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("batch", help="name of the batch, or its run folder")
    parser.add_argument("--meaning", required=True, choices=[name for name in MEANINGS if name != "maintenance"])
    parser.add_argument("--why", default="", help="reason or remark")
    parser.add_argument("--about", default="", help="physician who requests, or authority that is notified")
    parser.add_argument("--products", type=Path, help="folder of the specifications (default: config/products)")
    parser.add_argument("--json", action="store_true", help="print the signature as JSON")
    add_runs_option(parser)
    add_person_options(parser)
    options = parser.parse_args(list(argv))
    place = Place(options.runs)
    run = place.run(options.batch)
    if run.is_dir():
        place = Place(run.parent)
    products = options.products or config_folder() / "products"
    console = Console(stderr=options.json)
    try:
        content = read_content(place, run, products)
        if not options.json:
            _show(content, run, console)
        users = registry(place)
        signature = sign(
            authenticate(options, users), users.roles, content, options.meaning, options.why, options.about
        )
        now = deliver(place, run, signature, products)
        if options.meaning in DECISIVE:
            renew_report(place, run, products)
    except (SigningError, WorkcellError) as error:
        print(f"workcell sign: {error}", file=sys.stderr)
        return 1
    except (RecordError, OSError) as error:
        print(f"workcell sign: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({**signature.data(), "state": now.state}, indent=2, ensure_ascii=False))
    else:
        who = f"{signature.statement.name} ({signature.statement.role})"
        console.print(f"{MEANINGS[options.meaning]}\nSigned by {who}. {now.text}.", highlight=False, markup=False)
    return 0


def release(argv: Sequence[str]) -> int:
    """`workcell release BATCH …` is `workcell sign BATCH --meaning released …`."""
    return main([*argv, "--meaning", "released"])


def renew_report(place: Place, run: Path, products: Path) -> None:
    """Write summary and report with the decision in them; a running recorder that has the record does so by itself.

    Raises:
        RecordError: the disk refuses, or no specification can be read.
    """
    records = keeper(place, products)
    try:
        review_batch(records, run.name, products, evaluate, write_files=True)
    except RecordError as error:
        if not is_held(error):
            raise
    finally:
        records.close()


def read_content(place: Place, run: Path, products: Path) -> Content:
    """Return a batch as it can be signed now: only a record that verifies can.

    Raises:
        RecordError: there is no record, or it cannot be read.
        SigningError: it does not verify.
    """
    events = read_events(run)
    keys = signer_keys(read_accounts(place.users))
    report = verify(run, run.parent / ".heads", load_public_key(place.keys / PUBLIC_KEY_FILE), signer_keys=keys)
    if report.verdict != "intact":
        found = [finding.message for finding in report.findings] + report.missing
        raise SigningError(f"the record does not verify ({report.verdict}): {found[0]}; see `workcell verify {run}`")
    if report.rows != len(events):
        raise SigningError("the record has just grown; look at it again and sign then")
    return Content(run.name, events, report.head_hash, specification_of(events, products))


def deliver(place: Place, run: Path, signature: Signature, products: Path) -> Disposition:
    """Put a signature on record, by the recorder of a running workcell where there is one; return what follows.

    Raises:
        RecordError: it is not on record.
    """
    said = signature.statement
    taken = put_on_record(
        place, run, products, "signature", said.signer, said.meaning, said.comment, signature.data()
    )
    if taken.kind == "signature_refused":
        raise RecordError(f"the signature was refused: {taken.why}")
    return disposition(read_events(run))


def _show(content: Content, run: Path, console: Console) -> None:
    reviewed = review(content.events, content.specification, evaluate)
    print_release(summarize(reviewed, None), console)
    console.print(
        f"You sign rows 1 to {len(content.events)} of {run.name}, hash {content.hash[:16]}…, "
        f"{len(registered(content.events))} attachments. Now: {disposition(content.events).text}.",
        highlight=False,
        markup=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
