# SPDX-License-Identifier: Apache-2.0
"""Two patients on one workcell, headless: both get their dose, cultures and selections overlap, nothing mixes.

With one culture vessel and with two of a class.
"""

from __future__ import annotations

import numpy as np
import pytest

from mimedi_nodes.modules.registry import config_folder, manifests, modules_of
from mimedi_nodes.modules.site import Site
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.people.operator import ScriptedOperator
from mimedi_nodes.process.recipes.approval import Approvals
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.process.release import evaluate
from mimedi_nodes.process.units.units import Units, read_units, units_file
from mimedi_nodes.records.genealogy import trace
from mimedi_nodes.records.review import review
from mimedi_nodes.records.specification import product_file, read_specification
from mimedi_sim.headless import HeadlessRun, SeveralResult, run_batches
from mimedi_sim.models.donors import donor
from mimedi_sim.plant.ledger import INDEX
from mimedi_sim.plant.set_exchange import ExchangeError
from mimedi_sim.plant.twin import Plant

CONFIG = config_folder()



def shop(site: str) -> tuple[Site, Units]:
    """Return a site with its units."""
    path = CONFIG / "site" / site
    found = load_site(path)
    return found, read_units(units_file(path), modules_of(found), found.vessels)


SITE, UNITS = shop("demo.yaml")
PATIENTS = {"A": make_identifier("F1234", 26, 1), "B": make_identifier("F1234", 26, 2)}


@pytest.fixture(scope="module")
def both() -> SeveralResult:
    return made(SITE, UNITS)


@pytest.fixture(scope="module")
def side_by_side() -> SeveralResult:
    return made(*shop("two_vessels.yaml"))


def made(site: Site, units: Units) -> SeveralResult:
    recipe = load_recipe(CONFIG / "recipes" / "car_t_cd19.yaml", manifests())
    runs = []
    for seed, (name, person) in enumerate(PATIENTS.items(), start=1):
        batch = Batch(name, person, person, 70.0)
        standing = Approvals(CONFIG / "recipes").require(recipe, batch)
        operator = ScriptedOperator(CONFIG / "operators" / "default.yaml")
        who = donor("healthy", seed) if name == "B" else donor("nominal", seed)
        runs.append(HeadlessRun(recipe, batch, site, who, 1, operator, at_start=(standing.fact(recipe),)))
    return run_batches(runs, units)


@pytest.mark.parametrize("vessels", ["both", "side_by_side"])
def test_both_meet_their_specification(vessels: str, request: pytest.FixtureRequest) -> None:
    result: SeveralResult = request.getfixturevalue(vessels)
    specification = read_specification(product_file(CONFIG / "products", "car_t_cd19"))
    for name, outcome in result.outcomes.items():
        assert outcome.state == "completed", f"{name}: {outcome.reason}"
        assert review(result.events[name], specification, evaluate).verdict == "meets_provisionally", name


def test_with_two_vessels_both_cultures_grow_at_once(side_by_side: SeveralResult, both: SeveralResult) -> None:
    """Each in a unit of its own, from its own bags; the second patient waits for the activation vessel only."""
    vessels = {name: trace(events).went_to("medium") for name, events in side_by_side.events.items()}
    assert "culture_vessel" in vessels["A"] - vessels["B"], vessels
    assert "culture_vessel_2" in vessels["B"] - vessels["A"], vessels
    grown = {}
    for name, events in side_by_side.events.items():
        cultures = ("ExpandCulture", "PerfuseCulture")
        phases = [e for e in events if e.kind == "phase_ended" and e.data["action"] in cultures]
        grown[name] = (phases[0].data["started_s"], phases[-1].process_time_s)
        assert {e.producer for e in phases} == {{"A": "incubator", "B": "incubator_2"}[name]}
        assert "culture" not in {e.what.partition("_")[0] for e in events if e.kind == "unit_changed_over"}
    assert grown["B"][0] < grown["A"][1] - 4.0 * 86400.0, f"the cultures overlap by less than four days: {grown}"
    waited_h = [e.data["waited_h"] for e in side_by_side.events["B"] if e.kind == "unit_waited"]
    assert sum(waited_h) < 60.0, waited_h
    saved_d = (both.times_s["B"][1] - side_by_side.times_s["B"][1]) / 86400.0
    assert saved_d > 5.0, f"the second vessel saves {saved_d:.1f} d"
    for name, events in side_by_side.events.items():
        used_ul = sum(e.data["result"].get("medium_used_ul", 0.0) for e in events if e.kind == "phase_ended")
        bag = side_by_side.plant.ledger.volume_ul("set A: medium" if name == "A" else "medium")
        fresh_ul = Plant(SITE, donor=donor("nominal", 1), seed=1).ledger.volume_ul("medium")
        assert used_ul < fresh_ul - bag < used_ul + 2.5e6, f"{name} drank from another bag: {used_ul}, {fresh_ul - bag}"


