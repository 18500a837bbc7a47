# SPDX-License-Identifier: Apache-2.0
"""Facts, summary, canonical rows and report of a batch."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from nominal_batch import BATCH, PATIENT, Story, evaluate_plainly, nominal_batch, specification
from pypdf import PdfReader

from mimedi_nodes.commands.report import main as report_command
from mimedi_nodes.process.errors import UnknownValueError
from mimedi_nodes.process.expressions import evaluate, references
from mimedi_nodes.records import summary as summary_module
from mimedi_nodes.records.attachments import attachment_data
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.facts import gather_facts
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.report.pdf import lacking, render_pdf
from mimedi_nodes.records.report.report import render_report
from mimedi_nodes.records.review import criterion_text, number_text, review
from mimedi_nodes.records.summary import canonical_hash, canonical_rows, summarize, write_summary

needs_pages = pytest.mark.skipif(bool(lacking()), reason=lacking())


@pytest.fixture(scope="module")
def events() -> list[RecordEvent]:
    return nominal_batch()


# --- facts ------------------------------------------------------------------------------------------------------------


def test_facts_answer_every_source_of_the_shipped_specification(events: list[RecordEvent]) -> None:
    values = gather_facts(events).values
    unknown = set()
    for test in specification()["tests"]:
        try:
            evaluate(test["source"], values)
        except UnknownValueError:
            unknown.add(test["id"])
    assert unknown == {"sterility"}


def test_shipped_specification_keeps_its_grammar() -> None:
    content = specification()
    assert content["product"] == "car_t_cd19"
    names = [test["id"] for test in content["tests"]]
    assert len(set(names)) == len(names)
    for test in content["tests"]:
        assert set(test) == {"id", "title", "source", "criterion", "unit", "stage", "group", "method", "reference"}
        assert test["stage"] in ("provisional", "final")
        assert test["group"] in ("release", "in_process")
        assert len(test["criterion"]) == 1
        assert set(test["criterion"]) <= {"min", "max", "below", "above", "equals", "between"}
        assert references(test["source"])
        assert criterion_text(test["criterion"])


def test_values_of_the_facts(events: list[RecordEvent]) -> None:
    facts = gather_facts(events)
    assert facts.values["batch"]["patient_id"] == PATIENT
    assert facts.values["batch"]["patient_weight_kg"] == 70.0
    assert facts.values["phase"]["formulate"] == facts.values["phase"]["release"]["formulate"]
    assert facts.values["lab"]["sterility"] is None
    assert facts.details["lab.car_fraction"].low == 0.35
    assert facts.values["identity"] == {"mismatches": 0, "checked": 1}
    assert facts.values["counts"]["alarms_standing"] == 0
    assert evaluate("lab.endotoxin_eu_ml * phase.formulate.dose_volume_ul / 1000", facts.values) == pytest.approx(6.0)
    assert len(facts.series("glucose_mm")) == 96


def test_last_run_of_a_step_counts_and_failed_ones_do_not() -> None:
    story = Story()
    for number, (status, volume) in enumerate((("succeeded", 1.0), ("succeeded", 2.0), ("aborted", 3.0))):
        story.phase(f"a.loop[{number}].move", "fluidics", "TransferFluid", 0.0, 1.0, {"volume_ul": volume}, status)
    values = gather_facts(story.events).values
    assert values["phase"]["move"]["volume_ul"] == 2.0
    assert values["phase"]["a"]["loop"]["move"]["volume_ul"] == 2.0
    assert values["counts"]["phases_failed"] == 1


def test_another_patients_container_and_a_standing_alarm_are_counted() -> None:
    story = Story()
    story.tell("coordinator", 0.0, "batch_started", BATCH, patient_id=PATIENT, donor_id="D1")
    story.tell("fluidics", 1.0, "material", "bag", chain_of_identity="D1")
    story.tell("fluidics", 2.0, "material", "bag", chain_of_identity="A9999-26-000018")
    story.phase("scan", "transfer", "ScanLabel", 3.0, 4.0, {"label_read": "x", "matches": False})
    story.tell("fluidics", 5.0, "alarm_raised", "fluidics.pump_fault", alarm_id="fluidics.pump_fault")
    values = gather_facts(story.events).values
    assert values["identity"] == {"mismatches": 2, "checked": 3}
    assert values["counts"]["alarms_standing"] == 1


def test_identity_is_unknown_when_nobody_was_named() -> None:
    story = Story()
    story.tell("coordinator", 0.0, "batch_started", BATCH)
    with pytest.raises(UnknownValueError):
        evaluate("identity.mismatches == 0", gather_facts(story.events).values)


# --- review and summary -----------------------------------------------------------------------------------------------


def test_summary_of_the_nominal_batch(events: list[RecordEvent], tmp_path: Path, signer: Signer) -> None:
    record = BatchRecord(tmp_path / BATCH, signer)
    record.append(events)
    head = record.head
    record.close()
    assert head is not None
    summary = summarize(review(events, specification(), evaluate_plainly), head)
    assert json.loads(write_summary(tmp_path, summary).read_text()) == json.loads(json.dumps(summary))
    assert summary["verdict"] == "meets_provisionally"
    assert (summary["seed"], summary["donor_profile"], summary["patient_id"]) == (1, "nominal", PATIENT)
    assert summary["head"]["hash"] == head.hash
    assert "scenario" not in summary
    rows = {row["id"]: row for row in summary["release"]}
    assert rows["endotoxin"]["value"] == pytest.approx(0.12 * 50.0 / 70.0)
    assert rows["viability"]["low"] == pytest.approx(0.927)
    assert rows["sterility"]["verdict"] == "pending"
    assert rows["dose"]["criterion"] == "1.20 × 10⁸ to 1.80 × 10⁸"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0.8, "0.80"), (0.0857142, "0.08571"), (151.2, "151.2"), (45000.0, "45\u202f000"), (True, "yes"),
        (4.5e9, "4.50 × 10⁹"), (1.5e-5, "1.50 × 10⁻⁵"), ("negative", "negative"), (0, "0"), (0.0, "0"), (7, "7"),
    ],
)  # fmt: skip
def test_numbers_for_people(value: Any, text: str) -> None:
    assert number_text(value) == text


def disturbed(events: list[RecordEvent]) -> list[RecordEvent]:
    """The same batch run at another time: other stamps, UUIDs, hashes, batch name, numbers and order of arrival."""
    story = [
        dataclasses.replace(
            event,
            sequence=event.sequence + 1000,
            batch_id="B2026-002",
            wall_time="2031-01-01T00:00:00Z",
            what=event.what.replace(BATCH, "B2026-002"),
            data={**event.data, "goal_id": "9" * 32, "note": "goal 0f8fad5b-d9cd-469f-a165-70867728950e"},
        )
        for event in events
    ]
    return sorted(story, key=lambda event: (event.producer, event.sequence))


def test_same_record_means_equal_canonical_rows(events: list[RecordEvent]) -> None:
    first = [
        dataclasses.replace(event, data={**event.data, "goal_id": "1" * 32, "note": f"goal {'ab' * 16}"})
        for event in events
    ]
    assert canonical_rows(first) == canonical_rows(disturbed(events))
    assert canonical_hash(first) == canonical_hash(disturbed(events))


def test_one_changed_value_is_another_record(events: list[RecordEvent]) -> None:
    other = list(events)
    other[200] = dataclasses.replace(other[200], data={**other[200].data, "value": 1.0})
    assert canonical_hash(other) != canonical_hash(events)


def test_canonical_rows_with_an_unknown_time() -> None:
    event = RecordEvent("a", 1, "B1", math.nan, "2026-01-01T00:00:00Z", "command", "p", "reset")
    later = dataclasses.replace(event, sequence=2, process_time_s=1.0)
    assert canonical_rows([later, event])[0] == canonical_rows([event, later])[0]


def test_two_runs_are_compared_on_the_command_line(
    events: list[RecordEvent], tmp_path: Path, signer: Signer, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, some in (("B1", events), ("B2", events), ("B3", events[:-1])):
        record = BatchRecord(tmp_path / name, signer)
        record.append(
            [dataclasses.replace(event, batch_id=name, what=event.what.replace(BATCH, name)) for event in some]
        )
        record.close()
    run = [str(tmp_path / name) for name in ("B1", "B2", "B3")]
    assert summary_module.main(run[:2]) == 0
    assert "same record" in capsys.readouterr().out
    assert summary_module.main([run[0], run[2]]) == 1
    assert summary_module.main([run[0]]) == 0
    assert summary_module.main([str(tmp_path / "B9")]) == 2


# --- report -----------------------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Collects the text and every reference of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.text = ""
        self._skipped = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._skipped += tag in ("style", "svg")
        self.references += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("style", "svg")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text += data + " "


def test_report_of_the_nominal_batch(events: list[RecordEvent], signer: Signer) -> None:
    record = BatchRecord(None, signer, batch_id=BATCH)
    record.append(events)
    start = time.process_time()
    html = render_report(review(events, specification(), evaluate_plainly), record.head)
    assert time.process_time() - start < 3.0
    page = Outline(html)
    assert all(reference.startswith("#") for reference in page.references), "the file must stand alone"
    text = re.sub(r"\s+", " ", page.text)
    assert record.head is not None
    for expected in (
        BATCH, PATIENT, "Meets its specification, provisionally", "pending: sterility", "Simulated run.",
        "awaiting the responsible pharmacist", "simulated answer", "BD-2214", "2008.93", record.head.hash,
        "day 3.34", "2 check room", "Designed to support", "Review by exception", "Nobody has signed yet",
        "step without a module", "Moves and their balance",
    ):  # fmt: skip
        assert expected in text, expected
    assert "compliant" not in html.lower()
    assert html.count("<svg") == 7
    assert "<h2>Why</h2>" not in html


@needs_pages
def test_the_report_is_a_pdf_whose_first_page_is_the_summary(events: list[RecordEvent]) -> None:
    data = render_pdf(render_report(review(events, specification(), evaluate_plainly), None))
    pages = PdfReader(io.BytesIO(data)).pages
    first = re.sub(r"\s+", " ", pages[0].extract_text())
    for expected in (BATCH, PATIENT, "Release at a glance", "Review by exception", "Responsible pharmacist"):
        assert expected in first, expected
    assert "Moves and their balance" not in first
    assert f"page 1 of {len(pages)}" in first


@needs_pages
def test_a_pdf_fetches_nothing(events: list[RecordEvent], caplog: pytest.LogCaptureFixture) -> None:
    assert render_pdf('<p>x</p><img src="file:///etc/hostname"><img src="http://127.0.0.1:9/x.png">').startswith(b"%PDF")
    assert len([record for record in caplog.records if "Failed to load image" in record.getMessage()]) == 2


def test_an_attached_picture_is_shown_only_when_it_is_the_one(tmp_path: Path) -> None:
    picture = tmp_path / "cells.png"
    picture.write_bytes(b"\x89PNG and so on")
    story = Story()
    story.tell("coordinator", 0.0, "batch_started", BATCH, patient_id=PATIENT)
    story.tell("recorder", 1.0, "attachment", "cells.png", **attachment_data(tmp_path, picture))
    reviewed = review(story.events, specification(), evaluate_plainly)
    assert "data:image/png;base64," in render_report(reviewed, None, tmp_path)
    picture.write_bytes(b"\x89PNG of somebody else")
    assert "data:image/png;base64," not in render_report(reviewed, None, tmp_path)


def test_a_result_that_was_told_otherwise_before_is_marked() -> None:
    story = Story()
    for value in (0.9, 0.7):
        story.tell("coordinator", 0.0, "laboratory_result", "cd3", test="cd3", sample_id="S", value=value)
    html = render_report(review(story.events, specification(), evaluate_plainly), None)
    assert html.count(">changed<") == 1


def test_retunings_of_a_sort_are_listed_and_marked_in_the_timeline() -> None:
    story = Story()
    story.phase("selection.enrich.sort", "acoustic_sorter", "SortCells", 0.0, 7200.0, {})
    story.tell(
        "acoustic_sorter", 180.0, "retuned", "sorter_inlet → sorted", "the chip has warmed", old_hz=2_009_370.0,
        new_hz=2_011_590.0, channel_resonance_sd_hz=50.0, channel_q=100.0, after_s=180.0,
    )  # fmt: skip
    html = render_report(review(story.events, specification(), evaluate_plainly), None)
    text = Outline(html).text
    for part in ("Retuned while sorting", "2009.37", "2011.59", "the chip has warmed", "3.00"):
        assert part in text, part
    assert "retuned" in html.partition("Retuned while sorting")[0], "the timeline does not mark it"
    without = render_report(review(story.events[:2], specification(), evaluate_plainly), None)
    assert "etuned" not in without


def test_report_names_the_causes_of_a_rejection() -> None:
    events = nominal_batch(final_viability=0.71, temperature_c=33.0)
    text = Outline(render_report(review(events, specification(), evaluate_plainly), None)).text
    assert "Does not meet its specification" in text
    assert "Lowest mean liquid temperature of a culture step: 33 °C, specified ≥ 36.5" in text
    assert "Viability: 0.71" in text
    assert "pending: sterility" not in text


@needs_pages
def test_a_rejected_batch_with_many_exceptions_is_decided_on_its_first_page() -> None:
    """Causes and exceptions of every kind once pushed the fields to sign to a page of their own."""
    events = nominal_batch(final_viability=0.71, temperature_c=33.0)
    story = Story()
    for alarm in ("incubator.balance_gap", "enclosure.particles_rising", "sorter.retuned", "fluidics.pump_fault"):
        words = "the culture vessel changed by -5.2 mL by weight though nobody moved liquid: look for a leak everywhere"
        story.tell("supervisor", 9.0e5, "alarm_raised", alarm, priority="high", message=words)
    for step in ("fill", "wash", "count"):
        story.tell("coordinator", 9.0e5, "phase_ended", step, phase_id=step, status="aborted",
                   result={"error_code": 111, "error_msg": f"{step}: {words}"})  # fmt: skip
    html = render_report(review([*events, *story.events], specification(), evaluate_plainly), None)
    first = PdfReader(io.BytesIO(render_pdf(html))).pages[0].extract_text()
    assert "Responsible pharmacist" in first
    assert "more kind" in first


def test_report_of_an_empty_and_a_broken_off_batch(events: list[RecordEvent]) -> None:
    for some in ([], events[:1], events[:9]):
        text = Outline(render_report(review(some, specification(), evaluate_plainly), None)).text
        assert "Held: a decision is wanted" in text


def test_report_escapes_what_people_typed() -> None:
    story = Story()
    story.tell("coordinator", 0.0, "batch_started", "<script>alert(1)</script>", patient_id="<b>x</b>")
    story.tell("coordinator", 1.0, "prompt_asked", "p", prompt_id="p", question="<img src=x>")
    html = render_report(review(story.events, specification(), evaluate_plainly), None)
    assert "<img" not in html
    assert "<b>x</b>" not in html


def test_report_command(
    events: list[RecordEvent], tmp_path: Path, signer: Signer, capsys: pytest.CaptureFixture[str]
) -> None:
    record = BatchRecord(tmp_path / BATCH, signer)
    record.append(events)
    record.close()
    assert report_command([str(tmp_path / BATCH)], evaluate_plainly) == 0
    assert (tmp_path / BATCH / "report.html").read_text().startswith("<!doctype html>")
    assert report_command([str(tmp_path / "B9")], evaluate_plainly) == 2
    assert "there is no record" in capsys.readouterr().err
    missing = ["--specification", str(tmp_path / "none.yaml")]
    assert report_command([str(tmp_path / BATCH), *missing], evaluate_plainly) == 2
    assert "--specification" in capsys.readouterr().err
