# SPDX-License-Identifier: Apache-2.0
"""The terminal's commands on a real ROS graph, and the playback of recordings."""

import io
import json
import math
import os
import subprocess
import threading
import time
from pathlib import Path

import domain_coordinator
import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rich.console import Console
from small_workcell import DEADLINE_S, MODULES, NAMESPACE, SmallWorkcell

from mimedi_msgs.msg import Alarm, AlarmList, BatchStatus, Measurement, ModuleState, Prompt, Telemetry
from mimedi_nodes.commands import alarms, answer, procedure, replay, status, user, watch
from mimedi_nodes.commands.parts.people import Place, registry
from mimedi_nodes.modules.registry import config_folder
from mimedi_nodes.nodes.clients.workcell_client import WorkcellClient
from mimedi_nodes.nodes.frame.doorkeeper import Doorkeeper
from mimedi_nodes.nodes.frame.spinning import SpinThread
from mimedi_nodes.nodes.recording.mcap_writer import McapRecording, is_whole, mend
from mimedi_nodes.nodes.recording.message_schemas import schema_text
from mimedi_nodes.nodes.recording.replay import RecordingError, Replay, read_recording, recorded_namespace
from mimedi_nodes.nodes.supervision.alarm_keeper import AlarmKeeper
from mimedi_nodes.process.alarms.board import AlarmBoard
from mimedi_nodes.process.alarms.table import read_alarm_table
from mimedi_nodes.records.outbox import Outbox

pytestmark = pytest.mark.ros
HERE = ["--namespace", NAMESPACE]
DAY_S = 86400


@pytest.fixture(scope="module", autouse=True)
def domain():
    """A DDS domain of this file's own, on this machine only."""
    with domain_coordinator.domain_id() as number, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(number))
        yield


@pytest.fixture
def workcell():
    made = SmallWorkcell()
    for number, module in enumerate(MODULES):
        made.state[module].publish(ModuleState(module=module, state=64 if number else 16, progress=0.5, step="at work"))
    made.publish_batch(phases_done=3, phases_total=46)
    made.alarms.publish(AlarmList())
    yield made
    made.close()


