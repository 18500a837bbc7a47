# SPDX-License-Identifier: Apache-2.0
"""The motion controller by the letter of GRBL 1.1's pages, and driven by somebody else's G-code sender."""

from __future__ import annotations

import math
import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygrbl_streamer import GrblStreamer
from scipy.integrate import quad

from mimedi_sim.firmware.grbl import GrblFirmware
from mimedi_sim.firmware.grbl_motion import Profile, junction_speed_mm_s
from mimedi_sim.plant.gantry import GantryMechanics
from mimedi_sim.pty_server import PtyServer

TRAVEL = (900.0, 500.0, 250.0)


def controller(*, home: bool = True) -> tuple[GrblFirmware, GantryMechanics]:
    mechanics = GantryMechanics(TRAVEL)
    grbl = GrblFirmware(mechanics, echo=False)
    grbl.take_unasked(0.0)
    if home:
        assert grbl.receive(b"$H\n", 0.0) == b""
        assert grbl.receive(b"?", 1.0) == b""  # silent while it homes
        said = grbl.take_unasked(100.0)
        assert said.startswith(b"ok\r\n<Idle|MPos:-2.000,-2.000,-2.000|")  # the report that was owed comes last
    return grbl, mechanics


def test_start_up_messages() -> None:
    grbl = GrblFirmware(GantryMechanics(TRAVEL), echo=False)
    assert grbl.take_unasked(0.0) == b"\r\nGrbl 1.1h ['$' for help]\r\n[MSG:'$H'|'$X' to unlock]\r\n"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("", "ok"),
        ("(a comment) ; another", "ok"),
        ("G21 G90", "ok"),
        ("g1 x-10 f500", "ok"),
        ("1", "error:1"),
        ("GX", "error:2"),
        ("$nothing", "error:3"),
        ("G1 X-3 F-5", "error:4"),
        ("$200=1", "error:3"),
        ("$100=-1", "error:4"),
        ("X" + "0" * 90, "error:11"),
        ("$J=X10 F100", "error:15"),
        ("$J=X-10 M8 F100", "error:16"),
        ("G2 X1 I1", "error:20"),
        ("G20 G21", "error:21"),
        ("M8 M9", "error:21"),
        ("G1 X-3", "error:22"),
        ("$J=X-10", "error:22"),
        ("G0 X-1 G92 Y0", "error:24"),
        ("G1 X-1 X-2 F100", "error:25"),
        ("G92", "error:26"),
        ("G4", "error:28"),
        ("G53 G90", "error:30"),
        ("G80 X-1", "error:31"),
        ("G0 X-1 J2", "error:36"),
        ("$G", "[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S0]\r\nok"),
        ("$I", "[VER:1.1h.20190825:]\r\n[OPT:V,15,128]\r\nok"),
        ("$X", "ok"),
    ],
)
def test_lines_are_answered_by_the_page(line: str, answer: str) -> None:
    grbl, _ = controller()
    assert grbl.receive(line.encode() + b"\n", 100.0) == answer.encode() + b"\r\n"


def test_echo_is_the_line_as_it_was_understood_before_it_is_carried_out() -> None:
    grbl = GrblFirmware(GantryMechanics(TRAVEL))
    grbl.take_unasked(0.0)
    assert grbl.receive(b"$X\n", 0.0).endswith(b"[echo: $X]\r\n[MSG:Caution: Unlocked]\r\nok\r\n")
    assert grbl.receive(b"g1 x-1(there) f500\n", 0.0) == b"[echo: G1X-1F500]\r\nok\r\n"
    assert grbl.receive(b"G1 X-3 F-5\n", 0.0) == b"[echo: G1X-3F-5]\r\nerror:4\r\n"
    assert grbl.receive(b"X" + b"0" * 90 + b"\n", 0.0) == b"error:11\r\n"
    # Behind moves that fill the planner the echo comes at once, the ok when there is room; neither comes twice.
    said = b"".join(grbl.receive(b"G1X-%dF500\n" % (2 + k % 2), 0.0) for k in range(20))
    late = b"".join(grbl.take_unasked(float(t)) for t in range(1, 60))
    assert (said + late).count(b"[echo: ") == (said + late).count(b"ok\r\n") == 20


