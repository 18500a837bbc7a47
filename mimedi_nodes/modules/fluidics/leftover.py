# SPDX-License-Identifier: Apache-2.0
"""What a stopped phase left in the syringe."""

from __future__ import annotations

from ...instruments.wire.pacing import settle
from ...process.context import PhaseContext
from .instruments import FluidicsInstruments

WASTE = "waste"
EMPTY_UL_MIN = 20_000.0
SYRINGE_EMPTIED = "fluidics.syringe_emptied"


async def discard_leftover(instruments: FluidicsInstruments, ctx: PhaseContext) -> None:
    """Put what a phase that was stopped for good left in the syringe into the waste, with alarm and volume on record.

    For the first act of a phase that has nothing to go on with: whose the liquid is, how old it is and what it is
    mixed of nobody knows any more, and a pump delivers first what it holds. A phase that was interrupted takes up its
    own liquid from its checkpoint instead. Repeating is harmless: what is left is emptied.
    """
    pump = instruments.pump
    held_ul = await pump.plunger_ul()
    if held_ul <= pump.volume_ul(1):
        return
    text = f"the syringe held {held_ul:.0f} uL of a phase that was stopped; it goes to the waste"
    ctx.alarm(SYRINGE_EMPTIED, text)
    ctx.measured("leftover_to_waste_ul", held_ul, "uL")
    await instruments.destination_valve.ensure_port(instruments.site.port_of(WASTE, "destination_valve"), ctx)
    await settle(pump, ctx, expected_s=await pump.empty_to(0.0, EMPTY_UL_MIN))
    ctx.clear_alarm(SYRINGE_EMPTIED)
