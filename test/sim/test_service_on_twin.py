# SPDX-License-Identifier: Apache-2.0
"""A module's service with its real phases, drivers and firmware: hold, crash, lost line, safe actuators."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_nodes.instruments.wire.link import InstrumentError
from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState
from mimedi_nodes.records.errors import LostFileError
from mimedi_sim.firmware.cavro_pump import CavroPumpFirmware
from mimedi_sim.headless.virtual_loop import run_virtual

from .workbench import HEADER, Workbench

MOVE = {"source": "buffer", "destination": "sorter_inlet", "volume_ul": 60_000.0}
STROKE_ACCURACY = 0.006


async def held(service) -> None:
    while service.state != ServiceState.HELD:
        await asyncio.sleep(1.0)


def test_a_transfer_moves_what_was_asked_and_says_what_the_scale_saw():
    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        outcome = await service.run("TransferFluid", MOVE, HEADER, "a" * 32)
        assert outcome.status == "succeeded"
        assert outcome.result["volume_moved_ul"] == pytest.approx(60_000.0)
        true_ul = bench.volume_ul("sorter_inlet")
        assert true_ul == pytest.approx(60_000.0, rel=STROKE_ACCURACY)
        assert outcome.result["volume_source_ul"] == pytest.approx(true_ul, abs=150.0)
        assert service.state == ServiceState.COMPLETED
        ended = [data for kind, _, data in bench.events if kind == "phase_ended"]
        assert ended[0]["status"] == "succeeded"

    run_virtual(run())


def test_a_second_goal_is_refused_until_reset():
    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        await service.run("TransferFluid", MOVE, HEADER, "a" * 32)
        refused = await service.run("TransferFluid", MOVE, HEADER, "b" * 32)
        assert (refused.status, refused.error_code) == ("aborted", 101)
        assert "RESET" in refused.error_msg
        assert (await service.command(ServiceCommand.RESET, "test", "")).accepted
        again = await service.run("TransferFluid", MOVE, HEADER, "a" * 32)
        assert (again.status, again.error_code) == ("aborted", 101)
        assert "UUID" in again.error_msg

    run_virtual(run())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "nowhere"}, "nowhere"),
        ({"volume_ul": -1.0}, "volume_ul"),
        ({"volume_ul": float("nan")}, "volume_ul"),
        ({"flow_rat_ul_min": 1.0}, "flow_rat_ul_min"),
        ({"volume_ul": 1_500_000.0}, "room"),
        ({"source": "apheresis", "volume_ul": 290_000.0}, "holds"),
    ],
)
def test_bad_goals_are_refused_with_field_and_reason_and_nothing_moves(changes, words):
    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        outcome = await service.run("TransferFluid", {**MOVE, **changes}, HEADER, "a" * 32)
        assert outcome.status == "aborted"
        assert 100 < outcome.error_code < 200
        assert words in outcome.error_msg
        assert bench.volume_ul("sorter_inlet") == 0.0

    run_virtual(run())


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(1.0, 250.0), min_size=1, max_size=3))
def test_holds_at_any_instant_neither_lose_nor_repeat_volume(instants_s):
    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        task = asyncio.ensure_future(service.run("TransferFluid", MOVE, HEADER, "a" * 32))
        for wait_s in instants_s:
            await asyncio.sleep(wait_s)
            if task.done():
                break
            assert (await service.command(ServiceCommand.HOLD, "test", "look")).accepted
            await asyncio.wait_for(held(service), 60.0)
            assert await service.instruments.pump.is_off()
            before_ul = bench.volume_ul("sorter_inlet")
            await asyncio.sleep(3600.0)
            assert bench.volume_ul("sorter_inlet") == before_ul
            assert (await service.command(ServiceCommand.UNHOLD, "test", "go on")).accepted
        outcome = await task
        assert outcome.status == "succeeded", outcome.error_msg
        assert bench.volume_ul("sorter_inlet") == pytest.approx(60_000.0, rel=STROKE_ACCURACY, abs=5.0)

    run_virtual(run())


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0.0, 250.0), min_size=1, max_size=3))
def test_deaths_of_the_module_at_any_instant_neither_lose_nor_repeat_volume(tmp_path_factory, instants_s):
    path: Path = tmp_path_factory.mktemp("goals") / "goals.sqlite"

    async def run():
        bench = Workbench()
        for wait_s in [*instants_s, None]:
            service = await bench.service("fluidics", GoalStore(path))
            recall = service.recall("a" * 32)
            if recall.status == "succeeded":
                break
            task = asyncio.ensure_future(service.run("TransferFluid", MOVE, HEADER, "a" * 32))
            if wait_s is None:
                outcome = await task
                assert outcome.status == "succeeded", outcome.error_msg
            else:
                await asyncio.sleep(wait_s)
                task.cancel()  # the process dies; the pump goes on by itself for a minute
                await asyncio.gather(task, return_exceptions=True)
                await asyncio.sleep(60.0)
        assert bench.volume_ul("sorter_inlet") == pytest.approx(60_000.0, rel=STROKE_ACCURACY, abs=5.0)

    run_virtual(run())


async def hold_in_a_turn(bench, service) -> asyncio.Future:
    """Hold a transfer while the pump's own valve turns; return the transfer."""
    pump = bench.plant._instruments.pumps["pump"]
    task = asyncio.ensure_future(service.run("TransferFluid", MOVE, HEADER, "a" * 32))
    while not (pump.busy and pump._running.name in "IOB"):
        await asyncio.sleep(0.01)
        bench.plant.advance_to(bench.clock.now_s())
    assert (await service.command(ServiceCommand.HOLD, "test", "look")).accepted
    await asyncio.wait_for(held(service), 60.0)
    return task


