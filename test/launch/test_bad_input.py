# SPDX-License-Identifier: Apache-2.0
"""Orders that cannot be carried out: each is refused or held with what is wrong, and the record stays whole.

Then people at the windows make a batch of the same workcell answer, hold, restart, take an acknowledgement and stop.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from in_room import InRoom
from run_checks import TESTS, InOrder, new_folder, of_kind, record_of
from workcell_client import PATIENT, Client, workcell

from launch import LaunchDescription
from mimedi_msgs.srv import AnswerPrompt
from mimedi_nodes.nodes.coordination.order_check import CoordinatorCode
from mimedi_nodes.process.identity.identity import make_identifier

STRANGER = make_identifier("F1234", 26, 2)
"""Chain of identity of a patient whom no batch here is for."""
LINE = "fluidics_pumps"
WHO = "A. Martin"
NO_DISPLAY = " ".join(p for p, tool in (("xvfb", "xvfb-run"), ("xdotool", "xdotool")) if shutil.which(tool) is None)
"""Debian packages that a window on a display is short of here."""
WRONG_RECIPE = (TESTS / "recipes" / "wrong.yaml").read_text(encoding="utf-8").splitlines()


@pytest.mark.launch_test
def generate_test_description():
    folder = new_folder()
    shipped = workcell(folder / "runs", config=str(folder / "config"), operator="ask", record="false")
    return LaunchDescription([shipped, launch_testing.actions.ReadyToTest()]), {"folder": folder}


def line_of(text: str) -> int:
    """Return the number of the line of the wrong recipe that holds `text`."""
    return next(number for number, line in enumerate(WRONG_RECIPE, start=1) if text in line)


def end_group(child: subprocess.Popen) -> None:
    """End a process that has not ended, and all that it has started."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)


class TestRefusals(InRoom):
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
        self.client.wait(lambda: [p for p in self.client.prompts if p.open], 60.0, "the label is asked for")
        label = f"={STRANGER}/apheresis"
        answer = AnswerPrompt.Request(
            prompt_id=self.client.prompts[-1].prompt_id, answer=label, who="tester", why="scanned"
        )
        assert self.client.call("answer_prompt", answer).accepted
        status = self.client.wait_batch(lambda b: b.state == "held", 60.0, "the batch is held")
        assert "scan_apheresis" in status.hold_reason, status.hold_reason
        assert STRANGER in status.hold_reason, status.hold_reason
        truth = self.client.wait_truth(lambda t: True, 30.0, "the truth of the plant")
        assert truth["vessels"]["sorter_inlet"]["volume_ul"] == 0.0

    def test_f_a_second_batch_waits_and_each_is_made_once(self):
        """A batch does not begin while a unit that it will need is a held one's; commands say which one is meant."""
        waiting = self.client.order("W2")
        status = self.client.wait_ever("W2", lambda b: "does not begin yet" in b.step, 60.0, "the second batch waits")
        assert "culture is not free in time: batch W1 has it" in status.step, status.step
        assert "several batches" in self.client.command("stop", "which one?").message
        assert self.client.command("stop", "not today", "W2").accepted
        assert "not today" in waiting.result(20.0).error_msg
        answer = self.client.command("stop", "the wrong bag was brought")
        assert answer.accepted, answer.message
        result = self.held.result(20.0)
        assert result.verdict not in ("meets", "meets_provisionally")
        assert "the wrong bag was brought" in result.error_msg
        self.refused(CoordinatorCode.BATCH_EXISTS, "W1", "once", batch_id="W1")

    def test_g_records(self, folder):
        """What was refused left no record; what was held has a whole one that names the label."""
        runs = sorted(path.name for path in (folder / "runs").iterdir() if not path.name.startswith("."))
        assert runs == ["W1", "W2"]
        events = record_of(folder, "W1")
        refusal = next(of_kind(events, "identity_refused"))
        assert STRANGER in refusal.data["answer"]
        assert not list(of_kind(events, "phase_started", "phase_intended"))

    def test_h_a_person_at_the_overview(self, folder):
        self.at_a_window(folder, "overview", {"QT_QPA_PLATFORM": "offscreen"})

    @unittest.skipIf(NO_DISPLAY, f"no virtual display: apt-get install {NO_DISPLAY}")
    def test_i_a_person_at_the_tabs_under_an_x_server(self, folder):
        self.at_a_window(folder, "all", {"QT_QPA_PLATFORM": "xcb"}, "xvfb-run", "-a", "-s", "-screen 0 1280x800x24")

    def at_a_window(self, folder: Path, name: str, environment: dict[str, str], *display: str):
        """A person at a window of its own process makes a batch go its way; the record tells what she did, and why."""
        # The room is verified for ten minutes first: she stops the batch before cells come into the fluid path.
        self.client.set_clock(speed=1.0)
        order, batch_id = self.client.order(f"G-{name}"), f"G-{name}"
        hand = [sys.executable, str(Path(__file__).with_name("window_hand.py")), name, f"={PATIENT}/apheresis", WHO]
        # A window remembers its size, board and language: not those of whoever runs the tests, nor for them.
        environment = {**os.environ, **environment, "XDG_CONFIG_HOME": str(folder / f"{name}_settings")}
        log = folder / f"{name}.log"
        with (
            log.open("w", encoding="utf-8") as told,
            # A session of its own: whoever ends it ends the X server with it.
            subprocess.Popen(
                [*display, *hand],
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                env=environment,
                start_new_session=True,
            ) as child,
        ):
            try:
                for step in ("answered", "held", "running"):
                    self.does(child, step, log)
                self.client.wait_batch(lambda b: b.state == "running", 60.0, "the batch runs")
                self.client.fault("line_silent", LINE, active=True)
                alarm_id = self.does(child, "acknowledged", log)
                assert alarm_id.startswith("fluidics."), f"{alarm_id} was acknowledged, not an alarm of the fluidics"
                self.client.fault("line_silent", LINE, active=False)
                self.does(child, "stopped", log)
                status = child.wait(30.0)
                assert status == 0, f"the window ended with {status}: {log.read_text(encoding='utf-8')}"
            finally:
                end_group(child)
        assert order.result(20.0).verdict not in ("meets", "meets_provisionally")
        events = record_of(folder, batch_id)
        given = [e for e in of_kind(events, "command") if e.who == WHO]
        commands = [(e.data["command"], WHO, e.why) for e in given]
        assert commands == [
            ("hold", WHO, "a look at the bag"), ("restart", WHO, "the bag is fine"), ("stop", WHO, "enough for a test")
        ], commands  # fmt: skip
        taken = [(e.what, e.who) for e in of_kind(events, "alarm_acknowledged")]
        assert (alarm_id, WHO) in taken, taken
        prompts = [e for e in of_kind(events, "prompt_answered") if not e.what.startswith("changeover:")]
        answered = [e.who for e in prompts]
        assert answered == [WHO], answered

    def does(self, child: subprocess.Popen, step: str, log: Path) -> str:
        """Wait for the person's next step, which is to be this one; return what she tells of it.

        She gives up by herself when it takes long, and says what she sees then.
        """
        done, _, what = child.stdout.readline().strip().partition(" ")
        if done != step:
            end_group(child)
            raise AssertionError(
                f"the person at the window did {done!r} where {step!r} was to come; she said: "
                f"{log.read_text(encoding='utf-8')!r}; {self.client.last_seen()}"
            )
        return what


@launch_testing.post_shutdown_test()
class TestShutdown(InOrder, unittest.TestCase):
    """All ended, in order."""