def test_the_second_begins_while_the_first_grows_and_waits_for_no_vessel_in_culture(both: SeveralResult) -> None:
    def when(name: str, step: str) -> float:
        ended = (e for e in both.events[name] if e.kind == "step_ended" and e.what.endswith(f".{step}"))
        return next(e.process_time_s for e in ended) / 86400.0

    assert when("B", "load_cells") < when("A", "harvest_culture"), "the second waited for the end of the first"
    assert when("B", "wash_vector") > when("A", "deplete")
    late_h = (when("B", "wash_vector") - when("B", "transduce")) * 24.0
    assert late_h < 12.0, f"the transduced cells waited {late_h:.1f} h for the culture vessel"
    begun = next(e for e in both.events["B"] if e.kind == "unit_waited" and e.what == "beginning")
    assert "batch A" in begun.why


def test_every_change_of_patient_is_on_record(both: SeveralResult) -> None:
    for unit, first_set in (("activation", "B"), ("culture", "B"), ("fluid_path", "B")):
        changes = [e for e in both.events[first_set] if e.kind == "unit_changed_over" and e.what == unit]
        assert changes, unit
        assert changes[0].data["old"] == "A"
        assert PATIENTS["B"] in changes[0].data["label"]
    back = [e for e in both.events["A"] if e.kind == "unit_changed_over"]
    assert {e.what for e in back} == {"fluid_path"}, "A's own cassette comes back for its harvest"


@pytest.mark.parametrize("vessels", ["both", "side_by_side"])
def test_nothing_mixes_and_nothing_is_lost(vessels: str, request: pytest.FixtureRequest) -> None:
    """Each dose is in its own bag; the grand total of every quantity is what the two kits brought."""
    ledger = request.getfixturevalue(vessels).plant.ledger
    for bag in ("set A: dose_bag", "dose_bag"):
        assert 1.2e8 < ledger.get(bag, "car_expressed") < 1.9e8, bag
    fresh = [Plant(SITE, donor=who, seed=1).ledger.total() for who in (donor("nominal", 1), donor("healthy", 2))]
    volume = INDEX["volume_ul"]
    assert np.isclose(ledger.total()[volume], sum(total[volume] for total in fresh), rtol=1e-9)


def test_a_set_that_is_not_there_cannot_be_exchanged() -> None:
    plant = Plant(SITE, donor=donor("nominal", 1), seed=1)
    path = next(unit for unit in UNITS if unit.name == "fluid_path")
    assert plant.exchange_set(path, "A", "B", 10.0)
    with pytest.raises(ExchangeError, match="has the cassette of batch B"):
        plant.exchange_set(path, "A", "C", 20.0)
    with pytest.raises(ExchangeError, match="already"):
        plant.exchange_set(path, "B", "B", 20.0)
    assert not plant.exchange_set(path, "B", "A", 30.0), "the first set comes back"
    assert plant.ledger.volume_ul("apheresis") > 0.0
