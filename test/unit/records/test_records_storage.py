# SPDX-License-Identifier: Apache-2.0
"""Outboxes, records and the store: durable, once, in order, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.errors import EventError, GapError, RecordError
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.outbox import Outbox
from mimedi_nodes.records.store import RecordStore
from mimedi_nodes.records.verify import verify

ROOT = Path(__file__).resolve().parents[3]


def event(sequence: int, batch_id: str = "B1", producer: str = "fluidics", what: str = "x") -> RecordEvent:
    return RecordEvent(producer, sequence, batch_id, 1.0 * sequence, "2026-01-01T00:00:00Z", "measurement", "p", what)


# --- outbox -----------------------------------------------------------------------------------------------------------


def test_outbox_numbers_go_on_over_restarts_and_acknowledgements(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", "fluidics")
    first = outbox.append("B1", 1.0, "measurement", "fluidics", "a")
    second = outbox.append("B1", float("nan"), "measurement", "fluidics", "b", data={"v": float("nan")})
    assert (first.sequence, second.sequence) == (1, 2)
    outbox.acknowledge(2)
    outbox.close()
    outbox = Outbox(tmp_path / "outbox.sqlite", "fluidics")
    assert outbox.pending_count == 0
    assert outbox.last_sequence == 2
    assert outbox.append("B1", 2.0, "measurement", "fluidics", "c").sequence == 3
    assert [one.what for one in outbox.pending()] == ["c"]
    outbox.close()


def test_outbox_belongs_to_one_producer(tmp_path: Path) -> None:
    Outbox(tmp_path / "outbox.sqlite", "fluidics").close()
    with pytest.raises(RecordError, match="belongs to 'fluidics'"):
        Outbox(tmp_path / "outbox.sqlite", "incubator")


def test_outbox_refuses_an_acknowledgement_of_what_it_never_sent() -> None:
    with pytest.raises(RecordError, match="restore"):
        Outbox(":memory:", "fluidics").acknowledge(1)


def traced(outbox: Outbox, commits: list[str]) -> None:
    """Let `commits` have one entry for each commit of an outbox from now on."""
    database = outbox._database._database
    assert database is not None
    database.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)


def test_group_is_all_or_nothing_and_one_commit(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", "fluidics")
    commits: list[str] = []
    traced(outbox, commits)
    with outbox.group():
        for _ in range(5):
            outbox.append("B1", 1.0, "measurement", "fluidics", "a")
    assert commits == ["COMMIT"]

    def spoilt_group() -> None:
        with outbox.group():
            outbox.append("B1", 1.0, "measurement", "fluidics", "b")
            outbox.append("B1", 1.0, "NO KIND", "fluidics", "c")

    with pytest.raises(EventError, match="kind"):
        spoilt_group()
    assert outbox.append("B1", 1.0, "measurement", "fluidics", "d").sequence == 6
    assert [one.what for one in outbox.pending()] == ["a"] * 5 + ["d"]


async def test_events_of_one_tick_share_one_commit(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", "fluidics")
    commits: list[str] = []
    traced(outbox, commits)
    for _ in range(4):
        outbox.append_soon("B1", 1.0, "measurement", "fluidics", "a")
    assert commits == []
    await asyncio.sleep(0)
    assert commits == ["COMMIT"]
    reader = sqlite3.connect(tmp_path / "outbox.sqlite")
    assert reader.execute("SELECT COUNT(*) FROM events").fetchone() == (4,)


def test_pending_is_bounded_in_number_and_size() -> None:
    outbox = Outbox(":memory:", "fluidics")
    for _ in range(6):
        outbox.append("B1", 1.0, "measurement", "fluidics", "a", data={"text": "x" * 1000})
    assert len(outbox.pending(4)) == 4
    assert len(outbox.pending(6, max_bytes=2500)) == 2
    assert len(outbox.pending(6, max_bytes=10)) == 1


# --- record -----------------------------------------------------------------------------------------------------------


def test_record_takes_each_event_once(tmp_path: Path, signer: Signer) -> None:
    record = BatchRecord(tmp_path / "B1", signer)
    assert record.append([event(1), event(2), event(1, producer="incubator")]) == {"fluidics": 2, "incubator": 1}
    head = record.head
    assert record.append([event(1), event(2)]) == {"fluidics": 2}
    assert record.head == head
    assert record.append([event(2), event(3), event(3)]) == {"fluidics": 3}
    assert record.count == 4
    record.close()


def test_record_refuses_gaps_other_batches_and_reused_numbers(tmp_path: Path, signer: Signer) -> None:
    record = BatchRecord(tmp_path / "B1", signer)
    record.append([event(1)])
    with pytest.raises(GapError, match="send 2 to 2 first"):
        record.append([event(3)])
    with pytest.raises(GapError):
        record.append([event(2), event(4)])
    assert record.count == 1
    with pytest.raises(RecordError, match="belongs to batch"):
        record.append([event(2, batch_id="B2")])
    with pytest.raises(RecordError, match="another event"):
        record.append([event(1, what="y")])
    with pytest.raises(RecordError, match="another event"):
        record.append([event(2), event(2, what="y")])
    assert record.append([event(2)]) == {"fluidics": 2}
    record.close()


def test_record_goes_on_after_reopening_and_has_one_writer(tmp_path: Path, signer: Signer) -> None:
    record = BatchRecord(tmp_path / "B1", signer)
    record.append([event(1)])
    with pytest.raises(RecordError, match="another recorder"):
        BatchRecord(tmp_path / "B1", signer)
    record.close()
    record = BatchRecord(tmp_path / "B1", signer)
    assert record.append([event(2)]) == {"fluidics": 2}
    assert [one.sequence for one in record.events()] == [1, 2]
    record.close()
    assert verify(tmp_path / "B1", tmp_path / ".heads", signer.public_key).verdict == "intact"


def test_ledger_that_lags_or_is_torn_is_mended_from_the_record(tmp_path: Path, signer: Signer) -> None:
    record = BatchRecord(tmp_path / "B1", signer)
    for number in (1, 2, 3):
        record.append([event(number)])
    record.close()
    ledger = tmp_path / ".heads" / "B1.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:-40])
    (tmp_path / "B1" / "heads.jsonl").write_bytes(b"")
    BatchRecord(tmp_path / "B1", signer).close()
    assert ledger.read_bytes() == whole
    assert verify(tmp_path / "B1", tmp_path / ".heads", signer.public_key).verdict == "intact"


def test_heads_must_lie_outside_the_run(tmp_path: Path, signer: Signer) -> None:
    with pytest.raises(RecordError, match="outside"):
        BatchRecord(tmp_path / "B1", signer, tmp_path / "B1" / "heads")


def test_locked_database_says_what_to_do(
    tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mimedi_nodes.records.sqlite.BUSY_TIMEOUT_S", 0.05)
    record = BatchRecord(tmp_path / "B1", signer)
    other = sqlite3.connect(tmp_path / "B1" / "record.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RecordError, match="another program holds the file"):
        record.append([event(1)])
    other.execute("ROLLBACK")
    assert record.append([event(1)]) == {"fluidics": 1}
    record.close()


FILL = """
import resource, signal, sys
from pathlib import Path
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.errors import RecordError
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.outbox import Outbox
folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # EFBIG instead of death: what a quota does
outbox = Outbox(folder / "outbox.sqlite", "fluidics")
record = BatchRecord(folder / "B1", Signer.load_or_create(folder / "keys"), folder / "heads")
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
acknowledged = made = 0
try:
    for _ in range(2000):
        made = outbox.append("B1", 1.0, "measurement", "fluidics", "x", data={"text": "y" * 500}).sequence
        acknowledged = record.append(outbox.pending())["fluidics"]
        outbox.acknowledge(acknowledged)
