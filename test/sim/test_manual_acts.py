# SPDX-License-Identifier: Apache-2.0
"""Jogs, calibrations, interlocks and the emergency stop on the twin: real services, drivers and firmware."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
from pathlib import Path

import pytest

from mimedi_nodes.modules.enclosure.emergency_stop import EMERGENCY_STOP, look
from mimedi_nodes.modules.registry import config_folder, load_module, module_table
from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.modules.service.hooks import ServiceHooks
from mimedi_nodes.modules.service.manual import ManualRefused
from mimedi_nodes.modules.service.service import ModuleService
from mimedi_nodes.process.alarms.interlocks import Interlocks, causes_of, read_interlocks
from mimedi_nodes.process.alarms.table import read_alarm_table
from mimedi_nodes.process.calibrations import (
    Calibration,
    CalibrationBook,
    CalibrationError,
    book_file,
    due_dates,
    made_here,
)
from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState
from mimedi_nodes.process.supplies import out_of_date, start_facts
from mimedi_sim.headless.virtual_loop import run_virtual

from .workbench import HEADER, SITE, Workbench

TODAY = datetime.date(2026, 11, 23)


async def manual_service(bench: Workbench, name: str, book: CalibrationBook) -> ModuleService:
    """A service whose instruments have a book of calibrations."""
    module = load_module(name)
    links = {line: bench.links[line] for line in SITE.lines_of(name)}
    instruments = module.build(SITE, links, {"calibrations": book})
    await instruments.connect()
    hooks = ServiceHooks(
        events=lambda header, kind, what, why, data: bench.events.append((kind, what, data)),
        alarm=lambda alarm_id, message, active: bench.alarms.append((alarm_id, message, active)),
    )
    return ModuleService(module, instruments, bench.clock, GoalStore(":memory:"), default_interfaces(), hooks)


async def do(service: ModuleService, kind: str, target: str, **values: object) -> dict[str, object]:
    return dict(await service.manual(kind, target, values, "mia", "a test", in_maintenance=True))


def test_a_pump_is_calibrated_by_weight_for_good(tmp_path: Path) -> None:
    """A stroke that is 2 % short is found, corrected, kept on disk, and right after a restart of the module."""
    path = book_file(tmp_path, "fluidics")

    async def main() -> None:
        bench = Workbench()
        bench.plant.inject("pump_scale", "pump", {"factor": 0.98}, True, 0.0)
        service = await manual_service(bench, "fluidics", CalibrationBook(path, lambda: TODAY))
        found = await do(service, "calibrate", "pump", source="buffer", volume_ul=20_000.0, repeats=4, valid_d=180.0)
        assert found["found"] == pytest.approx(-0.02, abs=0.006)  # the mean of four, of a pump with .2 % of its own
        assert found["left"] == pytest.approx(0.0, abs=0.006)  # one delivery: two weighings of .03 g in 20 g
        assert found["due"] == "2027-05-22"
        again = await manual_service(bench, "fluidics", CalibrationBook(path))
        before_ul = bench.volume_ul("waste")
        moved = await do(again, "jog", "pump", source="buffer", volume_ul=20_000.0)
        assert bench.volume_ul("waste") - before_ul == pytest.approx(20_000.0, abs=60.0)
        assert moved["moved_ul"] == pytest.approx(20_000.0, abs=1.0)
        kinds = [kind for kind, what, data in bench.events if what.startswith("manual")]
        assert kinds == ["manual_begun", "manual_ended"] * 2
        assert [data["who"] for kind, _, data in bench.events if kind == "manual_ended"] == ["mia", "mia"]

    run_virtual(main())
    made = made_here(tmp_path)
    due = due_dates({"fluidics_pumps": "2026-01-01", "gantry": "2027-01-01"}, made)
    assert due == {"fluidics_pumps": "2027-05-22", "gantry": "2027-01-01"}
    assert out_of_date((), due, TODAY) == []
    assert out_of_date((), due, datetime.date(2027, 6, 1)) == [
        "fluidics_pumps: calibration was due 2027-05-22", "gantry: calibration was due 2027-01-01"
    ]  # fmt: skip
    facts = {what: data for kind, what, data in start_facts((), due, made)}
    assert facts["gantry"] == {"due": "2027-01-01"}
    assert (facts["fluidics_pumps"]["by"], facts["fluidics_pumps"]["made"]) == ("mia", "2026-11-23")


def test_a_load_cell_is_corrected_by_what_stands_on_it() -> None:
    async def main() -> None:
        bench = Workbench()
        service = await manual_service(bench, "fluidics", CalibrationBook(None))
        true_g = bench.volume_ul("medium") * SITE.vessels["medium"].density_g_ml / 1000.0
        bench.plant.inject("scale_offset", "medium", {"offset_g": 12.0}, True, 0.0)
        found = await do(service, "calibrate", "medium", reference_g=true_g)
        assert found["found_g"] == pytest.approx(12.0, abs=0.5)
        shown_ul = (await service.instruments.telemetry())["medium_ul"][0]
        assert shown_ul == pytest.approx(bench.volume_ul("medium"), abs=600.0)
        with pytest.raises(ManualRefused, match="is the reference on it"):
            await do(service, "calibrate", "medium", reference_g=0.0)

    run_virtual(main())


def test_transducer_and_temperature_are_calibrated_or_refused() -> None:
    async def main() -> None:
        bench = Workbench()
        sorter = await manual_service(bench, "acoustic_sorter", CalibrationBook(None))
        tuned = await do(sorter, "calibrate", "transducer")
        assert tuned["channel_resonance_hz"] == pytest.approx(2.009e6, rel=2e-3)
        assert tuned["channel_q"] == pytest.approx(100.0, rel=0.1)
        bench.plant.inject("channel_dry", "chip", {}, True, bench.clock.now_s())
        with pytest.raises(ManualRefused, match="no fluid channel"):
            await do(sorter, "calibrate", "transducer")
        incubator = await manual_service(bench, "incubator", CalibrationBook(None))
        true_c = (await incubator.instruments.telemetry())["liquid_temperature_c"][0]
        assert (await do(incubator, "calibrate", "temperature", reference_c=true_c + 0.1))["found_k"] == pytest.approx(
            -0.1, abs=0.02
        )
        with pytest.raises(ManualRefused, match="exchange the probe"):
            await do(incubator, "calibrate", "temperature", reference_c=true_c - 1.0)
        turned = await do(incubator, "jog", "stirrer", stirring_rpm=80.0, duration_s=30.0)
        assert turned["reached_rpm"] == pytest.approx(80.0, abs=1.0)
        assert (await incubator.instruments.controller.set_points()).stirring_rpm == turned["left_at_rpm"]

    run_virtual(main())


def test_what_must_not_be_done_by_hand_is_refused() -> None:
    async def main() -> None:
        bench = Workbench()
        service = await manual_service(bench, "fluidics", CalibrationBook(None))
        with pytest.raises(ManualRefused, match="maintenance begin fluidics"):
            await service.manual("jog", "pump", {"volume_ul": 100.0}, "mia", "a test", in_maintenance=False)
        with pytest.raises(ManualRefused, match="who and why"):
            await service.manual("jog", "pump", {"volume_ul": 100.0}, "mia", " ", in_maintenance=True)
        with pytest.raises(ManualRefused, match="there is no jog of 'heater'"):
            await do(service, "jog", "heater")
        with pytest.raises(ManualRefused) as told:
            await do(service, "jog", "pump", source="apheresis", volume_ml=1.0, volume_ul=float("nan"))
        for text in ("volume_ml is no value", "source is 'apheresis'; allowed: buffer, medium", "volume_ul is nan"):
            assert text in str(told.value)
        goal = {"source": "buffer", "destination": "waste", "volume_ul": 50_000.0, "flow_rate_ul_min": 5000.0}
        phase = asyncio.ensure_future(service.run("TransferFluid", goal, HEADER, "1" * 32))
        await asyncio.sleep(60.0)
        with pytest.raises(ManualRefused, match="EXECUTE; end its phase first"):
            await do(service, "jog", "pump", volume_ul=100.0)
        assert (await phase).status == "succeeded"
        act = asyncio.ensure_future(do(service, "jog", "pump", volume_ul=50_000.0, flow_rate_ul_min=5000.0))
        await asyncio.sleep(60.0)
        assert service.present()[0] == "manual jog pump"
        with pytest.raises(ManualRefused, match="under way"):
            await do(service, "jog", "pump", volume_ul=100.0)
        await service.command(ServiceCommand.RESET, "test", "")
        refused = await service.run("TransferFluid", goal, HEADER, "2" * 32)
        assert "manual jog pump is under way" in refused.error_msg
        assert (await service.command(ServiceCommand.STOP, "mia", "enough")).accepted
        with pytest.raises(ManualRefused, match="it was stopped"):
            await act
        assert await service.instruments.pump.is_off()

    run_virtual(main())


def test_the_emergency_stop_holds_what_moves_and_a_reset_starts_nothing() -> None:
    """Chain, alarm, interlock, reset: as the nodes carry it, without coordinator and supervisor."""

    async def main() -> None:
        bench = Workbench()
        enclosure = await manual_service(bench, "enclosure", CalibrationBook(None))
        fluidics = await manual_service(bench, "fluidics", CalibrationBook(None))
        incubator = await manual_service(bench, "incubator", CalibrationBook(None))
        assert await look(enclosure.instruments) == {}
        goal = {"source": "buffer", "destination": "waste", "volume_ul": 100_000.0, "flow_rate_ul_min": 5000.0}
        phase = asyncio.ensure_future(fluidics.run("TransferFluid", goal, HEADER, "1" * 32))
        culture = {"temperature_c": 37.0, "co2_fraction": 0.05, "timeout_h": 4.0}
        warm = asyncio.ensure_future(incubator.run("ConditionChamber", culture, HEADER, "2" * 32))
        await asyncio.sleep(120.0)
        bench.plant.inject("emergency_stop", "enclosure", {}, True, bench.clock.now_s())
        found = await look(enclosure.instruments)
        assert "the button is pressed" in found[EMERGENCY_STOP]
        for service in (enclosure, fluidics, incubator):
            await service.interlock(found)
        assert (fluidics.state, incubator.state) == (ServiceState.HOLDING, ServiceState.HOLDING)
        await asyncio.sleep(60.0)
        assert (fluidics.state, incubator.state) == (ServiceState.HELD, ServiceState.HELD)
        assert (await incubator.instruments.controller.set_points()).temperature_c == 37.0  # life support
        moved_ul = bench.volume_ul("waste")
        await asyncio.sleep(600.0)
        assert bench.volume_ul("waste") == moved_ul
        refused = await fluidics.command(ServiceCommand.UNHOLD, "anna", "go on")
        assert not refused.accepted
        assert "interlocked by" in refused.message
        with pytest.raises(ManualRefused, match="still pressed"):
            await enclosure.manual("reset", "emergency_stop", {}, "anna", "seen", in_maintenance=False)
        bench.plant.inject("emergency_stop", "enclosure", {}, False, bench.clock.now_s())
        assert "a reset closes the chain" in (await look(enclosure.instruments))[EMERGENCY_STOP]
        told = await enclosure.manual("reset", "emergency_stop", {}, "anna", "seen", in_maintenance=False)
        assert told == {"was_open": True, "trips": 1}
        assert await look(enclosure.instruments) == {}
        for service in (enclosure, fluidics, incubator):
            await service.interlock({})
        await asyncio.sleep(600.0)
        assert (fluidics.state, incubator.state) == (ServiceState.HELD, ServiceState.HELD)
        assert (await fluidics.command(ServiceCommand.UNHOLD, "anna", "go on")).accepted
        outcome = await phase
        assert outcome.status == "succeeded", outcome.error_msg
        assert bench.volume_ul("waste") == pytest.approx(100_000.0, abs=1100.0)
        await incubator.command(ServiceCommand.STOP, "anna", "enough")
        await warm

    run_virtual(main())


def test_interlocks_count_causes_per_source() -> None:
    alarms = read_alarm_table(config_folder() / "alarms.yaml")
    table = read_interlocks(config_folder() / "interlocks.yaml", module_table(), alarms)
    assert all(EMERGENCY_STOP in causes_of(module, table) for module in module_table())
    locks = Interlocks(causes_of("acoustic_sorter", table))
    assert not locks.hear("fluidics.balance_gap", "fluidics", "gap", True)
    assert locks.hear("fluidics.not_safe", "a", "pump runs", True)
    assert not locks.hear("fluidics.not_safe", "b", "pump runs", True)
    assert not locks.hear("fluidics.not_safe", "a", "", False)
    assert locks.standing
    assert locks.hear("fluidics.not_safe", "b", "", False)
    assert not locks.standing


def test_a_wrong_table_of_interlocks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "interlocks.yaml"
    path.write_text("interlocks:\n  enclosure.nonesuch: [all]\n  enclosure.emergency_stop: [kitchen]\n")
    with pytest.raises(DiagnosticError) as told:
        read_interlocks(path, ("fluidics",), read_alarm_table(config_folder() / "alarms.yaml"))
    assert "is no alarm" in str(told.value)
    assert "kitchen" in str(told.value)


def test_a_damaged_book_of_calibrations_is_no_calibration(tmp_path: Path) -> None:
    good = Calibration("scale_waste", "mass (g)", 0.1, 0.0, 1.0, -0.1, "1000 g", "mia", "2026-11-23", "2027-11-23")
    path = book_file(tmp_path, "fluidics")
    path.parent.mkdir(parents=True)
    for wrong in ({"factor": 3.0}, {"offset": float("nan")}, {"due": "2025-01-01"}, {"made": "yesterday"}, {"more": 1}):
        path.write_text(json.dumps([dataclasses.asdict(good) | wrong]))
        with pytest.raises(CalibrationError):
            made_here(tmp_path)
    path.write_text(json.dumps([dataclasses.asdict(good)])[:-9])
    with pytest.raises(CalibrationError, match="restore a copy or calibrate anew"):
        CalibrationBook(path)