def test_a_valve_that_ends_its_turn_is_waited_for_and_not_alarmed():
    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        task = await hold_in_a_turn(bench, service)
        assert "fluidics.not_safe" not in [alarm_id for alarm_id, _, _ in bench.alarms]
        assert await service.instruments.pump.is_off()
        await service.command(ServiceCommand.UNHOLD, "test", "go on")
        assert (await task).status == "succeeded"
        assert bench.volume_ul("sorter_inlet") == pytest.approx(60_000.0, rel=STROKE_ACCURACY, abs=5.0)

    run_virtual(run())


def test_a_pump_that_does_not_stop_is_alarmed(monkeypatch):
    monkeypatch.setattr(CavroPumpFirmware, "_terminate", lambda pump: None)

    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        begun_s = bench.clock.now_s()
        task = await hold_in_a_turn(bench, service)
        said = [text for alarm_id, text, active in bench.alarms if alarm_id == "fluidics.not_safe" and active]
        assert len(said) == 1
        assert "pump could not be switched off" in said[0]
        assert bench.clock.now_s() - begun_s < 60.0, "it is told at once, not when the pump has come to its end"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(run())


def test_a_silent_instrument_holds_a_culture_that_does_not_look_at_it_now():
    async def run():
        bench = Workbench()
        service = await bench.service("incubator")
        controller = service.instruments.controller
        task = asyncio.ensure_future(service.run("ExpandCulture", {"duration_h": 4.0}, HEADER, "a" * 32))
        await asyncio.sleep(3700.0)
        link = bench.links["culture_controller"]
        link.plugged = False
        with pytest.raises(InstrumentError) as silent:
            await controller.state()
        await service.line_silent(silent.value)
        await asyncio.wait_for(held(service), 60.0)
        assert "culture_controller" in service.last_error
        alarm = "incubator.culture_controller_fault"
        await service.line_silent(silent.value)  # it goes on being silent
        assert [active for alarm_id, _, active in bench.alarms if alarm_id == alarm] == [True]
        link.plugged = True
        await service.command(ServiceCommand.UNHOLD, "test", "the line is back")
        assert service.state == ServiceState.UNHOLDING
        await service.line_silent(silent.value)  # a question from before the line was back
        assert service.state == ServiceState.UNHOLDING
        assert (await task).status == "succeeded"
        assert [active for alarm_id, _, active in bench.alarms if alarm_id == alarm] == [True, False]
        await service.line_silent(silent.value)
        assert service.state == ServiceState.COMPLETED, "nothing is held where nothing runs"

    run_virtual(run())


def test_a_lost_line_alarms_and_holds_and_goes_on_after_unhold():
    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        task = asyncio.ensure_future(service.run("TransferFluid", MOVE, HEADER, "a" * 32))
        await asyncio.sleep(100.0)
        bench.links["fluidics_pumps"].plugged = False
        await asyncio.wait_for(held(service), 600.0)
        raised = [alarm_id for alarm_id, _, active in bench.alarms if active]
        assert any(alarm_id.endswith("_fault") for alarm_id in raised)
        assert "fluidics.not_safe" in raised, "a pump that cannot be reached cannot be switched off, and that is said"
        refused = await service.command(ServiceCommand.UNHOLD, "test", "too early")
        assert refused.accepted
        await asyncio.sleep(5.0)
        assert service.state == ServiceState.HELD
        bench.links["fluidics_pumps"].plugged = True
        await service.command(ServiceCommand.UNHOLD, "test", "line is back")
        outcome = await task
        assert outcome.status == "succeeded", outcome.error_msg
        assert bench.volume_ul("sorter_inlet") == pytest.approx(60_000.0, rel=STROKE_ACCURACY, abs=5.0)

    run_virtual(run())


