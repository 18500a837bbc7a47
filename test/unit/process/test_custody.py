# SPDX-License-Identifier: Apache-2.0
"""The gate before every phase: 10,000 swaps refused, 10,000 legitimate pairings started; labels made and read."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimedi_nodes.commands.label import main as label_command
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.gateway import CommandReply, PhaseOutcome, PhaseRecall
from mimedi_nodes.process.identity.custody import SHARED, SUPPLIES, WRONG_CONTAINER, Custody, GuardedModules
from mimedi_nodes.process.identity.identity import IdentityError, make_identifier, make_label
from mimedi_nodes.process.identity.labels import code_image, read_codes, read_one_label, read_picture, scan
from mimedi_nodes.records.report.pdf import lacking

VESSELS = (
    "apheresis", "bank", "beads", "buffer", "medium", "vector", "excipient", "sorter_inlet", "sorted", "sorter_waste",
    "activation_vessel", "culture_vessel", "depleted", "harvest", "dose_bag", "surplus_bag", "retain", "imaging_cell",
    "sample_port", "waste",
)  # fmt: skip
OWN = tuple(name for name in VESSELS if name not in SUPPLIES | SHARED)
SCANNED = ("apheresis", "vector", "dose_bag")
FIELDS = ("source", "destination", "container", "waste", "exchange", "surplus")


class Modules:
    """A gateway that counts what is started."""

    def __init__(self) -> None:
        self.started = 0

    async def run_phase(
        self, module: str, action: str, goal: Mapping[str, Any], header: PhaseHeader, goal_id: str,
        on_feedback: Callable[[float, str], None],
    ) -> PhaseOutcome:  # fmt: skip
        self.started += 1
        return PhaseOutcome("succeeded")

    async def await_phase(self, module: str, goal_id: str, on_feedback: Callable[[float, str], None]) -> PhaseOutcome:
        raise AssertionError

    async def recall_phase(self, module: str, goal_id: str) -> PhaseRecall:
        raise AssertionError

    async def command(self, module: str, command: int, who: str, why: str) -> CommandReply:
        raise AssertionError


def person(draw: random.Random) -> str:
    return make_identifier(f"F{draw.randrange(1000, 10000)}", draw.randrange(100), draw.randrange(1_000_000))


def batch_of(draw: random.Random, name: str) -> Batch:
    """Autologous, or of a donor and a recipient."""
    patient = person(draw)
    return Batch(name, patient, patient if draw.random() < 0.5 else person(draw), 70.0)


def start(guard: GuardedModules, goal: Mapping[str, Any], module: str = "fluidics") -> PhaseOutcome:
    header = PhaseHeader(phase_id="some.step")
    return asyncio.get_event_loop_policy().get_event_loop().run_until_complete(
        guard.run_phase(module, "TransferFluid", goal, header, "0" * 32, lambda progress, step: None)
    )


@pytest.fixture
def loop() -> Any:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.close()
    asyncio.set_event_loop(None)


def test_ten_thousand_swaps_are_refused_and_as_many_legitimate_pairings_started(
    loop: asyncio.AbstractEventLoop,
) -> None:
    draw = random.Random(18)
    for number in range(10_000):
        custody, modules = Custody(), Modules()
        mine, other = batch_of(draw, "B-mine"), batch_of(draw, "B-other")
        guard = GuardedModules(modules, custody, mine, VESSELS, SCANNED)
        for container in SCANNED:
            if container != "vector" or draw.random() < 0.5:
                custody.bind(container, draw.choice((mine.donor_id, mine.patient_id)), mine.batch_id, "scan")
        usable = [name for name in VESSELS if name != "vector" or custody.of("vector")]
        legitimate = dict(zip(FIELDS, draw.sample(usable, draw.randint(1, 4)), strict=False))
        assert start(guard, {**legitimate, "volume_ul": 1.0}).status == "succeeded", (number, legitimate)
        assert modules.started == 1
        # One container is the other patient's: its own of another batch, or swapped within this one.
        swapped = draw.choice(OWN)
        if custody.of(swapped) is not None:
            custody._bindings.pop(swapped)
        batch_id = draw.choice((other.batch_id, mine.batch_id))
        custody.bind(swapped, draw.choice((other.patient_id, other.donor_id)), batch_id, "scan")
        wrong = {**legitimate, draw.choice(FIELDS): swapped}
        outcome = start(guard, {**wrong, "volume_ul": 1.0})
        assert (outcome.status, outcome.error_code) == ("aborted", WRONG_CONTAINER), (number, wrong)
        assert modules.started == 1


@pytest.mark.parametrize(("module", "vessel"), [("incubator", "culture_vessel"), ("transduction", "activation_vessel")])
def test_a_module_that_names_no_vessel_is_held_to_its_own(
    loop: asyncio.AbstractEventLoop, module: str, vessel: str
) -> None:
    draw, custody, modules = random.Random(1), Custody(), Modules()
    custody.bind(vessel, person(draw), "B-other", "scan")
    guard = GuardedModules(modules, custody, batch_of(draw, "B-mine"), VESSELS)
    assert start(guard, {"duration_h": 1.0}, module).error_code == WRONG_CONTAINER
    assert modules.started == 0


def test_nothing_goes_on_before_the_scan(loop: asyncio.AbstractEventLoop) -> None:
    told: list[tuple[str, str, str]] = []
    batch = batch_of(random.Random(2), "B-1")
    modules = Modules()
    guard = GuardedModules(
        modules, Custody(), batch, VESSELS, SCANNED,
        record=lambda kind, what, why="", **data: told.append((kind, what, why)),
    )  # fmt: skip
    goal = {"source": "apheresis", "destination": "sorter_inlet"}
    assert "has not been scanned" in start(guard, goal).error_msg
    guard.scan("apheresis", batch.donor_id)
    assert start(guard, goal).status == "succeeded"
    assert [(kind, what) for kind, what, _ in told] == [
        ("identity_refused", "some.step"), ("container_bound", "apheresis"), ("container_bound", "sorter_inlet"),
    ]  # fmt: skip
    assert modules.started == 1


def test_bindings_outlive_the_process_and_end_with_the_batch(tmp_path: Path) -> None:
    draw, path = random.Random(3), tmp_path / "state" / "custody.json"
    one, two = person(draw), person(draw)
    Custody(path).bind("harvest", one, "B-1", "scan")
    again = Custody(path)
    with pytest.raises(IdentityError, match="bound to"):
        again.bind("harvest", two, "B-2", "scan")
    journal = again.bindings("B-1")
    assert again.end("B-1") == ["harvest"]
    assert again.bind("harvest", two, "B-2", "scan")
    with pytest.raises(IdentityError, match="bound to"):
        Custody(path).restore(journal)
    path.write_text("{")
    with pytest.raises(IdentityError, match="look at every container"):
        Custody(path)


# -- labels ---------------------------------------------------------------------------------------------


def photographed(code: NDArray[np.uint8], draw: np.random.Generator) -> NDArray[np.uint8]:
    """A code as a camera sees it: turned, shrunk, blurred, unevenly lit, noisy."""
    import cv2

    page = np.full((420, 420), 230, dtype=np.uint8)
    top, left = draw.integers(60, 200, 2)
    page[top : top + code.shape[0], left : left + code.shape[1]] = np.where(code > 0, 225, 30)
    turn = cv2.getRotationMatrix2D((210.0, 210.0), float(draw.uniform(0, 360)), float(draw.uniform(0.7, 1.1)))
    page = cv2.warpAffine(page, turn, (420, 420), borderValue=230)  # type: ignore[assignment]
    page = cv2.GaussianBlur(page, (0, 0), float(draw.uniform(0.3, 1.4)))  # type: ignore[assignment]
    light = np.linspace(draw.uniform(0.4, 1.0), draw.uniform(0.4, 1.0), 420)[None, :]
    return np.clip(page * light + draw.normal(0.0, 6.0, page.shape), 0, 255).astype(np.uint8)


def test_photographed_labels_are_read_right_or_not_at_all() -> None:
    draw, numbers = np.random.default_rng(5), random.Random(5)
    read = 0
    for _ in range(200):
        label = make_label(person(numbers), numbers.choice(OWN))
        texts = read_codes(photographed(code_image(label, 5), draw))
        assert texts in ([], [label.text])
        read += bool(texts)
    assert read >= 180


def test_a_scan_of_a_picture_must_name_the_expected_person_and_container() -> None:
    draw = random.Random(6)
    mine, other = person(draw), person(draw)
    bag = code_image(make_label(mine, "dose_bag"))
    assert scan(bag, mine, "dose_bag") == make_label(mine, "dose_bag")
    with pytest.raises(IdentityError, match="wrong patient"):
        scan(bag, other, "dose_bag")
    with pytest.raises(IdentityError, match="wrong container"):
        scan(bag, mine, "apheresis")
    both = np.hstack([bag, code_image(make_label(other, "dose_bag"))])
    with pytest.raises(IdentityError, match="show exactly one"):
        read_one_label(both)
    with pytest.raises(IdentityError, match="none"):
        read_one_label(np.full((80, 80), 255, dtype=np.uint8))


@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_labels_are_set_on_pages(tmp_path: Path) -> None:
    patient = make_identifier("F1234", 26, 7)
    label, sheet = tmp_path / "label.pdf", tmp_path / "sheet.pdf"
    assert label_command(["make", patient, "dose_bag", "--line", "use by <Friday>", "--out", str(label)]) == 0
    assert label_command(["sheet", "car_t_cd19", patient, "--out", str(sheet)]) == 0
    assert all(file.read_bytes().startswith(b"%PDF") for file in (label, sheet))


def test_labels_are_made_and_read_at_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patient = make_identifier("F1234", 26, 7)
    assert label_command(["identifier", "F1234", "26", "7"]) == 0
    assert capsys.readouterr().out.split()[0] == patient
    for suffix in ("svg", "png"):
        file = tmp_path / f"label.{suffix}"
        assert label_command(["make", patient, "dose_bag", "--line", "use by <Friday>", "--out", str(file)]) == 0
        assert file.stat().st_size > 500
    capsys.readouterr()
    assert read_one_label(read_picture(tmp_path / "label.png")).chain_of_identity == patient
    assert label_command(["read", str(tmp_path / "label.png")]) == 0
    assert f"={patient}/dose_bag" in capsys.readouterr().out
    assert label_command(["read", str(tmp_path / "label.png"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["chain_of_identity"], found["product"]) == (patient, "dose_bag")
    assert label_command(["read", str(tmp_path / "label.png"), "--expect", f"={patient}/vector"]) == 1
    assert "wrong container" in capsys.readouterr().err
    assert label_command(["make", patient[:-1] + "*", "dose_bag"]) == 1
    assert label_command(["read", str(tmp_path / "none.png")]) == 1


def test_a_binding_that_the_disk_refused_is_written_at_the_next_try(tmp_path: Path) -> None:
    path = tmp_path / "custody.json"
    custody = Custody(path)
    blocked = path.with_name(f"{path.name}.part")
    blocked.mkdir()  # whoever runs this, a folder cannot be written as a file
    with pytest.raises(OSError):
        custody.bind("dose_bag", "F123426000001J", "B-1", "scan")
    assert custody.of("dose_bag") is None
    blocked.rmdir()
    assert custody.bind("dose_bag", "F123426000001J", "B-1", "scan")
    assert Custody(path).of("dose_bag") == custody.of("dose_bag")
