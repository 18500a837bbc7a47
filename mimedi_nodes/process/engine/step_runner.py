# SPDX-License-Identifier: Apache-2.0
"""Runs the steps that no module carries out: questions, laboratory, computed values, waiting, steps not yet there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..errors import WorkcellError
from ..identity.identity import IdentityError, check_label, read_label
from ..recipes.steps import AwaitResultsStep, LaboratoryStep, NotYetStep, PromptStep, SetStep, WaitStep
from .journal import Entry
from .run_context import RunContext, first_of


class StepRunner:
    """Runs the steps of one batch that are no phases; each is journaled, and replayed from the journal."""

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def _begin(self, key: str, kind: str, intent: Mapping[str, Any]) -> Entry:
        return self._context.journal.begin(key, kind, intent, self._context.clock.now_s())

    def _end(self, key: str, result: Mapping[str, Any]) -> Mapping[str, Any]:
        entry = self._context.journal.end(key, "succeeded", dict(result), self._context.clock.now_s())
        ended: Mapping[str, Any] = entry.result
        return ended

    async def prompt(self, step: PromptStep, key: str) -> Mapping[str, Any]:
        """Ask until the answer is the expected one; a wrong one holds or rejects, as the recipe says."""
        context = self._context
        entry = self._begin(key, "prompt", {})
        attempt = 0
        while not entry.has_ended:
            attempt += 1
            question = await context.until_known(lambda: str(context.render(step.question)), key)
            if step.answer.text:
                question += f" [{step.answer.text}]"
            answer = await context.ask(f"{key}:{attempt}", question, step.answers, step.answer.typed)
            mismatch = await context.until_known(partial(self._mismatch, step, answer.answer), key)
            if not mismatch:
                if step.identity is not None:
                    # Before the step counts as done: a crash in between asks for the scan again.
                    context.scanned(read_label(answer.answer))
                typed = step.answer.typed(answer.answer)
                result = {"answer": typed, "who": answer.who}
                if step.answer.kind == "number":
                    self._context.record_once(
                        f"{key}:value",
                        "measurement",
                        step.id,
                        name=step.id,
                        value=typed,
                        unit=step.answer.unit,
                        phase_id=key,
                        by=answer.who,
                    )
                context.journal.end(key, "succeeded", result, context.clock.now_s())
                return result
            context.record_once(
                f"{key}:{attempt}:mismatch",
                "identity_refused",
                key,
                mismatch,
                answer=answer.answer,
                by=answer.who,
            )
            if step.otherwise == "reject":
                await context.control.reject(mismatch)
            # After a crash the answers before this one are in the journal: the hold they led to has been restarted.
            if context.journal.entry(f"prompt:{key}:{attempt + 1}") is None:
                await context.control.hold(mismatch)
        result = entry.result
        return dict(result)

    def _mismatch(self, step: PromptStep, answer: str) -> str:
        context = self._context
        if step.identity is not None:
            try:
                label = check_label(answer, str(context.render(step.identity.chain_of_identity)), step.identity.product)
                context.may_bind(label)
            except IdentityError as error:
                return f"{step.id}: {error}"
        if step.expect is not None:
            expected = str(context.render(step.expect))
            if answer != expected:
                return f"{step.id}: the answer is {answer!r}, expected {expected!r}"
        return ""

    async def order(self, step: LaboratoryStep, key: str) -> Mapping[str, Any]:
        """Order tests; an order that may or may not have reached the laboratory is sent again."""
        context = self._context
        entry = context.journal.entry(key)
        if entry is None:
            sample = await context.until_known(lambda: str(context.render(step.sample)), key)
            entry = self._begin(
                key, "laboratory", {"sample_id": sample, "tests": list(step.tests), "purpose": step.purpose}
            )
        while not entry.has_ended:
            sample, tests = entry.intent["sample_id"], tuple(entry.intent["tests"])
            try:
                await context.laboratory.order(context.batch.batch_id, sample, tests)
            except WorkcellError as error:
                await context.control.hold(f"{key}: the laboratory refused {', '.join(tests)} on {sample}: {error}")
                continue
            entry = context.journal.end(key, "succeeded", dict(entry.intent), context.clock.now_s())
        context.record_once(f"{key}:ordered", "laboratory_ordered", entry.intent["sample_id"], **entry.intent)
        return dict(entry.intent)

    async def await_results(self, step: AwaitResultsStep, key: str) -> Mapping[str, Any]:
        """Wait for results of a sample; a missing one holds when the time is over, a wrong unit at once."""
        context = self._context
        entry = context.journal.entry(key)
        if entry is None:
            sample = await context.until_known(lambda: str(context.render(step.sample)), key)
            deadline_s = context.clock.now_s() + step.timeout_h * 3600.0
            entry = self._begin(key, "await_results", {"sample_id": sample, "deadline_s": deadline_s})
        while not entry.has_ended:
            sample, deadline_s = entry.intent["sample_id"], float(entry.intent["deadline_s"])
            context.laboratory_news.clear()
            records = context.journal.laboratory_results(sample)
            problem = _unusable(records, step.tests)
            missing = [test for test in step.tests if test not in records]
            if not problem and not missing:
                return self._end(key, _flat(records, step.tests))
            if not problem and context.clock.now_s() >= deadline_s:
                problem = f"no result within {step.timeout_h:g} h for {', '.join(missing)}"
            if problem:
                await context.control.hold(f"{key}: sample {sample}: {problem}")
                intent = {"sample_id": sample, "deadline_s": context.clock.now_s() + step.timeout_h * 3600.0}
                entry = context.journal.change_intent(key, intent, context.clock.now_s())
                continue
            await first_of(context.laboratory_news.wait(), context.sleep_until(deadline_s))
        result: Mapping[str, Any] = entry.result
        return result

    async def set_values(self, step: SetStep, key: str) -> Mapping[str, Any]:
        """Compute values and put them into the batch record."""
        context = self._context
        entry = context.journal.entry(key)
        if entry is None or not entry.has_ended:

            def compute() -> dict[str, dict[str, Any]]:
                return {
                    saved.name: {
                        "value": context.evaluate(saved.value),
                        "unit": saved.unit,
                        "low": context.evaluate(saved.low) if saved.low else math.nan,
                        "high": context.evaluate(saved.high) if saved.high else math.nan,
                    }
                    for saved in step.values
                }

            values = await context.until_known(compute, key)
            self._begin(key, "set", {})
            entry = context.journal.end(key, "succeeded", values, context.clock.now_s())
        for name, item in entry.result.items():
            context.record_once(f"{key}:{name}", "measurement", name, name=name, phase_id=key, **item)
        return {name: item["value"] for name, item in entry.result.items()}

    async def wait(self, step: WaitStep, key: str) -> Mapping[str, Any]:
        """Let process time pass; a crash does not lengthen it."""
        context = self._context
        entry = context.journal.entry(key)
        if entry is None:
            hours = await context.until_known(lambda: float(context.render(step.hours)), key)
            entry = self._begin(key, "wait", {"until_s": context.clock.now_s() + hours * 3600.0})
        if not entry.has_ended:
            await context.sleep_until(float(entry.intent["until_s"]))
            self._end(key, {})
        return {}

    def not_yet(self, step: NotYetStep, key: str) -> Mapping[str, Any]:
        """Record that a step of the process is not carried out, and why."""
        self._begin(key, "not_yet", {})
        self._end(key, {})
        self._context.record_once(
            f"{key}:not_yet",
            "step_not_available",
            key,
            step.reason,
            step=step.step,
            module=step.module,
            reason=step.reason,
        )
        return {}


def _unusable(records: Mapping[str, Mapping[str, Any]], tests: Mapping[str, str]) -> str:
    """Return what makes a record unusable, empty when nothing does."""
    for test, unit in tests.items():
        if test in records and records[test].get("unit") != unit:
            return f"{test} came in {records[test].get('unit')!r}, the recipe wants {unit!r}"
    return ""


def _flat(records: Mapping[str, Mapping[str, Any]], tests: Mapping[str, str]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for test in tests:
        record = records[test]
        flat[test] = record.get("value")
        flat[f"{test}_low"] = record.get("low")
        flat[f"{test}_high"] = record.get("high")
        flat[f"{test}_status"] = record.get("status")
    return flat