def test_every_line_end_ends_a_line() -> None:
    """GRBL takes CR and LF alike: CR LF is a line and an empty one."""
    grbl, _ = controller()
    assert grbl.receive(b"G21\r\n", 100.0) == b"ok\r\nok\r\n"


def test_locked_until_homed_or_unlocked() -> None:
    grbl, _ = controller(home=False)
    assert grbl.receive(b"G0X-1\n", 0.0) == b"error:9\r\n"
    assert grbl.receive(b"?", 0.0).startswith(b"<Alarm|MPos:0.000,0.000,0.000|Bf:15,128|FS:0,0|WCO:")
    assert grbl.receive(b"$X\n", 0.0) == b"[MSG:Caution: Unlocked]\r\nok\r\n"
    assert grbl.receive(b"$22=0\n", 0.0) == b"ok\r\n"
    assert grbl.receive(b"$H\n", 0.0) == b"error:5\r\n"


def test_settings_are_listed_and_kept_over_a_power_cut() -> None:
    grbl, _ = controller()
    assert grbl.receive(b"$110=6000.5\n", 100.0) == b"ok\r\n"
    grbl.power_cycle(101.0)
    listed = grbl.receive(b"$$\n", 101.0).decode().split("\r\n")
    assert "$110=6000.500" in listed
    assert "$22=1" in listed
    assert listed[-2] == "ok"
    assert grbl.receive(b"$RST=$\n", 101.0) == b"[MSG:Restoring defaults]\r\nok\r\n"
    assert grbl.settings[110] == 12_000.0


def test_ok_waits_for_room_in_the_planner() -> None:
    grbl, _ = controller()
    lines = b"".join(b"G1X-%dF600\n" % (10 + 10 * k) for k in range(17))
    assert grbl.receive(lines, 100.0).count(b"ok") == 15
    status = grbl.receive(b"?", 100.1)
    assert status.startswith(b"<Run|MPos:-2.")
    assert b"|Bf:0," in status
    assert grbl.receive(b"$$\n", 100.2) == b""  # behind the lines that wait
    assert grbl.take_unasked(100.0 + 0.9).count(b"ok") == 1
    last = grbl.take_unasked(200.0)
    assert last.count(b"error:8") + last.count(b"$110") == 1
    assert grbl.position(200.0)[0] == -170.0


def test_dwell_and_outputs_wait_until_the_moves_are_done() -> None:
    grbl, mechanics = controller()
    assert grbl.receive(b"G1X-102F6000\nM8\nG4P2.5\nM9\n", 100.0) == b"ok\r\n"
    assert not mechanics.gripper_open
    assert grbl.take_unasked(101.3) == b"ok\r\n"  # 100 mm at 100 mm/s and a fifth for the ramps: 1.2 s
    assert mechanics.gripper_open
    assert grbl.take_unasked(103.6) == b""
    assert grbl.take_unasked(103.8) == b"ok\r\nok\r\n"
    assert not mechanics.gripper_open


def test_work_coordinates() -> None:
    grbl, _ = controller()
    assert grbl.receive(b"G10L20P1X0Y0Z0\nG0X-10\n", 100.0) == b"ok\r\nok\r\n"
    assert grbl.position(110.0) == (-12.0, -2.0, -2.0)
    assert grbl.receive(b"$10=0\n", 110.0) == b"ok\r\n"
    assert b"WPos:-10.000,0.000,0.000" in grbl.receive(b"?", 110.0)
    assert b"[G54:-2.000,-2.000,-2.000]" in grbl.receive(b"$#\n", 110.0)
    grbl.receive(b"G53G0X-100\nG20G91G0X-1\n", 110.0)
    grbl.advance_to(130.0)
    assert grbl.position(130.0)[0] == pytest.approx(-125.4)


def test_soft_limit_alarm_locks_until_reset() -> None:
    grbl, _ = controller()
    assert grbl.receive(b"G0X5\n", 100.0) == b"ALARM:2\r\n[MSG:Reset to continue]\r\nok\r\n"
    assert grbl.receive(b"$X\n", 100.0) == b""
    assert grbl.receive(b"\x18", 100.0) == b"\r\nGrbl 1.1h ['$' for help]\r\n[MSG:'$H'|'$X' to unlock]\r\n"
    assert grbl.receive(b"$X\n", 100.0).endswith(b"ok\r\n")


