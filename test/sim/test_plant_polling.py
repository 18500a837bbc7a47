# SPDX-License-Identifier: Apache-2.0
"""Nothing in the plant depends on how often anybody looks: not the truth, not a reading, not one bit of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_sim.models.donors import NOMINAL
from mimedi_sim.plant.ledger import amounts
from mimedi_sim.plant.twin import Plant

from .plant_bench import SITE, Bench
from .test_plant_reactor import culture

_READING = b"\x01\x04\x00\x00\x00\x12\x70\x07"  # Modbus: all 18 input registers of unit 1


def busy_course(bench: Bench) -> None:
    """Strokes, beads that bind, cells that sink, sound that warms the chip, a culture that starts."""
    bench.transfer("apheresis", "sorter_inlet", 10_000.0)
    bench.transfer("beads", "sorter_inlet", 900.0)
    bench.wait(400.0)
    bench.mix("sorter_inlet")
    bench.drive(2.0093e6, 5.3)
    bench.chip("sorter_inlet", "buffer", "sorted", 1020.0, 5380.0)
    bench.transfer("sorted", "activation_vessel", 60_000.0)
    bench.transfer("medium", "activation_vessel", 60_000.0)
    bench.wait(9_000.0)
    bench.transfer("vector", "activation_vessel", 2_000.0)
    bench.set_points("activation_controller", rpm=90.0, perfusion_ul_min=20.0)
    bench.wait(20_000.0)


def everything(bench: Bench) -> tuple[str, list[str]]:
    truth = json.dumps(bench.plant.truth(), sort_keys=True)
    readings = [bench.send(f"scale_{vessel}", "SI\r\n") for vessel in ("apheresis", "sorted", "medium", "waste")]
    readings.append(bench.plant.receive("activation_controller", _READING, bench.now_s).hex())
    return truth, readings


@pytest.fixture(scope="module")
def unwatched() -> tuple[str, list[str]]:
    bench = Bench(seed=7)
    busy_course(bench)
    return everything(bench)


@pytest.mark.parametrize("polls", [1, 6])
def test_a_watched_plant_does_exactly_what_an_unwatched_one_does(unwatched: tuple[str, list[str]], polls: int) -> None:
    bench = Bench(seed=7)
    bench.polls = polls
    busy_course(bench)
    truth, readings = everything(bench)
    assert truth == unwatched[0]
    assert readings == unwatched[1]
    assert len(readings[-1]) > 40  # the controller did answer


def test_a_growing_culture_that_is_watched_grows_as_an_unwatched_one_does() -> None:
    """Controllers are asked every half hour between the events of a batch: not one bit of the culture may notice."""
    found = []
    for looks in (0, 1, 7):
        bench = Bench(seed=5)
        culture(bench, age_h=72.0)
        bench.set_points("culture_controller", perfusion_ul_min=100.0)
        for _ in range(12):
            start_s = bench.now_s
            for look in range(1, looks + 1):
                bench.now_s = start_s + 3600.0 * look / (looks + 1)
                bench.plant.receive("culture_controller", _READING, bench.now_s)
            bench.now_s = start_s + 3600.0
            bench.plant.advance_to(bench.now_s)
        found.append(everything(bench))
    assert found[0] == found[1] == found[2]
    cells = json.loads(found[0][0])["vessels"]["culture_vessel"]["cells"]["viable_cells"]
    assert cells > 1.2 * 2e8


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.0, 900.0), max_size=8))
def test_advance_a_then_b_is_advance_b(stops: list[float]) -> None:
    def started() -> Bench:
        bench = Bench(seed=3)
        bench.turn("fluidics_pumps", "source_valve", "apheresis")
        bench.turn("fluidics_pumps", "destination_valve", "sorter_inlet")
        bench.device("fluidics_pumps", "pump", "gIV200A48000OA0G3")
        bench.drive(2.0093e6, 10.0)
        bench.plant.inject("leak", "buffer", {}, True, bench.now_s)
        return bench

    once, often = started(), started()
    start_s = once.now_s
    for stop in sorted(stops):
        often.plant.advance_to(start_s + stop)
        often.plant.truth()
    for bench in (once, often):
        bench.now_s = start_s + 900.0
        bench.plant.advance_to(bench.now_s)
    assert everything_but_reactor(once) == everything_but_reactor(often)


def everything_but_reactor(bench: Bench) -> tuple[dict[str, Any], str, float]:
    return bench.plant.truth(), bench.send("scale_sorter_inlet", "SI\r\n"), bench.plant.next_event()


def test_the_seed_changes_the_noise_and_only_the_noise() -> None:
    masses = []
    for seed in (1, 1, 2):
        plant = Plant(SITE, donor=NOMINAL, seed=seed)
        masses.append([plant.receive("scale_apheresis", b"SI\r\n", 10.0 * k) for k in range(5)])
    assert masses[0] == masses[1]
    assert masses[0] != masses[2]


def test_time_cannot_run_backwards() -> None:
    plant = Plant(SITE, donor=NOMINAL, seed=1)
    plant.advance_to(100.0)
    with pytest.raises(ValueError, match=r"the plant is at 100.0; time cannot run backwards"):
        plant.advance_to(99.0)


def everything_alive(kit_name: str) -> Bench:
    """A plant in which all that changes by itself does: see what the test below looks at."""
    bench = Bench(seed=11, kit_name=kit_name)
    cells = {"t_act_neg": 4e7, "t_act_pos": 2e7, "car_expressed": 1e7, "copies": 3e7}
    if kit_name == "osteoblast_graft":
        grown = amounts(
            volume_ul=100_000.0, medium_ul=100_000.0, osteogenic_ul=100_000.0, precursor=2e7, glucose_mmol=0.55,
            base_mmol=2.38,
        )
        bench.plant.ledger.put("culture_vessel", grown)
        bench.transfer("medium", "culture_vessel", 1_000.0)
        return bench
    culture(bench, cells=4e8)
    bench.plant.ledger.put("activation_vessel", amounts(
        volume_ul=100_000.0, medium_ul=100_000.0, activation_cell_h=-24.0 * 6e7, glucose_mmol=1.0, base_mmol=2.38,
        il2_iu=1e4, **cells,
    ))
    bench.plant.ledger.put("dose_bag", amounts(volume_ul=20_000.0, dmso_ul=2_000.0, dead=1e6, **cells))
    bench.transfer("vector", "activation_vessel", 500.0)
    bench.transfer("antibiotic", "activation_vessel", 20.0)
    bench.plant.inject("contamination", "culture_vessel", {"cfu": 3.0}, True, bench.now_s)
    bench.plant.inject("stirrer_stopped", "culture_vessel", {}, True, bench.now_s)
    bench.plant.inject("door_open", "activation_vessel", {}, True, bench.now_s)
    bench.plant.inject("particle_burst", "enclosure", {}, True, bench.now_s)
    return bench


@pytest.mark.parametrize(
    ("kit_name", "changing"),
    [
        ("bacterial_syringe", (
            ("vessels", "dose_bag", "cells", "viable_cells"), ("vessels", "culture_vessel", "amounts", "cfu"),
            ("reactors", "culture_vessel", "oxygen_saturation"),
            ("vessels", "activation_vessel", "amounts", "delivered"),
            ("vessels", "activation_vessel", "amounts", "syringe_cfu"), ("reactors", "activation_vessel", "liquid_c"),
            ("reactors", "activation_vessel", "co2_fraction"), ("vessels", "culture_vessel", "cells", "viable_cells"),
            ("reactors", "culture_vessel", "glucose_mm"), ("reactors", "culture_vessel", "ph"),
        )),
        ("osteoblast_graft", (
            ("vessels", "culture_vessel", "amounts", "pre_osteoblast"), ("reactors", "culture_vessel", "glucose_mm"),
        )),
    ],
)
def test_looks_at_any_instants_leave_all_that_changes_by_itself_as_it_is(
    kit_name: str, changing: tuple[tuple[str, ...], ...]
) -> None:
    """A dose in DMSO, delivery bacteria, a contaminant, oxygen, heat, gas, growth: the same to the last bit."""
    hours = 10.0

    def course(looks: list[float]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        bench = everything_alive(kit_name)
        start, start_s = bench.plant.truth(), bench.now_s
        for look in sorted(looks):
            bench.now_s = start_s + 3600.0 * look
            bench.plant.advance_to(bench.now_s)
            bench.plant.truth()
            bench.plant.receive("culture_controller", _READING, bench.now_s)
        bench.now_s = start_s + 3600.0 * hours
        bench.plant.advance_to(bench.now_s)
        end = bench.plant.truth()
        bench.transfer("medium", "waste", 100.0)
        return start, end, bench.plant.truth()

    start, *alone = course([])

    def value(truth: Any, path: tuple[str, ...]) -> float:
        for key in path:
            truth = truth.get(key, 0.0)
        return float(truth)

    for path in changing:
        assert value(start, path) != value(alone[0], path), path

    @settings(max_examples=5, deadline=None)
    @given(st.lists(st.floats(0.0, hours), min_size=1, max_size=12))
    def watched(looks: list[float]) -> None:
        assert course(looks)[1:] == tuple(alone)

    watched()