@pytest.mark.parametrize(
    ("command", "status", "state"),
    [
        (ServiceCommand.STOP, "canceled", ServiceState.STOPPED),
        (ServiceCommand.ABORT, "aborted", ServiceState.ABORTED),
    ],
)
def test_stop_and_abort_end_the_phase_with_the_pump_off(command, status, state):
    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        task = asyncio.ensure_future(service.run("TransferFluid", MOVE, HEADER, "a" * 32))
        await asyncio.sleep(100.0)
        assert (await service.command(command, "test", "enough")).accepted
        outcome = await task
        assert (outcome.status, service.state) == (status, state)
        assert await service.instruments.pump.is_off()
        assert outcome.error_code == 103

    run_virtual(run())


def test_pause_waits_at_the_next_safe_point_and_makes_nothing_safe():
    async def run():
        bench = Workbench()
        service = await bench.service("incubator")
        goal = {"duration_h": 4.0}
        task = asyncio.ensure_future(service.run("ExpandCulture", goal, HEADER, "a" * 32))
        await asyncio.sleep(3600.0)
        await service.command(ServiceCommand.PAUSE, "test", "")
        await asyncio.sleep(2 * 3600.0)
        assert service.state == ServiceState.PAUSED
        assert (await service.instruments.controller.set_points()).temperature_c == 37.0
        await service.command(ServiceCommand.RESUME, "test", "")
        assert (await task).status == "succeeded"

    run_virtual(run())


def test_life_support_keeps_its_set_points_in_held_stopped_and_aborted():
    async def run():
        for command in (ServiceCommand.HOLD, ServiceCommand.STOP, ServiceCommand.ABORT):
            bench = Workbench()
            service = await bench.service("incubator")
            goal = {"target_viable_cells": 1e9, "not_before_h": 1.0, "duration_h": 40.0}
            task = asyncio.ensure_future(service.run("PerfuseCulture", goal, HEADER, "a" * 32))
            await asyncio.sleep(7200.0)
            await service.command(command, "test", "")
            await asyncio.sleep(60.0)
            points = await service.instruments.controller.set_points()
            assert (points.temperature_c, points.co2_fraction, points.stirring_rpm) == (37.0, 0.05, 60.0)
            assert points.perfusion_ul_min == 0.0
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run_virtual(run())


def test_complete_ends_a_continuous_phase_early_and_no_other():
    async def run():
        bench = Workbench()
        service = await bench.service("fluidics")
        await service.run("TransferFluid", MOVE, HEADER, "a" * 32)
        await service.command(ServiceCommand.RESET, "test", "")
        goal = {"container": "sorter_inlet", "duration_s": 7200.0}
        task = asyncio.ensure_future(service.run("MixContainer", goal, HEADER, "b" * 32))
        await asyncio.sleep(600.0)
        assert (await service.command(ServiceCommand.COMPLETE, "test", "")).accepted
        outcome = await task
        assert outcome.status == "succeeded"
        assert outcome.result["duration_s"] < 900.0
        await service.command(ServiceCommand.RESET, "test", "")
        other = asyncio.ensure_future(service.run("TransferFluid", MOVE, HEADER, "c" * 32))
        await asyncio.sleep(10.0)
        assert not (await service.command(ServiceCommand.COMPLETE, "test", "")).accepted
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)

    run_virtual(run())


def test_a_full_disk_holds_and_loses_nothing(tmp_path):
    async def run():
        bench = Workbench()
        store = GoalStore(tmp_path / "goals.sqlite")
        service = await bench.service("fluidics", store)
        goal = {"source": "buffer", "destination": "waste", "volume_ul": 3000.0, "repeats": 10}
        task = asyncio.ensure_future(service.run("RinseLines", goal, HEADER, "a" * 32))
        await asyncio.sleep(30.0)
        limit_disk(store, full=True)
        await asyncio.wait_for(held(service), 3600.0)
        assert ("fluidics.storage_failed", True) in [(alarm_id, active) for alarm_id, _, active in bench.alarms]
        assert await service.instruments.pump.is_off()
        await service.command(ServiceCommand.UNHOLD, "test", "too early")
        await asyncio.wait_for(held(service), 3600.0)
        limit_disk(store, full=False)
        await service.command(ServiceCommand.UNHOLD, "test", "space again")
        outcome = await task
        assert outcome.status == "succeeded", outcome.error_msg
        assert outcome.result["volume_moved_ul"] == pytest.approx(30_000.0, abs=5.0)
        assert bench.volume_ul("waste") == pytest.approx(30_000.0, rel=STROKE_ACCURACY)

    run_virtual(run())


