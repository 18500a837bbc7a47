# SPDX-License-Identifier: Apache-2.0
"""The suite's summary: nothing that failed, is missing or was skipped in CI passes."""

import pytest

from standalone.bootstrap import checks
from standalone.bootstrap.checks import Check, Outcome
from standalone.bootstrap.cli import main
from standalone.bootstrap.junit import Tally, read_report

REPORT = """<testsuites><testsuite>
<testcase name="good"/>
<testcase name="bad"><failure message="x"/></testcase>
<testcase name="broken"><error message="fixture"/></testcase>
<testcase name="left_out"><skipped type="pytest.skip" message="no camera"/></testcase>
<testcase name="known"><skipped type="pytest.xfail" message="bug"/></testcase>
</testsuite></testsuites>"""


def test_counts_of_a_report(tmp_path):
    (tmp_path / "r.xml").write_text(REPORT)
    tally = read_report(tmp_path / "r.xml")
    assert (tally.passed, tally.failed, tally.skipped) == (2, 2, ("left_out (no camera)",))
    assert (tally + tally).count == 10


@pytest.mark.parametrize(
    ("outcome", "in_ci", "status"),
    [
        (Outcome("unit", 1.0, [], Tally(3, 0, ("hull (no reference images in ../shared)",))), True, 0),
        (Outcome("unit", 1.0, [], Tally(3)), True, 0),
        (Outcome("unit", 1.0, ["exit status 1"], Tally(3, 1)), False, 1),
        (Outcome("ruff", 1.0, ["exit status 1"]), False, 1),
        (Outcome("launch", 1.0, ["no tests found"]), False, 1),
        (Outcome("unit", 1.0, [], Tally(3, 0, ("x",))), False, 0),
        (Outcome("unit", 1.0, [], Tally(3, 0, ("x (no rclpy)",))), True, 1),
    ],
    ids=["images not there", "passed", "a test failed", "style failed", "no tests", "skip at home", "skip in CI"],
)
def test_exit_status(capsys, outcome, in_ci, status):
    assert checks.summarize([Outcome("other", 0.1, [], Tally(2)), outcome], in_ci=in_ci) == status
    closing = capsys.readouterr().out.splitlines()[-1]
    assert closing.startswith(f"{2 + outcome.tally.passed} passed, {1 if status else 0} failed")


def run_one(tmp_path, script, *, quiet=True):
    import os
    import sys

    return checks._run(Check("one", (sys.executable, "-c", script), quiet=quiet), tmp_path, os.environ)


def test_a_failing_check_shows_its_output(tmp_path, capsys):
    outcome = run_one(tmp_path, "print('line too long'); raise SystemExit(1)")
    assert outcome.problems == ["exit status 1"]
    assert "line too long" in capsys.readouterr().out


def test_a_passing_check_is_quiet(tmp_path, capsys):
    outcome = run_one(tmp_path, "print('all well')")
    assert outcome.problems == []
    assert capsys.readouterr().out == ""


def test_what_runs_side_by_side_is_shown_in_one_piece_and_in_order(tmp_path, capfd):
    """Two checks that can only end when the other one has begun; neither's lines stand among the other's."""
    import os
    import sys

    meet = (
        "import sys, time, pathlib\nmine, other = map(pathlib.Path, sys.argv[1:3])\n"
        "print(mine.name, 'begins', flush=True)\nmine.touch()\nend = time.monotonic() + 30\n"
        "while not other.exists():\n    assert time.monotonic() < end\n    time.sleep(0.01)\n"
        "print(mine.name, 'ends', flush=True)"
    )
    pair = [("left", "right"), ("right", "left")]
    stage = [Check(one, (sys.executable, "-c", meet, str(tmp_path / one), str(tmp_path / two))) for one, two in pair]
    outcomes = checks._run_stage(stage, tmp_path, os.environ)
    assert [(o.name, o.problems) for o in outcomes] == [("left", []), ("right", [])]
    lines = capfd.readouterr().out.splitlines()
    for name in ("left", "right"):
        begins = lines.index(f"{name} begins")
        assert lines[begins - 1].startswith(f"=== {name}: ok after")
        assert lines[begins + 1] == f"{name} ends"


def test_collecting_nothing_is_a_problem(tmp_path):
    assert run_one(tmp_path, "raise SystemExit(5)").problems == ["no tests found"]


def test_a_check_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_DEADLINE_S", 2.0)
    outcome = run_one(tmp_path, "import time; print('so far', flush=True); time.sleep(60)")
    assert outcome.problems == ["not finished after 2 s"]
    assert outcome.output == "so far\n"
    assert outcome.seconds < 30


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "unknown command 'frobnicate'"),
        (["clean", "--everything"], "clean takes only --all"),
    ],
)
def test_a_wrong_command_line_says_what_is_right(tmp_path, capsys, arguments, words):
    assert main(arguments, tmp_path) == 2
    assert words in capsys.readouterr().err


def test_help_teaches_by_example(tmp_path, capsys):
    assert main(["--help"], tmp_path) == 0
    shown = capsys.readouterr().out
    for command in ("setup", "demo", "test", "up", "produce", "status", "simulate", "verify", "report", "dashboard",
                    "exec", "clean"):  # fmt: skip
        assert f"./workcell {command}" in shown


def test_clean_keeps_the_runs(tmp_path):
    for name in ("build", "install", "log", "runs", ".venv"):
        (tmp_path / name).mkdir()
    assert main(["clean"], tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"runs", ".venv"}
    assert main(["clean", "--all"], tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
