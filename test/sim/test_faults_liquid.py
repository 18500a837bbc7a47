# SPDX-License-Identifier: Apache-2.0
"""Faults of pumps, valves, vessels, scales, sorter and wires, each with its signature through the real phase."""

from __future__ import annotations

import pytest

from mimedi_nodes.process.service_state import ServiceState
from mimedi_sim.plant.fault_catalogue import CATALOGUE
from mimedi_sim.plant.ledger import amounts
from mimedi_sim.plant.occlusion import STALL_PRESSURE_PA, Occlusions, stall_time_s

from .fault_drill import Drill, drill
from .plant_bench import Bench
from .workbench import Workbench

MOVE = {"source": "buffer", "destination": "harvest", "volume_ul": 60_000.0}
WASTE_PORT = 11


def move(fault: str, target: str, after_s: float = 30.0, **parameters: float) -> Drill:
    """Move 60 mL of buffer to the harvest bag, both weighed, while a fault comes."""
    return drill("fluidics", "TransferFluid", MOVE, fault, target, after_s=after_s, **parameters)


@pytest.mark.parametrize(
    ("fault", "target", "parameters", "arrived_ul"),
    [
        ("leak", "harvest", {"flow_rate_ul_min": 2_000.0}, 55_000.0),
        ("empty_bag", "buffer", {}, None),
        ("pump_stall", "pump", {}, None),
        ("pump_scale", "pump", {"factor": 0.9}, None),
        ("bubble", "pump", {}, 57_000.0),
        ("valve_stuck", "destination_valve", {"port": WASTE_PORT}, None),
        ("scale_offset", "harvest", {}, 60_000.0),
    ],
)
def test_liquid_that_does_not_go_where_the_strokes_say_is_held_by_weight(
    fault: str, target: str, parameters: dict[str, float], arrived_ul: float | None
) -> None:
    found = move(fault, target, after_s=200.0 if fault == "leak" else 30.0, **parameters)
    assert found.state == ServiceState.HELD
    assert found.alarms == {"fluidics.balance_gap"}
    assert "by weight, the strokes moved 60000 uL" in found.words
    if arrived_ul is not None:
        assert found.truth("harvest") == pytest.approx(arrived_ul, rel=0.01)
    if fault == "valve_stuck":
        assert found.truth("waste") > 40_000.0


SORT = {
    "source": "sorter_inlet", "buffer": "buffer", "destination": "sorted", "waste": "sorter_waste",
    "target": "bead_bound_t_cell", "frequency_hz": 2.0093e6,
}


def sort(fault: str, target: str, **parameters: float) -> Drill:
    """Sort 20 mL while a fault comes as it begins."""

    def fill(bench: Workbench) -> None:
        bench.plant.ledger.put("sorter_inlet", amounts(volume_ul=20_000.0))

    return drill("acoustic_sorter", "SortCells", SORT, fault, target, after_s=5.0, prepare=fill, **parameters)


@pytest.mark.parametrize(
    ("fault", "target", "parameters", "words"),
    [
        ("leak", "sorted", {}, "came out of the chip by weight"),
        ("empty_bag", "buffer", {}, "came out of the chip by weight"),
        ("pump_stall", "sample_b", {}, "left the source by weight"),
        ("valve_stuck", "centre_valve", {"port": 3.0}, "came out of the chip by weight"),
    ],
)
def test_a_run_through_the_chip_is_closed_on_weights(
    fault: str, target: str, parameters: dict[str, float], words: str
) -> None:
    found = sort(fault, target, **parameters)
    assert (found.state, found.alarms) == (ServiceState.HELD, {"acoustic_sorter.balance_gap"}), found.words
    assert words in found.words


def test_a_sound_run_through_the_chip_closes_its_balance() -> None:
    found = sort("", "")
    assert (found.state, found.alarms) == (ServiceState.COMPLETED, frozenset()), found.words


