# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the coordinator in three phases of one batch: taken up each time, finished, nothing run twice."""

from __future__ import annotations

import math
import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from run_checks import headless, kill, new_folder, of_kind, phase_times, processes, record_of, restarted
from workcell_client import BATCH_S, Client, Steps, workcell

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

    def kill_and_wait(self):
        """Kill the coordinator; return when its next life tells of the batch.

        At an hour a second the rest of the culture may be over before anybody is told that it runs; that it was
        taken up, and nothing ran twice, is read from the record at the end.
        """
        before = kill("coordinator")
        self.client.wait(lambda: restarted("coordinator", before), 20.0, "the coordinator is started again")
        self.client.batch = None
        self.client.wait_batch(
            lambda b: b.batch_id == BATCH and b.state in ("running", "complete"), 30.0, "the batch is taken up"
        )

    def test_a_killed_in_a_transfer(self):
        """Time stands in the middle of a phase that one module carries out."""
        self.client.start(BATCH)
        self.client.run_to(self.times["load_cells"])
        self.client.wait_batch(lambda b: b.phase_id.endswith("load_cells"), 20.0, "load_cells runs")
        self.kill_and_wait()

    def test_b_killed_in_parallel_branches(self):
        """Time stands while one branch waits and its companion mixes."""
        self.client.run_to(self.times["keep_suspended"])
        self.client.wait_batch(lambda b: b.phase_id.endswith("keep_suspended"), 20.0, "keep_suspended runs")
        self.kill_and_wait()

    def test_c_killed_while_time_passes(self):
        """The culture goes on at an hour a second while the coordinator dies."""
        self.client.run_to(self.times["expand"], share=0.1)
        self.client.wait_batch(lambda b: "expand" in b.phase_id, 20.0, "expand runs")
        self.client.set_clock(speed=3600.0)
        self.client.wait_batch(lambda b: b.stamp.sec > self.times["expand"][0] + 3600.0, 20.0, "an hour has passed")
        self.kill_and_wait()
        self.client.set_clock(speed=math.inf)

    def test_d_finished_and_nothing_ran_twice(self, folder):
        self.client.wait_batch(lambda b: b.state == "complete", BATCH_S, "the batch is complete")
        self.client.wait((folder / "runs" / BATCH / "summary.json").exists, 20.0, "the record is reviewed")
        self.client.wait((folder / "runs" / BATCH / "report.html").exists, 20.0, "the report is written")
        events, rehearsed = record_of(folder, BATCH), headless()
        assert len(list(of_kind(events, "batch_taken_up"))) == 3
        started = [e.data["goal_id"] for e in of_kind(events, "phase_started")]
        assert len(set(started)) == len(started) == len(list(of_kind(rehearsed.events, "phase_started")))
        ended = [(e.data["phase_id"], e.data["status"]) for e in of_kind(events, "phase_ended")]
        assert sorted(ended) == sorted(
            (e.data["phase_id"], e.data["status"]) for e in of_kind(rehearsed.events, "phase_ended")
        )
        truth = self.client.wait_truth(lambda t: t["time_s"] >= rehearsed.process_time_s, 10.0, "the final truth")
        for vessel, content in rehearsed.truth["vessels"].items():
            self.assertAlmostEqual(truth["vessels"][vessel]["volume_ul"], content["volume_ul"], delta=1.0, msg=vessel)


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    def test_exit_codes(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)

    def test_nothing_is_left(self):
        assert processes() == {}
