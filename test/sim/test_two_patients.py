# SPDX-License-Identifier: Apache-2.0
"""Two patients on one workcell, headless: both get their dose, cultures and selections overlap, nothing mixes."""

from __future__ import annotations

import numpy as np
import pytest

from mimedi_nodes.modules.registry import config_folder, manifests, module_table
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.identity import make_identifier
from mimedi_nodes.process.operator import ScriptedOperator
from mimedi_nodes.process.recipe_approval import Approvals
from mimedi_nodes.process.recipe_loader import load_recipe
from mimedi_nodes.process.release import evaluate
from mimedi_nodes.process.units import Units, read_units
from mimedi_nodes.records.review import review
from mimedi_nodes.records.specification import product_file, read_specification
from mimedi_sim.headless import HeadlessRun, SeveralResult, run_batches
from mimedi_sim.models.donors import donor
from mimedi_sim.plant.ledger import INDEX
from mimedi_sim.plant.set_exchange import ExchangeError
from mimedi_sim.plant.twin import Plant

CONFIG = config_folder()
SITE = load_site(CONFIG / "site" / "demo.yaml")
UNITS: Units = read_units(CONFIG / "units.yaml", list(module_table()), SITE.vessels)
PATIENTS = {"A": make_identifier("F1234", 26, 1), "B": make_identifier("F1234", 26, 2)}


@pytest.fixture(scope="module")
def both() -> SeveralResult:
    recipe = load_recipe(CONFIG / "recipes" / "car_t_cd19.yaml", manifests())
    runs = []
    for seed, (name, person) in enumerate(PATIENTS.items(), start=1):
        batch = Batch(name, person, person, 70.0)
        standing = Approvals(CONFIG / "recipes").require(recipe, batch)
        operator = ScriptedOperator(CONFIG / "operators" / "default.yaml")
        who = donor("healthy", seed) if name == "B" else donor("nominal", seed)
        runs.append(HeadlessRun(recipe, batch, SITE, who, 1, operator, at_start=(standing.fact(recipe),)))
    return run_batches(runs, UNITS)


def test_both_meet_their_specification(both: SeveralResult) -> None:
    specification = read_specification(product_file(CONFIG / "products", "car_t_cd19"))
    for name, outcome in both.outcomes.items():
        assert outcome.state == "completed", f"{name}: {outcome.reason}"
        assert review(both.events[name], specification, evaluate).verdict == "meets_provisionally", name


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
    assert [e.what for e in back] == ["fluid_path"], "A's own cassette comes back for its harvest"


def test_nothing_mixes_and_nothing_is_lost(both: SeveralResult) -> None:
    """Each dose is in its own bag; the grand total of every quantity is what the two kits brought."""
    ledger = both.plant.ledger
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