@pytest.fixture
def no_accounts(tmp_path, monkeypatch):
    """Nobody has an account here: names are taken."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return ["--runs", str(tmp_path / "runs")]


# --- looking ---


def test_status_tells_and_says_by_its_exit_status_whether_somebody_is_wanted(workcell, capsys):
    assert status.main([*HERE, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["batch"]["state"] == "running"
    assert (found["batch"]["phases_done"], found["batch"]["phases_total"]) == (3, 46)
    assert {m["state"] for m in found["modules"].values()} == {"EXECUTE", "IDLE"}
    assert status.main([*HERE, "--check"]) == 0
    workcell.publish_batch(state="held", hold_reason="a bag leaks")
    assert status.main([*HERE, "--check"]) == 1
    assert "HELD: a bag leaks" in capsys.readouterr().out


def test_status_shows_the_oldest_of_several_batches_or_the_one_that_is_named(workcell, capsys):
    workcell.publish_batch(batch_id="B2", state="held", hold_reason="a door is open")
    workcell.prompt.publish(Prompt(batch_id="B2", prompt_id="p", question="Go on?", answers=["Yes"], open=True))
    found, end_s = {"batches": {}}, time.monotonic() + DEADLINE_S
    while len(found["batches"]) < 2 and time.monotonic() < end_s:  # a machine may be too busy for the first look
        assert status.main([*HERE, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
    assert (found["batch"]["batch_id"], found["batches"]) == ("B1", {"B1": "running", "B2": "held"})
    status.show(found, Console(width=110))
    told = capsys.readouterr().out
    assert "also in production: B2, held" in told
    assert "Question of B2: Go on?" in told
    assert status.waits_for_a_person(found)
    assert status.main([*HERE, "--batch", "B2"]) == 0
    assert "HELD: a door is open" in capsys.readouterr().out
    assert status.main([*HERE, "--batch", "B3"]) == 2
    assert "batch 'B3' is not in production; there are: B1" in capsys.readouterr().err


def test_nobody_answers_is_2(capsys):
    for command in (status.main, watch.main, alarms.main):
        assert command(["--namespace", "nowhere", "--timeout", "0.3"]) == 2
        assert "workcell" in capsys.readouterr().err
    assert procedure.main(["--namespace", "nowhere", "--timeout", "0.3", "--why", "x"], "hold") == 2


def test_watch_follows_a_batch_to_its_end_in_lines_of_json(workcell, capsys):
    thread = threading.Timer(1.0, lambda: workcell.publish_batch(state="complete", progress=1.0))
    thread.start()
    assert watch.main([*HERE, "--until-end", "--json", "--rate", "10"]) == 0
    thread.join()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["batch"]["state"] for line in lines][-1] == "complete"
    assert any(line["batch"]["state"] == "running" for line in lines)


def test_the_watched_screen_shows_all_there_is(workcell):
    client = WorkcellClient(NAMESPACE, MODULES)
    client.listen_to_values()
    client.start()
    try:
        values = [Measurement(name="liquid_temperature_c", value=36.9, unit="degC")]

        def heard(seen):
            workcell.telemetry.publish(Telemetry(module="incubator", values=values))
            return bool(seen.measured) and seen.batch is not None and len(seen.modules) == len(MODULES)

        end_s = time.monotonic() + DEADLINE_S
        while not client.wait_seen(heard, 0.2):
            assert time.monotonic() < end_s
        workcell.publish_batch(state="held", hold_reason="line silent")
        workcell.alarms.publish(
            AlarmList(alarms=[Alarm(alarm_id="a.b", state=1, priority=3, message="hot", response="cool it")])
        )
        workcell.prompt.publish(Prompt(batch_id="B1", prompt_id="p", question="Go on?", answers=["Yes"], open=True))
        workcell.publish_batch(batch_id="B2", state="paused", hold_reason="the second one")
        assert client.wait_seen(
            lambda s: s.prompt and s.alarms and s.batch.state == "held" and "B2" in s.batches, DEADLINE_S
        )
        console = Console(width=110, record=True, file=io.StringIO())
        console.print(watch.screen(client.seen, MODULES, watch.CellHistory(), time.monotonic()))
        text = console.export_text()
        second = Console(width=110, record=True, file=io.StringIO())
        second.print(watch.screen(client.seen, MODULES, watch.CellHistory(), time.monotonic(), "B2"))
        silent = Console(width=110, record=True, file=io.StringIO())
        silent.print(watch.screen(client.seen, MODULES, watch.CellHistory(), time.monotonic() + 9.0))
    finally:
        client.close()
    for part in ("HELD", "line silent", "EXECUTE", "culture 36.9 °C", "a.b", "cool it", "Go on?", "64%"):
        assert part in text, part
    assert "also in production: B2  PAUSED: the second one" in text
    assert "Batch B2" in (shown := second.export_text())
    assert "also in production: B1  HELD: line silent" in shown
    assert "QUESTION of B1" in shown
    assert "EXECUTE? silent" in silent.export_text()


# --- acting ---


def test_hold_is_given_with_person_and_reason_and_waits_for_the_state(workcell, no_accounts, capsys):
    given = [*HERE, *no_accounts, "--who", "A. Martin", "--why", "bag leaks", "--json"]
    assert procedure.main(given, "hold") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "held"
    assert workcell.asked == [("hold", "A. Martin", "bag leaks")]
    assert procedure.main(given, "hold") == 1  # held already: the table knows before anybody is asked
    assert "allowed: abort, restart, stop" in _sorted_allowed(capsys.readouterr().err)
    assert len(workcell.asked) == 1


def _sorted_allowed(text):
    head, _, allowed = text.strip().partition("allowed: ")
    return f"{head}allowed: {', '.join(sorted(allowed.split(', ')))}"


def test_without_person_or_reason_or_confirmation_nothing_is_sent(workcell, no_accounts, capsys):
    base = [*HERE, *no_accounts]
    assert procedure.main([*base, "--who", "A"], "hold") == 2
    assert "reason" in capsys.readouterr().err
    assert procedure.main([*base, "--why", "x"], "hold") == 2
    assert "--who" in capsys.readouterr().err
    assert procedure.main([*base, "--who", "A", "--why", "x"], "abort") == 2
    assert "--yes" in capsys.readouterr().err
    assert workcell.asked == []


def test_an_answer_is_taken_from_the_command_line(workcell, no_accounts, capsys):
    workcell.prompt.publish(Prompt(batch_id="B1", prompt_id="p1", question="Go on?", answers=["Yes", "No"], open=True))
    assert answer.main(["No", *HERE, *no_accounts, "--who", "A"]) == 0
    assert workcell.asked == [("p1", "No", "A", False)]
    assert answer.main(["No", *HERE, *no_accounts, "--who", "A", "--timeout", "0.5"]) == 2


def test_alarms_are_listed_and_acted_on(workcell, no_accounts, capsys):
    assert alarms.main([*HERE]) == 0
    capsys.readouterr()
    assert alarms.main(["ack", "--all", *HERE]) == 0
    assert capsys.readouterr().out == "No alarm waits to be acknowledged.\n"
    low = Alarm(alarm_id="low.one", state=1, priority=1, message="low")
    high = Alarm(alarm_id="high.one", state=1, priority=3, message="high", response="run")
    workcell.alarms.publish(AlarmList(alarms=[low, high]))
    capsys.readouterr()
    assert alarms.main([*HERE, "--json"]) == 1
    assert [row["alarm_id"] for row in json.loads(capsys.readouterr().out)] == ["high.one", "low.one"]
    assert alarms.main(["ack", "--all", *HERE, *no_accounts, "--who", "A"]) == 1  # this workcell refuses
    assert "the cause is still there" in capsys.readouterr().err
    assert workcell.asked == [("high.one", "acknowledge", "A"), ("low.one", "acknowledge", "A")]
    assert alarms.main(["shelve", "low.one", *HERE, *no_accounts, "--who", "A"]) == 2  # no reason
    assert alarms.main(["shelve", "low.one", *HERE, *no_accounts, "--who", "A", "--why", "x", "--hours", "30"]) == 2
    assert len(workcell.asked) == 2


def test_explain_needs_no_workcell_and_knows_patterns(capsys):
    assert alarms.main(["explain", "fluidics.pump_fault", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["response"].startswith("Look at power")
    assert alarms.main(["explain", "no_such_thing"]) == 1


# --- people ---


class Supervising:
    """A supervisor's alarm board behind its service, with accounts."""

    def __init__(self, folder, users_dir):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, args=[])
        self.node = Node("supervisor", namespace=NAMESPACE, context=self.context)
        self.outbox = Outbox(folder / "outbox.sqlite", "supervisor")
        board = AlarmBoard(read_alarm_table(config_folder() / "alarms.yaml"))
        self.keeper = AlarmKeeper(self.node, board, folder / "alarms.json", self.outbox, Doorkeeper(users_dir))
        self.keeper.report("supervisor.node_lost", "supervisor/fluidics", "fluidics is lost", True)
        self.spinning = SpinThread(self.node, self.context, "supervised")
        self.spinning.start()

    def close(self):
        self.spinning.stop()
        self.keeper.close()
        self.node.destroy_node()
        self.context.try_shutdown()
        self.outbox.close()


