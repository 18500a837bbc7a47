# SPDX-License-Identifier: Apache-2.0
"""Instruments on serial ports of which none is there: bring-up fails, names node and port, and is rolled back."""

from __future__ import annotations

import subprocess
import sys
import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from run_checks import InOrder, new_folder
from workcell_client import NODES, Client, Steps, workcell

from launch import LaunchDescription


@pytest.mark.launch_test
def generate_test_description():
    folder = new_folder()
    shipped = workcell(folder / "runs", hardware="serial", config=str(folder / "config"))
    return LaunchDescription([shipped, launch_testing.actions.ReadyToTest()]), {"folder": folder}


class TestMissingPort(Steps):
    def test_a_named_and_rolled_back(self):
        client = Client()
        self.addCleanup(client.close)
        assert client.wait_supervisor("failed", "active") == "failed"
        status = client.supervisor["workcell"]
        assert status["node"] == NODES[1] == "fluidics"
        assert "/dev/serial/by-id/" in status["reason"], status["reason"]
        client.wait(lambda: "supervisor.bring_up_failed" in client.alarms, 30.0, "the alarm of the supervisor")
        assert "fluidics" in client.alarms["supervisor.bring_up_failed"]
        # Nobody is left active: the recorder, which had come first, is down again.
        client.wait(
            lambda: client.supervisor["recorder"]["message"] == "unconfigured", 60.0, "the recorder is rolled back"
        )

    def test_b_an_order_is_told_why_at_once(self):
        command = [sys.executable, "-m", "mimedi_nodes.commands", "produce", "short"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30.0, check=False)
        assert ended.returncode == 2, ended
        assert "fluidics" in ended.stderr
        assert "/dev/serial/by-id/" in ended.stderr, ended.stderr


@launch_testing.post_shutdown_test()
class TestShutdown(InOrder, unittest.TestCase):
    """All ended, in order."""
