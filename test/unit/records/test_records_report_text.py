# SPDX-License-Identifier: Apache-2.0
"""How the report words quantities, causes and what did not come to its end."""

from __future__ import annotations

import re
import warnings

import pytest
from nominal_batch import BATCH, Story, evaluate_plainly, nominal_batch, specification

from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_nodes.records.analysis_files import KIND, parts
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.facts import gather_facts
from mimedi_nodes.records.report.field_text import quantity, took_text, value_text
from mimedi_nodes.records.report.plots import plot_stiffness, plot_timeline
from mimedi_nodes.records.report.report import render_report
from mimedi_nodes.records.report.rows import cause_rows, figure_rows, step_rows
from mimedi_nodes.records.report.sections import environment_rows, lot_rows, move_rows
from mimedi_nodes.records.review import Review, review
from mimedi_nodes.records.stiffness_map import MEDIA_TYPE, SUFFIX, CellStiffness, to_csv
from mimedi_nodes.records.summary import summarize

UNIT_WORDS = {
    "degC": "°C", "uL": "µL", "um": "µm", "1/m3": "/m³", "1/mL": "/mL", "1/s": "/s", "um/px": "µm/px", "ug": "µg",
    "deg": "°", "uL/min": "µL/min",
}  # fmt: skip


def test_every_result_of_every_action_is_named_with_the_unit_of_its_interface() -> None:
    """The record has no interfaces; its words must not tell another unit than they do."""
    wrong = []
    for action in default_interfaces().actions.values():
        for name, field in action.result.items():
            words, unit = quantity(name)
            wanted = UNIT_WORDS.get(field.unit, field.unit)
            if (unit and unit != wanted) or not words.strip() or re.search(r"\b(pa|ul|um|c|ml|hz|nm)$", words):
                wrong.append((action.name, name, words, unit, field.unit))
    assert wrong == []


def test_values_have_words_and_units() -> None:
    assert value_text("particles_05_per_m3", 60.07) == "particles ≥ 0.5 µm 60.07 /m³"
    assert value_text("background_per_s", 208.9) == "background 208.9 /s"
    assert value_text("volume_moved_ul", 839310.0) == "volume moved 839.3 mL"
    assert value_text("modulus_median_pa", 998.3) == "modulus median 998.3 Pa"
    assert value_text("ph", 7.32) == "pH 7.32"
    assert value_text("expires_s", 86400.0 * 12) == "expires on day 12.00"
    assert [took_text(s) for s in (6.0, 600.0, 7200.0, 864000.0)] == ["6 s", "10 min", "2.0 h", "10.0 d"]


@pytest.fixture(scope="module")
def held() -> Review:
    """A batch that ended held in its culture, before anything was filled or tested."""
    story = Story()
    story.tell(
        "coordinator", 0.0, "batch_started", BATCH, recipe="car_t_cd19", product="car_t_cd19", run_kind="production",
        patient="P1", donor="P1",
    )  # fmt: skip
    story.tell("coordinator", 1.0, "material", "bag", material="bag, dose", lot="KT-1", to="dose_bag")
    story.phase("a.load", "fluidics", "TransferFluid", 10.0, 16.0, {"volume_moved_ul": 1000.0})
    begun = {"phase_id": "a.grow", "module": "incubator", "action": "ExpandCulture", "goal_id": "b" * 32}
    for _ in range(2):  # started again after an outage
        story.tell("incubator", 100.0, "phase_started", "ExpandCulture", **begun)
    pressure, alarm = "chamber_pressure_pa", "incubator.not_safe"
    story.tell("enclosure", 110.0, "measurement", pressure, name=pressure, value=31.0, unit="Pa")
    story.tell("incubator", 86400.0, "alarm_raised", alarm, alarm_id=alarm, message="no answer")
    story.tell("coordinator", 86400.0, "batch_ended", BATCH, "the culture is held", state="held", reason="held")
    return review(story.events, specification(), evaluate_plainly)


def test_what_had_not_ended_is_in_steps_and_timeline(held: Review) -> None:
    assert [(row["path"], row["took"], row["status"]) for row in step_rows(held.facts)] == [
        ("a.load", "6 s", "succeeded"),
        ("a.grow", "–", "not ended"),
    ]
    assert "hatched: not ended" in plot_timeline(held.facts)
    assert "hatched" not in plot_timeline(gather_facts(nominal_batch()))


def test_the_cause_of_a_hold_comes_before_the_tests_that_it_left_without_a_result(held: Review) -> None:
    causes = cause_rows(held)
    assert causes[:3] == [
        "Alarms still standing at the end: 1 count, specified 0",
        "End of the procedure: the culture is held",
        "Alarm incubator.not_safe: no answer",
    ]
    assert re.match(r"\d+ tests without a result: ", causes[3]), causes[3]
    assert len(causes) == 4
    page = render_report(held, None)
    assert "other tests</td>" in page
    assert "not ended" in page


def test_an_empty_bag_is_no_dose_and_the_room_has_its_units(held: Review) -> None:
    assert [row["in_dose"] for row in lot_rows(held.facts)] == [False]
    (room,) = environment_rows(held.facts)
    assert (room["name"], room["unit"]) == ("chamber pressure", "Pa")


def test_alarm_figures_stand_once_below_the_alarms(held: Review) -> None:
    page = render_report(held, None)
    assert page.count("alarms, ") == 1
    assert page.index("</table>", page.index("<h2>Alarms</h2>")) < page.index("an hour (target")


def test_the_dose_is_named_as_the_specification_names_it() -> None:
    content = specification()
    for test in content["tests"]:
        if test["id"] == "dose":
            test["title"] = "Dose, viable osteoblasts"
    found = review(nominal_batch(), content, evaluate_plainly)
    names = [name for _, name in figure_rows(found, summarize(found, None))]
    assert names[0] == "viable osteoblasts in the dose"


def test_a_move_that_is_weighed_on_one_side_says_so() -> None:
    story = Story()
    way = {"source": "culture_vessel", "destination": "depleted"}
    story.tell("fluidics", 1.0, "material", "x", weighed_destination_ul=839310.0, **way)
    story.tell("fluidics", 2.0, "material", "x", volume_ul=1000.0, **way)
    rows = move_rows(gather_facts(story.events))
    assert [(row["volume"], row["arrived"], row["gap"], row["closed"]) for row in rows] == [
        ("–", "839.31", "weighed on one side", None),
        ("1.00", "–", "not weighed", None),
    ]


def test_a_stiffness_map_without_its_result_is_drawn_without_a_legend() -> None:
    content = to_csv([CellStiffness(k, 10.0 * k, -5.0 * k, 100.0 * k, 2.0, k / 3.0) for k in range(1, 7)])
    events = [
        RecordEvent("analytics", 1, "B1", 0.0, "2026-11-23T10:00:00Z", KIND, "S", "S", "", each)
        for each in parts(f"S{SUFFIX}", content, MEDIA_TYPE)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plot_stiffness(gather_facts(events)).startswith("<svg")
