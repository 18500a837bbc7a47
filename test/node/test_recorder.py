# SPDX-License-Identifier: Apache-2.0
"""The recorder as a process: what it acknowledged is on record, whatever happens to it."""

from __future__ import annotations

import array
import json
import os
import resource
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs the built ROS overlay")

import cv2
import numpy as np
from domain_coordinator import domain_id
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from recorder_bench import NAMESPACE, Bench, RecorderProcess, event
from sensor_msgs.msg import Image

from mimedi_msgs.msg import Alarm, BatchStatus, CellTrack, CellTrackArray, GroundTruth, Measurement, Telemetry
from mimedi_msgs.msg import RecordEvent as RecordEventMsg
from mimedi_nodes.commands.report import main as report_command
from mimedi_nodes.commands.verify import main as verify_command
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.nodes.recording import desk
from mimedi_nodes.records.outbox import Outbox
from mimedi_nodes.records.report.pdf import lacking
from mimedi_nodes.records.summary import read_events

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module", autouse=True)
def own_domain() -> Iterator[None]:
    before = dict(os.environ)
    with domain_id() as number:
        os.environ["ROS_DOMAIN_ID"] = str(number)
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def recorders(tmp_path: Path) -> Iterator[list[RecorderProcess]]:
    """Recorders that a test started; what still runs is ended."""
    started: list[RecorderProcess] = []
    yield started
    for recorder in started:
        if recorder.process.poll() is None:
            recorder.stop()
        elif recorder.process.returncode not in (0, -signal.SIGKILL):
            pytest.fail(f"the recorder ended with {recorder.process.returncode}; see its output")
    for recorder in started:
        sys.stdout.write(recorder.log.read_text(errors="replace")[-4000:])


@pytest.fixture
def recorder(bench: Bench, recorders: list[RecorderProcess], tmp_path: Path) -> RecorderProcess:
    return begin(bench, recorders, tmp_path)


def begin(bench: Bench, recorders: list[RecorderProcess], folder: Path, **parameters: object) -> RecorderProcess:
    recorders.append(RecorderProcess(folder, **parameters))
    bench.bring_up()
    return recorders[-1]


def start(sequence: int = 1, batch_id: str = "B1", producer: str = "coordinator"):
    facts = {"recipe": "car_t_cd19", "product": "car_t_cd19", "patient": "P1", "donor": "P1", "weight_kg": 70.0}
    return event(sequence, producer, batch_id, "batch_started", **facts)


# -- events ---------------------------------------------------------------------------------------------------


def test_what_is_acknowledged_is_on_record(bench: Bench, recorder: RecorderProcess) -> None:
    first = [event(number, value=0.1 * number) for number in range(1, 6)]
    assert bench.append(first).acknowledged == 5
    again = bench.append([*first[3:], event(6)])
    assert (again.acknowledged, again.error_msg) == (6, "")
    assert [e.sequence for e in read_events(recorder.runs / "B1")] == [1, 2, 3, 4, 5, 6]
    assert recorder.verify("B1").verdict == "intact"
    assert verify_command([str(recorder.runs / "B1")]) == 0


def test_a_gap_is_refused_and_says_what_is_wanted(bench: Bench, recorder: RecorderProcess) -> None:
    bench.append([event(1), event(2)])
    reply = bench.append([event(5)])
    assert reply.acknowledged == 2
    assert "3 was due" in reply.error_msg
    assert bench.append([event(3), event(4), event(5)]).acknowledged == 5


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([event(1, "a"), event(2, "b")], "one producer"),
        ([event(2), event(1)], "rising order"),
    ],
)
def test_wrong_events_are_refused(bench: Bench, recorder: RecorderProcess, events: list, told: str) -> None:
    reply = bench.append(events)
    assert told in reply.error_msg
    assert reply.acknowledged == 0
    assert not (recorder.runs / "B1").exists()