def test_a_slipping_pump_counts_its_steps_all_the_same() -> None:
    found = move("pump_stall", "pump", after_s=0.0)
    assert found.truth("harvest") == 0.0
    assert found.alarms == {"fluidics.balance_gap"}


def test_a_dead_scale_holds() -> None:
    found = move("scale_dead", "harvest")
    assert found.state == ServiceState.HELD
    assert found.alarms == {"fluidics.scale_harvest_fault"}
    assert "cannot weigh" in found.words


def test_a_blocked_line_overloads_the_plunger_and_holds_with_the_manuals_words() -> None:
    found = move("occlusion", "pump")
    assert found.state == ServiceState.HELD
    assert found.alarms == {"fluidics.pump_fault"}
    assert "plunger overload; look for a blocked line" in found.words
    assert found.truth("harvest") == 0.0


def test_a_narrowed_line_costs_pressure_and_nothing_else() -> None:
    found = move("occlusion", "pump", factor=3.0)
    assert found.state == ServiceState.COMPLETED
    assert found.truth("harvest") == pytest.approx(60_000.0, rel=0.01)


def test_the_drive_stalls_when_the_blocked_line_has_reached_the_stall_pressure() -> None:
    bench = Bench()
    bench.plant.inject("occlusion", "pump", {}, True, bench.now_s)
    bench.turn("fluidics_pumps", "source_valve", "buffer")
    bench.turn("fluidics_pumps", "destination_valve", "harvest")
    bench.wait(0.5)
    bench.device("fluidics_pumps", "pump", "IV9600A48000O")  # 5 mL/s, then 5 µL/s against the block
    bench.wait(6.0)
    bench.device("fluidics_pumps", "pump", "V10A0")
    expected_s = stall_time_s(10.0 * 25_000.0 / 48_000.0, 1e6)
    assert expected_s == pytest.approx(STALL_PRESSURE_PA * 1e-13 / 5.2e-9, rel=0.2)
    bench.wait(0.9 * expected_s)
    assert bench.send("fluidics_pumps", "/1Q\r")[2] == "@"  # busy, no error
    bench.wait(0.2 * expected_s)
    assert bench.send("fluidics_pumps", "/1Q\r")[2] == "i"  # ready, error 9
    assert bench.send("fluidics_pumps", "/1A0R\r")[2] == "g"  # error 7: initialize first
    assert bench.volume_ul("harvest") == 0.0


def test_when_a_drive_stalls_does_not_depend_on_who_looks() -> None:
    once, often = Occlusions(), Occlusions()
    once.watch({"pump": -5.0}, {"pump": 1e6}, 10.0)
    for time_s in (10.0, 11.0, 12.5):
        often.watch({"pump": -5.0}, {"pump": 1e6}, time_s)
    assert once.next_event() == often.next_event()
    often.watch({"pump": 5.0}, {"pump": 1e6}, 13.0)  # drawing: nothing pushes against the block
    assert often.next_event() == float("inf")
    assert once.stalled(once.next_event()) == ["pump"]


@pytest.mark.parametrize(("fault", "quality"), [("channel_dry", 0), ("transducer_debonded", 0), ("channel_bubble", 20)])
def test_the_sweep_tells_what_is_wrong_with_the_channel(fault: str, quality: float) -> None:
    found = drill("acoustic_sorter", "TuneTransducer", {}, fault, "chip")
    if quality:
        assert found.state == ServiceState.COMPLETED
        assert found.result["channel_q"] == pytest.approx(quality, rel=0.1)  # a sound one: 100
    else:
        assert (found.state, found.code) == (ServiceState.ABORTED, 210)
        assert "no fluid channel" in found.words


