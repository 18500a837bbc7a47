# SPDX-License-Identifier: Apache-2.0
"""What has been wrong with a culture's conditions, since when, and whether the culture may be used like that."""

from __future__ import annotations

from ...instruments.bioreactor_map import BioreactorFault
from ...process.context import PhaseContext
from ...process.errors import PhaseHold

STANDING_S = 3600.0
"""A fault that has stood for so long [s] at the end of a culture is nobody's blink: cells suffer within the hour."""
HOLDING = (".controller_fault", ".co2_low", ".perfusion_stopped")
"""Faults that must not be taken over into the next step; a wrong temperature the recipe judges by its mean."""

Standing = dict[str, tuple[float, str]]
"""Alarm → process time [s] since when it has stood, and its words now."""


def fault_words(faults: BioreactorFault) -> str:
    """Return what a controller reports in words: `HEATER, STIRRER`."""
    return ", ".join(str(fault.name).replace("_", " ") for fault in BioreactorFault if fault in faults)


def watch(ctx: PhaseContext, standing: Standing, alarm_id: str, active: bool, words: str) -> None:
    """Raise or clear an alarm and note since when it stands."""
    if active:
        since_s = standing[alarm_id][0] if alarm_id in standing else ctx.now_s()
        standing[alarm_id] = (since_s, words)
        ctx.alarm(alarm_id, words)
    else:
        standing.pop(alarm_id, None)
        ctx.clear_alarm(alarm_id)


def unmended(standing: Standing, told: list[str], now_s: float) -> PhaseHold | None:
    """Return why a culture whose fault still stands at its end is held there, once; None when it may go on.

    The culture itself goes on under a fault, since switching anything off would harm it more. What comes after it (a
    sample, a wash, the vector) would take its harm for the cells' own weakness. Whoever restarts has been told and goes
    on with what there is: what holds is added to `told`.
    """
    untold = [alarm_id for alarm_id in standing if alarm_id.endswith(HOLDING) and alarm_id not in told]
    if not any(now_s - standing[alarm_id][0] >= STANDING_S for alarm_id in untold):
        return None
    told.extend(untold)
    causes_first = sorted(standing.items(), key=lambda item: not item[0].endswith(HOLDING))
    listed = [f"{words} (for {(now_s - since_s) / 3600.0:.1f} h)" for _, (since_s, words) in causes_first]
    return PhaseHold(untold[0], f"{'; '.join(listed)}; mend it, and count the cells before they are used")
