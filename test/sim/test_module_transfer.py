# SPDX-License-Identifier: Apache-2.0
"""Moving cassettes on the plant's gantry: driver, GRBL firmware, mechanics, label camera; faults while carrying."""

from __future__ import annotations

import asyncio
import datetime
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.modules.service.manual import ManualRefused
from mimedi_nodes.modules.transfer import MODULE
from mimedi_nodes.modules.transfer.codes import TransferCode
from mimedi_nodes.modules.transfer.instruments import TransferInstruments
from mimedi_nodes.modules.transfer.manual import DOCKS
from mimedi_nodes.modules.transfer.motion import GRIP_HEIGHT_M
from mimedi_nodes.process.calibrations import due_dates
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState
from mimedi_nodes.process.supplies import out_of_date
from mimedi_sim.headless.camera import PlantCamera
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.memory_link import MemoryLink
from mimedi_sim.models.donors import NOMINAL
from mimedi_sim.plant.twin import Plant

from .module_bench import ModuleBench
from .workbench import SITE

MOVE = {"cassette": "CASSETTE-1", "source": "store", "destination": "fluidics"}


class Cell:
    """The module's bench with the gantry of a plant behind it."""

    def __init__(self, cassettes: dict[str, str], folder: Path | None = None) -> None:
        self.bench = ModuleBench(MODULE)
        standing = {dock: label for label, dock in cassettes.items()}
        self.plant = Plant(replace(SITE, cassettes=standing), donor=NOMINAL, seed=1)
        self.mechanics, self.firmware = self.plant.stations.mechanics, self.plant.stations.gantry
        self.camera = PlantCamera(self.plant, self.bench.clock, "label_camera")
        self.extras = {"label_camera": self.camera, **({} if folder is None else {"transfer_state": lambda: folder})}

    async def start(self) -> None:
        """Start the module, again after a restart of its process."""
        link = MemoryLink("gantry", lambda data: self.plant.receive("gantry", data, self.now_s()))
        await self.bench.start(MODULE.build(self.plant.site, {"gantry": link}, self.extras))

    @property
    def instruments(self) -> TransferInstruments:
        return self.bench.service.instruments

    def fault(self, fault: str, active: bool = True, **parameters: float | str) -> None:
        self.plant.inject(fault, "gantry", parameters, active, self.now_s())

    def now_s(self) -> float:
        return self.bench.clock.now_s()


async def ready(cassettes: dict[str, str] | None = None) -> Cell:
    cell = Cell({"CASSETTE-1": "store"} if cassettes is None else cassettes)
    await cell.start()
    return cell


async def while_carrying(cell: Cell, **goal) -> asyncio.Task:
    """Start a move and return its task when the cassette is in the air over another place."""
    task = cell.bench.begin("MoveCassette", **{**MOVE, **goal})
    dock = SITE.docks["store"]
    while cell.mechanics.held() is None or abs(cell.firmware.position(cell.now_s())[1] - dock[1]) < 20.0:
        assert not task.done(), task.result()
        await asyncio.sleep(0.05)
        cell.firmware.advance_to(cell.now_s())
    assert cell.firmware.moving
    return task


def test_the_docks_of_the_site_are_those_of_the_robot_model():
    async def run():
        cell = await ready()
        kinematics = cell.instruments.kinematics
        assert set(SITE.docks) == set(kinematics.model.docks)
        for dock, position in SITE.docks.items():
            assert kinematics.at_dock(dock, GRIP_HEIGHT_M).position_mm == pytest.approx(position, abs=0.01)

    run_virtual(run())


