# SPDX-License-Identifier: Apache-2.0
"""A database that is locked, truncated or damaged: told with what to do, and nothing acknowledged is lost."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from record_run import Run

from mimedi_nodes.modules.service.memory import open_memory
from mimedi_nodes.nodes.recording.record_keeper import RecordKeeper
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.records.errors import LostFileError, RecordError, StorageError
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.outbox import Outbox
from mimedi_nodes.records.summary import read_events
from mimedi_nodes.records.verify import verify


@pytest.fixture
def keeper(tmp_path: Path) -> RecordKeeper:
    return RecordKeeper(tmp_path / "runs", tmp_path / "keys", tmp_path / "state")


def hand_over(keeper: RecordKeeper, outbox: Outbox) -> int:
    """What an outbox sender does: acknowledge only what the recorder has."""
    acknowledged, _ = keeper.take(outbox.pending())
    outbox.acknowledge(acknowledged)
    return acknowledged


def tell(outbox: Outbox, batch_id: str = "B1") -> None:
    outbox.append(batch_id, 1.0, "measurement", "fluidics", "x", data={"name": "x", "value": 1.0})


def verdict(tmp_path: Path, batch_id: str = "B1") -> str:
    key = Signer.load_or_create(tmp_path / "keys").public_key
    return verify(tmp_path / "runs" / batch_id, tmp_path / "runs" / ".heads", key).verdict


def test_a_locked_record_is_told_and_catches_up(
    keeper: RecordKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimedi_nodes.records.sqlite.BUSY_TIMEOUT_S", 0.05)
    outbox = Outbox(tmp_path / "fluidics.sqlite", "fluidics")
    tell(outbox)
    assert hand_over(keeper, outbox) == 1
    other = sqlite3.connect(tmp_path / "runs" / "B1" / "record.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tell(outbox)
    with pytest.raises(StorageError, match="another program holds the file"):
        hand_over(keeper, outbox)
    tell(outbox)
    other.execute("ROLLBACK")
    other.close()
    assert hand_over(keeper, outbox) == 3
    keeper.close()
    assert [event.sequence for event in read_events(tmp_path / "runs" / "B1")] == [1, 2, 3]
    assert verdict(tmp_path) == "intact"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_a_truncated_record_is_not_continued_and_its_copy_is(tmp_path: Path, share: float) -> None:
    outbox = Outbox(tmp_path / "fluidics.sqlite", "fluidics")
    keeper = RecordKeeper(tmp_path / "runs", tmp_path / "keys", tmp_path / "state")
    for _ in range(30):
        tell(outbox)
    hand_over(keeper, outbox)
    keeper.close()
    path = tmp_path / "runs" / "B1" / "record.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    tell(outbox)
    keeper = RecordKeeper(tmp_path / "runs", tmp_path / "keys", tmp_path / "state")
    with pytest.raises(RecordError, match=r"verify|damaged"):
        hand_over(keeper, outbox)
    assert outbox.pending_count == 1
    keeper.close()
    assert verdict(tmp_path) == "altered"
    # The copy is put back: it goes on where it was acknowledged.
    for beside in path.parent.glob("record.sqlite-*"):
        beside.unlink()
    path.write_bytes(whole)
    keeper = RecordKeeper(tmp_path / "runs", tmp_path / "keys", tmp_path / "state")
    assert hand_over(keeper, outbox) == 31
    keeper.close()
    assert verdict(tmp_path) == "intact"


@pytest.mark.parametrize("harm", ["cut", "log cut", "gone", "replaced"])
def test_a_record_that_is_damaged_under_the_running_recorder_is_written_on_only_when_it_is_whole_again(
    keeper: RecordKeeper, tmp_path: Path, harm: str
) -> None:
    outbox = Outbox(tmp_path / "fluidics.sqlite", "fluidics")
    for _ in range(30):
        tell(outbox)
    assert hand_over(keeper, outbox) == 30
    path = tmp_path / "runs" / "B1" / "record.sqlite"
    log = Path(f"{path}-wal")
    copies = {file: file.read_bytes() for file in (path, log)}
    if harm in ("cut", "log cut"):
        file = path if harm == "cut" else log
        os.truncate(file, len(copies[file]) // 2)
    else:
        path.unlink()
        if harm == "replaced":
            path.write_bytes(copies[path])
    tell(outbox)
    with pytest.raises(StorageError, match=r"was cut|took its place|No such file"):
        hand_over(keeper, outbox)
    assert outbox.pending_count == 1
    # What was cut or replaced is still in the log: SQLite puts it back, and the whole chain is looked at.
    if harm in ("log cut", "gone"):
        with pytest.raises(RecordError, match="verify"):
            hand_over(keeper, outbox)
        assert verdict(tmp_path) == "altered"
        for file, content in copies.items():
            file.write_bytes(content)
    assert hand_over(keeper, outbox) == 31
    keeper.close()
    assert [event.sequence for event in read_events(path.parent)] == list(range(1, 32))
    assert verdict(tmp_path) == "intact"


def harmed(path: Path, harm: str) -> None:
    """Do to a database file under a running program what hands and failing disks do."""
    if harm == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif harm == "log cut":
        os.truncate(f"{path}-wal", 0)
    elif harm == "gone":
        path.unlink()
    elif harm == "all gone":
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
    else:
        older = path.with_suffix(".older")
        shutil.copy(path, older)
        os.replace(older, path)


HARMS = ("cut", "log cut", "gone", "all gone", "replaced")


@pytest.mark.parametrize("harm", HARMS)
def test_an_outbox_that_is_lost_under_its_producer_is_told_and_nothing_of_it_is_lost(
    keeper: RecordKeeper, tmp_path: Path, harm: str
) -> None:
    path = tmp_path / "fluidics.sqlite"
    outbox = Outbox(path, "fluidics")
    for _ in range(30):
        tell(outbox)
    assert hand_over(keeper, outbox) == 30
    for _ in range(5):
        tell(outbox)
    harmed(path, harm)
    with pytest.raises(LostFileError, match=r"was cut|took its place|No such file"):
        tell(outbox)
    assert outbox.pending_count == 5  # what was refused has no number
    # The next use finds the file whole, or puts back what was open.
    outbox.check()
    tell(outbox)
    outbox.close()
    outbox = Outbox(path, "fluidics")
    assert outbox.pending_count == 6
    assert hand_over(keeper, outbox) == 36
    outbox.close()
    keeper.close()
    assert [event.sequence for event in read_events(tmp_path / "runs" / "B1")] == list(range(1, 37))
    assert verdict(tmp_path) == "intact"
    assert not Path(f"{path}.saved").exists()


def test_an_outbox_whose_saved_copy_is_gone_too_is_not_begun_anew_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "fluidics.sqlite"
    outbox = Outbox(path, "fluidics")
    tell(outbox)
    older = path.read_bytes()
    tell(outbox)
    harmed(path, "all gone")
    with pytest.raises(LostFileError, match="No such file"):
        outbox.check()
    copy = Path(f"{path}.saved").read_bytes()
    Path(f"{path}.saved").unlink()
    for there in (None, b"no database", older):  # nothing, something else, an older one
        if there is not None:
            path.write_bytes(there)
        with pytest.raises(LostFileError, match="put a copy of this very file in its place"):
            tell(outbox)
    path.write_bytes(copy)
    tell(outbox)
    assert [event.sequence for event in outbox.pending()] == [1, 2, 3]
    outbox.close()


@pytest.mark.parametrize("gone", ["goals", "outbox"])
def test_a_module_that_has_lost_half_of_its_memory_is_not_brought_up(tmp_path: Path, gone: str) -> None:
    store, outbox = open_memory(tmp_path, "fluidics")
    store.begin("a" * 32, "RinseLines", {}, PhaseHeader(batch_id="B1"), 0.0)
    tell(outbox)
    store.close()
    outbox.close()
    path = tmp_path / f"fluidics.{gone}.sqlite"
    away = path.rename(tmp_path / "away")
    for _ in range(2):  # the supervisor tries again
        with pytest.raises(StorageError, match=rf"fluidics.{gone}.sqlite is gone"):
            open_memory(tmp_path, "fluidics")
        assert not path.exists()
    away.rename(path)
    store, outbox = open_memory(tmp_path, "fluidics")
    assert (store.recall("a" * 32).status, outbox.last_sequence) == ("running", 1)
    store.close()
    outbox.close()


def test_a_damaged_old_record_does_not_stop_todays_batch(tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"no database" * 100, b"SQLite format 3\0" + b"\xa0" * 4000)):
        folder = tmp_path / "runs" / f"old{number}"
        folder.mkdir(parents=True)
        (folder / "record.sqlite").write_bytes(content)
    outbox = Outbox(tmp_path / "fluidics.sqlite", "fluidics")
    tell(outbox)
    keeper = RecordKeeper(tmp_path / "runs", tmp_path / "keys", tmp_path / "state")
    assert hand_over(keeper, outbox) == 1
    keeper.close()
    assert verdict(tmp_path) == "intact"


def test_a_record_that_vanishes_under_the_recorder_is_found(keeper: RecordKeeper, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "fluidics.sqlite", "fluidics")
    tell(outbox)
    hand_over(keeper, outbox)
    keeper.close()
    shutil.rmtree(tmp_path / "runs" / "B1")
    assert verdict(tmp_path) == "altered"
    tell(outbox)
    again = RecordKeeper(tmp_path / "runs", tmp_path / "keys", tmp_path / "state")
    with pytest.raises(RecordError, match="verify"):
        hand_over(again, outbox)
    assert outbox.pending_count == 1
    again.close()


def test_a_clock_that_was_set_back_is_told_and_the_record_stays_intact(run: Run, tmp_path: Path) -> None:
    from mimedi_nodes.records.batch_record import BatchRecord

    record = BatchRecord(run.folder, run.signer)
    last = [event for event in record.events() if event.producer == "coordinator"][-1]
    late = dataclasses.replace(last, sequence=last.sequence + 1, wall_time="2001-01-01T00:00:00Z", what="later")
    early = dataclasses.replace(late, sequence=late.sequence + 1, process_time_s=math.nan)
    record.append([late, early])
    record.close()
    report = run.verify()
    assert report.verdict == "intact"
    assert len([note for note in report.notes if "wall time was set back at row 8" in note]) == 1