def test_a_generator_that_gives_nothing_reads_back_as_set() -> None:
    bench = Bench()
    bench.plant.inject("generator_off", "sorter_generator", {}, True, bench.now_s)
    bench.drive(2.0093e6, 5.3)
    assert float(bench.send("sorter_generator", "FREQ?\n")) == pytest.approx(2.0093e6)
    assert bench.send("sorter_generator", "OUTP?\n").strip() == "1"
    assert bench.plant.truth()["chip"]["energy_j_m3"] == 0.0


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("line_silent", {}), ("line_garbage", {"share": 1.0}), ("line_slow", {"delay_s": 2.0}),
        ("line_bit_flips", {"bit_error_rate": 0.05}), ("power_loss", {}),
    ],
)
def test_a_line_that_cannot_be_understood_holds_and_says_which(fault: str, parameters: dict[str, float]) -> None:
    found = move(fault, "fluidics_pumps", **parameters)
    assert found.state == ServiceState.HELD
    assert "fluidics.pump_fault" in found.alarms
    assert "fluidics.not_safe" in found.alarms  # nobody knows whether the pump stands
    assert "fluidics_pumps" in found.words


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [("line_garbage", {"share": 0.05}), ("line_slow", {"delay_s": 0.5}), ("line_bit_flips", {"bit_error_rate": 1e-4})],
)
def test_a_line_that_can_be_understood_now_and_then_moves_the_right_volume(
    fault: str, parameters: dict[str, float]
) -> None:
    found = move(fault, "fluidics_pumps", after_s=0.1, **parameters)
    assert found.state == ServiceState.COMPLETED
    assert found.truth("harvest") == pytest.approx(60_000.0, rel=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_flipped_bits_move_the_right_volume_or_hold_but_never_a_wrong_one(seed: int) -> None:
    """DT has no checksum: a flipped digit may pass, the weights notice."""
    found = drill("fluidics", "TransferFluid", MOVE, "line_bit_flips", "fluidics_pumps", after_s=0.1, seed=seed,
                  bit_error_rate=1e-3)
    assert found.state in (ServiceState.COMPLETED, ServiceState.HELD)
    if found.state == ServiceState.COMPLETED:
        assert found.truth("harvest") == pytest.approx(60_000.0, rel=0.01)


def test_without_power_pumps_stop_and_forget_and_the_generator_goes_off() -> None:
    bench = Bench()
    bench.drive(2.0e6, 5.0)
    bench.set_points("culture_controller", perfusion_ul_min=500.0)
    bench.turn("fluidics_pumps", "source_valve", "buffer")
    bench.device("fluidics_pumps", "pump", "IV4800A48000")
    bench.wait(5.0)
    bench.plant.inject("power_loss", "workcell", {}, True, bench.now_s)
    drawn = bench.plant.ledger.volume_ul("syringe pump")
    bench.wait(600.0)
    truth = bench.plant.truth()
    assert bench.plant.ledger.volume_ul("syringe pump") == drawn > 0.0
    assert bench.send("fluidics_pumps", "/1Q\r") == bench.send("scale_buffer", "SI\r\n") == ""
    assert truth["chip"]["drive_vpp"] == 0.0
    assert truth["reactors"]["culture_vessel"]["heater_w"] == 0.0
    assert truth["reactors"]["culture_vessel"]["stirring_rpm"] == 0.0
    bench.plant.inject("power_loss", "workcell", {}, False, bench.now_s)
    bench.wait(900.0)
    assert bench.send("fluidics_pumps", "/1Q\r")[2] == "g"  # not initialized
    assert bench.send("sorter_generator", "OUTP?\n").strip() == "0"
    reactor = bench.plant.truth()["reactors"]["culture_vessel"]
    assert (reactor["stirring_rpm"], reactor["perfusion_ul_min"]) == (60.0, 0.0)
    assert reactor["heater_w"] > 0.0


def test_every_fault_of_liquid_sorter_and_wire_is_told_apart() -> None:
    assert {kind.acts_on for kind in CATALOGUE.values()} >= {"vessel", "pump", "valve", "chip", "line", "supply"}