def test_a_cassette_goes_from_dock_to_dock_and_back_turned():
    async def run():
        cell = await ready()
        ways = (("store", "hatch"), ("hatch", "contamination_watch"), ("contamination_watch", "store"))
        for source, destination in ways:
            goal = {**MOVE, "source": source, "destination": destination}
            outcome = await cell.bench.run("MoveCassette", **goal)
            assert outcome.status == "succeeded", outcome.error_msg
            assert outcome.result["label_read"] == "CASSETTE-1"
            assert outcome.result["duration_s"] < 120.0
            assert cell.mechanics.cassettes == {"CASSETTE-1": destination}
        assert max(cell.bench.measured("label_displacement_mm")) < 1.5
        moved = [data for kind, _, data in cell.bench.events if kind == "material_moved"]
        assert [data["destination"] for data in moved] == ["hatch", "contamination_watch", "store"]

    run_virtual(run())


def test_homing_parking_and_scanning():
    async def run():
        cell = await ready()
        assert (await cell.bench.run("HomeGantry")).result["duration_s"] > 1.0
        assert (await cell.bench.run("HomeGantry")).result["duration_s"] == 0.0
        assert (await cell.bench.run("HomeGantry", force=True)).result["duration_s"] > 1.0
        scan = await cell.bench.run("ScanLabel", dock="store", expected="CASSETTE-1")
        assert (scan.result["label_read"], scan.result["matches"]) == ("CASSETTE-1", True)
        wrong = await cell.bench.run("ScanLabel", dock="store", expected="CASSETTE-2")
        assert not wrong.result["matches"]
        empty = await cell.bench.run("ScanLabel", dock="incubator")
        assert (empty.result["label_read"], empty.result["matches"]) == ("", False)
        assert (await cell.bench.run("Park")).status == "succeeded"
        assert cell.mechanics.position == pytest.approx((-170.0, -760.0, -5.0), abs=0.05)

    run_virtual(run())


@pytest.mark.parametrize(
    ("goal", "cassettes", "code", "words"),
    [
        ({"cassette": "CASSETTE-2"}, None, TransferCode.LABEL, "shows CASSETTE-1"),
        ({"source": "incubator"}, None, TransferCode.LABEL, "no label"),
        ({"destination": "moon"}, None, TransferCode.DOCK, "there are hatch"),
        ({"destination": "store"}, None, TransferCode.DOCK, "both store"),
        ({}, {"CASSETTE-1": "store", "CASSETTE-9": "fluidics"}, TransferCode.OCCUPIED, "CASSETTE-9 stands at fluidics"),
    ],
)
def test_what_must_not_be_moved_is_refused_and_nothing_is_gripped(goal, cassettes, code, words):
    async def run():
        cell = await ready(cassettes)
        before = dict(cell.mechanics.cassettes)
        outcome = await cell.bench.run("MoveCassette", **{**MOVE, **goal})
        assert outcome.error_code == code, outcome.error_msg
        assert words in outcome.error_msg
        assert cell.mechanics.cassettes == before

    run_virtual(run())


def test_what_is_not_in_the_site_file_but_stands_there_is_seen():
    async def run():
        cell = await ready({"CASSETTE-1": "store", "CASSETTE-9": "fluidics"})
        cell.instruments.whereabouts.clear("fluidics")
        outcome = await cell.bench.run("MoveCassette", **MOVE)
        assert outcome.error_code == TransferCode.OCCUPIED

    run_virtual(run())


async def emergency_stop(cell: Cell) -> None:
    cell.plant.stations.enclosure.press_button(cell.now_s())


async def chain_reset(cell: Cell) -> None:
    cell.plant.stations.enclosure.release_button(cell.now_s())
    cell.plant.stations.enclosure.reset_chain(cell.now_s())


INTERRUPTIONS = {
    # What happens on the way, how it ends, and the alarm.
    "emergency stop": (emergency_stop, chain_reset, "transfer.gantry_fault"),
    "power": ("power_loss", "gantry", {}, "transfer.gantry_fault"),
    "limit switch": ("gantry_limit_switch", "gantry", {"axis": "x"}, "transfer.gantry_fault"),
    "guard": ("enclosure_door", "enclosure", {"door": "main"}, "transfer.door_open"),
    "line": ("line_silent", "gantry", {}, "transfer.gantry_fault"),
}


