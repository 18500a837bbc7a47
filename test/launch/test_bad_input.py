# SPDX-License-Identifier: Apache-2.0
"""Orders that cannot be carried out: each is refused or held with what is wrong, and the record stays whole."""

from __future__ import annotations

import subprocess
import sys
import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from run_checks import TESTS, new_folder, of_kind, processes, record_of
from workcell_client import Client, Steps, workcell

from launch import LaunchDescription
from mimedi_nodes.nodes.coordinator import CoordinatorCode

WRONG_RECIPE = (TESTS / "recipes" / "wrong.yaml").read_text(encoding="utf-8").splitlines()


@pytest.mark.launch_test
def generate_test_description():
    folder = new_folder()
    script = f"scripted:{folder / 'config' / 'operators' / 'wrong_label.yaml'}"
    shipped = workcell(folder / "runs", config=str(folder / "config"), operator=script, record="false")
    return LaunchDescription([shipped, launch_testing.actions.ReadyToTest()]), {"folder": folder}


def line_of(text: str) -> int:
    """Return the number of the line of the wrong recipe that holds `text`."""
    return next(number for number, line in enumerate(WRONG_RECIPE, start=1) if text in line)


class TestRefusals(Steps):
    @classmethod
    def setUpClass(cls):
        cls.client = Client()
        cls.addClassCleanup(cls.client.close)
        cls.client.wait_up()

    def refused(self, code: int, *texts: str, **order: object):
        result = self.client.order(**order).result(20.0)
        assert result.error_code == code, (result.error_code, result.error_msg)
        for text in texts:
            assert text in result.error_msg, result.error_msg

    def test_a_unknown_recipe(self):
        self.refused(CoordinatorCode.RECIPE, "nonesuch", "short", "car_t_cd19", batch_id="R1", recipe="nonesuch")

    def test_b_wrong_recipe(self):
        """All errors come at once, each with its line."""
        order = self.client.order("R2", "wrong").result(20.0)
        assert order.error_code == CoordinatorCode.RECIPE
        for where, what in (
            ("volume_ml: 10", "volume_ml"),
            ("1.0e+9", "volume_ul"),
            ('"${moi}"', "the unit is TU/cell, the field wants uL"),
            ("centrifuge", "centrifuge"),
        ):
            told = [line for line in order.error_msg.splitlines() if f":{line_of(where)}:" in line]
            assert told, f"line {line_of(where)} is not in: {order.error_msg}"
            assert any(what in line for line in told), f"{what!r} is not in: {told}"

    def test_c_wrong_values(self):
        self.refused(CoordinatorCode.RECIPE, "cells_ul", "5000", batch_id="R3", parameters={"cells_ul": 1.0})
        self.refused(CoordinatorCode.RECIPE, "cels_ul", "cells_ul", batch_id="R3", parameters={"cels_ul": 8000.0})
        self.refused(CoordinatorCode.IDENTITY, "F123426000001K", batch_id="R3", patient_id="F123426000001K")
        self.refused(CoordinatorCode.IDENTITY, "patient_weight_kg", batch_id="R3", patient_weight_kg=0.5)
        self.refused(CoordinatorCode.IDENTITY, "batch", batch_id="../R3")

    def test_d_the_command_tells_it_too(self):
        command = [sys.executable, "-m", "mimedi_nodes.commands", "produce", "nonesuch", "--batch-id", "R4"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30.0, check=False)
        assert ended.returncode == 2, ended
        assert "there is no recipe 'nonesuch'" in ended.stderr, ended.stderr

    def test_e_wrong_label(self):
        """The label of another patient holds the batch before anything has moved."""
        type(self).held = self.client.order("W1")
        status = self.client.wait_batch(lambda b: b.state == "held", 20.0, "the batch is held")
        assert "scan_apheresis" in status.hold_reason, status.hold_reason
        assert "F123426000029" in status.hold_reason, status.hold_reason
        truth = self.client.wait_truth(lambda t: True, 10.0, "the truth of the plant")
        assert truth["vessels"]["sorter_inlet"]["volume_ul"] == 0.0

    def test_f_one_batch_at_a_time_and_each_once(self):
        self.refused(CoordinatorCode.BUSY, "another batch", batch_id="W2")
        answer = self.client.command("stop", "the wrong bag was brought")
        assert answer.accepted, answer.message
        result = self.held.result(20.0)
        assert result.verdict not in ("meets", "meets_provisionally")
        assert "the wrong bag was brought" in result.error_msg
        self.refused(CoordinatorCode.BATCH_EXISTS, "W1", "once", batch_id="W1")

    def test_g_records(self, folder):
        """What was refused left no record; what was held has a whole one that names the label."""
        assert sorted(path.name for path in (folder / "runs").iterdir() if not path.name.startswith(".")) == ["W1"]
        events = record_of(folder, "W1")
        refusal = next(of_kind(events, "identity_refused"))
        assert "F123426000029" in refusal.data["answer"]
        assert not list(of_kind(events, "phase_started", "phase_intended"))


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    def test_exit_codes(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)

    def test_nothing_is_left(self):
        assert processes() == {}