except RecordError as error:
    print(error)
else:
    sys.exit("the limit was never reached")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
again = outbox.append("B1", 1.0, "measurement", "fluidics", "after").sequence
assert again == made + 1 or again == made, (again, made)
last = record.append(outbox.pending())["fluidics"]
assert last == again, (last, again)
assert record.count == last, (record.count, last)
record.close()
print("acknowledged", acknowledged)
"""


@pytest.mark.parametrize("limit_bytes", [40_000, 70_000, 150_000])
def test_full_disk_is_named_and_nothing_acknowledged_is_lost(tmp_path: Path, limit_bytes: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path), str(limit_bytes)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "then continue" in result.stdout
    key = Signer.load_or_create(tmp_path / "keys").public_key
    report = verify(tmp_path / "B1", tmp_path / "heads", key)
    assert report.verdict == "intact", report.findings


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.outbox import Outbox
folder = Path(sys.argv[1])
outbox = Outbox(folder / "outbox.sqlite", "fluidics")
record = BatchRecord(folder / "B1", Signer.load_or_create(folder / "keys"), folder / "heads")
while True:
    with outbox.group():
        for _ in range(20):
            outbox.append("B1", 1.0, "measurement", "fluidics", "x", data={"text": "y" * 200})
    acknowledged = record.append(outbox.pending())["fluidics"]
    outbox.acknowledge(acknowledged)
    print(acknowledged, flush=True)
"""


