# SPDX-License-Identifier: Apache-2.0
"""The supervisor as a process, over two small lifecycle nodes as processes: bring-up, failure, loss, alarms, end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs the built ROS overlay")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from domain_coordinator import domain_id
from lifecycle_msgs.srv import GetState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger

from mimedi_msgs.msg import Alarm, AlarmList
from mimedi_msgs.srv import AcknowledgeAlarm
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.process.people.credentials import Person, seal, unseal
from mimedi_nodes.process.people.maintenance import MaintenanceBook
from mimedi_nodes.process.people.roles import read_roles
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.outbox import Outbox

pytestmark = pytest.mark.ros

NAMES = ("recorder", "fluidics")  # the second publishes a heartbeat, as every module does
TINY = Path(__file__).with_name("tiny_node.py")
DEADLINE_S = 30.0
PASSWORD = "a phrase for this test"
SUPERVISOR = "import sys; from mimedi_nodes.nodes.supervisor import main; main()"


class Workcell:
    """Two tiny nodes and a supervisor in a domain of their own, and an observer in this process."""

    def __init__(self, folder: Path, domain: int) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._env = {
            **os.environ, "ROS_DOMAIN_ID": str(domain),
            "ROS_LOG_DIR": str(folder / "log"),
        }  # fmt: skip
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = Node("observer", context=self._context)
        self._changed = threading.Condition()
        self.status: dict[str, tuple[str, dict[str, str]]] = {}
        self.alarms: dict[tuple[str, str], Alarm] = {}
        self._node.create_subscription(DiagnosticArray, "supervisor/status", self._take_status, qos.STATE)
        self._node.create_subscription(AlarmList, "alarms", self._take_alarms, qos.STATE)
        self.events = self._node.create_publisher(Alarm, "alarm_events", qos.EVENT)
        # Made early, so that they are known to a service long before it is called.
        self._clients = {
            kind: self._node.create_client(kind, name)
            for kind, name in (
                (Trigger, "supervisor/bring_up"),
                (AcknowledgeAlarm, "supervisor/acknowledge_alarm"),
                (GetState, "fluidics/get_state"),
            )
        }
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _take_status(self, message: DiagnosticArray) -> None:
        with self._changed:
            self.status = {s.hardware_id: (s.message, {v.key: v.value for v in s.values}) for s in message.status}
            self._changed.notify_all()

    def _take_alarms(self, message: AlarmList) -> None:
        with self._changed:
            self.alarms = {(alarm.alarm_id, alarm.source): alarm for alarm in message.alarms}
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition on what was observed; on time-out show it with the logs."""
        with self._changed:
            met = self._changed.wait_for(condition, DEADLINE_S)
        logs = "\n".join(f"--- {p.name}\n{p.read_text()[-3000:]}" for p in self.folder.glob("*.log"))
        assert met, f"not within {DEADLINE_S} s: {what}; status {self.status}; alarms {self.alarms}\n{logs}"

    def wait_phase(self, phase: str) -> str:
        """Wait until the workcell is in a phase; return the reason that is told with it."""
        self.wait(lambda: self.status.get("workcell", ("", {}))[1].get("phase") == phase, f"phase {phase}")
        return self.status["workcell"][0]

    def alarm_state(self, alarm_id: str, source: str) -> int:
        alarm = self.alarms.get((alarm_id, source))
        return alarm.state if alarm else Alarm.NORMAL

    def start(self, name: str) -> None:
        """Start a tiny node."""
        self._run(name, [str(TINY), name, str(self.folder)])

    def supervise(self, *parameters: str) -> None:
        """Start the supervisor with short deadlines."""
        given = [f"managed_nodes:=[{', '.join(NAMES)}]", f"state_dir:={self.folder / 'state'}", "silent_after_s:=1.5",
                 "watch_period_s:=0.2", "answer_s:=0.5", "retry_s:=0.2", *parameters]  # fmt: skip
        self._run("supervisor", ["-c", SUPERVISOR, "--ros-args", *(w for p in given for w in ("-p", p))])

    def _run(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words], env=self._env, stdout=log, stderr=subprocess.STDOUT
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def transitions(self) -> list[str]:
        return (self.folder / "transitions.txt").read_text().split()

    def call(self, request: Any, kind: Any, attempts: int = 1) -> Any:
        """Call the service of a kind, again and again when the first replies may be lost."""
        client = self._clients[kind]
        assert client.wait_for_service(DEADLINE_S), f"service {client.srv_name} is not there"
        for _ in range(attempts):
            answered = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _, answered=answered: answered.set())
            if answered.wait(DEADLINE_S / attempts):
                return future.result()
        raise AssertionError(f"service {client.srv_name} did not answer")

    def end(self) -> dict[str, int]:
        """Tell all processes to stop at the same time, as launch does; return their exit statuses."""
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        return {name: process.wait(DEADLINE_S) for name, process in self.processes.items()}

    def close(self) -> None:
        """Leave nothing behind."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self._executor.shutdown()
        rclpy.shutdown(context=self._context)
        self._thread.join()


@pytest.fixture
def workcell(tmp_path: Path) -> Iterator[Workcell]:
    with domain_id() as domain:
        made = Workcell(tmp_path, domain)
        yield made
        made.close()


def test_brings_up_in_order_and_takes_down_in_reverse_when_all_are_told_to_stop(workcell: Workcell) -> None:
    workcell.supervise()
    for name in reversed(NAMES):  # order of start does not matter
        workcell.start(name)
    workcell.wait_phase("active")
    assert workcell.transitions() == [f"{n}.{t}" for t in ("configure", "activate") for n in NAMES]
    statuses = workcell.end()
    assert statuses == {"supervisor": 0, "recorder": 0, "fluidics": 0}
    down = [f"{n}.{t}" for t in ("deactivate", "clean_up") for n in reversed(NAMES)]
    assert workcell.transitions()[4:] == down
    assert "the workcell is down" in workcell.log("supervisor")


def test_a_failing_node_is_named_the_others_rolled_back_and_cured_it_is_brought_up(workcell: Workcell) -> None:
    (workcell.folder / "fluidics.refuse").touch()
    for name in NAMES:
        workcell.start(name)
    workcell.supervise()
    text = workcell.wait_phase("failed")
    assert "fluidics: refused or failed to configure" in text
    assert "no such port: /dev/nothing" in text
    assert workcell.transitions() == [
        "recorder.configure", "fluidics.configure", "fluidics.clean_up", "recorder.clean_up"
    ]  # fmt: skip
    failed = ("supervisor.bring_up_failed", "supervisor/fluidics")
    workcell.wait(lambda: workcell.alarm_state(*failed) == Alarm.UNACKNOWLEDGED, "alarm of the failure")
    assert workcell.alarms[failed].priority == Alarm.HIGH
    assert "supervisor/bring_up" in workcell.alarms[failed].response

    (workcell.folder / "fluidics.refuse").unlink()
    assert workcell.call(Trigger.Request(), Trigger).success
    workcell.wait_phase("active")
    workcell.wait(lambda: workcell.alarm_state(*failed) == Alarm.RETURNED_UNACKNOWLEDGED, "the alarm's cause gone")
    again = workcell.call(Trigger.Request(), Trigger)
    assert (again.success, again.message[:22]) == (False, "the workcell is active")


def test_a_transition_that_hangs_is_given_up_after_its_deadline(workcell: Workcell) -> None:
    (workcell.folder / "recorder.hang").touch()
    for name in NAMES:
        workcell.start(name)
    workcell.supervise("activate_s:=1.0")
    text = workcell.wait_phase("failed")
    assert "recorder: did not activate within 1 s: it does not answer" in text
    assert workcell.transitions()[-1] == "fluidics.clean_up"
    # It gets there in the end: the next attempt takes what it finds.
    (workcell.folder / "recorder.hang").unlink()
    assert workcell.call(Trigger.Request(), Trigger).success
    workcell.wait_phase("active")


def test_a_killed_node_is_alarmed_and_brought_up_alone_when_its_process_is_back(workcell: Workcell) -> None:
    for name in NAMES:
        workcell.start(name)
    workcell.supervise()
    workcell.wait_phase("active")
    lost = ("supervisor.node_lost", "supervisor/fluidics")
    # What it has alarmed before it dies has no cause in its next life until it says so again.
    slow = ("fluidics.phase_overdue", "fluidics")
    workcell.wait(lambda: workcell.events.get_subscription_count() > 0, "the supervisor listens to alarms")
    workcell.events.publish(Alarm(alarm_id=slow[0], source=slow[1], state=Alarm.UNACKNOWLEDGED, message="slow"))
    workcell.wait(lambda: workcell.alarm_state(*slow) == Alarm.UNACKNOWLEDGED, "the alarm of its first life")

    workcell.processes["fluidics"].kill()
    workcell.wait(lambda: workcell.alarm_state(*lost) == Alarm.UNACKNOWLEDGED, "alarm of the loss")
    assert "fluidics is lost: no heartbeat for" in workcell.alarms[lost].message
    workcell.wait(lambda: workcell.status["workcell"][0] == "active, but fluidics lost", "the loss in the status")
    before = workcell.transitions()
    workcell.start("fluidics")
    workcell.wait(lambda: workcell.alarm_state(*lost) == Alarm.LATCHED_UNACKNOWLEDGED, "fluidics back")
    assert workcell.transitions() == [*before, "fluidics.configure", "fluidics.activate"]
    workcell.wait(lambda: workcell.status["workcell"][0] == "active", "nobody lost")
    workcell.wait(lambda: workcell.alarm_state(*slow) == Alarm.RETURNED_UNACKNOWLEDGED, "it has gone with its cause")
    outbox = Outbox(workcell.folder / "state" / "supervisor.outbox.sqlite", "supervisor")
    told = [(event.what, event.data["source"]) for event in outbox.pending() if event.kind == "alarm_cleared"]
    outbox.close()
    assert slow in told, f"the record is told what became of it; it was told {told}"

    def act(what: str, who: str = "operator:anna") -> AcknowledgeAlarm.Response:
        request = AcknowledgeAlarm.Request(alarm_id=lost[0], act=what, who=who, why="seen")
        return workcell.call(request, AcknowledgeAlarm)

    assert act("acknowledge", who="").message.startswith("who is empty")
    assert "cannot reset; allowed: acknowledge" in act("reset").message
    assert act("acknowledge").accepted
    workcell.wait(lambda: workcell.alarm_state(*lost) == Alarm.LATCHED_ACKNOWLEDGED, "acknowledged")
    assert act("reset").accepted
    workcell.wait(lambda: lost not in workcell.alarms, "alarm gone")
    # An alarm that a module raised has its priority and response from the table, not from the module.
    gap = workcell.alarms["fluidics.balance_gap", "fluidics"]
    assert (gap.priority, gap.message) == (Alarm.HIGH, "gap")
    assert "kinked tubing" in gap.response

    # What it wrote for the record is removed under it: it says so, and has lost nothing of it.
    for file in (workcell.folder / "state").glob("supervisor.outbox.sqlite*"):
        file.unlink()
    gone = ("supervisor.storage_failed", "supervisor")
    workcell.wait(lambda: workcell.alarm_state(*gone) == Alarm.LATCHED_UNACKNOWLEDGED, "alarm of the lost outbox")
    assert "No such file" in workcell.alarms[gone].message, workcell.alarms[gone].message

    assert workcell.end()["supervisor"] == 0
    outbox = Outbox(workcell.folder / "state" / "supervisor.outbox.sqlite", "supervisor")
    events = [(event.kind, event.who, event.data.get("new", "")) for event in outbox.pending()]
    outbox.close()
    assert events == [
        ("alarm_raised", "supervisor", ""),
        *[("alarm_cleared", "supervisor", "")] * 2,  # what the dead process had alarmed: it was slow, and the gap
        ("alarm_cleared", "supervisor", ""),
        ("alarm_acknowledged", "operator:anna", "LATCHED_ACKNOWLEDGED"),
        ("alarm_reset", "operator:anna", "NORMAL"),
        ("alarm_raised", "supervisor", ""),
        ("alarm_cleared", "supervisor", ""),
    ]


def test_alarms_outlive_the_supervisor_and_running_nodes_are_taken_over(workcell: Workcell) -> None:
    for name in NAMES:
        workcell.start(name)
    workcell.supervise()
    workcell.wait_phase("active")
    workcell.wait(lambda: len(workcell.alarms) == 2, "alarms of both nodes")
    workcell.processes["supervisor"].kill()
    workcell.processes["supervisor"].wait()
    before = workcell.transitions()
    workcell.status, workcell.alarms = {}, {}
    workcell.supervise()
    workcell.wait_phase("active")
    workcell.wait(lambda: len(workcell.alarms) == 2, "alarms from disk")
    assert workcell.transitions() == before


def test_maintenance_takes_a_modules_alarms_out_of_service_and_back(workcell: Workcell) -> None:
    roles = read_roles(Path(__file__).resolve().parents[2] / "config" / "users" / "roles.yaml")
    key = unseal("mia", PASSWORD, seal("mia", PASSWORD, roles.policy))
    assert key is not None
    mia = Person("mia", "Mia", ("maintenance",), key)
    beside = workcell.folder / ".workcell"
    book = MaintenanceBook(beside / "maintenance", Signer.load_or_create(beside / "keys"), roles, NAMES)
    for name in NAMES:
        workcell.start(name)
    workcell.supervise(f"users_dir:={beside / 'users'}")
    gap = ("fluidics.balance_gap", "fluidics")
    workcell.wait(lambda: workcell.alarm_state(*gap) == Alarm.UNACKNOWLEDGED, "the module's alarm")
    book.begin("fluidics", mia, "new syringe")
    workcell.wait(lambda: workcell.alarm_state(*gap) == Alarm.OUT_OF_SERVICE, "out of service")
    book.end("fluidics", mia, "primed and weighed")
    workcell.wait(lambda: workcell.alarm_state(*gap) == Alarm.UNACKNOWLEDGED, "back in service")
    assert workcell.end()["supervisor"] == 0
    outbox = Outbox(workcell.folder / "state" / "supervisor.outbox.sqlite", "supervisor")
    told = [(event.kind, event.what) for event in outbox.pending() if event.what == "fluidics.*"]
    outbox.close()
    assert told == [("alarm_removed", "fluidics.*"), ("alarm_restored", "fluidics.*")]


def test_a_supervisor_that_cannot_start_says_why_and_fails(workcell: Workcell) -> None:
    table = workcell.folder / "alarms.yaml"
    table.write_text("alarms: {fluidics.balance_gap: {priority: urgent}}")
    workcell.supervise(f"alarm_file:={table}")
    assert workcell.processes["supervisor"].wait(DEADLINE_S) == 1
    assert "alarms.yaml:1: alarms.fluidics.balance_gap.priority" in workcell.log("supervisor")


def test_a_node_without_supervisor_ends_at_once(workcell: Workcell) -> None:
    workcell.start("fluidics")
    state = workcell.call(GetState.Request(), GetState, attempts=10).current_state
    assert state.label == "unconfigured"
    workcell.processes["fluidics"].send_signal(signal.SIGTERM)
    assert workcell.processes["fluidics"].wait(5.0) == 0
