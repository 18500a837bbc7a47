# SPDX-License-Identifier: Apache-2.0
"""Exports read back by other programs' eyes; genealogy both ways; what a review by exception lists."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import sqlite3
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from nominal_batch import BATCH, PATIENT, Story, evaluate_plainly, nominal_batch, specification
from pyarrow import parquet

from mimedi_nodes.commands.export import main as export_command
from mimedi_nodes.commands.report import main as report_command
from mimedi_nodes.records.b2mml import NAMESPACE
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.chain import SCHEMA
from mimedi_nodes.records.errors import RecordError
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.exceptions import exceptions
from mimedi_nodes.records.export import FORMATS, export
from mimedi_nodes.records.facts import gather_facts
from mimedi_nodes.records.genealogy import trace
from mimedi_nodes.records.heads import Head, Signer
from mimedi_nodes.records.review import review


@pytest.fixture(scope="module")
def events() -> list[RecordEvent]:
    return nominal_batch()


@pytest.fixture(scope="module")
def run(events: list[RecordEvent], tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    folder = tmp_path_factory.mktemp("runs") / BATCH
    record = BatchRecord(folder, signer)
    record.append(events)
    record.close()
    assert export_command([str(folder)]) == 0
    return folder


def test_json_holds_every_row_and_reads_back_as_the_same_events(run: Path, events: list[RecordEvent]) -> None:
    content = json.loads((run / "exports" / "record.json").read_text())
    head = Head.from_line((run / "heads.jsonl").read_text().splitlines()[-1])
    assert content["head"] == vars(head)
    back = []
    for number, row in enumerate(content["rows"], start=1):
        assert row.pop("row") == number
        time_s = row.pop("process_time_s")
        back.append(RecordEvent(process_time_s=float("nan") if time_s is None else time_s, **row))
    assert [event.as_fields() for event in back] == [event.as_fields() for event in events]


def test_long_and_wide_csv_and_parquet_tell_the_same_numbers(run: Path, events: list[RecordEvent]) -> None:
    with (run / "exports" / "values_long.csv").open(newline="") as stream:
        long = list(csv.DictReader(stream))
    with (run / "exports" / "measurements_wide.csv").open(newline="") as stream:
        wide = list(csv.DictReader(stream))
    glucose = [e for e in events if e.kind == "measurement" and e.what == "glucose_mm"]
    told = [(float(row["process_time_s"]), float(row["value"])) for row in long if row["name"] == "glucose_mm"]
    measured = [(event.process_time_s, event.data["value"]) for event in glucose]
    assert [pair for pair in told if pair in set(measured)] == measured
    column = "incubator.glucose_mm [mmol/L]"
    assert [(float(r["process_time_s"]), float(r[column])) for r in wide if r[column]] == measured
    table = parquet.read_table(run / "exports" / "values.parquet")
    assert table.num_rows == len(long)
    assert [value or "" for value in table["unit"].to_pylist()] == [row["unit"] for row in long]
    assert json.loads(table.schema.metadata[b"mimedi_head"])["count"] == len(events)
    sterility = next(row for row in long if row["name"] == "sterility")
    assert (sterility["value"], sterility["text"], sterility["status"]) == ("", "", "pending")
    assert next(row for row in long if row["name"] == "mycoplasma")["text"] == "negative"


def test_parquet_rows_hold_the_whole_record(run: Path, events: list[RecordEvent]) -> None:
    table = parquet.read_table(run / "exports" / "record.parquet")
    assert table["data_json"].to_pylist() == [event.data_json for event in events]
    assert table["row"].to_pylist() == list(range(1, len(events) + 1))


def test_xml_has_the_batch_its_steps_and_every_event(run: Path, events: list[RecordEvent]) -> None:
    root = ET.parse(run / "exports" / "batch_production_record.xml").getroot()
    space = {"b": NAMESPACE}
    assert root.findtext("b:BatchID", namespaces=space) == BATCH
    assert len(root.findall("b:Event", space)) == len(events)
    steps = [e for e in events if e.kind == "phase_ended"]
    assert len(root.findall("b:RecipeElementRecord", space)) == len(steps)
    lots = {lot.text for lot in root.findall("b:MaterialActual/b:MaterialLotID", space)}
    assert {"BD-2214", "LV-19-07"} <= lots


def test_manifest_names_every_file_by_its_hash_and_head_whoever_wrote_last(run: Path) -> None:
    folder = run / "exports"
    before = json.loads((folder / "manifest.json").read_text())["files"]
    assert set(before) == {file for file, _ in FORMATS.values()}
    head = Head.from_line((run / "heads.jsonl").read_text().splitlines()[-1])
    for name, told in before.items():
        content = (folder / name).read_bytes()
        assert told == {"sha256": hashlib.sha256(content).hexdigest(), "rows": head.count, "head": head.hash}
    assert export_command([str(run), "--format", "json"]) == 0
    assert json.loads((folder / "manifest.json").read_text())["files"] == before


def test_nothing_that_bears_the_signed_hash_is_made_from_an_altered_record(
    events: list[RecordEvent], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / BATCH
    record = BatchRecord(folder, Signer.load_or_create(tmp_path / ".workcell" / "keys"))
    record.append(events)
    record.close()
    assert export_command([str(folder), "--format", "csv-wide", "--output", str(tmp_path / "good")]) == 0
    database = sqlite3.connect(folder / "record.sqlite", isolation_level=None)
    trigger = next(s for s in SCHEMA if "rows_no_update" in s)
    database.execute("DROP TRIGGER rows_no_update")
    database.execute("UPDATE rows SET data_json = replace(data_json, '0.8', '0.9') WHERE kind = 'measurement'")
    database.execute(trigger)
    database.close()
    for command in (export_command, report_command):
        assert command([str(folder), "--output", str(tmp_path / "altered" / "file.html")]) == 2
        assert "the record was altered" in capsys.readouterr().err
    assert not (tmp_path / "altered").exists()


def test_what_people_typed_becomes_neither_formula_nor_markup(tmp_path: Path) -> None:
    story = Story()
    story.tell("coordinator", 0.0, "batch_started", BATCH, patient_id=PATIENT)
    story.tell("coordinator", 1.0, "measurement", "x", name="=HYPERLINK(1)", value="@cmd", unit="</Event>\x01")
    export(tmp_path, story.events, None, list(FORMATS))
    with (tmp_path / "values_long.csv").open(newline="") as stream:
        row = next(csv.DictReader(stream))
    assert (row["name"], row["text"]) == ("'=HYPERLINK(1)", "'@cmd")
    assert len(ET.parse(tmp_path / "batch_production_record.xml").getroot().findall(f"{{{NAMESPACE}}}Event")) == 2


def test_wrong_formats_and_folders_are_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecordError, match="allowed are json, csv-long"):
        export(tmp_path, [], None, ["xlsx"])
    (tmp_path / "file").write_text("")
    assert export_command([str(run), "--output", str(tmp_path / "file")]) == 2
    assert "writable folder" in capsys.readouterr().err
    assert export_command([str(tmp_path / "B9")]) == 2
    assert export_command([str(run), "--format", "json", "--output", str(tmp_path / "new"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [str(tmp_path / "new" / "record.json")]


# -- genealogy ------------------------------------------------------------------------------------------


def chain_of_moves() -> Story:
    """Two lots; the second one comes into the middle vessel after the dose was drawn from it."""
    story = Story()
    for vessel, lot in (("bag", "L-1"), ("late", "L-2"), ("spare", "L-3")):
        story.tell("coordinator", 0.0, "material", vessel, material=vessel, lot=lot, to=vessel)
    for time_s, source, target, left, arrived in (
        (1.0, "bag", "middle", 1000.0, 995.0), (2.0, "middle", "dose_bag", 500.0, None),
        (3.0, "late", "middle", 100000.0, 94000.0), (4.0, "middle", "waste", None, None),
    ):  # fmt: skip
        story.tell(
            "fluidics", time_s, "material", f"{source} → {target}", source=source, destination=target,
            volume_ul=left or 10.0, weighed_source_ul=left, weighed_destination_ul=arrived, phase_id=f"p.{target}",
        )  # fmt: skip
    story.tell("fluidics", 5.0, "sample_taken", "S-1", container="middle", destination="sample_port", volume_ul=5.0)
    return story


def test_a_dose_is_made_of_what_was_there_before_it_was_drawn() -> None:
    found = trace(chain_of_moves().events)
    assert [lot.lot for lot in found.lots_in("dose_bag")] == ["L-1"]
    assert found.made_of("dose_bag") == {"bag", "middle"}
    assert found.went_to("late") == {"middle", "waste", "S-1"}
    assert found.went_to("bag") == {"middle", "dose_bag", "waste", "S-1"}
    assert found.went_to("spare") == set()


def test_the_balance_closes_on_weights_or_names_the_gap() -> None:
    balances = trace(chain_of_moves().events).balances
    assert [balance.is_closed for balance in balances] == [True, True, False, None]
    assert balances[2].gap_ul == -6000.0


def test_the_chip_is_balanced_over_both_inlets_and_both_outlets() -> None:
    story = Story()
    story.tell(
        "acoustic_sorter", 1.0, "material", "sort", source="inlet", destination="sorted", buffer="buffer",
        waste="sorter_waste", sample_ul=40600.0, buffer_ul=214200.0, volume_ul=116100.0, waste_ul=138600.0,
    )  # fmt: skip
    found = trace(story.events)
    (balance,) = found.balances
    assert (balance.gap_ul, balance.is_closed) == (-100.0, True)
    assert found.went_to("buffer") == found.went_to("inlet") == {"sorted", "sorter_waste"}


def test_a_movement_that_a_crash_wrote_twice_counts_once() -> None:
    story = Story()
    for number in (1, 1, 2):
        story.tell(
            "fluidics", 1.0, "material", "bag → dose_bag", source="bag", destination="dose_bag", volume_ul=10.0,
            weighed_source_ul=10.0, weighed_destination_ul=10.0, event_key=f"goal-{number}:material:bag → dose_bag",
        )  # fmt: skip
        story.tell("fluidics", 2.0, "sample_taken", f"S-{number}", container="bag", event_key=f"{number}")
    assert len(trace(story.events).balances) == 2
    facts = gather_facts(story.events)
    assert [event.what for event in facts.of_kind("sample_taken")] == ["S-1", "S-2"]
    assert len(facts.events) == 6  # both stay in the record


# -- review by exception --------------------------------------------------------------------------------


def lines(events: list[RecordEvent]) -> list[tuple[str, str]]:
    return [(item.grade, item.what) for item in exceptions(review(events, specification(), evaluate_plainly))]


def test_a_routine_batch_lists_little(events: list[RecordEvent]) -> None:
    assert lines(events) == [("minor", "step without a module"), ("minor", "alarm")]


def test_what_is_not_routine_is_listed_worst_first(events: list[RecordEvent]) -> None:
    story = Story()
    story.events = list(nominal_batch(final_viability=0.71)[:-1])
    more = Story()
    more.tell("a", 9e5, "alarm_raised", "fluidics.balance_gap", alarm_id="g", message="6 mL", priority="HIGH")
    more.tell("a", 9e5, "identity_refused", "scan", "wrong patient")
    more.tell("a", 9e5, "batch_taken_up", BATCH, "the coordinator came back")
    more.tell("a", 9e5, "material", "vector", material="vector", lot="LV-1", to="vector", expires="2020-01-01")
    more.tell("a", 9e5, "calibration", "scale_waste", due="2020-01-01")
    more.tell("a", 9e5, "recipe_parameter", "moi", value=6.0, default=5.0)
    seen = {"cells": 120, "viability": 0.9, "viability_low": 0.83, "viability_high": 0.94, "error_msg": ""}
    for phase_id, ended_by in (("count", "time"), ("recount", "intervals")):
        result = {**seen, "ended_by": ended_by}
        more.tell("a", 9e5, "phase_ended", "InspectSample", phase_id=phase_id, status="succeeded", result=result)
    more.tell("a", 9e5, "state_changed", "procedure", "viability is low", old="running", new="held")
    more.tell("a", 9e5, "command", "hold", "I saw a leak", command="hold")
    more.tell("a", 9e5, "batch_ended", BATCH, "viability is low", state="held")
    found = lines([*story.events, *more.events, *[dataclasses.replace(e, producer="b", sequence=n) for n, e in
                   enumerate(chain_of_moves().events, start=1)]])  # fmt: skip
    grades = [grade for grade, _ in found]
    assert grades == sorted(grades, key=["critical", "major", "minor"].index)
    assert {
        ("critical", "test fail"), ("critical", "alarm, still standing"), ("critical", "identity refused"),
        ("critical", "lot expired"), ("critical", "end of the batch"), ("major", "calibration overdue"),
        ("major", "taken up after an interruption"), ("major", "held"), ("major", "balance not closed"),
        ("minor", "parameter changed"), ("minor", "command of a person"),
    } <= set(found)  # fmt: skip
    assert found.count(("minor", "seen less than asked for")) == 1
    told = [item.text for item in exceptions(review(more.events, specification(), evaluate_plainly))]
    assert "count: the time was out after 120 cells, viability 0.90 (95 %: 0.83 to 0.94)" in told
