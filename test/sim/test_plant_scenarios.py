# SPDX-License-Identifier: Apache-2.0
"""The shipped scenarios fit the plant and do what they say; wrong ones are refused with what is possible."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimedi_sim.models.donors import NOMINAL, donor
from mimedi_sim.plant.fault_catalogue import CATALOGUE
from mimedi_sim.plant.faults import FaultError
from mimedi_sim.plant.twin import Plant
from mimedi_sim.scenarios import ScenarioError, find_scenario

from .plant_bench import SITE, Bench, batch_until_culture, batch_until_sorted, run_culture

FOLDER = Path(__file__).parents[2] / "config" / "scenarios"
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_scenario_fits_the_demonstration_site(name: str) -> None:
    scenario = find_scenario(name, FOLDER)
    plant = Plant(SITE, donor=donor(scenario.donor or "nominal"), seed=1, scenario=scenario)
    plant.advance_to(600.0)
    assert plant.truth()["time_s"] == 600.0


def test_the_process_documents_scenarios_are_all_shipped() -> None:
    assert {"incubator_33c", "sorter_detuned", "weak_donor", "hidden_leak", "contamination"} <= set(SHIPPED)


def test_a_detuned_generator_costs_more_than_half_of_the_cells() -> None:
    sound = batch_until_sorted(Bench())
    detuned = batch_until_sorted(Bench(scenario=find_scenario("sorter_detuned", FOLDER)))
    assert detuned["recovery"] < 0.5 * sound["recovery"]


def test_at_33_degrees_the_liquid_says_so_and_growth_falls_by_two_thirds() -> None:
    folds = {}
    for name in ("nominal", "incubator_33c"):
        bench = Bench(scenario=find_scenario(name, FOLDER))
        batch_until_sorted(bench)
        batch_until_culture(bench)
        run_culture(bench)
        truth = bench.plant.truth()
        folds[name] = truth["vessels"]["culture_vessel"]["cells"]["viable_cells"] / 1.9e8
    reactor = truth["reactors"]["culture_vessel"]
    assert reactor["liquid_c"] == pytest.approx(33.0, abs=0.1)
    assert reactor["heater_w"] == pytest.approx(16.5, abs=0.01)
    assert folds["incubator_33c"] < 0.4 * folds["nominal"]


def test_a_weak_donor_misses_the_dose_or_the_viability() -> None:
    bench = Bench(donor=donor("weak"))
    batch_until_sorted(bench)
    batch_until_culture(bench)
    run_culture(bench)
    cells = bench.plant.truth()["vessels"]["culture_vessel"]["cells"]
    assert cells["viability"] < 0.80 or cells["viable_cells"] < 5e8


def test_contamination_grows_to_a_turbid_culture() -> None:
    bench = Bench()
    bench.transfer("medium", "culture_vessel", 100_000.0)
    bench.wait(12 * 3600.0)  # cold medium would slow them
    bench.plant.inject("contamination", "culture_vessel", {"cfu": 10.0}, True, bench.now_s)
    bench.wait(2.0 * 3600.0)
    assert bench.amounts("culture_vessel")["cfu"] == 10.0  # lag
    bench.wait(7.0 * 3600.0)  # 14 doublings; the first divisions are chance
    assert bench.amounts("culture_vessel")["cfu"] == pytest.approx(10.0 * 2.0**14, rel=0.6)
    bench.wait(48 * 3600.0)
    assert bench.amounts("culture_vessel")["cfu"] == pytest.approx(1e9 * 100.0, rel=0.05)
    assert bench.amounts("culture_vessel")["glucose_mmol"] < 1e-3


def test_a_silent_line_answers_again_after_its_hour_and_life_goes_on() -> None:
    bench = Bench(scenario=find_scenario("silent_line", FOLDER))
    bench.wait(120.5 * 3600.0 - bench.now_s)
    frame = b"\x01\x03\x00\x00\x00\x05\x85\xc9"
    assert bench.plant.receive("culture_controller", frame, bench.now_s) == b""
    bench.wait(3600.0)
    assert bench.plant.receive("culture_controller", frame, bench.now_s)
    assert bench.plant.truth()["reactors"]["culture_vessel"]["liquid_c"] == pytest.approx(37.0, abs=0.1)


def test_pump_and_valve_faults_show_in_the_weights() -> None:
    bench = Bench()
    bench.plant.inject("pump_stall", "pump", {}, True, bench.now_s)
    bench.transfer("buffer", "harvest", 20_000.0)
    assert bench.volume_ul("harvest") == 0.0
    bench.plant.inject("pump_stall", "pump", {}, False, bench.now_s)
    port = SITE.port_of("waste", "destination_valve")
    bench.plant.inject("valve_stuck", "destination_valve", {"port": port}, True, bench.now_s)
    bench.transfer("buffer", "harvest", 20_000.0)
    assert bench.volume_ul("harvest") == 0.0
    assert bench.volume_ul("waste") == pytest.approx(20_000.0, rel=0.01)
    bench.plant.inject("scale_dead", "waste", {}, True, bench.now_s)
    assert bench.send("scale_waste", "SI\r\n") == "S I\r\n"


def test_unknown_faults_are_answered_with_what_is_possible() -> None:
    plant = Plant(SITE, donor=NOMINAL, seed=1)
    with pytest.raises(FaultError, match=f"fault 'gremlin' is unknown; known: {', '.join(sorted(CATALOGUE))}"):
        plant.inject("gremlin", "pump", {}, True, 0.0)
    with pytest.raises(FaultError, match="acts on a reactor; 'harvest' is none; possible: activation_vessel, culture"):
        plant.inject("heater_failure", "harvest", {}, True, 0.0)
    with pytest.raises(FaultError, match=r"no parameter litres; it takes: volume_ul \[uL\], flow_rate_ul_min"):
        plant.inject("leak", "harvest", {"litres": 1.0}, True, 0.0)
    with pytest.raises(FaultError, match="parameter port is missing; allowed: a number from 1 to 16"):
        plant.inject("valve_stuck", "centre_valve", {}, True, 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scenario: x\ndescription: d\nevents: [{at_h: -1, fault: leak, target: a}]", r"events\[0\].at_h"),
        ("scenario: x\ndescription: d\nevents: [{at_h: 1, fault: laek, target: a}]", "fault 'laek' is unknown; known:"),
        (
            "scenario: x\ndescription: d\nevents: [{at_h: 1, fault: contamination, target: harvest, until_h: 2}]",
            "cannot be taken away; allowed: no until_h",
        ),
        ("scenario: y\ndescription: d", "not the file's name; allowed: x"),
        ("scenario: x\ndescription: d\nfaults: []", "faults"),
    ],
)
def test_wrong_scenario_files_are_refused_with_the_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=message):
        find_scenario(str(path), FOLDER)


def test_a_missing_scenario_names_those_there_are() -> None:
    with pytest.raises(ScenarioError, match="there are: contamination, day5_hold, "):
        find_scenario("sunday", FOLDER)


def test_a_scenario_of_ones_own_is_taken_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("scenario: own\ndescription: d\nevents: [{at_h: 2, fault: fan_stopped, target: enclosure}]")
    scenario = find_scenario(str(path), FOLDER)
    assert (scenario.scenario, scenario.events[0].fault, scenario.events[0].at_h) == ("own", "fan_stopped", 2.0)