def test_hard_limit_alarm_is_pushed() -> None:
    grbl, mechanics = controller()
    mechanics.slip[0] = 0.5
    grbl.receive(b"G1X-200F6000\n", 100.0)
    grbl.take_unasked(110.0)
    mechanics.slip[0] = 0.0
    assert grbl.receive(b"G1X-2F6000\n", 110.0) == b"ok\r\n"
    assert grbl.take_unasked(112.0) == b"ALARM:1\r\n[MSG:Reset to continue]\r\n"
    assert mechanics.position[0] == pytest.approx(0.0, abs=1e-9)
    assert b"|Pn:X" in grbl.receive(b"?", 112.0)


def test_reset_while_moving_is_alarm_3_and_while_homing_6() -> None:
    grbl, _ = controller()
    grbl.receive(b"G1X-200F600\n", 100.0)
    assert grbl.receive(b"\x18", 105.0).startswith(b"ALARM:3\r\n\r\nGrbl")
    grbl.receive(b"$H\n", 106.0)
    assert grbl.receive(b"\x18", 107.0).startswith(b"ALARM:6\r\n\r\nGrbl")


def test_jog_runs_and_is_cancelled() -> None:
    grbl, _ = controller()
    assert grbl.receive(b"$J=G91X-100F3000\n", 100.0) == b"ok\r\n"
    assert grbl.receive(b"?", 101.0).startswith(b"<Jog|")
    assert grbl.receive(b"G0X-3\n", 101.0) == b"error:9\r\n"
    grbl.receive(b"\x85", 101.0)
    assert grbl.receive(b"?", 102.0).startswith(b"<Idle|")
    here = grbl.position(102.0)[0]
    assert -60.0 < here < -48.0
    assert grbl.receive(b"G91G0X-1\n", 102.0) == b"ok\r\n"
    assert grbl.position(105.0)[0] == pytest.approx(here - 1.0)


def test_check_mode_moves_nothing() -> None:
    grbl, mechanics = controller()
    assert grbl.receive(b"$C\n", 100.0) == b"[MSG:Enabled]\r\nok\r\n"
    assert grbl.receive(b"G0X-100\nM8\nG4P9\n", 100.0) == b"ok\r\nok\r\nok\r\n"
    assert grbl.position(110.0)[0] == -2.0
    assert not mechanics.gripper_open
    assert b"[MSG:Disabled]" in grbl.receive(b"$C\n", 110.0)


def test_override_bytes() -> None:
    grbl, _ = controller()
    grbl.receive(b"?", 100.0)
    grbl.receive(b"\x91\x91\x94\x96", 100.0)
    reports = b"".join(grbl.receive(b"?", 100.0) for _ in range(10))
    assert b"|Ov:119,50,100" in reports
    grbl.receive(b"G1X-102F600\n", 100.0)
    assert grbl.position(100.0 + 100.0 / (10.0 * 1.19) + 0.1)[0] == -102.0


@settings(max_examples=200, deadline=None)
@given(data=st.lists(st.binary(max_size=60) | st.text("GXYZF0123456789-.$HJ=MP?!~\n ", max_size=60), max_size=12))
def test_no_bytes_whatever_break_the_controller(data: list[bytes | str]) -> None:
    grbl, _ = controller(home=False)
    for k, chunk in enumerate(data):
        grbl.receive(chunk.encode() if isinstance(chunk, str) else chunk, float(k))
    grbl.advance_to(1e5)
    assert b"Grbl 1.1h" in grbl.receive(b"\x18", 1e5)


