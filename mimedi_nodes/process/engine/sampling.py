# SPDX-License-Identifier: Apache-2.0
"""The budget of cells that samples may take: at most a declared share of a container in one operation.

Source: PROCESS, sampling plan: hourly samples of 1 mL in the first two days would cost a quarter of the culture.
"""

from __future__ import annotations

from ..errors import WorkcellError
from ..recipes.recipe import Recipe
from ..recipes.steps import PhaseStep, SamplePlan
from .run_context import RunContext


class SamplingBudget:
    """What the samples of each operation have taken of each container."""

    def __init__(self, recipe: Recipe) -> None:
        self._operations = tuple(operation.path for operation in recipe.operations())
        self._taken: dict[tuple[str, str], dict[str, float]] = {}

    async def check(self, step: PhaseStep, plan: SamplePlan, key: str, context: RunContext) -> None:
        """Return when the sample may be drawn; a sample beyond its budget holds the procedure before it is drawn.

        A restart of the procedure is the decision to draw it all the same, and is on record as that.
        """
        entry = context.journal.entry(f"{key}:plan")
        if entry is None:

            def share() -> float:
                volume_ul, of_ul = float(context.render(plan.volume_ul)), float(context.evaluate(plan.of_ul))
                if of_ul <= 0.0:
                    raise WorkcellError(f"sample {plan.test_point}: of_ul is {of_ul:g} uL, there is nothing to sample")
                return volume_ul / of_ul

            taken = await context.until_known(share, key)
            before = self._of(key, plan)
            if sum(before.values()) + taken > plan.most:
                said = " + ".join(f"{part:.2%}" for part in (*before.values(), taken))
                await context.control.hold(
                    f"{key}: sample {plan.test_point} would make {said} of {plan.container} in one operation, at most "
                    f"{plan.most:.1%} is allowed; restart to draw it all the same"
                )
            intent = {"test_point": plan.test_point, "container": plan.container, "share": taken}
            entry = context.journal.begin(f"{key}:plan", "sample", intent, context.clock.now_s())
        self._of(key, plan)[key] = float(entry.intent["share"])
        context.record_once(
            f"{key}:plan", "sample_planned", plan.test_point, step.reason, phase_id=key, most=plan.most, **entry.intent
        )

    def _of(self, key: str, plan: SamplePlan) -> dict[str, float]:
        operation = next((path for path in self._operations if key.startswith(f"{path}.")), "")
        return self._taken.setdefault((operation, plan.container), {})