def test_with_accounts_an_alarm_is_acknowledged_by_a_session_and_goes_on_record_as_its_person(tmp_path, capsys):
    place = Place(tmp_path / "runs")
    users = registry(place)
    first, ben, eva = "phrase of the first day", "correct horse battery", "a third one, longer"
    users.add("anna", "Anna Ruiz", ["administrator"], first, None)
    anna = users.authenticate("anna", first)
    for name, role, password in (("ben", "operator", ben), ("eva", "quality_assurance", eva)):
        users.add(name, name, [role], first, anna)
        users.change_password(name, first, password)
        (tmp_path / name).write_text(password)
    made = Supervising(tmp_path, place.users)
    ack = ["ack", "supervisor.node_lost", *HERE, "--runs", str(place.runs)]
    try:
        assert alarms.main([*ack, "--who", "Ben"]) == 2  # nobody is logged in, a name is not enough
        assert "user login" in capsys.readouterr().err
        assert alarms.main([*ack, "--user", "eva", "--password-file", str(tmp_path / "eva")]) == 1
        assert "may not acknowledge; roles that may: operator" in capsys.readouterr().err
        assert user.main(["login", "ben", "--runs", str(place.runs), "--password-file", str(tmp_path / "ben")]) == 0
        assert alarms.main(ack) == 0
        (event,) = [e for e in made.outbox.pending() if e.kind == "alarm_acknowledged"]
        assert (event.who, event.what) == ("ben", "supervisor.node_lost")
        shelve = ["shelve", "supervisor.node_lost", "--why", "x", *HERE, "--runs", str(place.runs)]
        assert alarms.main(shelve) == 1
        assert "ben (operator) may not shelve" in capsys.readouterr().err
    finally:
        made.close()