@settings(max_examples=60, deadline=None)
@given(
    looks=st.lists(st.floats(100.0, 160.0), max_size=10),
    text=st.sampled_from(["G1X-300F4000\nG1Y-200F3000\nG0Z-100\n", "G1X-50Y-90Z-20F900\nM8\nG4P1\nG0X-2\n"]),
    hold=st.booleans(),
)
def test_motion_does_not_depend_on_who_looks(looks: list[float], text: str, hold: bool) -> None:
    pairs = controller(), controller()
    for (grbl, _), moments in zip(pairs, (sorted(looks), []), strict=True):
        grbl.receive(text.encode(), 100.0)
        for t in [t for t in moments if t < 103.0]:
            grbl.take_unasked(t)
        grbl.receive(b"!" if hold else b"", 103.0)
        for t in [t for t in moments if 103.0 <= t < 120.0]:
            grbl.take_unasked(t)
        grbl.receive(b"~" if hold else b"", 120.0)
        for t in [t for t in moments if t >= 120.0]:
            grbl.take_unasked(t)
        grbl.take_unasked(160.0)
    (looked, looked_at), (alone, left_alone) = pairs
    assert looked.position(160.0) == alone.position(160.0)
    assert looked_at.position == left_alone.position
    assert looked.state == alone.state == "Idle"


@given(
    length=st.floats(0.01, 900.0), speed=st.floats(0.1, 200.0), acceleration=st.floats(1.0, 1000.0),
    ends=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
)
def test_profile_is_the_integral_of_its_speed(
    length: float, speed: float, acceleration: float, ends: tuple[float, float]
) -> None:
    entry = ends[0] * speed
    low = math.sqrt(max(0.0, entry**2 - 2.0 * acceleration * length))
    high = min(speed, math.sqrt(entry**2 + 2.0 * acceleration * length))
    profile = Profile(length, speed, acceleration, entry, low + ends[1] * (high - low))
    total, top = profile.duration_s, profile.top_mm_s
    ramps = ((top - entry) / acceleration, total - (top - profile.exit_mm_s) / acceleration)
    assert profile.at(0.0)[1] == pytest.approx(entry, abs=1e-6)
    assert profile.at(total) == pytest.approx((length, profile.exit_mm_s), rel=1e-9, abs=1e-6)
    for share in (0.1, 0.45, 0.8, 1.0):
        points = [t for t in ramps if 0.0 < t < share * total]
        expected, _ = quad(lambda t: profile.at(t)[1], 0.0, share * total, points=points or None)
        assert profile.at(share * total)[0] == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert profile.time_at(profile.at(share * total)[0]) == pytest.approx(share * total, rel=1e-5, abs=1e-5)


def test_corners_by_their_angle() -> None:
    """90 degrees at 500 mm/s2 with a deviation of 0.01 mm: sqrt(5 x 0.7071/0.2929) = 3.47 mm/s."""
    east, north, west = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)
    assert junction_speed_mm_s(east, north, 500.0, 0.01) == pytest.approx(3.474, abs=0.001)
    assert junction_speed_mm_s(east, east, 500.0, 0.01) == math.inf
    assert junction_speed_mm_s(east, west, 500.0, 0.01) == 0.0


def arc(points: int) -> list[tuple[float, float]]:
    return [
        (-200.0 + 50.0 * math.cos(2.0 * math.pi * k / points), -200.0 + 50.0 * math.sin(2.0 * math.pi * k / points))
        for k in range(points + 1)
    ]


