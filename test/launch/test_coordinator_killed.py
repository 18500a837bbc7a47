# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the coordinator, of the recorder with it, of all nodes at once, then the power of everything.

One batch goes through all of it: taken up each time, finished, nothing run twice, nothing lost, the record whole.
"""

from __future__ import annotations

import math
import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from run_checks import InOrder, headless, kill, new_folder, of_kind, phase_times, record_of, restarted
from workcell_client import BATCH_S, NODES, Client, Steps, workcell

from launch import LaunchDescription

BATCH = "K1"


@pytest.mark.launch_test
def generate_test_description():
    folder = new_folder()
    shipped = workcell(folder / "runs", config=str(folder / "config"), seed="1", record="true")
    return LaunchDescription([shipped, launch_testing.actions.ReadyToTest()]), {"folder": folder}


class TestKills(Steps):
    @classmethod
    def setUpClass(cls):
        cls.client = Client()
        cls.addClassCleanup(cls.client.close)
        cls.client.wait_up()
        cls.times = phase_times(headless().events)

    def kill_and_wait(self, *nodes: str):
        """Kill nodes at once, the coordinator among them; return when its next life tells of the batch."""
        before = {node: kill(node) for node in nodes}
        for node, process in before.items():
            self.client.wait(lambda n=node, p=process: restarted(n, p), 60.0, f"{node} is started again")
        self.client.batch = None
        self.client.wait_batch(
            lambda b: b.batch_id == BATCH and b.state in ("running", "complete"), 120.0, "the batch is taken up"
        )

    def test_a_killed_in_a_transfer(self):
        """Time stands in the middle of a phase that one module carries out."""
        self.client.start(BATCH)
        self.client.run_to(self.times["load_cells"])
        self.client.wait_batch(lambda b: b.phase_id.endswith("load_cells"), 60.0, "load_cells runs")
        self.kill_and_wait("coordinator")

    def test_b_killed_with_the_recorder_in_parallel_branches(self, folder):
        """Time stands while one branch waits and its companion mixes."""
        self.client.run_to(self.times["keep_suspended"])
        self.client.wait_batch(lambda b: b.phase_id.endswith("keep_suspended"), 60.0, "keep_suspended runs")
        self.kill_and_wait("recorder", "coordinator")
        part = folder / "runs" / BATCH / "topics_2.mcap.part"
        self.client.wait(lambda: part.is_file() and part.stat().st_size > 0, 60.0, "the topics are recorded again")

    def test_c_all_killed_while_time_passes(self):
        """The culture goes on at two minutes a second while every node dies; its controller keeps it warm."""
        stood_s = self.client.run_to(self.times["expand"], share=0.1)
        self.client.wait_batch(lambda b: "expand" in b.phase_id, 60.0, "expand runs")
        self.client.set_clock(speed=120.0)
        self.client.wait_batch(lambda b: b.stamp.sec > stood_s + 120.0, 60.0, "two minutes have passed")
        self.kill_and_wait(*NODES)
        self.client.set_clock(paused=True)
        self.client.wait(lambda: self.client.modules["incubator"].action == "ExpandCulture", 60.0, "the culture grows")

    def test_d_power_is_lost(self):
        """Nobody looks at the culture for half an hour, and yet the cut is noticed while it lasts."""
        self.client.fault("power_loss", "workcell", active=True)
        self.client.set_clock(speed=1.0)
        status = self.client.wait_batch(lambda b: b.state == "held", 120.0, "the batch is held without power")
        assert "culture_controller" in status.hold_reason, status.hold_reason
        self.client.fault("power_loss", "workcell", active=False)
        self.client.set_clock(paused=True)  # or the culture may be over before the next step has looked
        answer = self.client.command("restart", "the power is back")
        assert answer.accepted, answer.message
        self.client.wait_batch(lambda b: b.state == "running" and not b.hold_reason, 60.0, "the batch runs again")
        self.client.set_clock(speed=math.inf)

    def test_e_finished_and_nothing_ran_twice(self, folder):
        self.client.wait_batch(lambda b: b.state == "complete", BATCH_S, "the batch is complete")
        self.client.wait((folder / "runs" / BATCH / "summary.json").exists, 60.0, "the record is reviewed")
        self.client.wait((folder / "runs" / BATCH / "report.html").exists, 60.0, "the report is written")
        events, rehearsed = record_of(folder, BATCH), headless()
        assert len(list(of_kind(events, "batch_taken_up"))) == 3
        # The recorder died twice: what it had recorded of the topics was mended, and it went on in further files.
        topics = sorted(path.name for path in (folder / "runs" / BATCH).glob("topics*"))
        assert topics == ["topics.mcap", "topics_2.mcap", "topics_3.mcap"], topics
        started = {e.data["goal_id"] for e in of_kind(events, "phase_started")}
        assert len(started) == len(list(of_kind(rehearsed.events, "phase_started")))
        again = [e.data["phase_id"] for e in of_kind(events, "phase_started") if e.data["restored"]]
        assert [phase_id.rpartition(".")[2] for phase_id in again] == ["expand"], again
        ended = [(e.data["phase_id"], e.data["status"]) for e in of_kind(events, "phase_ended")]
        assert sorted(ended) == sorted(
            (e.data["phase_id"], e.data["status"]) for e in of_kind(rehearsed.events, "phase_ended")
        )
        truth = self.client.wait_truth(lambda t: t["time_s"] >= rehearsed.process_time_s, 30.0, "the final truth")
        for vessel, content in rehearsed.truth["vessels"].items():
            self.assertAlmostEqual(truth["vessels"][vessel]["volume_ul"], content["volume_ul"], delta=1.0, msg=vessel)
        liquid_c = truth["reactors"]["culture_vessel"]["liquid_c"]
        assert abs(liquid_c - 37.0) <= 0.5, f"the cells ended at {liquid_c} degC"


@launch_testing.post_shutdown_test()
class TestShutdown(InOrder, unittest.TestCase):
    """All ended, in order."""
