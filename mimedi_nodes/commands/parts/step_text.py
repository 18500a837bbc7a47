# SPDX-License-Identifier: Apache-2.0
"""What each step of a recipe does, in a line."""

from __future__ import annotations

from ...process.recipes.steps import (
    AwaitResultsStep,
    CallStep,
    ControlStep,
    DecideStep,
    IfStep,
    LaboratoryStep,
    LoopStep,
    NotYetStep,
    ParallelStep,
    PhaseStep,
    PromptStep,
    SetStep,
    Step,
    StopTimerStep,
    TimerStep,
    WaitStep,
    WaitTimerStep,
)


def _room_text(step: PhaseStep) -> str:
    """Return what a phase requires of the room, as the end of its line."""
    wanted = step.requires
    words = [f"grade {wanted['grade']}" if "grade" in wanted else "", str(wanted.get("processing", ""))]
    words += ["photon background"] if wanted.get("background") else []
    said = ", ".join(word for word in words if word)
    return f" · {said}" if said else ""


def text_of(step: Step) -> str:
    """Return what a step does, in a line."""
    if isinstance(step, PhaseStep):
        limits = f" · resume {step.resume}" + (f" ≤ {step.max_outage_h:g} h" if step.resume == "auto" else "")
        return f"{step.module}/{step.action}{limits}{_room_text(step)}"
    if isinstance(step, PromptStep):
        return f"asks: {step.question}"
    if isinstance(step, LaboratoryStep):
        return f"orders {', '.join(step.tests)} ({step.purpose})"
    if isinstance(step, AwaitResultsStep):
        return f"waits for {', '.join(step.tests)}, at most {step.timeout_h:g} h"
    if isinstance(step, SetStep):
        return "; ".join(f"{saved.name} = {saved.value} [{saved.unit}]" for saved in step.values)
    if isinstance(step, WaitStep):
        return f"waits {step.hours} h"
    if isinstance(step, TimerStep):
        return "starts a timer" if step.within_h is None else f"at most {step.within_h} h, or {step.otherwise}"
    if isinstance(step, StopTimerStep):
        return f"stops {step.timer}"
    if isinstance(step, WaitTimerStep):
        return f"waits until {step.timer} has run for {step.hours} h"
    if isinstance(step, CallStep):
        return f"sub-recipe {step.part} with {dict(step.arguments)}"
    if isinstance(step, LoopStep):
        return f"{'until' if step.until else 'while'} {step.condition}, at most {step.limit} times"
    if isinstance(step, ControlStep):
        return f"rule {step.rule} within {dict(step.limits)}" + (", signed" if step.sign else "")
    if isinstance(step, IfStep):
        return f"if {step.condition}"
    if isinstance(step, DecideStep):
        return f"{step.decide} when {step.condition}"
    if isinstance(step, ParallelStep):
        return "at the same time" + (f", until {step.until} ends" if step.until else "")
    if isinstance(step, NotYetStep):
        return f"not yet: {step.reason}"
    return type(step).__name__