# --- recordings ---


@pytest.fixture
def recording(tmp_path):
    """Ten days of a batch in two seconds of wall time."""
    path = tmp_path / "topics.mcap"
    made = McapRecording(path, schema_text)
    batch = made.add_topic("/old_name/coordinator/batch_status", "mimedi_msgs/msg/BatchStatus", "STATE")
    state = made.add_topic("/old_name/incubator/state", "mimedi_msgs/msg/ModuleState", "STATE")
    value = made.add_topic("/old_name/incubator/telemetry", "mimedi_msgs/msg/Telemetry", "TELEMETRY")
    for step in range(100):
        stamp = Time(sec=step * DAY_S // 10)
        at_ns = 1_700_000_000_000_000_000 + step * 20_000_000
        word = "running" if step < 99 else "complete"
        status_ = BatchStatus(stamp=stamp, batch_id="B9", state=word, progress=step / 99)
        values = [Measurement(name="viable_cells", value=1e8 * 1.03**step, unit="cells")]
        made.write(batch, serialize_message(status_), at_ns, at_ns)
        made.write(state, serialize_message(ModuleState(stamp=stamp, module="incubator", state=64)), at_ns, at_ns)
        made.write(value, serialize_message(Telemetry(stamp=stamp, module="incubator", values=values)), at_ns, at_ns)
        if step % 10 == 9:
            made.flush()
    made.finish()
    return path


def test_a_recording_plays_into_another_namespace_at_the_pace_asked_for(recording, capsys, monkeypatch):
    monkeypatch.setattr(replay, "LOOK_S", 0.1)  # nobody else is in this domain
    client = WorkcellClient("cell_z", ("incubator",))
    client.listen_to_values()
    client.start()
    try:
        begun_s = time.monotonic()
        assert replay.main([str(recording), "--namespace", "cell_z", "--wait", "20", "--speed", "2", "--json"]) == 0
        took_s = time.monotonic() - begun_s
        told = json.loads(capsys.readouterr().out)
        assert client.wait_seen(lambda s: s.batch is not None and s.batch.state == "complete", DEADLINE_S)
    finally:
        client.close()
    assert told["messages"] == 300
    assert told["process_s"] == pytest.approx(9.8 * DAY_S)  # a stamp of 0 is none
    assert took_s >= 1.98 / 2
    assert client.seen.modules["incubator"].state == 64


def test_nothing_is_played_where_a_workcell_lives(recording, capsys):
    with Replay(recording, "cell_w"):  # tells of a batch there, as a coordinator does
        assert replay.main([str(recording), "--namespace", "cell_w", "--speed", "1e6"]) == 2
    assert "a workcell is up in namespace cell_w" in capsys.readouterr().err


def test_a_window_without_a_display_says_what_there_is_instead(monkeypatch, capsys):
    from mimedi_nodes.dashboard import window

    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as ended:
        window.main(["batch"])
    assert ended.value.code == 2
    assert "there is no display" in capsys.readouterr().err


def test_the_clock_may_be_the_process(recording):
    pauses = []
    with Replay(recording, "cell_y") as played:
        assert played.play(DAY_S * 1000.0, by_process_time=True, pause=pauses.append) == 300
    # 9.9 d at a thousand days a second; the pauses were only noted, so the last one is nearly the whole of it.
    assert max(pauses) == pytest.approx(9.9e-3, abs=5e-3)


def test_a_torn_recording_plays_up_to_where_it_ends_and_is_mended(recording, tmp_path, capsys):
    torn = tmp_path / "torn.mcap.part"
    whole = recording.read_bytes()
    torn.write_bytes(whole[: int(len(whole) * 0.6)])
    assert not is_whole(torn)
    kept = list(read_recording(torn))
    assert 30 <= len(kept) < 300
    assert replay.main([str(torn), "--info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["whole"] is False
    assert replay.main([str(torn), "--mend"]) == 0
    assert f"{len(kept)} messages kept" in capsys.readouterr().out
    assert is_whole(torn)
    again = list(read_recording(torn))
    assert [(m.topic, m.profile, m.data) for m in again] == [(m.topic, m.profile, m.data) for m in kept]
    assert replay.main([str(torn), "--mend", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["was_whole"] is True


def test_what_is_no_recording_is_refused(tmp_path, capsys):
    path = tmp_path / "notes.mcap"
    path.write_text("not a recording at all, but long enough to look at")
    with pytest.raises(RecordingError):
        list(read_recording(path))
    assert replay.main([str(path)]) == 2
    assert replay.main([str(tmp_path / "none")]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert recorded_namespace(["/a/b/coordinator/batch_status", "/x"]) == "/a/b"
    assert recorded_namespace(["/x"]) == ""
    assert mend.__doc__


def test_the_notebook_analyses_a_recording(recording, monkeypatch, capsys):
    monkeypatch.setenv("WORKCELL_RECORDING", str(recording))
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads((Path(__file__).parents[2] / "docs" / "notebooks" / "recording.ipynb").read_text())
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    told = capsys.readouterr().out
    # The recording's cells grow by 3 % in each tenth of a day.
    assert names["rate"] == pytest.approx(math.log(1.03) / 0.1, rel=1e-6)
    assert "100 counts" in told
    assert "between phases" in told


# --- completion ---


def complete(line):
    """What the shell would offer at the end of a line: it calls the program itself, outside of its environment."""
    inside = () if "ROS_DISTRO" in os.environ else ("PYTHONPATH",)
    env = {name: value for name, value in os.environ.items() if name not in inside}
    env = dict(env, _ARGCOMPLETE="1", COMP_LINE=line, COMP_POINT=str(len(line)), _ARGCOMPLETE_IFS=" ")
    env["_ARGCOMPLETE_STDOUT_FILENAME"] = out = f"/tmp/completion_{os.getpid()}"
    subprocess.run([Path(__file__).resolve().parents[2] / "workcell"], env=env, check=False, timeout=60)
    try:
        with open(out) as stream:
            return stream.read().split(" ")
    finally:
        os.unlink(out)


def test_tab_completes_commands_options_and_names():
    assert {"hold", "help"} <= {word.strip() for word in complete("./workcell h")}
    assert any(word.startswith("--namespace") for word in complete("./workcell hold --na"))
    assert "--drill" in {word.strip() for word in complete("./workcell demo --dr")}
    assert "explain" in {word.strip() for word in complete("./workcell alarms e")}
    assert "car_t_cd19" in {word.strip() for word in complete("./workcell produce car")}
