# SPDX-License-Identifier: Apache-2.0
"""Bacteria deliver a gene in the activation vessel: contact, gentamicin, wash, and what the instruments see of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mimedi_sim.models.donors import NOMINAL
from mimedi_sim.models.photon import counts_per_s_per_cfu
from mimedi_sim.plant import syringe
from mimedi_sim.plant.contaminant import Contaminant
from mimedi_sim.plant.ledger import FloatArray, amounts

from .plant_bench import Bench

CELLS = 1.0e8
VESSEL = "activation_vessel"


def contact(polls: int = 0, seed: int = 1) -> Bench:
    """Activated cells in 100 mL at 37 degC, and twenty bacteria a cell for an hour."""
    bench = Bench(seed, kit_name="bacterial_syringe")
    bench.polls = polls
    start = amounts(
        volume_ul=100_000.0, medium_ul=100_000.0, t_act_neg=CELLS, activation_cell_h=-24.0 * CELLS, glucose_mmol=1.0,
        il2_iu=1e4, base_mmol=2.38,
    )
    bench.plant.ledger.put(VESSEL, start)
    bench.set_points("activation_controller")
    bench.wait(8.0 * 3600.0)
    bench.transfer("vector", VESSEL, 2_000.0)
    bench.wait(3600.0)
    return bench


def row(bench: Bench, vessel: str = VESSEL) -> FloatArray:
    return amounts(**bench.amounts(vessel))


@pytest.fixture(scope="module")
def met() -> Bench:
    return contact()


def test_bacteria_enter_grow_and_deliver_in_the_vessel(met: Bench) -> None:
    found = met.amounts(VESSEL)
    cells = found["t_act_neg"]
    per_cell = found["internalised"] / cells
    assert per_cell == pytest.approx(0.03 * 2e9 / cells * -math.expm1(-1.0), rel=0.05)
    assert found["syringe_cfu"] == pytest.approx(2e9 * 2.0 ** (1.0 / 0.75), rel=0.07)
    assert 0.6 < found["delivered"] / cells / (per_cell * 0.2 * 0.3) < 1.0, "not all cells divide"
    assert syringe.seen_fraction(row(met)) == pytest.approx(found["delivered"] / cells, rel=0.05)
    before = met.plant.ledger.total()
    met.wait(60.0)
    after = met.plant.ledger.total()
    assert np.allclose(after, before, rtol=1e-9, atol=1e-6)


def test_whoever_looks_changes_nothing(met: Bench) -> None:
    watched, alone = contact(polls=5), contact()
    assert watched.amounts(VESSEL) == alone.amounts(VESSEL)


def test_the_screening_sees_them_and_the_laboratory_too(met: Bench) -> None:
    bench = contact(seed=2)
    dark = bench.plant.stations.screening.light_per_s()
    bench.transfer(VESSEL, "assay_cell", 5_000.0)
    bench.transfer(VESSEL, "sample_port", 2_000.0)
    there = bench.amounts("assay_cell")
    extra = bench.plant.stations.screening.light_per_s() - dark
    assert extra > 0.9 * counts_per_s_per_cfu() * there["syringe_cfu"]
    bench.plant.laboratory.order("B", "S", ["sterility", "microbes", "endotoxin_eu_ml", "delivered_fraction"],
                                 bench.now_s)
    said = {r.record_json.split('"test":"')[1].split('"')[0]: r.record_json for r in
            bench.plant.laboratory.due(math.inf)}
    assert '"value":"positive"' in said["sterility"]
    assert '"value":"positive"' in said["microbes"]
    sample = row(bench, "assay_cell")
    eu_ml = float(said["endotoxin_eu_ml"].split('"value":')[1].split("}")[0])
    assert eu_ml == pytest.approx(syringe.endotoxin_eu(sample) / 5.0, rel=0.6)
    assert eu_ml > 100.0


def test_gentamicin_and_washes_clear_the_vessel_and_dilute_the_endotoxin() -> None:
    bench = contact()
    bench.transfer("antibiotic", VESSEL, 510.0)
    assert syringe.antibiotic_ug_ml(row(bench)) == pytest.approx(50.0, rel=0.03)
    killed = bench.amounts(VESSEL)["syringe_cfu"]
    bench.wait(2.0 * 3600.0)
    left = bench.amounts(VESSEL)["syringe_cfu"]
    assert 5.3 < math.log10(killed / left) < 6.3
    assert bench.amounts(VESSEL)["endotoxin_eu"] == pytest.approx(1e-5 * killed, rel=0.1)
    bench.wait(4.0 * 3600.0)
    assert bench.amounts(VESSEL)["syringe_cfu"] == 0.0, "few bacteria are whole ones: the last one dies"
    before = row(bench)
    bench.set_points("activation_controller", perfusion_ul_min=1_000.0)
    bench.wait(100.0 * 60.0)
    after = row(bench)
    for value in (syringe.antibiotic_ug_ml, syringe.endotoxin_eu):
        assert value(after) == pytest.approx(value(before) * math.exp(-1.0), rel=0.03)


def test_a_survivor_takes_the_culture_over_when_the_antibiotic_comes_too_short() -> None:
    bench = contact()
    bench.transfer("antibiotic", VESSEL, 60.0)  # 6 ug/mL, and it is washed out at once
    bench.set_points("activation_controller", perfusion_ul_min=1_000.0)
    bench.wait(24.0 * 3600.0)
    found = bench.amounts(VESSEL)
    assert found["syringe_cfu"] / found["volume_ul"] * 1e3 > 1e8
    assert found["t_act_neg"] < 0.75 * CELLS


def test_the_signal_fades_with_divisions(met: Bench) -> None:
    fresh = {"volume_ul": 1000.0, "t_act_neg": 1e6, "delivered": 3e4}
    seen = [
        syringe.seen_fraction(amounts(**fresh, delivered_signal=3e4 * 0.5**divisions)) for divisions in range(6)
    ]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] > 0.029
    assert seen[2] == pytest.approx(0.015)
    assert seen[5] < 0.0001


def test_the_antibiotic_stops_a_contaminant_that_it_reaches() -> None:
    for organism, grows in (("escherichia_coli", False), ("candida_albicans", True)):
        culture = amounts(volume_ul=1e5, cfu=1e6, gentamicin_ug=5000.0)
        change = Contaminant(1, VESSEL, organism).changes(culture, 0.0, 4.0, 37.0)
        assert bool(amounts(cfu=1.0) @ change > 0.0) is grows


def test_a_delivery_strain_below_ten_thousand_is_counted_in_whole_ones() -> None:
    content = amounts(volume_ul=1e5, syringe_cfu=3.7, gentamicin_ug=50.0 * 100.0)
    left = [
        float((content + syringe.changes(content, NOMINAL, seed, VESSEL, 1.0, 1.1, 37.0, 1.0))
              @ amounts(syringe_cfu=1.0)) for seed in range(200)
    ]
    assert all(n.is_integer() for n in left)
    expected = 3.7 * 10.0 ** (-0.3 * 0.985)
    assert abs(np.mean(left) - expected) < 4.0 * np.std(left) / math.sqrt(200.0)
