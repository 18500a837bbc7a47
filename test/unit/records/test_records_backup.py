# SPDX-License-Identifier: Apache-2.0
"""A copy of a run verifies by itself, also one of a batch under way, and is put back only where nothing is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mimedi_nodes.commands import backup
from mimedi_nodes.commands.verify import verify_run
from mimedi_nodes.nodes.recording.record_keeper import RecordKeeper
from mimedi_nodes.records.events import RecordEvent

Command = Callable[..., int]


def tell(keeper: RecordKeeper, first: int, last: int) -> None:
    wall = "2026-11-23T10:00:00Z"
    keeper.take([
        RecordEvent("fluidics", k, "B1", float(k), wall, "measurement", "fluidics", "x", "", {"value": k})
        for k in range(first, last + 1)
    ])  # fmt: skip


@pytest.fixture
def command(tmp_path: Path) -> Command:
    def run(name: str, *options: str) -> int:
        return backup.main(["B1", str(tmp_path / "copies"), "--runs", str(tmp_path / "runs"), *options], name)

    return run


@pytest.fixture
def keeper(tmp_path: Path) -> RecordKeeper:
    keeper = RecordKeeper(tmp_path / "runs", tmp_path / ".workcell" / "keys", tmp_path / "state")
    tell(keeper, 1, 20)
    picture = tmp_path / "runs" / "B1" / "count.png.part"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    keeper.publish_file("B1", picture, "count.png", 20.0)
    return keeper


def lost(run: Path) -> None:
    shutil.rmtree(run)


def cut(run: Path) -> None:
    data = (run / "record.sqlite").read_bytes()
    for file in run.glob("record.sqlite-*"):
        file.unlink()
    (run / "record.sqlite").write_bytes(data[: len(data) // 2])


def edited(run: Path) -> None:
    (run / "count.png").write_bytes(b"another picture")


@pytest.mark.parametrize("harm", [lost, cut, edited])
def test_a_run_is_restored_whole(
    keeper: RecordKeeper,
    command: Command,
    tmp_path: Path,
    harm: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, copy = tmp_path / "runs" / "B1", tmp_path / "copies" / "B1"
    assert command("backup") == 0  # while the recorder has it open
    tell(keeper, 21, 25)
    assert command("backup", "--json") == 0  # replaces the first
    keeper.close()
    assert json.loads(capsys.readouterr().out.partition("\n")[2])["rows"] == 26
    assert verify_run(copy, key_files=[tmp_path / "copies" / ".keys" / "record.pub.pem"]).verdict == "intact"
    assert command("restore") == 2
    assert "nothing to restore" in capsys.readouterr().err
    harm(run)
    assert verify_run(run).verdict == "altered"
    assert command("restore") == 0
    report = verify_run(run)
    assert (report.verdict, report.rows, report.attachments) == ("intact", 26, 1)
    assert (tmp_path / "runs" / ".damaged" / "B1-1").exists() is (harm is not lost)
    # It goes on where it was.
    again = RecordKeeper(tmp_path / "runs", tmp_path / ".workcell" / "keys", tmp_path / "state")
    tell(again, 26, 30)
    again.close()
    assert verify_run(run).verdict == "intact"


def test_a_copy_that_lacks_acknowledged_rows_or_was_edited_is_not_put_back(
    keeper: RecordKeeper, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "B1"
    assert command("backup") == 0
    tell(keeper, 21, 25)
    keeper.close()
    cut(run)
    before = (run / "record.sqlite").read_bytes()
    assert command("restore") == 2
    assert "26 were acknowledged: 5 would be lost" in capsys.readouterr().err
    assert command("backup") == 2, "an altered record does not replace its last good copy"
    edited(tmp_path / "copies" / "B1")
    assert command("restore") == 2
    assert "is altered" in capsys.readouterr().err
    assert (run / "record.sqlite").read_bytes() == before


def test_copies_do_not_lie_among_the_runs_nor_does_a_running_recorder_lose_its_record(
    keeper: RecordKeeper, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert backup.main(["B1", str(runs / "copies"), "--runs", str(runs)], "backup") == 2
    assert "keep copies on another disk" in capsys.readouterr().err
    assert command("backup") == 0
    edited(runs / "B1")
    assert command("restore") == 2
    assert "another recorder writes this batch" in capsys.readouterr().err
    keeper.close()
