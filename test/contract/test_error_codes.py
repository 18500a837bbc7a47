# SPDX-License-Identifier: Apache-2.0
"""Every error code stands in docs/error_codes.md, lies in its module's range, and is used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mimedi_nodes.modules.registry import load_module, module_table

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<code>\d+) \| `(?P<name>\w+\.\w+)` \| (?P<meaning>.+) \|$", re.MULTILINE)
BASES = {"FluidicsCode": 100, "SorterCode": 200, "TransductionCode": 300, "IncubatorCode": 400, "VisionCode": 500,
         "EnclosureCode": 600, "WatchCode": 700, "TransferCode": 800, "AnalyticsCode": 900, "CoordinatorCode": 1000}


def enums() -> dict[str, tuple[int, str]]:
    """Return `Enum.NAME` → (value, docstring) of all code enumerations in the source, without importing ROS."""
    found = {}
    for path in (ROOT / "mimedi_nodes").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Code") and node.name in BASES:
                for item, after in zip(node.body, [*node.body[1:], None], strict=True):
                    if isinstance(item, ast.Assign):
                        text = after.value.value if isinstance(after, ast.Expr) else ""
                        found[f"{node.name}.{item.targets[0].id}"] = (item.value.value, " ".join(text.split()))
    return found


def test_the_table_is_the_source():
    text = (ROOT / "docs" / "error_codes.md").read_text(encoding="utf-8")
    table = {m["name"]: (int(m["code"]), m["meaning"]) for m in ROW.finditer(text)}
    assert table == enums()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (value, _) in enums().items()])
def test_a_code_lies_in_its_range_and_is_used(name, value):
    base = BASES[name.partition(".")[0]]
    assert base + 10 <= value < base + 100
    uses = sum(
        len(re.findall(rf"\b{re.escape(name)}\b", path.read_text(encoding="utf-8")))
        for path in (ROOT / "mimedi_nodes").rglob("*.py")
    )
    assert uses >= 1, f"{name} is never used"


def test_ranges_are_those_of_the_modules():
    for name in module_table():
        assert load_module(name).error_base in BASES.values()