def test_another_event_under_a_known_number_is_refused_with_an_alarm(bench: Bench, recorder: RecorderProcess) -> None:
    raised: list[Alarm] = []
    bench.node.create_subscription(Alarm, "alarm_events", raised.append, qos.EVENT)
    bench.until(lambda: bench.node.count_publishers("alarm_events") == 1, "the recorder's alarms")
    bench.append([event(1, value=1.0)])
    reply = bench.append([event(1, value=2.0)])
    assert "given to another event" in reply.error_msg
    assert reply.acknowledged == 0
    bench.until(lambda: bool(raised), "an alarm")
    assert raised[0].alarm_id == "recorder.events_refused"
    assert raised[0].state == Alarm.UNACKNOWLEDGED


def test_a_producer_with_a_new_outbox_is_followed_from_one(bench: Bench, recorder: RecorderProcess) -> None:
    assert bench.append([event(number) for number in range(1, 51)]).acknowledged == 50
    assert bench.append([event(1, batch_id="B2"), event(2, batch_id="B2")]).acknowledged == 2
    assert "3 was due" in bench.append([event(4, batch_id="B2")]).error_msg


def test_killed_amid_appends_nothing_is_lost_or_twice(
    bench: Bench, recorders: list[RecorderProcess], tmp_path: Path
) -> None:
    """Two producers send through their outboxes while the recorder is killed three times."""
    wanted = 400
    outboxes = {name: Outbox(tmp_path / f"{name}.sqlite", name) for name in ("incubator", "fluidics")}
    for name, outbox in outboxes.items():
        with outbox.group():
            for number in range(wanted):
                outbox.append("B1", float(number), "measurement", name, "glucose_mm", data={"value": number * 0.5})
    acknowledged = dict.fromkeys(outboxes, 0)
    recorder = begin(bench, recorders, tmp_path)
    kill_at = [100, 350, 600]
    while any(outbox.pending_count for outbox in outboxes.values()):
        waiting = {name: outbox for name, outbox in outboxes.items() if outbox.pending_count}
        asked = {name: bench.append_soon(outbox.pending(20)) for name, outbox in waiting.items()}
        dying = bool(kill_at) and sum(acknowledged.values()) >= kill_at[0]
        if dying:
            kill_at.pop(0)
            # One answer has come, the other producer's events are somewhere in between: now.
            bench.until(lambda waiting=asked: any(f.done() for f in waiting.values()), "an answer before the kill")
            recorder.kill()
        else:
            bench.until_or(lambda waiting=asked: all(f.done() for f in waiting.values()), 2.0)
        for name, future in asked.items():
            if future.done():
                reply = future.result()
                assert not reply.error_msg
                outboxes[name].acknowledge(reply.acknowledged)
                acknowledged[name] = reply.acknowledged
            else:
                bench.forget(future)
        if dying:
            assert_on_record(recorder, acknowledged)
            recorder = begin(bench, recorders, tmp_path)
    assert not kill_at
    assert acknowledged == {"incubator": wanted, "fluidics": wanted}
    assert_on_record(recorder, acknowledged)
    assert recorder.stop() == 0
    assert recorder.verify("B1").verdict == "intact"


def assert_on_record(recorder: RecorderProcess, acknowledged: dict[str, int]) -> None:
    report = recorder.verify("B1")
    assert not report.findings
    numbers = Counter((e.producer, e.sequence) for e in read_events(recorder.runs / "B1"))
    assert max(numbers.values(), default=1) == 1
    for name, last in acknowledged.items():
        assert all((name, number) in numbers for number in range(1, last + 1))


