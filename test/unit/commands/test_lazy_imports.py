# SPDX-License-Identifier: Apache-2.0
"""Modules that are loaded once something of them is used."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from mimedi_nodes.commands.lazy_imports import SELDOM_USED, load_when_used


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose submodule leaves a mark when its code is run."""
    folder = tmp_path / "seldom_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("ran = []\n")
    (folder / "part.py").write_text("from . import ran\nran.append('part')\nvalue = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("seldom_package", "seldom_package.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "seldom_package"


def test_code_runs_at_the_first_look(package: str) -> None:
    load_when_used([f"{package}.part"])
    above = importlib.import_module(package)
    part = sys.modules[f"{package}.part"]
    assert above.ran == [], "it was only named"
    assert above.part is part
    assert part.value == 7
    assert above.ran == ["part"]
    load_when_used([f"{package}.part"])
    assert sys.modules[f"{package}.part"] is part, "a loaded module is left alone"


def test_a_missing_module_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"numpy\.no_such_part"):
        load_when_used(["numpy.no_such_part"])


def test_what_numpy_has_is_there_all_the_same() -> None:
    load_when_used(SELDOM_USED)
    for name in SELDOM_USED:
        assert dir(importlib.import_module(name))
