# SPDX-License-Identifier: Apache-2.0
"""What has been wrong with a culture's conditions, since when, and whether the culture may be used like that."""

from __future__ import annotations

from ...instruments.bioreactor_map import BioreactorFault
from ...process.context import PhaseContext
from ...process.errors import PhaseHold

STANDING_S = 3600.0
"""A fault that has stood for so long [s] at the end of a culture is nobody's blink: cells suffer within the hour."""
HOLDING = ("controller_fault", "co2_low", "perfusion_stopped")
"""Faults that must not be taken over into the next step; a wrong temperature the recipe judges by its mean."""

Standing = dict[str, tuple[float, str]]
"""Alarm without its module → process time [s] since when it has stood, and its words now."""


def fault_words(faults: BioreactorFault) -> str:
    """Return what a controller reports in words: `HEATER, STIRRER`."""
    return ", ".join(str(fault.name).replace("_", " ") for fault in BioreactorFault if fault in faults)


def watch(ctx: PhaseContext, module: str, standing: Standing, name: str, active: bool, words: str) -> None:
    """Raise or clear an alarm and note since when it stands."""
    if active:
        since_s = standing[name][0] if name in standing else ctx.now_s()
        standing[name] = (since_s, words)
        ctx.alarm(f"{module}.{name}", words)
    else:
        standing.pop(name, None)
        ctx.clear_alarm(f"{module}.{name}")


def unmended(module: str, standing: Standing, told: list[str], now_s: float) -> PhaseHold | None:
    """Return why a culture whose fault still stands at its end is held there, once; None when it may go on.

    The culture itself goes on under a fault, since switching anything off would harm it more. What comes after it (a
    sample, a wash, the vector) would take its harm for the cells' own weakness. Whoever restarts has been told and goes
    on with what there is: what holds is added to `told`.
    """
    untold = [name for name in HOLDING if name in standing and name not in told]
    if not any(now_s - standing[name][0] >= STANDING_S for name in untold):
        return None
    told.extend(untold)
    causes_first = sorted(standing, key=lambda name: name not in HOLDING)
    listed = [f"{standing[name][1]} (for {(now_s - standing[name][0]) / 3600.0:.1f} h)" for name in causes_first]
    return PhaseHold(f"{module}.{untold[0]}", f"{'; '.join(listed)}; mend it, and count the cells before they are used")
