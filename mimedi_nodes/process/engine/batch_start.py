# SPDX-License-Identifier: Apache-2.0
"""What the batch record says at the start: who and what the batch is, by which recipe, with which values and lots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .run_context import RunContext


def record_start(
    context: RunContext, at_start: Iterable[tuple[str, str, Mapping[str, Any]]], is_taken_up: bool
) -> None:
    """Write down how a batch begins, once over all lives of the coordinator, and each time that it is taken up.

    Args:
        at_start: what else there is to say: kind, subject, data.
        is_taken_up: whether an earlier life has begun the batch.
    """
    batch = context.batch
    context.record_once(
        "batch:started",
        "batch_started",
        batch.batch_id,
        recipe=context.recipe.name,
        version=context.recipe.version,
        recipe_status=context.recipe.status,
        recipe_sha256=context.recipe.content_hash,
        product=context.recipe.product,
        patient=batch.patient_id,
        donor=batch.donor_id,
        weight_kg=batch.patient_weight_kg,
        engineering_run=batch.engineering_run,
        run_kind="engineering" if batch.engineering_run else "production",
        sub_recipes=dict(context.recipe.parts),
        requested_by=batch.requested_by,
        parameters={name: parameter.value for name, parameter in context.recipe.parameters.items()},
    )
    for name, parameter in context.recipe.parameters.items():
        context.record_once(
            f"parameter:{name}",
            "recipe_parameter",
            name,
            name=name,
            value=parameter.value,
            unit=parameter.unit,
        )
    for name, formula in context.recipe.formulas.items():
        context.record_once(
            f"formula:{name}",
            "recipe_parameter",
            name,
            formula.expression,
            name=name,
            value=context.constants[name],
            unit=formula.unit,
        )
    for kind, what, data in at_start:
        context.record_once(f"start:{kind}:{data.get('to', what)}", kind, what, **data)
    if is_taken_up:
        context.record("batch_taken_up", batch.batch_id, "the coordinator came back", state=str(context.control.state))