def test_kill_in_the_middle_of_writing_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    for life in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert child.stdout is not None
        for _ in range(3 + life):
            line = child.stdout.readline()
            assert int(line) > acknowledged
            acknowledged = int(line)
        # The child is busy writing on: where the signal meets it is chance, and any place must do.
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split()
        acknowledged = max([acknowledged, *(int(word) for word in rest)])
        child.wait()
        signer = Signer.load_or_create(tmp_path / "keys")
        report = verify(tmp_path / "B1", tmp_path / "heads", signer.public_key)
        assert report.verdict == "intact", report.findings
        assert report.rows >= acknowledged
    record = BatchRecord(tmp_path / "B1", signer, tmp_path / "heads")
    outbox = Outbox(tmp_path / "outbox.sqlite", "fluidics")
    while pending := outbox.pending():
        outbox.acknowledge(record.append(pending)["fluidics"])
    assert [one.sequence for one in record.events()] == list(range(1, outbox.last_sequence + 1))
    record.close()
    report = verify(tmp_path / "B1", tmp_path / "heads", signer.public_key)
    assert (report.verdict, report.notes) == ("intact", [])


def test_record_and_outbox_are_fast_enough(tmp_path: Path, signer: Signer) -> None:
    """1,500 events in 100 batches within 0.5 s of processor time; the disk's own time is the machine's affair."""
    record = BatchRecord(None, signer, batch_id="B1")
    outbox = Outbox(":memory:", "fluidics")
    start = time.process_time()
    for _ in range(100):
        with outbox.group():
            for _ in range(15):
                outbox.append("B1", 1.0, "measurement", "fluidics", "x", data={"name": "x", "value": 1.5})
        outbox.acknowledge(record.append(outbox.pending())["fluidics"])
    assert time.process_time() - start < 0.5
    assert record.count == 1500


# --- keys and store ---------------------------------------------------------------------------------------------------


def test_keys_are_made_once_private_and_checked(tmp_path: Path) -> None:
    signer = Signer.load_or_create(tmp_path / "keys")
    assert Signer.load_or_create(tmp_path / "keys").key_id == signer.key_id
    private = tmp_path / "keys" / "record.key.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    private.chmod(0o644)
    with pytest.raises(RecordError, match="chmod 600"):
        Signer.load_or_create(tmp_path / "keys")
    private.chmod(0o600)
    private.write_text("no key")
    with pytest.raises(RecordError, match="no private key"):
        Signer.load_or_create(tmp_path / "keys")


def test_store_sends_events_to_their_batches_and_misses_none(tmp_path: Path, signer: Signer) -> None:
    store = RecordStore(tmp_path, signer)
    assert store.append([event(1), event(2, ""), event(3), event(4, "B2")]) == {"fluidics": 4}
    assert store.append([event(4, "B2"), event(5)]) == {"fluidics": 5}
    with pytest.raises(GapError, match="event 8 came, 6 was due"):
        store.append([event(8)])
    store.close()
    store = RecordStore(tmp_path, signer)
    with pytest.raises(GapError):
        store.append([event(7)])
    assert store.append([event(5), event(6)]) == {"fluidics": 6}
    assert [one.sequence for one in store.record("B1").events()] == [1, 3, 5, 6]
    assert [one.sequence for one in store.record("").events()] == [2]
    store.close()
    for name in ("B1", "B2", ".journal"):
        assert verify(tmp_path / name, tmp_path / ".heads", signer.public_key).verdict == "intact"


def test_store_remembers_producers_when_a_run_was_moved_away(tmp_path: Path, signer: Signer) -> None:
    store = RecordStore(tmp_path, signer)
    store.append([event(1), event(2, "B2")])
    store.close()
    (tmp_path / "B2").rename(tmp_path.parent / f"{tmp_path.name}-archived")
    store = RecordStore(tmp_path, signer)
    assert store.append([event(3)]) == {"fluidics": 3}
    store.close()


def test_store_refuses_a_number_that_was_given_twice(tmp_path: Path, signer: Signer) -> None:
    store = RecordStore(tmp_path, signer)
    store.append([event(1), event(2)])
    with pytest.raises(RecordError, match="another event"):
        store.append([event(1, what="a new outbox")])
    store.close()


