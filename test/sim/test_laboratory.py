# SPDX-License-Identifier: Apache-2.0
"""The external laboratory reports the sample's truth with noise and interval, signed, in its time."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mimedi_sim.laboratory.laboratory import KEY_ID, TESTS, Laboratory, LaboratoryError, SignedRecord, public_key_hex
from mimedi_sim.plant.ledger import FloatArray, amounts

from .plant_bench import SITE, Bench

PRODUCT = amounts(
    volume_ul=3_000.0, t_act_neg=6.1e7, t_act_pos=3.9e7, car_expressed=3.9e7, copies=5.6e7, lymphocyte=1e6,
    dead=1.2e7, bead_free=2_000.0, endotoxin_eu=0.06,
)


def laboratory(seed: int = 1, content: FloatArray = PRODUCT) -> Laboratory:
    return Laboratory(seed, lambda now_s: content.copy())


def record(signed: SignedRecord) -> dict[str, Any]:
    return json.loads(signed.record_json)


def results(lab: Laboratory) -> dict[str, dict[str, Any]]:
    return {r["test"]: r for r in map(record, lab.due(math.inf))}


def test_results_come_after_their_turnaround_each_once() -> None:
    lab = laboratory()
    lab.order("B1", "S1", ["viability", "car_fraction"], 1000.0)
    assert lab.next_event() == 1000.0 + 3600.0
    assert lab.due(4599.0) == []
    assert [record(r)["test"] for r in lab.due(4600.0)] == ["viability"]
    assert [record(r)["test"] for r in lab.due(1e9)] == ["car_fraction"]
    assert lab.due(1e9) == []
    assert lab.next_event() == math.inf


def test_a_record_says_all_and_its_signature_holds_until_a_character_changes() -> None:
    lab = laboratory()
    lab.order("B1", "S1", ["vcn_per_transduced_cell"], 0.0)
    signed = lab.due(1e9)[0]
    said = record(signed)
    assert set(said) == {"laboratory", "batch_id", "sample_id", "test", "value", "low", "high", "unit", "method",
                         "status", "reported_s"}
    assert signed.key_id == KEY_ID
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key_hex()))
    key.verify(bytes.fromhex(signed.signature_hex), signed.record_json.encode())
    forged = signed.record_json.replace('"final"', '"Final"')
    assert forged != signed.record_json
    with pytest.raises(InvalidSignature):
        key.verify(bytes.fromhex(signed.signature_hex), forged.encode())


def test_every_test_is_reported_with_its_interval_and_status() -> None:
    # Of everything something, so that every product's tests have what they look for.
    bone = amounts(precursor=1e6, pre_osteoblast=2e6, osteoblast=3e6, calcium_ug=20.0)
    lab = laboratory(content=3.0 * PRODUCT + bone)
    lab.order("B1", "S1", list(TESTS), 0.0)
    found = results(lab)
    assert set(found) == set(TESTS)
    for name, said in found.items():
        if said["unit"] == "result":
            assert (said["low"], said["high"]) == (None, None)
        else:
            assert said["low"] <= said["value"] <= said["high"], name
        assert said["unit"]
        assert said["status"] == ("pending" if name == "sterility" else "final")
    assert found["mycoplasma"]["value"] == found["rcl"]["value"] == found["sterility"]["value"] == "negative"
    assert found["identity_hla"]["value"] == "match"


@pytest.mark.parametrize(
    ("test", "true"),
    [
        ("cd3_fraction", 1e8 / 1.01e8), ("car_fraction", 0.39), ("viability", 1.01e8 / 1.13e8),
        ("vcn_per_transduced_cell", 5.6 / 3.9), ("endotoxin_eu_ml", 0.02),
        ("residual_beads_per_3e6_cells", 3e6 * 2e3 / 1.13e8), ("potency_ifng_pg_ml", 585.0),
    ],
)
def test_intervals_cover_the_truth_about_as_often_as_they_claim(test: str, true: float) -> None:
    covered, values = 0, []
    for seed in range(200):
        lab = laboratory(seed)
        lab.order("B1", "S1", [test], 0.0)
        said = results(lab)[test]
        covered += said["low"] <= true <= said["high"]
        values.append(said["value"])
    assert covered >= 180  # 95 % claimed; 200 draws: 180 is 3.2 sd below
    assert np.mean(values) == pytest.approx(true, rel=0.05)
    assert np.std(values) > 0.0


def test_the_same_sample_gives_the_same_result_whatever_else_is_ordered_on_it() -> None:
    alone, together = laboratory(), laboratory()
    alone.order("B1", "S1", ["viability"], 0.0)
    together.order("B1", "S1", ["endotoxin_eu_ml", "viability"], 0.0)
    wanted = record(alone.due(1e9)[0])
    assert wanted in [record(r) for r in together.due(1e9)]


def test_noise_follows_the_order_of_samples_and_not_their_labels() -> None:
    def values(*labels: str) -> list[float]:
        lab = laboratory()
        for label in labels:
            lab.order("B1", label, ["viability"], 0.0)
        return [record(r)["value"] for r in lab.due(1e9)]

    assert values("S1") == values("another label")


def test_gross_contamination_is_seen_by_gram_stain() -> None:
    content = PRODUCT + amounts(cfu=3e8)
    lab = laboratory(content=content)
    lab.order("B1", "S1", ["sterility", "endotoxin_eu_ml"], 0.0)
    found = results(lab)
    assert (found["sterility"]["value"], found["sterility"]["status"]) == ("positive", "final")
    assert found["endotoxin_eu_ml"]["value"] > 0.5


def test_a_sample_without_cells_gives_no_value() -> None:
    lab = laboratory(content=amounts(volume_ul=1_000.0))
    lab.order("B1", "S1", ["viability", "car_fraction"], 0.0)
    for said in results(lab).values():
        assert said["value"] is None
        assert said["status"] == "invalid"


def test_wrong_orders_are_refused_with_what_to_do() -> None:
    lab = laboratory(content=amounts(volume_ul=250.0, t_act_neg=1e6))
    with pytest.raises(LaboratoryError, match="tests ordered: horoscope; the laboratory offers: cd3_fraction"):
        lab.order("B1", "S1", ["horoscope"], 0.0)
    with pytest.raises(LaboratoryError, match="tests ordered: none"):
        lab.order("B1", "S1", [], 0.0)
    with pytest.raises(LaboratoryError, match="has 250 uL; the tests need 300 uL: take a larger sample"):
        lab.order("B1", "S1", ["viability", "rcl"], 0.0)
    lab.order("B1", "S1", ["viability"], 0.0)
    lab.order("B1", "S1", ["viability"], 60.0)
    assert len(lab.due(1e9)) == 1
    with pytest.raises(LaboratoryError, match="belongs to batch 'B1', not 'B2'"):
        lab.order("B2", "S1", ["viability"], 0.0)
    with pytest.raises(LaboratoryError, match="nothing reached the sample port; take the sample first"):
        laboratory(content=amounts()).order("B1", "S9", ["viability"], 0.0)


def test_the_plants_laboratory_takes_what_reached_the_sample_port() -> None:
    bench = Bench()
    bench.transfer("apheresis", "sorter_inlet", 10_000.0)
    bench.transfer("sorter_inlet", "sample_port", 2_000.0)
    bench.plant.laboratory.order("B1", "S1", ["viability", "cd3_fraction"], bench.now_s)
    assert bench.volume_ul("sample_port") == 0.0
    found = results(bench.plant.laboratory)
    assert found["viability"]["low"] <= 0.95 <= found["viability"]["high"]
    assert found["cd3_fraction"]["value"] == pytest.approx(0.60, abs=0.03)
    with pytest.raises(LaboratoryError, match="nothing reached the sample port"):
        bench.plant.laboratory.order("B1", "S2", ["viability"], bench.now_s)


def test_the_demonstration_site_trusts_the_simulated_laboratory() -> None:
    assert SITE.laboratory_keys == {KEY_ID: public_key_hex()}
