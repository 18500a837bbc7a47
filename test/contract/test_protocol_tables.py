# SPDX-License-Identifier: Apache-2.0
"""The register tables that people read are those that the code uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mimedi_nodes.instruments import enclosure_map as maps
from mimedi_nodes.instruments.wire.registers import Field, RegisterMap

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
_ROW = re.compile(
    r"\| (input|holding) (\d+)(?:–(\d+))? \| `(\w+)`(, signed)?(, order, reads 0)?(?:, (\S+) to (\S+))? \| ([\d.]+)"
)


@pytest.mark.parametrize(
    ("title", "registers"),
    [
        ("particle counter", maps.PARTICLE_COUNTER),
        ("climate and doors", maps.ENCLOSURE_CONTROLLER),
        ("peroxide generator", maps.VHP_GENERATOR),
        ("safety relay", maps.SAFETY_RELAY),
    ],
)
def test_page_shows_the_map(title: str, registers: RegisterMap) -> None:
    part = PAGE[PAGE.index(f"**{title}** (unit") :]
    assert f"model {registers.model:04X}h" in part[:80]
    shown: dict[str, dict[str, Field]] = {"input": {}, "holding": {}}
    ranges, orders = {}, set()
    for line in part.splitlines()[4:]:
        found = _ROW.match(line)
        if found is None:
            break
        kind, first, last, name, signed, order, low, high, scale = found.groups()
        words = 1 + int(last or first) - int(first)
        shown[kind][name] = Field(int(first), words, float(scale), signed is not None)
        if kind == "holding":
            ranges[name] = (float(low), float(high))
        if order:
            orders.add(name)
    assert shown == {"input": dict(registers.readings), "holding": dict(registers.set_points)}
    assert ranges == {name: limits[:2] for name, limits in registers.ranges.items()}
    assert orders == registers.commands
