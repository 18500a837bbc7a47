# SPDX-License-Identifier: Apache-2.0
"""Liquid moves as pumps and valves say, weights show it, and nothing appears or vanishes."""

from __future__ import annotations

import numpy as np
import pytest

from mimedi_sim.plant import magnet
from mimedi_sim.plant.ledger import INDEX, LOST, amounts

from .plant_bench import SITE, Bench


def test_a_transfer_moves_what_the_strokes_say_and_the_scales_show_it() -> None:
    bench = Bench()
    before = bench.plant.ledger.total()
    start = bench.mass_g("buffer")
    bench.transfer("buffer", "depleted", 60_000.0)
    assert bench.volume_ul("depleted") == pytest.approx(60_000.0, rel=0.01)  # stroke calibration 0.2 % sd
    assert bench.mass_g("depleted") == pytest.approx(60.0 * 1.005, rel=0.01)
    assert start - bench.mass_g("buffer") == pytest.approx(bench.mass_g("depleted"), abs=0.4)
    np.testing.assert_allclose(bench.plant.ledger.total(), before, rtol=1e-9)


def test_pumps_carry_a_constant_error_that_the_weights_reveal() -> None:
    strokes = []
    for seed in range(6):
        bench = Bench(seed)
        bench.transfer("buffer", "depleted", 100_000.0, flow_ul_min=60_000.0)
        strokes.append(bench.volume_ul("depleted") / 100_000.0 - 1.0)
    assert 2e-4 < np.std(strokes) < 6e-3


def test_an_empty_vessel_gives_air_and_the_plunger_moves_all_the_same() -> None:
    bench = Bench()
    bench.transfer("vector", "waste", 40_000.0)
    assert bench.volume_ul("vector") == 0.0
    assert bench.volume_ul("waste") == pytest.approx(25_000.0)
    assert bench.send("fluidics_pumps", "/1?\r")[3:4] == "0"


def test_mixing_a_vessel_keeps_what_is_in_it() -> None:
    bench = Bench()
    bench.transfer("apheresis", "sorter_inlet", 40_000.0)
    before = bench.amounts("sorter_inlet")
    bench.mix("sorter_inlet")
    after = bench.amounts("sorter_inlet")
    for name in ("volume_ul", "t_free", "rbc"):
        assert after[name] == pytest.approx(before[name], rel=1e-12)


def test_a_vessel_that_overflows_loses_to_the_bench() -> None:
    bench = Bench()
    bench.transfer("buffer", "retain", 15_000.0)
    assert bench.volume_ul("retain") == SITE.vessels["retain"].capacity_ul
    assert bench.plant.ledger.volume_ul(LOST) == pytest.approx(5_000.0, rel=0.02)


def test_a_hidden_leak_shows_on_the_scale_as_five_millilitres() -> None:
    bench = Bench()
    bench.transfer("buffer", "harvest", 100_000.0)
    before = bench.mass_g("harvest")
    bench.plant.inject("leak", "harvest", {"volume_ul": 5000.0, "flow_rate_ul_min": 500.0}, True, bench.now_s)
    bench.wait(300.0)
    assert before - bench.mass_g("harvest") == pytest.approx(2.5 * 1.005, abs=0.3)
    bench.wait(7200.0)
    assert before - bench.mass_g("harvest") == pytest.approx(5.0 * 1.005, abs=0.5)
    assert bench.plant.ledger.volume_ul(LOST) == pytest.approx(5000.0, rel=1e-9)


def test_the_scale_reads_on_during_a_stroke_and_says_that_it_moves() -> None:
    bench = Bench()
    bench.turn("fluidics_pumps", "source_valve", "apheresis")
    bench.wait(0.5)
    bench.device("fluidics_pumps", "pump", "IV480A48000")
    bench.wait(50.25)
    answer = bench.send("scale_apheresis", "SI\r\n").split()
    assert answer[1] == "D"
    assert float(answer[2]) == pytest.approx((280.0 - 12.5) * 1.005, abs=0.3)
    bench.send("fluidics_pumps", f"/{SITE.instruments['fluidics_pumps'].addresses['pump']}T\r")
    assert bench.send("scale_apheresis", "S\r\n") == "S I\r\n"  # it has stopped, and not yet been at rest for a second
    bench.wait(0.5)
    assert bench.send("scale_apheresis", "SI\r\n").split()[1] == "D"
    bench.wait(0.5)
    assert bench.send("scale_apheresis", "S\r\n").split()[1] == "S"
    assert bench.send("scale_medium", "S\r\n").split()[1] == "S"


def test_beaded_cells_sink_and_a_stirred_vessel_keeps_them_up() -> None:
    drawn = {}
    for mixed in (False, True):
        bench = Bench()
        bench.transfer("apheresis", "sorter_inlet", 20_000.0)
        bench.transfer("buffer", "sorter_inlet", 18_200.0)
        bench.transfer("beads", "sorter_inlet", 1_800.0)
        for _ in range(39):
            if mixed:
                bench.mix("sorter_inlet")
            bench.wait(120.0)
        held = bench.amounts("sorter_inlet")
        bench.transfer("sorter_inlet", "depleted", 10_000.0)
        truth = bench.plant.truth()
        out = truth["vessels"]["depleted"]["amounts"]
        beaded = out["t_bead"] + truth["magnet_column"]["t_bead"]
        drawn[mixed] = beaded / out["volume_ul"] / (held["t_bead"] / held["volume_ul"])
    assert drawn[True] == pytest.approx(1.0, abs=0.08)
    assert drawn[False] < 0.35  # 78 min: the front of the beaded cells has reached the floor (PROCESS step 5)


def test_the_magnet_column_removes_beads_by_3_6_logs_and_costs_few_cells() -> None:
    part = amounts(volume_ul=25_000.0, t_act_neg=1e8, t_act_pos=4e7, dead=2e7, bead_free=1.9e7, bead_bound=1e6)
    for flow, least in ((40_000.0, 3.6), (60_000.0, 2.4)):
        held = magnet.retained(part, flow)
        beads = part - held
        left = beads[INDEX["bead_free"]] + beads[INDEX["bead_bound"]]
        assert np.log10(2.0e7 / left) == pytest.approx(least + 0.2, abs=0.25)
        assert 0.02 < held[INDEX["t_act_pos"]] / part[INDEX["t_act_pos"]] < 0.08
    assert (magnet.retained(part, 40_000.0) <= part).all()