@pytest.mark.parametrize("watched", [False, True])
def test_a_memory_of_goals_that_is_replaced_under_a_phase_holds_and_loses_nothing(tmp_path, watched):
    async def run():
        bench = Workbench()
        path = tmp_path / "goals.sqlite"
        store = GoalStore(path)
        service = await bench.service("fluidics", store)
        goal = {"source": "buffer", "destination": "waste", "volume_ul": 3000.0, "repeats": 10}
        task = asyncio.ensure_future(service.run("RinseLines", goal, HEADER, "a" * 32))
        await asyncio.sleep(30.0)
        for file in tmp_path.glob("goals.sqlite*"):
            file.unlink()
        GoalStore(path).close()  # an empty one in its place
        if watched:  # the node looks at its files all the time
            with pytest.raises(LostFileError) as lost:
                store.check()
            await service.storage_lost(lost.value)
        await asyncio.wait_for(held(service), 3600.0)
        assert await service.instruments.pump.is_off()
        (text,) = {text for alarm_id, text, active in bench.alarms if alarm_id == "fluidics.storage_failed" and active}
        assert "took its place while it was in use" in text
        assert service.last_error == text
        await service.command(ServiceCommand.UNHOLD, "test", "put back")
        outcome = await task
        assert outcome.status == "succeeded", outcome.error_msg
        assert bench.volume_ul("waste") == pytest.approx(30_000.0, rel=STROKE_ACCURACY)
        assert service.recall("a" * 32).status == "succeeded"
        assert ("fluidics.storage_failed", False) in [(alarm_id, active) for alarm_id, _, active in bench.alarms]
        # Idle as well: nothing is held, people see it.
        told = len(bench.alarms)
        await service.storage_lost(lost.value if watched else LostFileError("gone"))
        assert [active for _, _, active in bench.alarms[told:]] == [True, False]
        store.close()
        again = GoalStore(path)
        assert again.recall("a" * 32).status == "succeeded"
        again.close()

    run_virtual(run())


def test_an_alarm_does_not_outlive_the_module_that_raised_it(tmp_path):
    """In the record as on the board: nobody else could clear it, and no batch with a standing alarm is released."""

    async def run():
        bench = Workbench()
        store = GoalStore(tmp_path / "goals.sqlite")
        service = await bench.service("fluidics", store)
        task = asyncio.ensure_future(service.run("TransferFluid", MOVE, HEADER, "a" * 32))
        await asyncio.sleep(30.0)
        bench.links["fluidics_pumps"].plugged = False
        await asyncio.wait_for(held(service), 3600.0)
        task.cancel()  # the process dies
        await asyncio.gather(task, return_exceptions=True)
        store.close()
        bench.links["fluidics_pumps"].plugged = True
        told, recorded = len(bench.alarms), len(bench.events)
        store = GoalStore(tmp_path / "goals.sqlite")
        again = await bench.service("fluidics", store)
        assert {(alarm_id, active) for alarm_id, _, active in bench.alarms[told:]} == {
            ("fluidics.fluidics_pumps_fault", False), ("fluidics.not_safe", False),
        }  # fmt: skip
        cleared = [what for kind, what, _ in bench.events[recorded:] if kind == "alarm_cleared"]
        raised = [what for kind, what, _ in bench.events if kind == "alarm_raised"]
        assert sorted(cleared) == sorted(raised) == ["fluidics.fluidics_pumps_fault", "fluidics.not_safe"]
        assert await again.instruments.pump.is_off()
        assert store.standing_alarms() == {}
        store.close()

    run_virtual(run())


def limit_disk(store: GoalStore, *, full: bool) -> None:
    """Let SQLite meet a full disk: no page may be added, and each write needs one."""
    database = store._db._database
    assert database is not None
    if full:
        database.execute("CREATE TABLE filler (data BLOB)")
        database.execute(f"PRAGMA max_page_count={database.execute('PRAGMA page_count').fetchone()[0]}")
        database.execute(
            "CREATE TRIGGER fill AFTER UPDATE ON goals BEGIN INSERT INTO filler VALUES (zeroblob(9000)); END"
        )
    else:
        database.execute("DROP TRIGGER fill")
        database.execute("PRAGMA max_page_count=1000000")