def test_a_full_disk_and_a_record_cut_short_are_told_and_survived(bench: Bench, recorder: RecorderProcess) -> None:
    raised: list[Alarm] = []
    bench.node.create_subscription(Alarm, "alarm_events", raised.append, qos.EVENT)
    bench.until(lambda: bench.node.count_publishers("alarm_events") == 1, "the recorder's alarms")
    assert bench.append([event(1), event(2)]).acknowledged == 2
    pid = recorder.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    reply = bench.append([event(3, text="x" * 50_000)])
    assert reply.acknowledged == 0
    assert "disk" in reply.error_msg
    bench.until(lambda: bool(raised), "the alarm")
    assert raised[0].alarm_id == "recorder.storage_failed"
    assert raised[0].priority == Alarm.HIGH
    assert "Free space" in raised[0].response
    assert recorder.verify("B1").verdict == "intact"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert bench.append([event(3, text="x" * 50_000)]).acknowledged == 3
    bench.until(lambda: raised[-1].state == Alarm.NORMAL, "the alarm's clearing")
    kinds = [e.kind for e in read_events(recorder.runs / "B1")]
    assert kinds == ["measurement"] * 3 + ["alarm_raised", "alarm_cleared"]
    assert recorder.verify("B1").verdict == "intact"
    # The database is cut short under the recorder: it says so instead of writing on what is left of it. The log still
    # has what was cut, so that it is whole again once it was opened anew and its chain looked at.
    told = len(raised)
    database = recorder.runs / "B1" / "record.sqlite"
    os.truncate(database, database.stat().st_size // 2)
    reply = bench.append([event(4)])
    assert reply.acknowledged == 0
    assert "was cut from" in reply.error_msg
    bench.until(lambda: len(raised) > told, "the alarm of the cut record")
    assert (raised[told].alarm_id, raised[told].priority) == ("recorder.storage_failed", Alarm.HIGH)
    assert bench.append([event(4)]).acknowledged == 4
    assert recorder.verify("B1").verdict == "intact"


def test_a_second_recorder_on_the_same_batch_is_refused(
    bench: Bench, recorder: RecorderProcess, recorders: list[RecorderProcess]
) -> None:
    assert bench.append([event(1)]).acknowledged == 1
    other = Bench("/other_cell")
    try:
        recorders.append(RecorderProcess(recorder.folder, "/other_cell", state_dir=recorder.folder / "other"))
        other.bring_up()
        reply = other.append([event(2)])
        assert "another recorder writes this batch" in reply.error_msg
        assert reply.acknowledged == 0
        assert recorders[-1].stop() == 0
    finally:
        other.close()
    assert bench.append([event(2)]).acknowledged == 2
    assert recorder.verify("B1").verdict == "intact"


# -- topics ---------------------------------------------------------------------------------------------------


class Publishers:
    """A module's topics, published by the test."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        node = bench.node
        self.telemetry = node.create_publisher(Telemetry, "incubator/telemetry", qos.TELEMETRY)
        self.tracks = node.create_publisher(CellTrackArray, "vision_qc/tracks", qos.TELEMETRY)
        self.picture = node.create_publisher(Image, "vision_qc/annotated", qos.IMAGE)
        self.truth = node.create_publisher(GroundTruth, "sim/truth", qos.TELEMETRY)
        self.batch = node.create_publisher(BatchStatus, "coordinator/batches", qos.EVENT)
        self.foreign = node.create_publisher(Telemetry, "/other_cell/incubator/telemetry", qos.TELEMETRY)

    def wait_for_recorder(self) -> None:
        # The picture's second listener keeps the last one for the report.
        for one, wanted in ((self.telemetry, 1), (self.tracks, 1), (self.picture, 2)):
            self.bench.until(
                lambda p=one, n=wanted: p.get_subscription_count() >= n, f"a recording of {one.topic_name}"
            )

    def tell(self, value: float) -> None:
        measured = Measurement(name="glucose_mm", value=value, unit="mmol/L")
        self.telemetry.publish(Telemetry(module="incubator", values=[measured]))
        self.bench.executor.spin_once(timeout_sec=0.01)

    def publish(self, values: list[float]) -> None:
        for value in values:
            self.tell(value)
            self.tracks.publish(CellTrackArray(width_px=10, tracks=[CellTrack(track_id=1)]))
            self.picture.publish(picture())
            self.truth.publish(GroundTruth())
            self.foreign.publish(Telemetry(module="foreign"))
            self.bench.executor.spin_once(timeout_sec=0.01)


def picture() -> Image:
    """Return a picture as the vision module draws them: grey with a red square."""
    pixels = np.full((64, 128, 3), 128, np.uint8)
    pixels[16:32, 16:32] = (0, 0, 255)
    image = Image(height=64, width=128, step=384, encoding="bgr8", data=array.array("B", pixels.tobytes()))
    image.header.stamp.sec = 100
    return image


def recorded(path: Path) -> dict[str, list]:
    messages: dict[str, list] = {}
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        for _, channel, _, message in reader.iter_decoded_messages():
            messages.setdefault(channel.topic, []).append(message)
    return messages


def test_topics_of_a_batch_are_recorded_and_registered(bench: Bench, recorder: RecorderProcess) -> None:
    publishers = Publishers(bench)
    bench.append([start()])
    publishers.wait_for_recorder()
    publishers.publish([11.0, 10.5, 10.0, 9.5])
    told: list[RecordEventMsg] = []
    bench.node.create_subscription(RecordEventMsg, "recorder/analysis", told.append, qos.STATE)
    bench.append([event(1, "analytics", kind="analysis", columns={"cd3": [1, 2]}, values={"cd3_cut": 1.5})])
    bench.until(lambda: bool(told), "the analysis for the boards, latched")
    assert (told[0].producer, json.loads(told[0].data_json)["columns"]) == ("analytics", {"cd3": [1, 2]})
    assert publishers.truth.get_subscription_count() == 0
    assert publishers.foreign.get_subscription_count() == 0
    # A second batch beside it has a recording of its own, from its beginning to its end.
    bench.append([start(batch_id="B2")])
    bench.until(lambda: publishers.telemetry.get_subscription_count() == 2, "the second batch's recording")
    bench.until(lambda: publishers.batch.get_subscription_count() == 2, "both recordings of the batches' status")
    # The incubator has the first one's cells: what it tells is not of the second, nor one's status the other's.
    bench.append([event(2, "engine", kind="phase_intended", module="incubator", goal_id="g")])
    for batch_id in ("B1", "B2"):
        publishers.batch.publish(BatchStatus(batch_id=batch_id))
    publishers.tell(9.0)
    bench.append([event(1)])  # one request and its reply later what was told has been heard
    bench.append([event(2, "coordinator", kind="batch_ended", state="completed")])
    bench.until(lambda: publishers.telemetry.get_subscription_count() == 1, "the end of the first recording")
    publishers.tell(8.5)
    bench.append([event(1, batch_id="B2")])
    bench.append([event(2, "coordinator", "B2", kind="batch_ended", state="completed")])
    beside = recorder.runs / "B2" / "topics.mcap"
    bench.until(beside.exists, "the second recording")
    second = [m.values[0].value for m in recorded(beside)[f"{NAMESPACE}/incubator/telemetry"]]
    assert second == [8.5], second
    of = {m.batch_id for m in recorded(beside)[f"{NAMESPACE}/coordinator/batches"]}
    assert of == {"B2"}, of
    topics = recorder.runs / "B1" / "topics.mcap"
    bench.until(topics.exists, "the finished recording")
    messages = recorded(topics)
    telemetry = messages[f"{NAMESPACE}/incubator/telemetry"]
    assert [m.values[0].value for m in telemetry] == [11.0, 10.5, 10.0, 9.5, 9.0]
    assert telemetry[0].values[0].unit == "mmol/L"
    assert {m.batch_id for m in messages[f"{NAMESPACE}/coordinator/batches"]} == {"B1"}
    assert len(messages[f"{NAMESPACE}/vision_qc/tracks"]) == 1  # at telemetry rate, not at that of the frames
    (seen,) = messages[f"{NAMESPACE}/vision_qc/annotated/compressed"]  # one a second, not those in between
    assert (seen.format, seen.header.stamp.sec, len(seen.data) < 4000) == ("jpeg", 100, True)
    drawn = cv2.imdecode(np.frombuffer(bytes(seen.data), np.uint8), cv2.IMREAD_UNCHANGED)
    assert drawn.shape == (64, 128, 3)
    assert np.abs(drawn[24, 24].astype(int) - (0, 0, 255)).max() < 12
    last = read_events(recorder.runs / "B1")[-1]
    assert (last.producer, last.kind, last.data["path"]) == ("recorder", "attachment", "topics.mcap")
    report = recorder.verify("B1")
    assert (report.verdict, report.attachments) == ("intact", 1)
    topics.write_bytes(topics.read_bytes()[:-20])
    assert recorder.verify("B1").verdict == "altered"


def test_a_torn_recording_is_mended_and_goes_on_in_a_second_file(
    bench: Bench, recorders: list[RecorderProcess], tmp_path: Path
) -> None:
    recorder = begin(bench, recorders, tmp_path, mcap_flush_s=0.1)
    publishers = Publishers(bench)
    bench.append([start()])
    publishers.wait_for_recorder()
    publishers.publish([1.0, 2.0, 3.0])
    part = recorder.runs / "B1" / "topics.mcap.part"
    size = part.stat().st_size
    bench.until(lambda: part.stat().st_size > size, "a flush")
    recorder.kill()
    with part.open("ab") as stream:
        stream.write(b"\x06torn in the middle of a chunk")
    recorder = begin(bench, recorders, tmp_path, mcap_flush_s=0.1)
    topics = recorder.runs / "B1" / "topics.mcap"
    bench.until(topics.exists, "the mended recording")
    values = [m.values[0].value for m in recorded(topics)[f"{NAMESPACE}/incubator/telemetry"]]
    assert values == [1.0, 2.0, 3.0]
    part = recorder.runs / "B1" / "topics_2.mcap.part"
    for sequence in range(1, 100):  # the first event after the mending begins it
        bench.append([event(sequence, value=1.0)])
        if part.exists():
            break
    size = part.stat().st_size

    def heard() -> bool:
        # The graph still counts the subscriptions of the recorder that was killed: only the file tells.
        publishers.publish([4.0])
        return part.stat().st_size > size + 100

    bench.until(heard, "a flush of what the second recorder heard")
    assert recorder.stop() == 0
    second = recorded(recorder.runs / "B1" / "topics_2.mcap")
    assert second[f"{NAMESPACE}/incubator/telemetry"][-1].values[0].value == 4.0
    report = recorder.verify("B1")
    assert (report.verdict, report.attachments) == ("intact", 2)


def test_recording_of_topics_leaves_the_reserve_to_the_record(
    bench: Bench, recorders: list[RecorderProcess], tmp_path: Path
) -> None:
    raised: list[Alarm] = []
    bench.node.create_subscription(Alarm, "alarm_events", raised.append, qos.EVENT)
    begin(bench, recorders, tmp_path, mcap_reserve_mb=10**6)
    bench.until(lambda: bench.node.count_publishers("alarm_events") == 1, "the recorder's alarms")
    assert bench.append([start()]).acknowledged == 1
    bench.until(lambda: bool(raised), "the alarm")
    assert raised[0].alarm_id == "recorder.topics_not_recorded"
    assert bench.append([event(2, "coordinator")]).acknowledged == 2


# -- review ---------------------------------------------------------------------------------------------------


def test_review_writes_and_registers_its_files(bench: Bench, recorder: RecorderProcess) -> None:
    bench.append([start(), event(2, "coordinator", kind="batch_ended", state="completed")])
    reply = bench.review("B1")
    assert not reply.error_msg
    assert (reply.verdict, reply.folder) == ("held", "B1")  # of an empty record nothing is known: never fine
    summary = json.loads(reply.summary_json)
    assert {row["id"] for row in summary["release"]} >= {"viability", "dose", "sterility"}
    folder = recorder.runs / "B1"
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert recorder.verify("B1").verdict == "intact"
    count = len(read_events(folder))
    assert bench.review("B1").summary_json == reply.summary_json
    assert len(read_events(folder)) == count  # asked again with nothing new: the same files


def test_a_later_review_keeps_the_earlier_files(bench: Bench, recorder: RecorderProcess) -> None:
    bench.append([start(), event(2, "coordinator", kind="batch_ended", state="held")])
    first = bench.review("B1").summary_json
    bench.append([event(3, "coordinator", kind="laboratory_result", test="sterility", value="negative")])
    second = bench.review("B1").summary_json
    folder = recorder.runs / "B1"
    assert json.loads((folder / "summary_1.json").read_text()) == json.loads(first)
    assert json.loads((folder / "summary.json").read_text()) == json.loads(second) != json.loads(first)
    report = recorder.verify("B1")
    pages = () if lacking() else ("report.pdf", "report_1.pdf")  # a host without Pango makes none
    assert (report.verdict, report.attachments) == ("intact", 4 + len(pages))
    for name in pages:
        assert (folder / name).read_bytes().startswith(b"%PDF")


def test_what_people_bring_to_the_desk_is_taken_by_the_running_recorder(
    bench: Bench, recorder: RecorderProcess
) -> None:
    bench.append([start(), event(2, "coordinator", kind="batch_ended", state="completed")])
    signature = {"meaning": "released", "signer": "eva", "count": 2}
    told = [
        desk.leave(recorder.runs, "B1", 1.0, "laboratory_result", "laboratory", "sterility", "", {"test": "sterility"}),
        desk.leave(recorder.runs, "B1", 1.0, "signature", "eva", "released", "", signature),
    ]

    def taken() -> list[str]:
        rows = read_events(recorder.runs / "B1")
        return [e.kind for e in rows if e.producer == told[0].producer]

    bench.until(lambda: len(taken()) == 2, "the desk's events on record")
    # What is no signature of anybody goes on record as refused.
    assert taken() == ["laboratory_result", "signature_refused"]
    assert recorder.verify("B1").verdict == "intact"


def test_append_answers_while_a_review_is_at_work(bench: Bench, recorder: RecorderProcess) -> None:
    events = [start(), *(event(n, "coordinator", value=float(n)) for n in range(2, 3001))]
    for first in range(0, len(events), 100):
        bench.append(events[first : first + 100])
    review = bench.review_soon("B1")
    answered = 0
    number = 0
    while not review.done():
        number += 1
        assert bench.append([event(number)]).acknowledged == number
        answered += not review.done()
    assert answered >= 3
    assert not review.result().error_msg
    assert recorder.verify("B1").verdict == "intact"


@pytest.mark.parametrize(
    ("batch_id", "told"),
    [("B9", "known: B1"), ("B1", "never started"), ("../B1", "has no record"), ("", "has no record")],
)
def test_a_review_that_cannot_be_made_says_why(
    bench: Bench, recorder: RecorderProcess, batch_id: str, told: str
) -> None:
    bench.append([event(1)])
    reply = bench.review(batch_id)
    assert told in reply.error_msg
    assert reply.verdict == ""


def test_verify_and_report_commands_on_what_the_recorder_left(
    bench: Bench, recorder: RecorderProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.append([start(), event(2, "coordinator", kind="batch_ended", state="completed")])
    bench.review("B1")
    assert recorder.stop() == 0
    run = recorder.runs / "B1"
    assert report_command([str(run)]) == 0
    assert (run / "report_reprint.html").is_file()
    assert verify_command([str(run)]) == 0
    assert "INTACT" in capsys.readouterr().out
    (run / "summary.json").write_text("{}")
    assert verify_command([str(run)]) == 1
    assert "summary.json is not the file" in capsys.readouterr().out
