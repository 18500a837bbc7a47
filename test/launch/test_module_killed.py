# SPDX-License-Identifier: Apache-2.0
"""Modules killed in a transfer and in a culture, a line silent in a warm-up: the batch still finishes.

Then the gantry loses its power, and its node its life, with a cassette in the jaws.
"""

from __future__ import annotations

import math
import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from carrying import Carrying
from run_checks import InOrder, headless, kill, new_folder, of_kind, phase_times, record_of, restarted
from workcell_client import BATCH_S, Client, workcell

from launch import LaunchDescription
from mimedi_nodes.process.service_state import ServiceState

BATCH = "M1"
SILENT = "culture_controller"


@pytest.mark.launch_test
def generate_test_description():
    folder = new_folder()
    shipped = workcell(folder / "runs", config=str(folder / "config"), seed="1", record="false", frames="true")
    return LaunchDescription([shipped, launch_testing.actions.ReadyToTest()]), {"folder": folder}


class TestFailures(Carrying):
    @classmethod
    def setUpClass(cls):
        cls.client = Client()
        cls.addClassCleanup(cls.client.close)
        cls.client.wait_up()
        cls.times = phase_times(headless().events)

    def kill_and_wait(self, module: str):
        """Kill a module; return when its next life carries out the goal again."""
        goal_id = self.client.modules[module].goal_id
        assert self.client.modules[module].state == ServiceState.EXECUTE
        before = kill(module)
        self.client.set_clock(speed=1.0)  # time goes on while the module is away, as it does in the world
        self.client.wait(lambda: restarted(module, before), 20.0, f"{module} is started again")
        self.client.modules.pop(module)
        self.client.wait(
            lambda: module in self.client.modules and self.client.modules[module].goal_id == goal_id,
            40.0,
            f"{module} has the goal {goal_id} again",
        )

    def test_a_killed_in_a_transfer(self):
        self.client.start(BATCH)
        self.client.run_to(self.times["load_cells"])
        self.client.wait(lambda: self.client.modules["fluidics"].goal_id, 60.0, "fluidics has a goal")
        self.kill_and_wait("fluidics")

    def test_b_silent_line(self):
        """The module alarms and holds, the batch is held with the reason; back and restarted, it goes on."""
        self.client.run_to(self.times["warm_up"])
        self.client.fault("line_silent", SILENT, active=True)
        self.client.set_clock(speed=math.inf)
        status = self.client.wait_batch(lambda b: b.state == "held", 60.0, "the batch is held")
        assert "culture" in status.hold_reason, status.hold_reason
        assert self.client.modules["incubator"].state == ServiceState.HELD
        self.client.wait(
            lambda: [a for a in self.client.alarms if a.startswith("incubator.")], 30.0, "an alarm of the incubator"
        )
        self.client.fault("line_silent", SILENT, active=False)
        self.client.set_clock(paused=True)  # or the culture may be over before the next step has looked
        answer = self.client.command("restart", "the line is back")
        assert answer.accepted, answer.message
        self.client.wait_batch(lambda b: b.state == "running" and not b.hold_reason, 60.0, "the batch runs again")

    def test_c_killed_in_a_culture(self):
        """Life support stays in the instrument while the module is away."""
        self.client.run_to(self.times["expand"])
        self.client.wait(lambda: self.client.modules["incubator"].action == "ExpandCulture", 60.0, "the culture grows")
        before = self.reactor()
        self.kill_and_wait("incubator")
        during = self.reactor()
        assert during["stirring_rpm"] == before["stirring_rpm"] == 60.0
        assert during["heater_w"] > 0.0
        self.assertAlmostEqual(during["liquid_c"], 37.0, delta=0.5)
        self.assertAlmostEqual(during["co2_fraction"], before["co2_fraction"], delta=0.005)
        self.client.set_clock(speed=math.inf)

    def reactor(self):
        self.client.truth = {}
        return self.client.wait_truth(lambda t: True, 30.0, "the truth of the plant")["reactors"]["culture_vessel"]

    def test_d_finished_with_the_right_volumes(self, folder):
        self.client.wait_batch(lambda b: b.state == "complete", BATCH_S, "the batch is complete")
        self.client.wait((folder / "runs" / BATCH / "report.html").exists, 60.0, "the report is written")
        events, rehearsed = record_of(folder, BATCH), headless()
        ended = {e.data["phase_id"]: e.data["status"] for e in of_kind(events, "phase_ended")}
        assert set(ended.values()) == {"succeeded"}, ended
        for step in ("load_cells", "expand"):
            of_step = [e for e in of_kind(events, "phase_started") if e.data["phase_id"].endswith(step)]
            assert [e.data["restored"] for e in of_step] == [False, True], step
            assert len({e.data["goal_id"] for e in of_step}) == 1
        raised, cleared = (
            {e.data["alarm_id"] for e in of_kind(events, kind) if e.producer == "incubator"}
            for kind in ("alarm_raised", "alarm_cleared")
        )
        assert f"incubator.{SILENT}_fault" in raised, raised
        assert raised == cleared
        end_s = max(e.process_time_s for e in events)
        truth = self.client.wait_truth(lambda t: t["time_s"] >= end_s - 1e-6, 30.0, "the final truth")
        for vessel, content in rehearsed.truth["vessels"].items():
            # What a stroke that was cut short left in the syringe goes on from there: nothing is lost or moved twice.
            self.assertAlmostEqual(truth["vessels"][vessel]["volume_ul"], content["volume_ul"], delta=60.0, msg=vessel)


@launch_testing.post_shutdown_test()
class TestShutdown(InOrder, unittest.TestCase):
    """All ended, in order."""
