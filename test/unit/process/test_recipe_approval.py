# SPDX-License-Identifier: Apache-2.0
"""Approval of recipes: a changed byte voids it, nobody else's key makes one, and no batch runs without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from little_batch import PATIENT
from test_recipe_language import BOTH, CALLS, HEAD, WASH

from mimedi_nodes.commands import recipe as command
from mimedi_nodes.commands.recipe_approve import demonstration_key
from mimedi_nodes.modules.registry import config_folder, manifests
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.recipes.approval import DEMONSTRATION_KEY_ID, ApprovalError, Approvals, next_status
from mimedi_nodes.process.recipes.loader import load_recipe, read_recipe
from mimedi_nodes.process.recipes.recipe import Recipe
from mimedi_nodes.process.recipes.values import ParameterError

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
BATCH = Batch("B-1", PATIENT, PATIENT, 70.0)
ROOM = "requires: {processing: closed, grade: D}\n"
TEXT = HEAD.replace("status: draft\n", "status: approved\n" + ROOM) + CALLS + BOTH


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of recipes with a sub-recipe and one approver."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "approvals").mkdir()
    (tmp_path / "parts" / "wash.yaml").write_text(WASH, encoding="utf-8")
    (tmp_path / "little.yaml").write_text(TEXT, encoding="utf-8")
    public = KEY.public_key().public_bytes_raw().hex()
    approvers = {"qa-1": {"who": "Anna", "role": "quality assurance", "public_key": public}}
    (tmp_path / "approvals" / "approvers.json").write_text(json.dumps(approvers), encoding="utf-8")
    return tmp_path


def loaded(folder: Path) -> Recipe:
    return load_recipe(folder / "little.yaml")


def sign(folder: Path, key: Ed25519PrivateKey = KEY, key_id: str = "qa-1", why: str = "QR-1") -> None:
    Approvals(folder).sign(loaded(folder), "approved", "Anna", "2026-11-23T10:00:00Z", why, key_id, key)


def test_only_a_signed_text_is_approved(folder: Path) -> None:
    approvals = Approvals(folder)
    with pytest.raises(ApprovalError, match="nobody has signed"):
        approvals.require(loaded(folder), BATCH)
    assert approvals.require(loaded(folder), replace(BATCH, engineering_run=True)).status == "draft"
    sign(folder)
    standing = approvals.require(loaded(folder), BATCH)
    assert (standing.status, standing.approval.who if standing.approval else "") == ("approved", "Anna")
    kind, _, data = standing.fact(loaded(folder))
    assert (kind, data["approval_content_sha256"]) == ("recipe_approval", loaded(folder).content_hash)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_byte_of_the_recipe_or_its_parts_voids_the_approval(folder: Path, data: st.DataObject) -> None:
    (folder / "little.yaml").write_text(TEXT, encoding="utf-8")
    (folder / "parts" / "wash.yaml").write_text(WASH, encoding="utf-8")
    sign(folder)
    name, text = data.draw(st.sampled_from([("little.yaml", TEXT), ("parts/wash.yaml", WASH)]))
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("abcxyz0123456789 #").filter(lambda c: c != text[place]))
    (folder / name).write_text(text[:place] + letter + text[place + 1 :], encoding="utf-8")
    try:
        changed = loaded(folder)
    except DiagnosticError:
        return  # it is no recipe any more: it cannot start either
    with pytest.raises(ApprovalError):
        Approvals(folder).require(changed, BATCH)


@pytest.mark.parametrize("field", ["recipe", "version", "content_sha256", "status", "who", "when", "why", "key_id"])
def test_any_changed_field_of_an_entry_voids_it(folder: Path, field: str) -> None:
    sign(folder)
    path = Approvals(folder).path(loaded(folder))
    content = json.loads(path.read_text(encoding="utf-8"))
    content["entries"][0][field] += "x"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ApprovalError):
        Approvals(folder).require(loaded(folder), BATCH)


def test_nobody_else_can_approve(folder: Path) -> None:
    other = Ed25519PrivateKey.generate()
    for key, key_id, words in ((other, "qa-1", "none of an approver's"), (other, "qa-2", "none of an approver's")):
        with pytest.raises(ApprovalError, match=words):
            sign(folder, key, key_id)
    with pytest.raises(ApprovalError, match="says why"):
        sign(folder, why=" ")
    sign(folder)
    (folder / "approvals" / "approvers.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ApprovalError, match="no approver's key"):
        Approvals(folder).require(loaded(folder), BATCH)


def test_a_version_is_approved_with_one_text_and_demonstrations_leave_no_trail(folder: Path) -> None:
    sign(folder)
    path = folder / "little.yaml"
    path.write_text(path.read_text() + "# another word\n")
    with pytest.raises(ApprovalError, match=r"was approved by Anna on .* with another text: give this text a version"):
        sign(folder)
    approvers = folder / "approvals" / "approvers.json"
    public_key = demonstration_key().public_key().public_bytes_raw().hex()
    known = json.loads(approvers.read_text())
    known[DEMONSTRATION_KEY_ID] = {"who": "demo", "role": "none", "public_key": public_key}
    approvers.write_text(json.dumps(known))
    for word in ("one", "two", "three"):
        path.write_text(path.read_text() + f"# {word}\n")
        sign(folder, demonstration_key(), DEMONSTRATION_KEY_ID)
    entries = Approvals(folder).entries(loaded(folder))
    assert [entry.key_id for entry in entries] == ["qa-1", DEMONSTRATION_KEY_ID]
    assert Approvals(folder).standing(loaded(folder)).status == "approved"


def test_a_damaged_file_of_approvals_is_told_and_approves_nothing(folder: Path) -> None:
    sign(folder)
    for text in ("", "[]", '{"entries": 5}', '{"entries": [{"who": "x"}]}', "\x00"):
        Approvals(folder).path(loaded(folder)).write_text(text, encoding="utf-8")
        with pytest.raises(ApprovalError):
            Approvals(folder).require(loaded(folder), BATCH)


def test_a_draft_is_qualified_before_it_is_approved() -> None:
    draft = read_recipe(HEAD + BOTH, "r.yaml")
    assert next_status(draft, None) == "under_qualification"
    assert next_status(replace(draft, status="under_qualification"), None) == "approved"
    with pytest.raises(ApprovalError, match="draft → under_qualification → approved"):
        next_status(draft, "approved")


def test_the_command_brings_the_text_to_the_status_that_it_signs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "little.yaml"
    path.write_text(HEAD + CALLS + BOTH, encoding="utf-8")
    draft = HEAD.replace("status: draft\n", "status: draft\n" + ROOM) + CALLS + BOTH
    approvers = config_folder() / "recipes" / "approvals" / "approvers.json"
    (folder / "approvals" / "approvers.json").write_text(approvers.read_text(encoding="utf-8"), encoding="utf-8")
    act = ["approve", str(path), "--demonstration"]
    assert command.main(act) == 2
    assert "--why" in capsys.readouterr().err
    assert command.main([*act, "--why", "QR-1"]) == 1
    assert "does not say what processing and grade it requires" in capsys.readouterr().err
    assert "status: draft" in path.read_text(encoding="utf-8")
    path.write_text(draft, encoding="utf-8")
    for status in ("under_qualification", "approved"):
        assert command.main([*act, "--why", "QR-1"]) == 0
        assert f"status: {status}" in path.read_text(encoding="utf-8")
        assert Approvals(folder).standing(loaded(folder)).status == status
    assert command.main([*act, "--why", "again"]) == 0
    assert "approved already" in capsys.readouterr().out
    path.write_text(path.read_text(encoding="utf-8") + "# one more remark\n", encoding="utf-8")
    assert command.main(["validate", str(path)]) == 0
    assert "changed since" in capsys.readouterr().out


def test_shipped_recipes_are_approved_as_they_stand() -> None:
    """A shipped recipe that was edited is signed again: `./workcell recipe approve NAME --demonstration --why …`."""
    folder = config_folder() / "recipes"
    for path in sorted(folder.glob("*.yaml")):
        recipe = load_recipe(path)
        if recipe.status == "approved":
            standing = Approvals(folder).standing(recipe)
            assert standing.status == "approved", f"{path.name}: {standing.reason}"


def test_patient_and_donor_are_the_pair_that_the_recipe_is_for() -> None:
    own = read_recipe(HEAD + BOTH, "r.yaml")
    pair = read_recipe(HEAD.replace("product: little", "product: little\ndonation: allogeneic") + BOTH, "r.yaml")
    other = make_identifier("F1234", 26, 77)
    own.check_pair(PATIENT, PATIENT)
    pair.check_pair(PATIENT, other)
    for recipe, donor in ((own, other), (pair, PATIENT)):
        with pytest.raises(ParameterError, match="the donor is"):
            recipe.check_pair(PATIENT, donor)


def test_a_site_trusts_whom_it_names_and_the_demonstrations_key_only_where_it_does() -> None:
    """The shipped recipes carry the public demonstration key: they count on the demonstration's site, nowhere else."""
    folder = config_folder() / "recipes"
    recipe = load_recipe(folder / "car_t_cd19.yaml", manifests())
    demo = load_site(config_folder() / "site" / "demo.yaml").recipe_approvers
    assert Approvals(folder, demo).require(recipe, BATCH).status == "approved"
    other_key = {name: "0" * 64 for name in demo}
    for trusted in ({}, {"qa-1": "0" * 64}, other_key):
        with pytest.raises(ApprovalError, match="which is no approver's key here"):
            Approvals(folder, trusted).require(recipe, BATCH)