def test_a_path_of_short_ways_is_run_without_stopping() -> None:
    """A circle of 50 mm radius in 36 ways at 50 mm/s: the corners of 10 degrees are taken at about that speed."""
    grbl, _ = controller()
    x, y = arc(36)[0]
    grbl.receive(f"G0X{x:.3f}Y{y:.3f}\n".encode(), 100.0)
    grbl.advance_to(120.0)
    grbl.receive(b"".join(f"G1X{x:.3f}Y{y:.3f}F3000\n".encode() for x, y in arc(36)[1:6]), 120.0)
    slowest = 1e9
    oks, at_s, sent = 5, 120.0, 6
    while sent <= 36 or grbl.moving:
        at_s += 0.02
        oks += grbl.take_unasked(at_s).count(b"ok")
        if sent <= 36 and sent - oks < 4:
            x, y = arc(36)[sent]
            oks += grbl.receive(f"G1X{x:.3f}Y{y:.3f}F3000\n".encode(), at_s).count(b"ok")
            sent += 1
        speed = float(grbl.receive(b"?", at_s).split(b"FS:")[1].split(b",")[0])
        if 121.0 < at_s < 124.0:
            slowest = min(slowest, speed)
    assert slowest > 600.0
    assert at_s - 120.0 == pytest.approx(2.0 * math.pi * 50.0 / 50.0, rel=0.35)
    assert grbl.position(at_s) == pytest.approx((-150.0, -200.0, -2.0), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.floats(-20.0, 20.0), st.floats(-20.0, 20.0)), min_size=2, max_size=12),
    feed=st.integers(100, 12_000), hold_s=st.floats(0.0, 3.0),
)
def test_speed_never_jumps_and_no_acceleration_is_exceeded(
    steps: list[tuple[float, float]], feed: int, hold_s: float
) -> None:
    grbl, mechanics = controller()
    grbl.receive(b"G0X-300Y-250\n", 100.0)
    grbl.advance_to(110.0)
    held, speed, at_s = False, 0.0, 110.0
    for x, y in steps:
        grbl.receive(f"G91G1X{x:.3f}Y{y:.3f}F{feed}\n".encode(), at_s)
    while grbl.moving or not held:
        at_s += 0.002
        if not held and at_s >= 110.0 + hold_s:
            grbl.receive(b"!", at_s)
            held = True
        grbl.advance_to(at_s)
        now = grbl._move.speed_at(at_s) if grbl._move is not None else 0.0
        assert abs(now - speed) <= 707.2 * 0.002 + 1e-6 + (speed if now == 0.0 and speed < 2.0 else 0.0)
        speed = now
    grbl.receive(b"~", at_s)
    grbl.advance_to(at_s + 1e4)
    expected = -300.0 + sum(round(x, 3) for x, _ in steps), -250.0 + sum(round(y, 3) for _, y in steps), -2.0
    assert grbl.position(at_s + 1e4) == pytest.approx(expected, abs=1e-6)
    assert mechanics.position == pytest.approx(expected, abs=1e-6)


class Machine:
    """The controller on a pseudo-terminal, its process time running `factor` times as fast as the clock."""

    def __init__(self, directory: Path, factor: float) -> None:
        self.grbl, self.mechanics = controller(home=False)
        self._start_s, self._factor = time.monotonic(), factor
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.server = PtyServer(directory, self._receive)
        self.port = str(self.server.plug("gantry"))
        self._ticker = threading.Thread(target=self._tick)
        self._ticker.start()

    def now_s(self) -> float:
        return (time.monotonic() - self._start_s) * self._factor

    def _receive(self, line: str, data: bytes) -> bytes:
        with self._lock:
            return self.grbl.receive(data, self.now_s())

    def _tick(self) -> None:
        while not self._ended.wait(0.005):
            with self._lock:
                said = self.grbl.take_unasked(self.now_s())
            self.server.send("gantry", said)

    def close(self) -> None:
        self._ended.set()
        self._ticker.join()
        self.server.close()


def test_somebody_elses_sender_homes_streams_and_meets_the_alarm(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 60.0)
    sender = GrblStreamer(machine.port, auto_unlock=False)
    alarms: list[str] = []
    sender.alarm_callback = alarms.append
    try:
        sender.connect()
        assert sender.command("$H", timeout=10.0)
        assert not sender.command("G1 X-5")  # no feed rate: an error, not an ok
        program = ["G21 G90", *(f"G1 X-{10 + 20 * (k % 2)} Y-{5 + k} F9000" for k in range(60)), "M8", "G4 P0.5", "M9"]
        sender.stream(program)
        sender.realtime(b"?")
        deadline = time.monotonic() + 10.0
        while not (report := sender.last_status.get("raw", "")).startswith("<Idle|MPos:-30.000,-64.000"):
            assert time.monotonic() < deadline, report
            sender.realtime(b"?")
            time.sleep(0.02)
        form = r"<Idle\|MPos:-30\.000,-64\.000,-2\.000\|Bf:15,128\|FS:0,0(\|[A-Z][A-Za-z]+:[^|]+)*>"
        assert re.fullmatch(form, report)
        assert machine.mechanics.position == pytest.approx((-30.0, -64.0, -2.0))
        sender.command("G0 X20")
        while not alarms:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert alarms == ["ALARM:2"]
    finally:
        sender.disconnect()
        machine.close()
