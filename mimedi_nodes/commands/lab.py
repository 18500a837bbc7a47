# SPDX-License-Identifier: Apache-2.0
"""`workcell lab BATCH FILE`: a signed result of the external laboratory that comes after the batch has ended."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..modules.registry import config_folder
from ..modules.site_file import load_site
from ..process.errors import WorkcellError
from ..process.laboratory_records import LaboratoryRecordError, verify_record
from ..records.canonical import canonical_json
from ..records.errors import RecordError
from ..records.events import RecordEvent
from ..records.summary import read_events
from .parts.at_desk import put_on_record
from .parts.people import Place, add_runs_option

EXAMPLES = """\
examples:
  ./workcell lab B2026-001 sterility.json            the file has record_json, signature_hex and key_id
  ./workcell lab B2026-001 --simulate sterility=negative
                                                     the simulated laboratory's result; its key is public

exit status: 0 on record, 1 refused, 2 could not run
"""


def main(argv: Sequence[str]) -> int:
    """Put a laboratory result on record; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell lab",
        description="Takes a result of the external laboratory for a batch that has ended, such as sterility after two "
        "weeks. It is taken only with the signature of a laboratory that the site knows, for a sample of this batch.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("batch", help="name of the batch, or its run folder")
    parser.add_argument("file", nargs="?", type=Path, help="JSON file with record_json, signature_hex, key_id")
    parser.add_argument("--simulate", metavar="TEST=VALUE", help="a final result of the simulated laboratory")
    parser.add_argument("--site", type=Path, default=config_folder() / "site" / "demo.yaml", help="site file with keys")
    parser.add_argument("--products", type=Path, default=config_folder() / "products")
    parser.add_argument("--json", action="store_true", help="print what is on record now as JSON")
    add_runs_option(parser)
    options = parser.parse_args(list(argv))
    if (options.file is None) == (options.simulate is None):
        parser.error("give either FILE or --simulate TEST=VALUE")
    place = Place(options.runs)
    run = place.run(options.batch)
    place = Place(run.parent) if run.is_dir() else place
    try:
        events = read_events(run)
        signed = _read(options.file) if options.file else _simulated(options.simulate, events)
        result = accepted(signed, load_site(options.site).laboratory_keys, events)
        why = f"signed by {signed['key_id']}"
        put_on_record(
            place, run, options.products, "laboratory_result", str(result["laboratory"]), str(result["test"]), why,
            {**result, **signed},
        )  # fmt: skip
    except WorkcellError as error:
        print(f"workcell lab: {error}", file=sys.stderr)
        return 1
    except (RecordError, OSError) as error:
        print(f"workcell lab: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"run": run.name, **result}, indent=2, ensure_ascii=False))
        return 0
    print(f"{result['test']}: {result['value']} {result['unit']} ({result['status']}) is on record of {run.name}")
    print(f"The verdict may change: ./workcell review {run.name}")
    return 0


def accepted(
    signed: Mapping[str, str], keys: Mapping[str, str], events: Sequence[RecordEvent]
) -> dict[str, Any]:
    """Return the content of a signed result that belongs to a batch.

    Args:
        signed: record_json, signature_hex, key_id.
        keys: key id → public key of the laboratories that the site knows, hexadecimal.
        events: the batch's record.

    Raises:
        LaboratoryRecordError: unknown laboratory, wrong signature, a field missing, or a sample of another batch.
    """
    result = verify_record(signed["record_json"], signed["signature_hex"], signed["key_id"], keys)
    needed = ("laboratory", "batch_id", "sample_id", "test", "value", "unit", "method", "status")
    missing = [name for name in needed if name not in result]
    if missing:
        raise LaboratoryRecordError(f"the laboratory's record lacks {', '.join(missing)}")
    orders = [e.data for e in events if e.kind == "laboratory_ordered"]
    orders = [order for order in orders if order.get("purpose", "release") == "release"]
    ordered = {(str(order.get("sample_id")), str(test)) for order in orders for test in order.get("tests", ())}
    batch_id = events[0].batch_id if events else ""
    if result["batch_id"] != batch_id:
        raise LaboratoryRecordError(f"the result is of batch {result['batch_id']!r}, this is {batch_id!r}")
    if (result["sample_id"], result["test"]) not in ordered:
        known = ", ".join(sorted(f"{test} on {sample}" for sample, test in ordered)) or "none"
        raise LaboratoryRecordError(
            f"{result['test']} on {result['sample_id']} was not ordered for the release; ordered: {known}"
        )
    return {name: value for name, value in result.items() if name != "batch_id"}


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LaboratoryRecordError(f"{path}: cannot be read: {error}") from error
    fields = ("record_json", "signature_hex", "key_id")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in fields):
        raise LaboratoryRecordError(f"{path}: give an object with {', '.join(fields)}, all text")
    return {name: content[name] for name in fields}


def _simulated(told: str, events: Sequence[RecordEvent]) -> dict[str, str]:
    """Return what the simulated laboratory would send: the value is given here, the signature is its own."""
    from mimedi_sim.laboratory.laboratory import KEY_ID, NAME, TESTS, signing_key

    test, _, text = told.partition("=")
    if test not in TESTS or not text:
        raise LaboratoryRecordError(f"--simulate is {told!r}; give TEST=VALUE with one of {', '.join(TESTS)}")
    orders = [e.data for e in events if e.kind == "laboratory_ordered" and test in e.data.get("tests", ())]
    if not orders:
        raise LaboratoryRecordError(f"{test} was not ordered in this batch")
    try:
        value: float | str = float(text)
    except ValueError:
        value = text
    record = {
        "laboratory": NAME, "batch_id": events[0].batch_id, "sample_id": orders[-1]["sample_id"], "test": test,
        "value": value, "low": None, "high": None, "unit": TESTS[test].unit, "method": TESTS[test].method,
        "status": "final", "reported_s": events[-1].process_time_s + 14 * 86400.0,
    }  # fmt: skip
    text = canonical_json(record)
    return {"record_json": text, "signature_hex": signing_key().sign(text.encode()).hex(), "key_id": KEY_ID}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
