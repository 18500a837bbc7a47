# SPDX-License-Identifier: Apache-2.0
"""The dashboard on a real ROS graph: a small workcell of publishers and services in another namespace's node."""

import array
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dashboard_scene as scene
import domain_coordinator
import pytest
import rqt_host
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from small_workcell import DEADLINE_S, NAMESPACE, SmallWorkcell

from mimedi_msgs.msg import (
    Alarm,
    AlarmList,
    BatchStatus,
    Measurement,
    ModuleState,
    PopulationSummary,
    Prompt,
    Telemetry,
)
from mimedi_nodes.dashboard.boards import by_name as boards
from mimedi_nodes.dashboard.feed import ros_views
from mimedi_nodes.dashboard.feed.ros_bridge import RosBridge
from mimedi_nodes.dashboard.live import Live, LiveOverview
from mimedi_nodes.dashboard.look import language
from mimedi_nodes.dashboard.look.qt import QtCore, QtWidgets
from mimedi_nodes.dashboard.options import parse
from mimedi_nodes.dashboard.views import AlarmPriority, AlarmState, PresenceView, Source
from mimedi_nodes.dashboard.window import Window
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.nodes.recording import image_recorder
from mimedi_nodes.nodes.recording.mcap_writer import McapRecording
from mimedi_nodes.nodes.recording.message_schemas import schema_text
from mimedi_nodes.nodes.recording.replay import Replay

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "plugin.xml"


@pytest.fixture(scope="module")
def domain():
    """A DDS domain of this file's own, on this machine only."""
    with domain_coordinator.domain_id() as number, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(number))
        yield


@pytest.fixture(scope="module")
def application():
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


@pytest.fixture
def workcell(domain):
    made = SmallWorkcell()
    yield made
    made.close()


@pytest.fixture
def live(domain, application):
    made = LiveOverview(NAMESPACE, scene.MODULES, arguments=[])
    made.widget.operator.setText("A. Martin")
    made.widget.show()
    yield made
    made.widget.close()
    made.close()


