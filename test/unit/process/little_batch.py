# SPDX-License-Identifier: Apache-2.0
"""A little recipe run by an engine on virtual time, with its surroundings."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Awaitable, Callable
from typing import Any

from fakes import FakeLaboratory, FakeModules, FakeOperator, LoopTime, Record, run_virtual

from mimedi_nodes.process.batch import Batch, BatchOutcome, BatchSnapshot
from mimedi_nodes.process.engine.engine import Engine
from mimedi_nodes.process.engine.journal import Journal
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.recipes.loader import read_recipe
from mimedi_nodes.process.recipes.recipe import Recipe

PATIENT = make_identifier("F1234", 26, 1)
HEAD = """
recipe: little
version: 1.0.0
status: draft
product: little
parameters:
  volume: {value: 1000, unit: uL, range: [100, 5000]}
procedure:
  - unit_procedure: work
    operations:
      - operation: first
        phases:
"""
MOVE = "do: fluidics/transfer_fluid, with: {source: a, destination: b, volume_ul: '${volume}'}"


def recipe_of(phases: str, then: str = "") -> Recipe:
    text = HEAD + textwrap.indent(textwrap.dedent(phases).strip("\n"), " " * 10) + "\n"
    if then:
        text += "        then:\n" + textwrap.indent(textwrap.dedent(then).strip("\n"), " " * 10) + "\n"
    return read_recipe(text, "little.yaml")


class World:
    """An engine with its surroundings."""

    def __init__(self, recipe: Recipe, modules: FakeModules, **options: Any) -> None:
        self.modules = modules
        self.operator = options.pop("operator", FakeOperator())
        self.laboratory = FakeLaboratory()
        self.record = options.pop("record", Record())
        self.journal = options.pop("journal", None) or Journal(":memory:")
        self.snapshots: list[BatchSnapshot] = []
        self.engine = Engine(
            recipe,
            Batch("B-1", PATIENT, PATIENT, 70.0),
            modules,
            self.operator,
            self.laboratory,
            LoopTime(),
            self.journal,
            self.record,
            on_status=self.snapshots.append,
            **options,
        )


def run(
    recipe: Recipe,
    script: Callable[[World], Awaitable[None]] | None = None,
    modules: Callable[[], FakeModules] = FakeModules,
    **options: Any,
) -> tuple[BatchOutcome, World]:
    """Run a recipe to its end while `script` does what people and modules do; return outcome and world."""

    async def main() -> tuple[BatchOutcome, World]:
        world = World(recipe, modules(), **options)
        acting = asyncio.ensure_future(script(world)) if script is not None else None
        outcome = await world.engine.run()
        if acting is not None:
            await acting
        return outcome, world

    return run_virtual(main())  # type: ignore[no-any-return]


def lab_record(value: float = 0.1, unit: str = "EU/mL") -> dict[str, Any]:
    return {
        "laboratory": "qc",
        "sample_id": "sample_id-x",
        "test": "endotoxin",
        "value": value,
        "low": 0.05,
        "high": 0.2,
        "unit": unit,
        "method": "LAL",
        "status": "final",
        "reported_s": 1.0,
    }
