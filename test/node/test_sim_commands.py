# SPDX-License-Identifier: Apache-2.0
"""`workcell sim` on a real plant node: faults by service, the clock's commands, the truth; and what is refused."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import domain_coordinator
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from mimedi_nodes.commands import sim
from mimedi_nodes.commands.parts.sim_words import Wrong, duration_s, parameters_of, speed_of
from mimedi_nodes.instruments.wire.link import ReplyTimeout
from mimedi_nodes.nodes.clients.plant_client import PlantClient
from mimedi_nodes.nodes.frame.clocks import NodeClock
from mimedi_nodes.nodes.frame.event_loop import LoopThread
from mimedi_nodes.nodes.module.ros_camera import COLOURS, RosCamera

pytestmark = pytest.mark.ros
NAMESPACE = "cell_s"
HERE = ["--namespace", NAMESPACE]
CONFIG = Path(__file__).parents[2] / "config"
DEADLINE_S = 30.0
PLANT = "import sys; from mimedi_nodes.nodes.plant import main; main()"


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A plant node alone in a DDS domain of this file's own: nobody waits for anything, time stands."""
    folder = tmp_path_factory.mktemp("ports")
    settings = {
        "site": CONFIG / "site" / "demo.yaml", "scenario_dir": CONFIG / "scenarios", "port_dir": folder,
        "truth_period_s": 0.1, "kit": "bacterial_syringe",
    }
    words = [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]
    with domain_coordinator.domain_id() as number, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(number))
        process = subprocess.Popen(
            [sys.executable, "-c", PLANT, "--ros-args", "-r", f"__ns:=/{NAMESPACE}", *words], env=dict(os.environ)
        )
        client = PlantClient(NAMESPACE)
        try:
            client.time(DEADLINE_S)
            yield process
        finally:
            client.close()
            process.terminate()
            process.wait(DEADLINE_S)


def out(capsys, *words):
    """What a command prints; it must succeed."""
    assert sim.main([*words[:1], *HERE, *words[1:]]) == 0
    return capsys.readouterr().out


def test_the_kit_that_was_named_stands_in_place(plant, capsys):
    assert json.loads(out(capsys, "truth", "vessels.antibiotic.amounts.gentamicin_ug")) > 0.0
    assert "vector_tu" not in json.loads(out(capsys, "truth", "vessels.vector.amounts", "--json"))


def test_time_steps_stands_and_goes_on(plant, capsys):
    assert "speed max" in out(capsys, "time")
    assert "day 0.083" in out(capsys, "step", "2h")
    assert "day 1.000 (24.00 h" in out(capsys, "run-until", "1d")
    assert json.loads(out(capsys, "time", "--json"))["time_s"] == pytest.approx(86_400.0)
    assert "stands" in out(capsys, "pause")
    assert json.loads(out(capsys, "time", "--json"))["paused"]
    assert "stands by command" in out(capsys, "time")
    out(capsys, "resume")
    out(capsys, "speed", "3600")
    assert "×3600" in out(capsys, "time")
    out(capsys, "speed", "max")
    assert sim.main(["run-until", *HERE, "1h"]) == 1
    assert "run_until_s is 3600.0; allowed: after " in capsys.readouterr().err


def test_a_fault_goes_in_is_seen_in_the_truth_and_goes_out(plant, capsys):
    before = json.loads(out(capsys, "truth", "vessels.buffer.volume_ul"))
    assert "in: leak buffer volume_ul=5000" in out(capsys, "inject", "leak", "buffer", "volume_ul=5000")
    assert "IN: leak buffer" in out(capsys, "faults")
    out(capsys, "step", "1h")
    assert json.loads(out(capsys, "truth", "vessels.buffer.volume_ul")) == pytest.approx(before - 5000.0, abs=1.0)
    assert json.loads(out(capsys, "faults", "--json"))["active"] == []  # it has run out
    out(capsys, "inject", "line_silent", "scale_buffer")
    out(capsys, "inject", "camera_frozen", "microscope")
    assert "out: line_silent scale_buffer" in out(capsys, "clear", "line_silent", "scale_buffer")
    assert "out: camera_frozen microscope" in out(capsys, "clear", "--all")
    assert "no fault is in" in out(capsys, "clear", "--all")
    assert "Vessels" in out(capsys, "truth")


def test_the_colours_come_while_their_lamps_are_on(plant, capsys):
    """The microscope's four images by their topics: complete frames, with the lamps and without."""
    context = Context()
    rclpy.init(args=[], context=context)
    node = Node("looker", namespace=NAMESPACE, context=context)
    loop = LoopThread("looker")
    camera = RosCamera(node, loop, NodeClock(), "microscope", ("bright", "dye", *COLOURS))

    def frame(fluorescence):
        loop.submit(camera.set_capture(True, fluorescence=fluorescence)).result(DEADLINE_S)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            out(capsys, "step", "0.1s")
            with contextlib.suppress(ReplyTimeout):
                return loop.submit(camera.next_frame(1.0)).result(DEADLINE_S)
        raise AssertionError("no frame has come")

    try:
        lit, dark = frame(True), frame(False)
        loop.submit(camera.set_capture(False)).result(DEADLINE_S)
    finally:
        camera.close()
        loop.stop()
        node.destroy_node()
        rclpy.shutdown(context=context)
    assert [image.shape for image in lit.fluorescence] == [lit.bright_field.shape] * 2
    assert not np.array_equal(*lit.fluorescence)
    assert dark.stamp_s > lit.stamp_s
    assert dark.fluorescence is None
    assert dark.dye is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inject", "laek", "buffer"], "fault 'laek' is unknown; known: afm_"),
        (["inject", "leak", "bufer"], "'bufer' is none; possible: activation_vessel"),
        (["inject", "leak", "buffer", "volume_ul=-3"], "parameter volume_ul is -3.0; allowed: a number from 1 to"),
        (["inject", "leak", "buffer", "volume"], "parameter is 'volume'; allowed: NAME=VALUE"),
        (["inject", "contamination", "buffer", "organism=yeti"], "allowed: escherichia_coli"),
        (["clear", "leak"], "name the fault and its target, or --all"),
        (["faults", "laek"], "unknown; known:"),
        (["speed", "fast"], "allowed: max, or a factor above 0"),
        (["step", "soon"], "allowed: a number with s, min, h or d"),
        (["truth", "vessels.moon"], "there is no 'moon'; there are: apheresis"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(plant, capsys, words, said):
    assert sim.main([*words[:1], *HERE, *words[1:]]) == 1
    assert said in capsys.readouterr().err


def test_nobody_answers_is_2(plant, capsys):
    assert sim.main(["time", "--namespace", "nowhere", "--timeout", "0.3"]) == 2
    assert "no simulated plant answers" in capsys.readouterr().err
    assert sim.main(["faults", "--namespace", "nowhere", "--timeout", "0.3"]) == 0
    assert "No plant answers" in capsys.readouterr().out


def test_words_become_values():
    assert [duration_s(t) for t in ("90", "90s", "1.5min", "2h", "1d")] == [90.0, 90.0, 90.0, 7200.0, 86_400.0]
    assert speed_of("max") == float("inf")
    assert parameters_of(["cfu=10", "organism=candida_albicans"]) == {"cfu": 10.0, "organism": "candida_albicans"}
    for wrong in ("-1h", "2 weeks", ""):
        with pytest.raises(Wrong):
            duration_s(wrong)