def until(condition, what):
    """Run Qt's loop until a condition holds."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"not within {DEADLINE_S:g} s: {what}"
        QtWidgets.QApplication.processEvents()
        time.sleep(0.01)


def shown(live, name):
    label = live.widget.findChild(QtWidgets.QLabel, name)
    return label.whole() if hasattr(label, "whole") else label.text()


def test_latched_state_reaches_a_window_that_opens_late(workcell, request):
    workcell.state["incubator"].publish(ModuleState(module="incubator", state=64, action="PerfuseCulture"))
    workcell.publish_batch()
    workcell.alarms.publish(AlarmList(alarms=[Alarm(alarm_id="a.b", state=1, priority=3, message="hot")]))
    live = request.getfixturevalue("live")
    until(lambda: shown(live, "incubator_state") == "EXECUTE", "module state")
    until(lambda: shown(live, "batch_state") == "RUNNING", "batch state")
    until(lambda: shown(live, "alarm_headline") == "1 ALARM", "alarms")
    assert shown(live, "batch_cells") == "2.31 × 10⁹"


def test_a_module_that_only_some_sites_have_gets_a_tile_when_it_is_heard(workcell, live):
    assert "incubator_2" not in live.widget.modules.tiles
    publisher = workcell.node.create_publisher(ModuleState, "incubator_2/state", qos.STATE)
    publisher.publish(ModuleState(module="incubator_2", state=64))
    until(lambda: "incubator_2" in live.widget.modules.tiles, "the second incubator")


def test_telemetry_summary_and_picture(workcell, live):
    pixels = array.array("B", bytes([0, 0, 255]) * 64 * 16)
    values = [Measurement(name="viable_cells", value=1.5e9), Measurement(name="liquid_temperature_c", value=36.9)]

    def publish_until_seen():
        # Best effort: what is sent before discovery is lost.
        workcell.telemetry.publish(Telemetry(stamp=Time(sec=100), module="incubator", values=values))
        for name, value in (("viability", 0.93), ("concentration_per_ml", 2.4e6)):
            measured = Measurement(name=name, value=value, low=value * 0.9, high=value * 1.1)
            workcell.results.publish(Telemetry(stamp=Time(sec=100), module="vision_qc", values=[measured]))
        workcell.image.publish(Image(height=16, width=64, step=192, encoding="bgr8", data=pixels))
        return (
            shown(live, "trend_cells") == "1.50 × 10⁹ cells"
            and shown(live, "vision_viability") == "93 % viable"
            and shown(live, "vision_concentration") == "2.40 × 10⁶ /mL"
            and not live.widget.vision.canvas.image.isNull()
        )

    until(publish_until_seen, "telemetry, results and picture")
    assert live.widget.vision.canvas.image.pixelColor(5, 5).red() == 255
    assert shown(live, "trend_temperature") == "36.9 °C"

    def summary_seen():
        workcell.population.publish(PopulationSummary(sample_id="S1", cells=77, viability=0.5))
        return "77 cells" in shown(live, "vision_details")

    until(summary_seen, "population summary")


def test_hold_is_sent_with_person_and_reason_and_the_new_state_comes_back(workcell, live):
    workcell.publish_batch()
    buttons = live.widget.commands.buttons
    until(lambda: buttons["hold"].isEnabled(), "batch running, coordinator present")
    buttons["hold"].click()
    dialog = live.widget.commands.dialog
    dialog.why.setText("bag leaks")
    dialog.confirm.click()
    until(lambda: shown(live, "batch_state") == "HELD", "state after the command")
    assert (workcell.asked, workcell.named) == ([("hold", "A. Martin", "bag leaks")], ["B1"])
    until(lambda: shown(live, "command_told") == "hold taken", "reply")
    assert buttons["restart"].isEnabled()
    assert not buttons["hold"].isEnabled()


def test_of_several_batches_the_oldest_is_shown_until_another_is_chosen(workcell, live):
    """Each keeps its question; a command goes to the one that is shown, and the one that is not is named when held."""
    choice = live.widget.batch.choice
    workcell.publish_batch()
    until(lambda: shown(live, "batch_state") == "RUNNING", "the first batch")
    assert not choice.isVisible()
    workcell.publish_batch(batch_id="B2", state="paused", hold_reason="the second one")
    for batch_id in ("B1", "B2"):
        workcell.prompt.publish(Prompt(batch_id=batch_id, prompt_id="p", question="Go on?", answers=["Yes"], open=True))
    until(choice.isVisible, "choice of batches")
    until(lambda: "B2" in shown(live, "batches_waiting"), "the held batch that is not shown is named")
    assert [choice.itemText(row) for row in range(choice.count())] == ["B1  ·  RUNNING", "B2  ·  PAUSED"]
    until(lambda: shown(live, "prompt_question") == "Go on?", "the question of the batch that is shown")
    choice.setCurrentIndex(1)
    choice.activated.emit(1)
    until(lambda: shown(live, "batch_state") == "PAUSED", "the second batch")
    until(lambda: shown(live, "prompt_question") == "Go on?", "its question")
    live.widget.prompt.buttons["Yes"].click()
    until(lambda: workcell.named == ["B2"], "the answer names it")
    live.widget.commands.buttons["resume"].click()
    live.widget.commands.dialog.why.setText("looked")
    live.widget.commands.dialog.confirm.click()
    until(lambda: workcell.named == ["B2", "B2"], "the command names it")
    workcell.publish_batch(batch_id="B2", state="complete")
    until(lambda: shown(live, "batch_state") == "COMPLETE", "its end stays on the screen")
    choice.setCurrentIndex(0)
    choice.activated.emit(0)
    until(lambda: not choice.isVisible(), "what has ended is no choice")
    assert shown(live, "batch_state") == "RUNNING"


def test_question_and_alarm_are_answered(workcell, live):
    workcell.prompt.publish(Prompt(batch_id="B1", prompt_id="p1", question="Go on?", answers=["Yes", "No"], open=True))
    workcell.alarms.publish(AlarmList(alarms=[Alarm(alarm_id="a.b", state=1, priority=2, message="hot")]))
    until(lambda: live.widget.prompt.isVisible(), "question")
    until(lambda: "a.b" in live.widget.alarms.rows, "alarm")
    until(lambda: shown(live, "alarm_headline") == "1 ALARM", "supervisor present")
    live.widget.prompt.buttons["No"].click()
    until(lambda: not live.widget.prompt.isVisible(), "question closed")
    live.widget.alarms.rows["a.b"].button.click()
    until(lambda: shown(live, "alarm_told") == "a.b not taken: the cause is still there", "refusal")
    assert workcell.asked == [("p1", "No", "A. Martin", False), ("a.b", "acknowledge", "A. Martin")]


def test_a_coordinator_that_does_not_answer_blocks_neither_window_nor_later_commands(workcell, live):
    live.bridge._reply_timeout_s = 1.0
    workcell.publish_batch()
    buttons = live.widget.commands.buttons
    until(lambda: buttons["pause"].isEnabled(), "batch running")
    workcell.answer_at_all.clear()
    buttons["pause"].click()
    live.widget.commands.dialog.why.setText("a look")
    begun_s = time.monotonic()
    live.widget.commands.dialog.confirm.click()
    assert time.monotonic() - begun_s < 0.2
    assert not buttons["pause"].isEnabled()
    until(lambda: "no answer" in shown(live, "command_told"), "time-out")
    assert buttons["pause"].isEnabled()
    workcell.answer_at_all.set()
    until(lambda: shown(live, "batch_state") == "HELD", "the late command was carried out and is shown")
    assert "no answer" in shown(live, "command_told")


def test_nothing_is_called_absent_before_discovery_has_had_its_time(domain, application):
    told = {}
    for discovery_s in (600.0, 0.0):
        bridge = RosBridge("nobody_here", [], arguments=[], discovery_s=discovery_s)
        try:
            found = []

            def heard(bridge=bridge, found=found):
                found.extend(item for item in bridge.take() if isinstance(item, PresenceView))
                return found

            until(heard, "a first word on who is there")
            told[discovery_s] = found[0]
        finally:
            bridge.close()
    assert told == {
        600.0: PresenceView(frozenset(), frozenset(Source)),
        0.0: PresenceView(frozenset(), frozenset()),
    }


def test_a_workcell_that_goes_and_comes_back(domain, live):
    first = SmallWorkcell()
    try:
        first.publish_batch()
        until(lambda: shown(live, "batch_state") == "RUNNING", "first workcell")
    finally:
        first.close()
    until(lambda: shown(live, "batch_state") == "RUNNING?  COORDINATOR LOST", "loss seen")
    until(lambda: shown(live, "alarm_headline") == "ALARMS NOT WATCHED", "loss of the supervisor seen")
    assert not any(button.isEnabled() for button in live.widget.commands.buttons.values())
    second = SmallWorkcell()
    try:
        second.publish_batch(state="held", hold_reason="restarted")
        until(lambda: shown(live, "batch_state") == "HELD", "second workcell")
    finally:
        second.close()


def test_a_closed_window_leaves_the_graph_at_once(workcell, domain, application):
    made = LiveOverview(NAMESPACE, scene.MODULES, arguments=[])
    until(lambda: workcell.batch.get_subscription_count() == 1, "the window joined")
    made.close()
    begun_s = time.monotonic()
    until(lambda: workcell.batch.get_subscription_count() == 0, "the window left")
    assert time.monotonic() - begun_s < 5.0
    made.close()  # harmless


def test_another_namespace_is_another_workcell(domain, live, workcell):
    other = SmallWorkcell("cell_b")
    try:
        other.publish_batch(batch_id="OTHER")
        workcell.publish_batch(batch_id="OURS")
        until(lambda: "OURS" in shown(live, "batch_identity"), "our batch")
        assert "OTHER" not in shown(live, "batch_identity")
    finally:
        other.close()


def test_a_flood_of_states_is_drawn_at_the_display_rate(workcell, live):
    drawn = []
    original = live.widget.show_items
    live.widget.show_items = lambda items: (drawn.append(time.monotonic()), original(items))
    until(lambda: workcell.state["fluidics"].get_subscription_count() > 0, "discovery")
    begun_s = time.monotonic()
    for step in range(500):
        workcell.state["fluidics"].publish(ModuleState(module="fluidics", state=64, step=f"step {step}"))
        QtWidgets.QApplication.processEvents()
    until(lambda: shown(live, "fluidics_step") == "step 499", "the last state, whatever was dropped")
    assert len(drawn) <= (time.monotonic() - begun_s) / 0.14 + 2


def test_codes_of_views_are_those_of_the_messages():
    for view, names in ((AlarmState, AlarmState.__members__), (AlarmPriority, AlarmPriority.__members__)):
        assert {name: int(view[name]) for name in names} == {name: getattr(Alarm, name) for name in names}


@pytest.mark.parametrize(
    ("encoding", "pixel", "step"), [("bgr8", (1, 2, 3), 8), ("rgb8", (3, 2, 1), 6), ("mono8", (9,), 5)]
)
def test_pictures_of_each_encoding_with_padded_rows(encoding, pixel, step):
    row = list(pixel) * 2
    data = array.array("B", (row + [77] * (step - len(row))) * 3)
    view = ros_views.picture_view(Image(width=2, height=3, step=step, encoding=encoding, data=data))
    assert view.bgr == bytes((1, 2, 3) if len(pixel) == 3 else (9, 9, 9)) * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "16UC1"}, "16UC1"),
        ({"step": 5}, "steps of 5"),
        ({"width": 0}, "0 x 3"),
        ({"height": 4}, "do not fit"),
    ],
)
def test_pictures_that_cannot_be_shown_say_why(change, message):
    fields = {"width": 2, "height": 3, "step": 6, "encoding": "bgr8", "data": array.array("B", bytes(18))}
    with pytest.raises(ros_views.PictureError, match=message):
        ros_views.picture_view(Image(**(fields | change)))


def test_an_alarm_with_a_code_of_a_later_version_counts_as_urgent():
    view = ros_views.alarms_view(AlarmList(alarms=[Alarm(alarm_id="x", state=99, priority=9)])).alarms[0]
    assert (view.state, view.priority) == (AlarmState.UNACKNOWLEDGED, AlarmPriority.HIGH)


def test_a_recording_plays_its_pictures_to_the_vision_board(domain, application, tmp_path):
    path = tmp_path / "topics.mcap"
    made = McapRecording(path, schema_text)
    for topic, encoding, grey in (("vision_qc/annotated", "bgr8", 200), ("sorter_camera/image_raw", "mono8", 90)):
        channels = 3 if encoding == "bgr8" else 1
        image = Image(height=64, width=128, step=128 * channels, encoding=encoding)
        image.data = array.array("B", bytes([grey]) * (64 * 128 * channels))
        channel = made.add_topic(f"/old/{topic}/compressed", image_recorder.TYPE, "IMAGE")
        data = serialize_message(image_recorder.compress(image))
        for number in range(100):  # for ten seconds: best effort, so what comes before discovery is lost
            at_ns = number * 100_000_000
            made.write(channel, data, at_ns, at_ns)
    status = made.add_topic("/old/coordinator/batch_status", "mimedi_msgs/msg/BatchStatus", "STATE")
    made.write(status, serialize_message(BatchStatus(batch_id="B9", state="running")), 10**10, 10**10)
    made.finish()
    live = Live(NAMESPACE, scene.MODULES, [])
    board = boards.make("vision", live.modules, tmp_path)
    board.show()
    live.add(board)
    with Replay(path, NAMESPACE) as replay:
        assert replay.unknown == {}
        player = threading.Thread(target=replay.play, args=(10.0,))
        player.start()
        pictures = (board.microscope.canvas, board.sorter)
        until(lambda: all(not picture.image.isNull() for picture in pictures), "both pictures")
        player.join()
        assert replay.unreadable == ""
    assert [picture.image.pixelColor(60, 30).red() // 10 for picture in pictures] == [20, 9]
    board.close()
    live.close()


@pytest.fixture
def rqt(domain, application, tmp_path, monkeypatch):
    """Makes hosts as rqt is one; all of them keep their settings in one file."""
    rqt_host.provide_base(monkeypatch)
    hosts = []

    def make():
        hosts.append(rqt_host.Host(MANIFEST, tmp_path / "rqt.ini"))
        hosts[-1].window.resize(1280, 800)
        hosts[-1].window.show()
        return hosts[-1]

    yield make
    for host in hosts:
        host.unload_all()
        host.window.close()
    monkeypatch.delitem(sys.modules, "mimedi_nodes.dashboard.plugin", raising=False)


def test_every_plugin_loads_in_an_rqt_host_shares_one_node_and_leaves(workcell, rqt, tmp_path):
    host = rqt()
    arguments = ["--namespace", NAMESPACE, "--runs", str(tmp_path), "--language", "en"]
    contexts = {name: host.load(name, arguments)[1] for name in host.types}
    assert len(contexts) == 7
    until(lambda: workcell.batch.get_subscription_count() == 1, "one node for all boards")
    workcell.publish_batch(state="held", hold_reason="a look")
    shown_boards = {name: next(iter(context.docks)) for name, context in contexts.items()}
    state = shown_boards["Batch"].findChild(QtWidgets.QLabel, "batch_state")
    until(lambda: state.text() == "HELD", "the batch's state in a dock")
    assert len({board.objectName() for board in shown_boards.values()}) == 7
    assert all(dock.windowTitle().endswith(NAMESPACE) for c in contexts.values() for dock in c.docks.values())
    shown_boards["Batch"].operator.setText("A. Martin")
    shown_boards["Batch"].commands.buttons["restart"].click()
    shown_boards["Batch"].commands.dialog.why.setText("all is well")
    shown_boards["Batch"].commands.dialog.confirm.click()
    until(lambda: ("restart", "A. Martin", "all is well") in workcell.asked, "the command from a dock")
    host.unload_all()
    until(lambda: workcell.batch.get_subscription_count() == 0, "the node left with the last board")
    # Another rqt remembers namespace and name; the second board of a kind has a number of its own.
    again = rqt()
    _, context = again.load("Batch", ["--runs", str(tmp_path)])
    assert next(iter(context.docks)).operator.text() == "A. Martin"
    until(lambda: workcell.batch.get_subscription_count() == 1, "the namespace was remembered")
    _, second = again.load("Batch", ["--namespace", NAMESPACE, "--runs", str(tmp_path)])
    assert next(iter(second.docks)).windowTitle().endswith("(2)")


@pytest.fixture
def window(domain):
    """Starts the stand-alone window as its own process; none outlives its test."""
    children = []

    def start(*arguments):
        env = dict(os.environ, QT_QPA_PLATFORM="offscreen")
        command = [sys.executable, "-m", "mimedi_nodes.dashboard.window", "--namespace", NAMESPACE, *arguments]
        children.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


def test_the_stand_alone_window_saves_its_picture_and_ends_with_0(workcell, window, tmp_path):
    workcell.publish_batch(state="held", hold_reason="a look")
    file = tmp_path / "window.png"
    child = window("--screenshot", str(file), "--after", "2", "--size", "1024x768")
    assert child.wait(60) == 0, child.stderr.read()
    assert file.stat().st_size > 10_000
    assert child.stderr.read().count("Traceback") == 0


def test_a_picture_that_cannot_be_written_ends_with_2_and_says_so(window, tmp_path):
    child = window("--screenshot", str(tmp_path / "none" / "window.png"), "--after", "0.1")
    assert child.wait(60) == 2
    assert "cannot write" in child.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_the_stand_alone_window_ends_with_0_when_told_to_stop(workcell, window, number):
    child = window()
    end_s = time.monotonic() + DEADLINE_S
    while workcell.batch.get_subscription_count() == 0:
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < end_s, "the window has not joined the graph"
        time.sleep(0.05)
    child.send_signal(number)
    assert child.wait(20) == 0, child.stderr.read()


def test_a_window_opens_where_it_stood_with_the_board_and_the_language_that_it_had(
    domain, application, tmp_path, monkeypatch
):
    monkeypatch.setenv("LC_ALL", "C")
    place = QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope
    before = QtCore.QFileInfo(QtCore.QSettings(*place, "mimedi", "workcell").fileName()).path()
    for kind in (QtCore.QSettings.IniFormat, QtCore.QSettings.NativeFormat):
        QtCore.QSettings.setPath(kind, QtCore.QSettings.UserScope, str(tmp_path))
    asked = ["all", "--runs", str(tmp_path / "runs"), "--modules", "fluidics"]

    def opened(*more):
        made = Window(parse([*asked, *more]), ["dashboard"])
        application.processEvents()
        return made

    def state(window):
        size = (window.widget.width(), window.widget.height())
        return size, window.boards[window.widget.currentIndex()].objectName(), language.chosen()

    windows = []
    try:
        windows.append(opened())
        assert state(windows[-1]) == ((1280, 800), "workcell_board", "en")
        windows[-1].close()
        windows.append(opened("--language", "fr"))
        windows[-1].widget.resize(1400, 820)
        windows[-1].widget.setCurrentIndex(4)
        windows[-1].boards[4].span.setCurrentIndex(1)
        windows[-1].close()
        windows.append(opened())
        assert state(windows[-1]) == ((1400, 820), "trend_board", "fr")
        assert windows[-1].boards[4].span.currentIndex() == 1
        windows[-1].close()
        windows.append(opened("--language", "en", "--size", "1300x810"))
        assert state(windows[-1]) == ((1300, 810), "trend_board", "en")
    finally:
        language.choose("en")
        windows[-1].close()
        for window in windows:
            window.widget.close()
            window.widget.deleteLater()
        application.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
        for kind in (QtCore.QSettings.IniFormat, QtCore.QSettings.NativeFormat):
            QtCore.QSettings.setPath(kind, QtCore.QSettings.UserScope, str(Path(before).parent))


NO_SCREEN = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]


@pytest.mark.skipif(bool(NO_SCREEN), reason=f"no virtual screen: apt-get install xvfb xdotool ({NO_SCREEN})")
def test_a_window_whose_display_dies_says_so_and_remembers(domain, tmp_path):
    end_s = time.monotonic() + 60.0
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    window = None
    try:
        where = {**os.environ, "DISPLAY": f":{server.stdout.readline().strip()}", "XDG_CONFIG_HOME": str(tmp_path)}
        where.pop("QT_QPA_PLATFORM", None)
        command = [sys.executable, "-m", "mimedi_nodes.commands", "dashboard", "alarms", "--operator", "A. Martin"]
        window = subprocess.Popen(command, cwd=ROOT, env=where, stderr=subprocess.PIPE, text=True)
        look = ["xdotool", "search", "--onlyvisible", "--name", "Alarm"]
        while subprocess.run(look, env=where, capture_output=True, check=False, timeout=20.0).returncode:
            assert window.poll() is None, window.stderr.read()
            assert time.monotonic() < end_s, "no window"
            time.sleep(0.2)
        server.kill()
        told = window.communicate(timeout=30.0)[1]
        assert (window.returncode, "the display is gone" in told) == (2, True), told
        assert "A. Martin" in (tmp_path / "mimedi" / "workcell.conf").read_text()
    finally:
        if window is not None and window.poll() is None:
            window.kill()
            window.wait()
        server.kill()
        server.wait()
