# SPDX-License-Identifier: Apache-2.0
"""A small record on disk and a key, for the tests of the record."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from record_run import Run

from mimedi_nodes.records.attachments import attachment_data
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.outbox import Outbox

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Hundreds of records are made, each with its fsyncs: the disk's speed is not tested."""


@pytest.fixture(name="tmp_path")
def memory_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer.ephemeral()


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> Path:
    """A runs folder with one run: tests work on copies of it."""
    runs = tmp_path_factory.mktemp("finished") / "runs"
    folder = runs / "B1"
    record = BatchRecord(folder, signer)
    coordinator = Outbox(":memory:", "coordinator")
    incubator = Outbox(":memory:", "incubator")
    coordinator.append("B1", 0.0, "batch_started", "ada", "batch B1", data={"recipe": "car_t_cd19", "seed": 7})
    incubator.append("B1", 60.0, "measurement", "incubator", "glucose_mm", data={"value": 11.5, "unit": "mmol/L"})
    record.append([*coordinator.pending(), *incubator.pending()])
    for value in (11.2, 10.9, 10.4):
        incubator.append("B1", 120.0, "measurement", "incubator", "glucose_mm", data={"value": value})
    record.append(incubator.pending())
    picture = folder / "cells.png"
    picture.write_bytes(b"\x89PNG not really")
    coordinator.append(
        "B1", 200.0, "attachment", "coordinator", "cells.png", data=attachment_data(folder, picture)
    )
    coordinator.append("B1", 210.0, "batch_ended", "coordinator", "batch B1", "all steps done")
    record.append(coordinator.pending())
    record.close()
    return runs


@pytest.fixture
def run(finished_runs: Path, tmp_path: Path, signer: Signer) -> Run:
    runs = tmp_path / "runs"
    shutil.copytree(finished_runs, runs)
    return Run(runs / "B1", runs / ".heads", signer)