@pytest.mark.parametrize("name", INTERRUPTIONS)
def test_what_stops_it_while_carrying_drops_nothing_and_the_job_is_finished_afterwards(name):
    async def run():
        cell = await ready()
        task = await while_carrying(cell, speed_factor=0.5)
        *kind, alarm = INTERRUPTIONS[name]
        if len(kind) == 2:
            await kind[0](cell)
        else:
            fault, target, parameters = kind
            cell.plant.inject(fault, target, parameters, True, cell.now_s())
        await cell.bench.until(ServiceState.HELD, 120.0)
        assert alarm in cell.bench.standing
        assert cell.mechanics.held() == "CASSETTE-1"
        assert cell.instruments.whereabouts.at("gripper") == "CASSETTE-1"
        await asyncio.sleep(30.0)
        still = cell.mechanics.position
        await asyncio.sleep(30.0)
        assert cell.mechanics.position == still
        if len(kind) == 2:
            await kind[1](cell)
        else:
            cell.plant.inject(fault, target, {}, False, cell.now_s())
        await cell.bench.unhold()
        outcome = await task
        assert outcome.status == "succeeded", outcome.error_msg
        assert cell.mechanics.cassettes == {"CASSETTE-1": "fluidics"}
        homed = [data for kind, _, data in cell.bench.events if kind == "gantry_homed" and data["gripped"]]
        # Position and reference stay through an open guard and a silent line; whatever loses steps is homed.
        assert bool(homed) == (name not in ("guard", "line"))
        assert all(data["holds"] == "CASSETTE-1" for data in homed)

    run_virtual(run())


def test_a_transfer_that_was_stopped_while_carrying_is_taken_up_by_name_after_a_restart(tmp_path):
    """The process ends and begins again: what the jaws hold and how the wrist stands is known from the disk."""

    async def run():
        cell = Cell({"CASSETTE-1": "store"}, tmp_path)
        await cell.start()
        task = await while_carrying(cell, destination="hatch")
        await cell.bench.service.command(ServiceCommand.STOP, "test", "")
        assert (await task).status == "canceled"
        cell.bench.store = GoalStore(":memory:")  # of the goal itself nothing is left
        await cell.start()
        assert cell.instruments.whereabouts.at("gripper") == "CASSETTE-1"
        other = await cell.bench.run("MoveCassette", **{**MOVE, "cassette": "CASSETTE-2"})
        assert "holds CASSETTE-1" in other.error_msg
        outcome = await cell.bench.run("MoveCassette", **MOVE)
        assert outcome.status == "succeeded", outcome.error_msg
        assert cell.mechanics.cassettes == {"CASSETTE-1": "fluidics"}
        assert cell.instruments.whereabouts.places == {"fluidics": "CASSETTE-1"}

    run_virtual(run())


def test_a_wrong_label_stops_at_pick_and_at_place():
    async def run():
        cell = await ready({"CASSETTE-1": "hatch"})
        hatch = {**MOVE, "source": "hatch"}
        cell.fault("cassette_exchanged", place="hatch")
        refused = await cell.bench.run("MoveCassette", **hatch)
        assert refused.error_code == TransferCode.LABEL
        assert "hatch shows CASSETTE-9, CASSETTE-1 is expected" in refused.error_msg
        assert cell.mechanics.held() is None
        task = cell.bench.begin("MoveCassette", **{**hatch, "cassette": "CASSETTE-9"})
        while cell.mechanics.held() is None:
            await asyncio.sleep(0.05)
            cell.firmware.advance_to(cell.now_s())
        cell.mechanics.cassettes["CASSETTE-1"] = cell.mechanics.cassettes.pop("CASSETTE-9")
        await cell.bench.until(ServiceState.HELD, 120.0)
        assert "fluidics shows CASSETTE-1 after CASSETTE-9" in cell.bench.said("transfer.wrong_label")
        task.cancel()

    run_virtual(run())


