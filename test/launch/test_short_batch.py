# SPDX-License-Identifier: Apache-2.0
"""A whole workcell from bring-up to shutdown: order of the nodes, a short batch end to end, orders that are refused."""

from __future__ import annotations

import json
import re
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from by_hand import ByHand
from run_checks import assert_same, headless, new_folder, of_kind, processes, record_of
from workcell_client import NODES, Client, workcell

from launch import LaunchDescription


@pytest.mark.launch_test
def generate_test_description():
    folder = new_folder()
    shipped = workcell(folder / "runs", config=str(folder / "config"), seed="1", record="true")
    return LaunchDescription([shipped, launch_testing.actions.ReadyToTest()]), {"folder": folder}


def told(proc_output, pattern: str) -> list[tuple[str, ...]]:
    """Return what the supervisor has logged, by a pattern's groups, in order."""
    text = b"".join(event.text for event in proc_output if "supervisor" in event.process_name).decode()
    return [match.groups() for match in re.finditer(pattern, text)]


class TestBatch(ByHand):
    @classmethod
    def setUpClass(cls):
        cls.client = Client()
        cls.addClassCleanup(cls.client.close)
        cls.client.wait_up()

    def test_a_bring_up(self, proc_output):
        # The status may come before the log has been read.
        proc_output.assertWaitFor("the workcell is up", process="supervisor", timeout=10)
        states = told(proc_output, r"\]: (\w+): (inactive|active)\b")
        assert states == [*((n, "inactive") for n in NODES), *((n, "active") for n in NODES)], states
        seen = {name: status["state"] for name, status in self.client.supervisor.items() if name in NODES}
        assert seen == dict.fromkeys(NODES, "active")

    def test_b_short_batch(self, folder):
        result = self.client.order("B1").result()
        assert (result.error_code, result.error_msg) == (0, "")
        summary = json.loads(result.summary_json)
        rows = {row["id"]: row["verdict"] for row in summary["release"]}
        assert set(rows.values()) == {"pass"}, summary["release"]
        assert result.verdict == "meets"
        run = folder / "runs" / "B1"
        assert json.loads((run / "summary.json").read_text())["verdict"] == "meets"
        assert "B1" in (run / "report.html").read_text()
        events = record_of(folder, "B1")
        goals = [event.data["goal_id"] for event in of_kind(events, "phase_started")]
        actions = [event.data["action"] for event in of_kind(events, "phase_intended")]
        assert len(goals) == len(set(goals)) == 12, f"11 phases of the recipe and the verified room; seen: {actions}"
        assert actions[0] == "VerifyGrade", f"the first phase requires a grade; seen: {actions}"
        assert not list(of_kind(events, "alarm_raised", "phase_failed", "module_lost"))

    def test_c_record_is_the_headless_one(self, folder):
        assert_same(record_of(folder, "B1"), headless().events)


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    def test_exit_codes(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
        assert len(proc_info.process_names()) == len(NODES) + 2, proc_info.process_names()

    def test_reverse_order(self, proc_output):
        down = told(proc_output, r"\]: (\w+): (inactive|unconfigured)\b")[len(NODES) :]
        back = NODES[::-1]
        assert down == [*((n, "inactive") for n in back), *((n, "unconfigured") for n in back)], down

    def test_nothing_is_left(self, folder: Path):
        assert processes() == {}
        ports = folder / "runs" / ".state" / "workcell" / "ports"
        assert list(ports.iterdir()) == []

    def test_topics_are_recorded(self, folder: Path):
        from mcap.reader import make_reader

        with (folder / "runs" / "B1" / "topics.mcap").open("rb") as file:
            statistics = make_reader(file).get_summary()
        topics = {channel.topic for channel in statistics.channels.values()}
        assert {"/coordinator/batch_status", "/fluidics/state", "/vision_qc/tracks"} <= topics, topics
        assert "/vision_qc/annotated/compressed" in topics, topics
        assert statistics.statistics.message_count > 50
