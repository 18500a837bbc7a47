# SPDX-License-Identifier: Apache-2.0
"""What launch tests look at outside of ROS: processes, run folders, records, the same batch headless."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import launch_testing.asserts

from mimedi_nodes.commands.verify import default_key
from mimedi_nodes.modules.registry import config_folder, manifests
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.people.operator import ScriptedOperator
from mimedi_nodes.process.recipes.approval import Approvals
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.process.supplies import read_supplies, start_facts, supplies_file
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.heads import load_public_key
from mimedi_nodes.records.summary import canonical_rows, read_events
from mimedi_nodes.records.verify import verify

TESTS = Path(__file__).parent / "config"
_MARK = "WORKCELL_LAUNCH_TEST"


def new_folder() -> Path:
    """Return a fresh folder for a test's runs and configuration, removed when this process ends.

    It is kept when the environment sets WORKCELL_KEEP_RUNS: the launch log tells its name.
    """
    os.environ[_MARK] = uuid.uuid4().hex  # the processes of this test inherit it: that is how orphans are found
    os.environ["PYTHONFAULTHANDLER"] = "1"  # a node that aborts says where its threads were
    folder = Path(tempfile.mkdtemp(prefix="workcell_launch_"))
    if "WORKCELL_KEEP_RUNS" not in os.environ:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(config_folder(), folder / "config")
    shutil.copytree(TESTS, folder / "config", dirs_exist_ok=True)
    return folder


def processes() -> dict[int, str]:
    """Return the living nodes of this test, whoever their parent is now: process id → command line."""
    mark = f"{_MARK}={os.environ[_MARK]}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if "/mimedi_workcell/" in command:
                    found[int(entry.name)] = command
    return found


class InOrder:
    """What holds after every shutdown; for a `unittest.TestCase` marked as post_shutdown_test."""

    def test_exit_codes(self, proc_info: Any) -> None:
        """Every process has ended with 0."""
        launch_testing.asserts.assertExitCodes(proc_info)

    def test_nothing_is_left(self) -> None:
        """No node lives on."""
        assert processes() == {}, processes()


def process_of(node: str, namespace: str = "") -> int:
    """Return the process id of a node; raises AssertionError unless there is exactly one."""
    own = [
        pid
        for pid, command in processes().items()
        if f"/mimedi_workcell/{node} " in command and (not namespace or f"__ns:=/{namespace.strip('/')}" in command)
    ]
    assert len(own) == 1, f"processes of {node}: {own}"
    return own[0]


def kill(node: str) -> int:
    """End a node as a power cut would; return its process id."""
    pid = process_of(node)
    os.kill(pid, signal.SIGKILL)
    return pid


def restarted(node: str, before: int) -> bool:
    """Tell whether a node runs in another process than `before`."""
    own = [pid for pid, command in processes().items() if f"/mimedi_workcell/{node} " in command]
    return len(own) == 1 and own != [before]


def record_of(folder: Path, batch_id: str) -> list[RecordEvent]:
    """Return the events of a batch's record after checking that it is the one that was written."""
    run = folder / "runs" / batch_id
    report = verify(run, run.parent / ".heads", [load_public_key(default_key(run))], "")
    assert report.verdict == "intact", f"{report.verdict}: {[f.message for f in report.findings]} {report.missing}"
    return read_events(run)


def of_kind(events: list[RecordEvent], *kinds: str) -> Iterator[RecordEvent]:
    """Return the events of some kinds."""
    return (event for event in events if event.kind in kinds)


def phase_times(events: list[RecordEvent]) -> dict[str, tuple[float, float]]:
    """Return step id → process times [s] of start and end, counted from the start of the batch."""
    start_s = next(of_kind(events, "batch_started")).process_time_s
    return {
        str(event.data["phase_id"]).rpartition(".")[2]: (
            float(event.data["started_s"]) - start_s,
            float(event.data["ended_s"]) - start_s,
        )
        for event in of_kind(events, "phase_ended")
    }


def assert_same(events: list[RecordEvent], others: list[RecordEvent]) -> None:
    """Assert that two batches have the same record, but for what the recorder adds of its own (files, certificate)."""
    rows, expected = (canonical_rows(e for e in each if e.producer != "recorder") for each in (events, others))
    differing = [pair for pair in zip(rows, expected, strict=False) if pair[0] != pair[1]]
    assert not differing, "{} rows differ, the first:\n< {}\n> {}".format(len(differing), *differing[0])
    assert len(rows) == len(expected), f"{len(rows)} rows, {len(expected)} rows"


@cache
def headless(recipe: str = "short", seed: int = 1, batch_id: str = "REHEARSAL") -> Any:
    """Return the result of the same batch on virtual time without ROS (mimedi_sim.headless.HeadlessResult)."""
    from workcell_client import PATIENT

    from mimedi_sim.headless import HeadlessRun, run_batch
    from mimedi_sim.models.donors import donor
    from mimedi_sim.scenarios import find_scenario

    config = config_folder()
    site_file = config / "site" / "demo.yaml"
    site, batch = load_site(site_file), Batch(batch_id, PATIENT, PATIENT, 70.0)
    loaded = load_recipe(TESTS / "recipes" / f"{recipe}.yaml", manifests())
    standing = Approvals(TESTS / "recipes").require(loaded, batch)
    calibrations = site.calibrations_due
    lots = read_supplies(supplies_file(site_file, site.site))
    return run_batch(
        HeadlessRun(
            loaded,
            batch,
            site,
            donor("nominal", seed),
            seed,
            ScriptedOperator(config / "operators" / "default.yaml"),
            find_scenario("nominal", config / "scenarios"),
            at_start=(standing.fact(loaded), *start_facts(lots, calibrations)),
        )
    )