def test_lost_steps_are_seen_before_anything_is_gripped_and_homing_sets_them_right():
    async def run():
        cell = await ready()
        await cell.bench.run("HomeGantry")
        cell.fault("gantry_slip", axis="y", share=0.01)
        task = cell.bench.begin("MoveCassette", **MOVE)
        await cell.bench.until(ServiceState.HELD, 300.0)
        assert "transfer.position_lost" in cell.bench.standing
        assert cell.mechanics.cassettes == {"CASSETTE-1": "store"}
        cell.fault("gantry_slip", active=False)
        await cell.bench.service.command(ServiceCommand.STOP, "test", "")
        assert (await task).status == "canceled"
        assert (await cell.bench.run("HomeGantry", force=True)).status == "succeeded"
        assert (await cell.bench.run("MoveCassette", **MOVE)).status == "succeeded"

    run_virtual(run())


def test_the_camera_is_calibrated_by_fiducials_kept_and_asked_for_again_when_it_expires(tmp_path):
    async def run():
        cell = Cell({"CASSETTE-1": "store"}, tmp_path)
        await cell.start()
        drawn_mm = await displacement_mm(cell)
        found = await cell.bench.run("CalibrateHandEye", valid_h=24.0)
        assert found.status == "succeeded", found.error_msg
        assert found.result["residual_px"] < 0.5
        assert found.result["sightings"] == 10
        assert await displacement_mm(cell) < min(0.15, drawn_mm)
        kept = cell.instruments.calibrations.of("label_camera")
        assert kept.left < kept.found
        # Its date replaces the site file's; the day after it no batch begins.
        assert "label_camera" in SITE.calibrations_due
        due = due_dates(SITE.calibrations_due, {"label_camera": kept})
        day = datetime.date.fromisoformat(kept.due)
        assert out_of_date((), due, day) == []
        late = out_of_date((), due, day + datetime.timedelta(days=1))
        assert late == [f"label_camera: calibration was due {kept.due}"]
        await cell.start()
        assert cell.instruments.hand_eye.residual_px == pytest.approx(found.result["residual_px"])
        await asyncio.sleep(25.0 * 3600.0)
        outcome = await cell.bench.run("ScanLabel", dock="store")
        assert outcome.error_code == TransferCode.CALIBRATION

    run_virtual(run())


async def displacement_mm(cell: Cell) -> float:
    assert (await cell.bench.run("ScanLabel", dock="store")).result["label_read"] == "CASSETTE-1"
    return cell.bench.measured("label_displacement_mm")[-1]


def test_by_hand_it_is_driven_over_a_dock_and_calibrated():
    async def run():
        cell = await ready()
        assert set(DOCKS) == set(SITE.docks)

        async def act(kind: str, target: str, **values: float | str) -> dict[str, float]:
            return dict(await cell.bench.service.manual(kind, target, values, "mia", "a test", in_maintenance=True))

        there = await act("jog", "gantry", dock="incubator")
        x_mm, y_mm, _ = SITE.docks["incubator"]
        assert (there["x_mm"], there["y_mm"], there["z_mm"]) == pytest.approx((x_mm, y_mm, -5.0), abs=0.05)
        assert (await act("calibrate", "label_camera"))["residual_px"] < 0.5
        with pytest.raises(ManualRefused, match=r"dock is 'moon'; allowed: hatch"):
            await act("jog", "gantry", dock="moon")

    run_virtual(run())


