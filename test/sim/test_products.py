# SPDX-License-Identifier: Apache-2.0
"""The products besides CAR-T, headless to their provisional certificates, and the biology that they rest on."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest

from mimedi_nodes.modules.registry import config_folder, manifests
from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.modules.site import SiteError
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.people.operator import ScriptedOperator
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.process.recipes.values import ParameterError
from mimedi_nodes.process.release import evaluate
from mimedi_nodes.records.review import Review, review
from mimedi_nodes.records.specification import product_file, read_specification
from mimedi_sim.headless import HeadlessResult, HeadlessRun, run_batch
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.models.cryopreservation import toxicity_factor, viability_after_thaw
from mimedi_sim.models.donors import donor
from mimedi_sim.models.osteoblast import mature_fraction
from mimedi_sim.plant import dmso, osteoculture, selection
from mimedi_sim.plant.kits import kit
from mimedi_sim.plant.ledger import INDEX, amounts

from .books import unbalanced
from .workbench import HEADER, Workbench

CONFIG = config_folder()
PATIENT, DONOR = make_identifier("F1234", 26, 1), make_identifier("F1234", 26, 2)


def made(name: str, seed: int = 1, giver: str = PATIENT, **parameters: float) -> tuple[HeadlessResult, Review]:
    recipe = load_recipe(CONFIG / "recipes" / f"{name}.yaml", manifests()).with_parameters(parameters)
    site = load_site(CONFIG / "site" / "demo.yaml")
    operator = ScriptedOperator(CONFIG / "operators" / "default.yaml")
    run = HeadlessRun(recipe, Batch("B-1", PATIENT, giver, 70.0), site, donor("nominal"), seed, operator)
    result = run_batch(run)
    return result, review(
        result.events, read_specification(product_file(CONFIG / "products", recipe.product)), evaluate
    )


def measured(result: HeadlessResult, name: str) -> Any:
    return [e.data["value"] for e in result.events if e.kind == "measurement" and e.data["name"] == name][-1]


# -- iCasp9 / delta-CD19 --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def icasp9() -> tuple[HeadlessResult, Review]:
    return made("icasp9_dcd19", giver=DONOR)


def test_switchable_t_cells_reach_their_provisional_certificate(icasp9: tuple[HeadlessResult, Review]) -> None:
    result, reviewed = icasp9
    assert reviewed.verdict == "meets_provisionally", (result.outcome, [r for r in reviewed.rows if r.reason])
    assert {row.id for row in reviewed.rows} >= {"kill", "integrity", "marker", "rcr"}
    assert 8.0 < result.process_time_s / 86400.0 < 15.0
    assert unbalanced(result, "icasp9_dcd19") == {}


def test_both_colours_tell_what_the_sort_was_worth_before_activation(icasp9: tuple[HeadlessResult, Review]) -> None:
    """PHYSICS 12: purity .967 (.918 to .992) and recovery .80 (.68 to .88) nominally."""
    result, _ = icasp9
    found = {e.data["name"]: e.data for e in result.events if e.kind == "measurement"}
    assert found["sort_purity"]["value"] == pytest.approx(0.967, abs=0.03), found["sort_purity"]
    assert found["sort_recovery"]["value"] == pytest.approx(0.80, abs=0.15), found["sort_recovery"]
    assert found["sort_recovery"]["low"] < 0.80 < found["sort_recovery"]["high"], found["sort_recovery"]
    ended = [e.what for e in result.events if e.kind == "phase_started"]
    assert ended.index("SortCells") < ended.index("ActivateCells")


def test_the_dose_is_frozen_in_a_tenth_of_dmso_and_its_vial_thawed(icasp9: tuple[HeadlessResult, Review]) -> None:
    result, reviewed = icasp9
    dose = result.truth["vessels"]["dose_bag"]
    assert dose["amounts"]["dmso_ul"] / dose["volume_ul"] == pytest.approx(0.10, abs=0.01)
    value = {row.id: row.value for row in reviewed.rows}
    expected = viability_after_thaw(value["viability"], hours_after=24.0)
    assert value["viability_thawed"] == pytest.approx(expected, abs=0.06)
    # Nobody takes the bag of the twin away: what stays in DMSO on the bench dies.
    result.plant.advance_to(result.process_time_s)
    left = result.plant.truth()["vessels"]["dose_bag"]["cells"]["viability"]
    assert left < 0.1 < 0.8 < dose["cells"]["viability"]


def test_cells_in_dmso_die_while_they_are_liquid_and_survive_freezing_with_it() -> None:
    cells = {"t_act_pos": 4e6, "t_act_neg": 4e6, "lymphocyte": 1e6, "dead": 1e6}
    row = amounts(volume_ul=1000.0, dmso_ul=100.0, **cells)
    hour = row + dmso.death(row, 3600.0)
    assert hour[INDEX["t_act_pos"]] / 4e6 == pytest.approx(toxicity_factor(0.10, 1.0, 22.0))
    assert hour[INDEX["lymphocyte"]] / 1e6 == pytest.approx(toxicity_factor(0.10, 1.0, 22.0))
    assert sum(hour[INDEX[name]] for name in cells) == pytest.approx(1e7)
    halves = row + dmso.death(row, 1800.0)
    assert np.allclose(halves + dmso.death(halves, 1800.0), hour)
    assert dmso.death(amounts(volume_ul=1000.0, **cells), 3600.0) is None
    assert dmso.death(amounts(volume_ul=1000.0, dmso_ul=100.0), 3600.0) is None
    thin = amounts(volume_ul=1000.0, dmso_ul=20.0, **cells)
    plain = amounts(volume_ul=1000.0, **cells)
    assert dmso.thawed_viability(thin) < 0.5 * dmso.thawed_viability(row)
    # The laboratory adds the usual share to a sample that has none.
    assert dmso.thawed_viability(plain) == pytest.approx(dmso.thawed_viability(row))


def test_the_selection_makes_marked_cells_of_a_mixture(icasp9: tuple[HeadlessResult, Review]) -> None:
    result, reviewed = icasp9
    before = measured(result, "transduced_before_selection")
    after = next(row.value for row in reviewed.rows if row.id == "marker")
    assert 0.30 < before < 0.60, "FIELD C3: 30 to 60 % before selection"
    assert after > 0.90
    passed = result.truth["vessels"]["unselected"]["amounts"]
    assert passed["t_act_neg"] > 8.0 * passed["car_expressed"]
    # The last look's own sample: the cup in which it was thinned had held other cells.
    looked_at = result.truth["vessels"]["imaging_cell"]["cells"]
    seen = [e.data for e in result.events if e.kind == "measurement" and e.data["name"] == "microscope_marker_fraction"]
    # One of twenty 95 % intervals misses the truth, this seed's by a tenth; one of a thousand misses it so far.
    reach = 1.7 * (seen[-1]["high"] - seen[-1]["low"]) / 2.0
    assert seen[-1]["value"] == pytest.approx(looked_at["car_fraction"], abs=reach), (seen, looked_at)
    ended = [e.data["result"] for e in result.events if e.kind == "phase_ended" and e.what == "InspectSample"]
    assert [look["ended_by"] for look in ended] == ["cells", "cells", "cells", "intervals"]
    counted = [ended[-1][f"concentration{end}_per_ml"] for end in ("_low", "", "_high")]
    assert (counted[2] - counted[0]) / 2.0 <= 0.08 * counted[1]


def test_a_retroviral_vector_needs_dividing_cells(icasp9: tuple[HeadlessResult, Review]) -> None:
    early, _ = made("icasp9_dcd19", giver=DONOR, activation_h=24.0)
    # By a quarter, give or take what the counts scatter.
    assert measured(early, "transduced_before_selection") < 0.82 * measured(icasp9[0], "transduced_before_selection")


def test_a_donor_is_wanted_for_a_pair_and_refused_for_an_autologous_product() -> None:
    with pytest.raises(ParameterError, match="allogeneic"):
        made("icasp9_dcd19")
    with pytest.raises(ParameterError, match="autologous"):
        made("osteoblast_graft", giver=DONOR)


def test_beads_find_only_marked_cells_and_the_column_conserves() -> None:
    row = amounts(volume_ul=1e5, t_act_pos=1e8, t_act_neg=2e8, copies=1.3e8, car_expressed=9e7, selection_free=6e8)
    bound = selection.binding(row, 1800.0)
    assert bound is not None
    row += bound
    assert row[INDEX["selection_bound"]] == pytest.approx(2.7e8, rel=0.05)
    held = selection.retained(row, 10_000.0)
    assert ((held >= 0.0) & (held <= row + 1e-6)).all()
    assert 0.7 < held[INDEX["car_expressed"]] / row[INDEX["car_expressed"]] < 0.95
    assert held[INDEX["t_act_neg"]] == pytest.approx(0.02 * 2e8)
    assert selection.retained(row, 40_000.0)[INDEX["t_act_pos"]] < held[INDEX["t_act_pos"]]
    assert selection.eluted(held, 40_000.0)[INDEX["t_act_pos"]] > 0.99 * held[INDEX["t_act_pos"]]


# -- osteoblast graft -----------------------------------------------------------------------------------


def test_a_graft_reaches_its_certificate_and_stimulation_saves_days() -> None:
    rest, at_rest = made("osteoblast_graft")
    fast, stimulated = made("osteoblast_graft", stimulation=1.6)
    assert unbalanced(fast, "osteoblast_graft") == {}
    assert at_rest.verdict == stimulated.verdict == "meets_provisionally", [r for r in at_rest.rows if r.reason]
    assert measured(rest, "graft_day") == pytest.approx(21.0, abs=2.5)
    assert measured(rest, "graft_day") - measured(fast, "graft_day") > 4.0
    assert measured(fast, "days_saved") == pytest.approx(21.0 - measured(fast, "graft_day"))
    row = next(r for r in stimulated.rows if r.id == "days_saved")
    assert (row.criterion, row.verdict) == ("no limit", "pass")
    assert row.value == pytest.approx(measured(fast, "days_saved"))
    changes = [e for e in rest.events if e.kind == "medium_changed"]
    assert len(changes) >= 6
    assert all(event.data["complete"] for event in changes)


def test_differentiation_follows_bateman_where_nothing_grows_or_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osteoculture, "GROWTH_PER_DAY", 0.0)
    monkeypatch.setattr(osteoculture, "DEATH_PER_DAY", 0.0)
    monkeypatch.setattr(osteoculture, "ADDITIVE_HALF_LIFE_D", 1e9)
    row = amounts(volume_ul=1e5, precursor=1e8, osteogenic_ul=1e5)
    row += osteoculture.change(row, 21.0, 37.0, 30.0)
    share = row[INDEX["osteoblast"]] / osteoculture.cells(row)
    assert share == pytest.approx(mature_fraction(0.10, 0.06, 21.0), rel=1e-3)
    assert osteoculture.cells(row) == pytest.approx(1e8)


def test_without_additives_commitment_falls_to_a_fifth_and_strong_shear_kills() -> None:
    fed = amounts(volume_ul=1e5, precursor=1e8, osteogenic_ul=1e5)
    starved = amounts(volume_ul=1e5, precursor=1e8)
    committed = [
        osteoculture.change(row, 0.1, 37.0, 30.0)[INDEX["pre_osteoblast"]] for row in (fed, starved)
    ]
    assert committed[1] / committed[0] == pytest.approx(0.2, rel=0.02)
    gentle, torn = (osteoculture.change(fed, 1.0, 37.0, rpm)[INDEX["dead"]] for rpm in (120.0, 200.0))
    assert torn > 20.0 * gentle
    assert osteoculture.shear_factor(30.0) == 1.0
    assert osteoculture.shear_factor(120.0) == osteoculture.shear_factor(150.0) == 1.6


def test_how_often_the_vessel_is_looked_at_does_not_matter() -> None:
    whole = amounts(volume_ul=1e5, precursor=1e8, osteogenic_ul=1e5)
    parts = whole.copy()
    whole += osteoculture.change(whole, 2.0, 37.0, 60.0)
    for _ in range(48):
        parts += osteoculture.change(parts, 2.0 / 48.0, 37.0, 60.0)
    assert parts == pytest.approx(whole, rel=2e-3)


def test_differentiation_killed_anywhere_goes_on_and_changes_medium_once() -> None:
    goal = {"medium_change_every_d": 1.0, "duration_d": 2.5, "stimulation_factor": 1.2}

    async def main(kills_s: list[float]) -> tuple[float, float]:
        bench, store = Workbench(), GoalStore(":memory:")
        service = await bench.service("fluidics")
        fill = {"source": "medium", "destination": "culture_vessel", "volume_ul": 1e5, "flow_rate_ul_min": 4e4}
        assert (await service.run("TransferFluid", fill, HEADER, "0" * 32)).status == "succeeded"
        for wait_s in [*kills_s, math.inf]:
            incubator = await bench.service("incubator", store)
            task = asyncio.ensure_future(incubator.run("DifferentiateCells", goal, HEADER, "a" * 32))
            if wait_s < math.inf:
                await asyncio.sleep(wait_s)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await asyncio.sleep(60.0)
                continue
            outcome = await task
            assert outcome.status == "succeeded", outcome.error_msg
            changed = [d["volume_ul"] for kind, _, d in bench.events if kind == "medium_changed"]
            assert len(changed) == 2
            return float(outcome.result["duration_d"]), sum(changed)
        raise AssertionError

    duration_d, changed_ul = run_virtual(main([]))
    assert duration_d == pytest.approx(2.5, abs=0.02)
    for kills_s in ([3600.0], [87000.0], [50000.0, 40000.0, 600.0]):
        again_d, again_ul = run_virtual(main(kills_s))
        assert again_d == pytest.approx(duration_d, abs=0.05)
        assert again_ul == pytest.approx(changed_ul, rel=0.15)


def test_a_stimulation_beyond_the_qualification_is_refused() -> None:
    async def main() -> Any:
        bench = Workbench()
        service = await bench.service("incubator")
        return await service.run("DifferentiateCells", {"stimulation_factor": 3.0, "duration_d": 1.0}, HEADER, "b" * 32)

    outcome = run_virtual(main())
    assert (outcome.status, outcome.error_code) == ("aborted", 412)


def test_every_product_has_its_kit_and_no_port_leads_to_two_vessels(tmp_path: Any) -> None:
    assert kit("car_t_cd19", donor("nominal"))["vector"][INDEX["vector_tu"]] > 0.0
    assert kit("icasp9_dcd19", donor("nominal"))["selection_beads"][INDEX["selection_free"]] > 0.0
    assert kit("osteoblast_graft", donor("nominal"))["apheresis"][INDEX["precursor"]] > 0.0
    text = (CONFIG / "site" / "demo.yaml").read_text(encoding="utf-8")
    path = tmp_path / "site.yaml"
    path.write_text(text.replace("ports: {destination_valve: 14}", "ports: {destination_valve: 15}"), encoding="utf-8")
    with pytest.raises(SiteError, match="both on port 15 of destination_valve"):
        load_site(path)
