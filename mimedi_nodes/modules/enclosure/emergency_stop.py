# SPDX-License-Identifier: Apache-2.0
"""The emergency stop chain as the software sees it: watched always, reset by a person only.

The chain itself is hardware (ISO 13850): it takes the power from what moves liquid, carries cassettes, makes sound or
vapour, whatever the software does; heat, gas, stirring and air keep theirs. The software alarms, holds every module
(config/interlocks.yaml), and lets nothing go on by itself after the reset (ISO 13850, 4.1.4: a reset starts nothing).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ..module import Watch
from ..service.manual import ManualAct, ManualRefused
from .instruments import EnclosureInstruments

EMERGENCY_STOP = "enclosure.emergency_stop"


async def look(instruments: EnclosureInstruments) -> Mapping[str, str]:
    """Return the alarm while the chain is open."""
    state = await instruments.relay.state()
    if state.chain_closed:
        return {}
    button = "the button is pressed" if state.button_pressed else "the button is out; a reset closes the chain"
    return {EMERGENCY_STOP: f"the emergency stop chain is open (trip {state.trips} since power-up): {button}"}


async def reset(
    target: str, values: Mapping[str, Any], instruments: EnclosureInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Close the chain again, once the button is pulled out, and read back that it is closed."""
    before = await instruments.relay.state()
    if before.button_pressed:
        raise ManualRefused("the emergency stop button is still pressed: see what it was pressed for, then pull it out")
    await instruments.relay.reset()
    after = await instruments.relay.state()
    if not after.chain_closed:
        raise ManualRefused("the emergency stop chain did not close; look at buttons, doors and wiring of the chain")
    return {"was_open": not before.chain_closed, "trips": after.trips}


WATCH = Watch((EMERGENCY_STOP,), look)
ACTS = (
    ManualAct("reset", ("emergency_stop",), "closes the emergency stop chain again", reset, in_maintenance=False),
)