@pytest.mark.parametrize(
    ("number", "value", "words"),
    [(120, 500.0, r"\$120 \(x\) is 500 mm/s²; plans need at least 1500"), (112, 3000.0, r"\$112 \(z\)"),
     (131, 900.0, r"\$131 \(y\) is 900 mm; the robot model has 1470")],
)  # fmt: skip
def test_a_controller_that_is_set_otherwise_than_plans_reckon_moves_nothing(number, value, words):
    async def run():
        cell = await ready()
        cell.firmware.settings.set(number, value)
        cell.bench.begin("MoveCassette", **MOVE)
        await cell.bench.until(ServiceState.HELD, 300.0)
        assert re.search(words, cell.bench.said("transfer.gantry_fault"))
        assert not any(kind == "label_scanned" for kind, _, _ in cell.bench.events)

    run_virtual(run())


def test_a_calibration_with_too_large_a_residual_is_refused_and_the_one_before_holds():
    async def run():
        cell = await ready()
        await cell.bench.run("HomeGantry")
        cell.fault("gantry_slip", axis="x", share=0.05)  # the carriage is not where it is believed to be
        outcome = await cell.bench.run("CalibrateHandEye")
        assert outcome.error_code == TransferCode.CALIBRATION, outcome.error_msg
        assert "residual" in outcome.error_msg
        assert cell.instruments.hand_eye is None

    run_virtual(run())


def test_a_hold_brakes_and_going_on_brings_it_to_the_end():
    async def run():
        cell = await ready()
        task = await while_carrying(cell, speed_factor=0.3)
        await cell.bench.service.command(ServiceCommand.HOLD, "test", "")
        await cell.bench.until(ServiceState.HELD, 60.0)
        await asyncio.sleep(5.0)
        still = cell.mechanics.position
        await asyncio.sleep(5.0)
        assert cell.mechanics.position == still
        assert "transfer.not_safe" not in cell.bench.standing
        await cell.bench.unhold()
        assert (await task).status == "succeeded"

    run_virtual(run())


@pytest.mark.parametrize(("fault", "word"), [("gantry_stall", "alarm 9"), ("gantry_limit_switch", "alarm 8")])
def test_what_cannot_be_homed_holds(fault, word):
    async def run():
        cell = await ready()
        cell.fault(fault, axis="x")
        cell.bench.begin("MoveCassette", **MOVE)
        await cell.bench.until(ServiceState.HELD, 300.0)
        assert word in cell.bench.said("transfer.gantry_fault")
        assert cell.mechanics.cassettes == {"CASSETTE-1": "store"}

    run_virtual(run())


def test_a_cassette_that_vanishes_from_the_gripper_is_told_at_once():
    async def run():
        cell = await ready()
        await while_carrying(cell)
        cell.fault("cassette_lost")
        await cell.bench.until(ServiceState.HELD, 60.0)
        assert "transfer.cassette_lost" in cell.bench.standing
        await cell.bench.unhold()
        await asyncio.sleep(1.0)
        await cell.bench.until(ServiceState.HELD, 200.0)
        assert "neither in the gripper" in cell.bench.said("transfer.cassette_lost")

    run_virtual(run())


@pytest.mark.parametrize(("fault", "alarm"), [("camera_dark", "camera_black"), ("camera_frozen", "camera_frozen")])
@pytest.mark.parametrize("looked_at", ["incubator", "store"])
def test_a_blind_camera_never_finds_a_dock_free(fault, alarm, looked_at):
    """Another cassette stands where this one is to be put; what the camera showed last is an empty dock, or a full."""

    async def run():
        cell = await ready({"CASSETTE-1": "store", "CASSETTE-9": "fluidics"})
        await cell.bench.run("ScanLabel", dock=looked_at)
        cell.plant.inject(fault, "label_camera", {}, True, cell.now_s())
        task = cell.bench.begin("MoveCassette", **MOVE)
        while not task.done() and cell.bench.service.state != ServiceState.HELD:
            await asyncio.sleep(1.0)
        refused = task.done() and task.result().error_code == TransferCode.OCCUPIED
        assert refused or f"transfer.{alarm}" in cell.bench.standing
        assert cell.mechanics.cassettes == {"CASSETTE-1": "store", "CASSETTE-9": "fluidics"}

    run_virtual(run())
