# SPDX-License-Identifier: Apache-2.0
"""Review of a batch by the recorder: verdict from the record, and the files that tell it."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ...records.attachments import registered
from ...records.canonical import canonical_json
from ...records.errors import RecordError
from ...records.events import RecordEvent
from ...records.heads import Head
from ...records.report.pdf import PDF_FILE, render_pdf
from ...records.review import Evaluate, Review, review
from ...records.specification import product_file, read_specification
from ...records.summary import SUMMARY_FILE, summarize
from . import run_files
from .record_keeper import RecordKeeper

REPORT_FILE = "report.html"

STAGES = {"meets_provisionally": "provisional", "meets": "final"}
"""Verdicts that a certificate is issued for, and its stage."""


@dataclass(frozen=True)
class Reviewed:
    """Outcome of a review: verdict, summary as JSON, run folder relative to the runs folder, what could not be made."""

    verdict: str
    summary_json: str
    folder: str
    lack: str = ""


def review_batch(
    keeper: RecordKeeper, batch_id: str, products_dir: Path, evaluate: Evaluate, write_files: bool
) -> Reviewed:
    """Evaluate the release of a batch from its record; write and register summary and report when asked.

    Asked again with nothing new in the record, it answers with the files that are there. Earlier files are kept under a
    number.

    Raises:
        RecordError: no such batch, no specification, or the disk refuses.
    """
    events, head = keeper.events(batch_id)
    started = next((event.data for event in events if event.kind == "batch_started"), None)
    if started is None:
        raise RecordError(f"batch {batch_id!r} was never started: its record has no start; produce it first")
    if write_files and (known := _known(keeper, batch_id, events)) is not None:
        return known
    specification = read_specification(product_file(products_dir, str(started.get("product", ""))))
    reviewed = review(events, specification, evaluate)
    summary_json = canonical_json(summarize(reviewed, head))
    lack = _write(keeper, batch_id, reviewed, head, summary_json) if write_files else ""
    return Reviewed(reviewed.verdict, summary_json, batch_id, lack)


def _known(keeper: RecordKeeper, batch_id: str, events: list[RecordEvent]) -> Reviewed | None:
    """The review that was written last, when only the recorder has written since and the summary is untouched."""
    told = [index for index, event in enumerate(events) if event.kind == "attachment" and event.what == REPORT_FILE]
    if not told or any(event.producer != keeper.producer for event in events[told[-1] :]):
        return None
    files = registered(events)
    folder = keeper.folder(batch_id)
    for name in (SUMMARY_FILE, REPORT_FILE):
        path = folder / name
        if name not in files or not path.is_file() or not run_files.has_hash(path, str(files[name]["sha256"])):
            return None
    summary_json = (folder / SUMMARY_FILE).read_text(encoding="utf-8").strip()
    return Reviewed(str(json.loads(summary_json)["verdict"]), summary_json, batch_id)


def _write(keeper: RecordKeeper, batch_id: str, reviewed: Review, head: Head | None, summary_json: str) -> str:
    folder = keeper.folder(batch_id)
    html = load_report().render_report(reviewed, head, folder)
    lack, pdf = "", b""
    try:
        pdf = render_pdf(html)
    except RecordError as error:
        lack = str(error)  # the record and its report in HTML do not wait for a library of the host
    for name in (SUMMARY_FILE, REPORT_FILE, PDF_FILE):
        if (folder / name).exists():
            keeper.publish_file(batch_id, *run_files.copy_aside(folder, name))
    summary = run_files.write_part(folder, SUMMARY_FILE, summary_json + "\n")
    stage = STAGES.get(reviewed.verdict)
    if stage is not None:
        data = {
            "verdict": reviewed.verdict,
            "stage": stage,
            "summary_sha256": run_files.described(folder, summary, SUMMARY_FILE)["sha256"],
        }
        keeper.note(batch_id, "certificate_issued", f"{stage} certificate", "computed from the record", data)
    keeper.publish_file(batch_id, summary, SUMMARY_FILE)
    if pdf:
        keeper.publish_file(batch_id, run_files.write_part(folder, PDF_FILE, pdf), PDF_FILE)
    keeper.publish_file(batch_id, run_files.write_part(folder, REPORT_FILE, html), REPORT_FILE)
    return lack


def load_report() -> ModuleType:
    """Return the module that renders reports; it draws plots and takes seconds to load, so only when it is wanted."""
    return importlib.import_module("mimedi_nodes.records.report.report")
