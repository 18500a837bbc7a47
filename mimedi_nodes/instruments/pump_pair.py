# SPDX-License-Identifier: Apache-2.0
"""Steady flow from two syringes in turn: one delivers while the other fills."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .cavro import STROKE_STEPS, CavroPump
from .wire.cavro_line import VALVE_TURN_S
from .wire.exchange import check_range
from .wire.link import InstrumentError
from .wire.pacing import Pace, settle

_LOOK_S = 0.05
"""Process time [s] between looks at a pump that should have ended its stroke."""
_FILL_LOOK_S = 1.0
"""Process time [s] between looks at a syringe that has not been filled in time: the flow stands meanwhile."""


@dataclass(frozen=True)
class PairState:
    """Where a delivery stands at the start of a stroke; JSON-able by `dataclasses.asdict`, for a checkpoint.

    Args:
        delivered_steps: delivered by all strokes before this one [micro-steps].
        active: the pump that delivers this stroke, 0 or 1.
        start_steps: its plunger position at the start of the stroke [micro-steps].
        other_steps: what the other pump holds, or is filled to, during the stroke [micro-steps].
    """

    delivered_steps: int = 0
    active: int = 0
    start_steps: int = 0
    other_steps: int = 0


OnStroke = Callable[[PairState], Awaitable[None]]


class PumpPair:
    """Two syringes of one size whose `I` valves lead to one source and `O` valves to one destination.

    The state is enough to go on after a stop, a hold or a crash: `delivered_ul` is exact at any time because
    the stroke's start is stored before the plunger moves. Two pairs on one line run at the same time.
    """

    def __init__(self, first: CavroPump, second: CavroPump, name: str) -> None:
        if first.syringe_ul != second.syringe_ul:
            raise ValueError(
                f"{name}: syringes of {first.syringe_ul:g} and {second.syringe_ul:g} uL; a pair needs equal ones"
            )
        self.name = name
        self.pumps = (first, second)
        self.state = PairState()

    async def initialize(self, pace: Pace) -> bool:
        """Initialize both pumps where they need it and wait; empties such a syringe to `O`.

        Returns whether one needed it.

        A pump that needs it in the middle of a delivery has lost its power: what its stroke had not delivered yet
        leaves through `O` now, and is counted as delivered.
        """
        started = [await pump.initialize() for pump in self.pumps]
        for pump, was_started in zip(self.pumps, started, strict=True):
            await settle(pump, pace, patience_s=30.0 if was_started else 5.0)
        state = self.state
        if state.start_steps and started[state.active]:
            emptied = state.start_steps + (state.other_steps if started[1 - state.active] else 0)
            self.state = PairState(state.delivered_steps + emptied, state.active, 0)
        return any(started)

    def count(self, delivered_ul: float) -> None:
        """Take what was delivered so far from elsewhere, by weight say, while both syringes are empty."""
        self.state = PairState(max(0, self.pumps[0].steps(delivered_ul)), self.state.active, 0)

    def restore(self, state: PairState) -> None:
        """Go on from a stored state; the next `deliver` counts what was delivered until now."""
        self.state = state

    async def delivered_ul(self) -> float:
        """Return what has been delivered since `deliver` was first called [uL]: moving, stopped or done."""
        return self.pumps[0].volume_ul(await self._delivered_steps())

    async def is_busy(self) -> bool:
        """Tell whether a plunger or valve of the pair moves."""
        return any([await pump.is_busy() for pump in self.pumps])

    async def is_off(self) -> bool:
        """Tell whether nothing of the pair moves."""
        return all([await pump.is_off() for pump in self.pumps])

    async def stop(self) -> None:
        """Stop both plungers at once; repeating is harmless."""
        for pump in self.pumps:
            await pump.stop()

    async def prepare(self, volume_ul: float, pace: Pace, aspirate_rate_ul_min: float) -> None:
        """Fill the syringe that delivers first, so that the flow starts at once with `deliver`.

        Args:
            volume_ul: the whole delivery's volume [uL]; no more than what is missing of it is drawn.
        """
        await self._settle_both(pace)
        missing = self.pumps[0].steps(volume_ul) - await self._delivered_steps()
        held = [await pump.plunger_steps() for pump in self.pumps]
        active = self._choose(held)
        if held[active] == 0 and missing > 0:
            expected_s = await self._fill(active, 0, min(missing, STROKE_STEPS), aspirate_rate_ul_min)
            await settle(self.pumps[active], pace, every_s=_LOOK_S, expected_s=expected_s)

    async def deliver(
        self,
        volume_ul: float,
        flow_rate_ul_min: float,
        pace: Pace,
        *,
        aspirate_rate_ul_min: float,
        on_stroke: OnStroke | None = None,
    ) -> float:
        """Deliver until `volume_ul` in total has left through `O`; return what was delivered [uL].

        Looks at the pumps first and goes on from the state (`restore`), so that it may be interrupted at any
        await and called again. What the syringes hold is delivered first. `on_stroke` gets the state before
        each stroke and returns when it is stored. When it is interrupted the pumps end their present stroke
        by
        themselves, unless `stop` is called.

        Raises:
            OutOfRange: a rate that the syringes cannot do, or filling not faster than delivering.
            InstrumentError: a plunger is not where its stroke should have brought it.
        """
        first = self.pumps[0]
        out = first.speed_steps_s(flow_rate_ul_min)
        first.speed_steps_s(aspirate_rate_ul_min, "aspirate_rate_ul_min")
        check_range(
            self.name, "aspirate_rate_ul_min", aspirate_rate_ul_min, 1.05 * flow_rate_ul_min, float("1e9"), "uL/min"
        )
        await self._settle_both(pace)
        total = first.steps(volume_ul)
        done = await self._delivered_steps()
        held = [await pump.plunger_steps() for pump in self.pumps]
        active = self._choose(held)
        while done < total:
            missing = total - done
            if held[active] == 0:
                held[active] = min(missing, STROKE_STEPS)
                expected_s = await self._fill(active, 0, held[active], aspirate_rate_ul_min)
                await settle(self.pumps[active], pace, every_s=_LOOK_S, expected_s=expected_s)
            amount = min(held[active], missing)
            other = 1 - active
            refill = min(missing - amount, STROKE_STEPS)
            self.state = PairState(done, active, held[active], max(refill, held[other]))
            if on_stroke is not None:
                await on_stroke(self.state)
            end = held[active] - amount
            await self.pumps[active].empty_to(first.volume_ul(end), flow_rate_ul_min, held_steps=held[active])
            if refill > held[other]:
                await self._fill(other, held[other], refill, aspirate_rate_ul_min)
                held[other] = refill
            await settle(self.pumps[active], pace, every_s=_LOOK_S, expected_s=amount / out)
            await self._confirm(active, end)
            held[active] = end
            done += amount
            self.state = PairState(done, other, 0)
            if done < total:
                await settle(
                    self.pumps[other], pace, every_s=_FILL_LOOK_S, patience_s=self._patience_s(aspirate_rate_ul_min)
                )
                await self._confirm(other, held[other])
            active = other
        return first.volume_ul(done)

    async def _delivered_steps(self) -> int:
        state = self.state
        if state.start_steps == 0:
            return state.delivered_steps
        position = await self.pumps[state.active].plunger_steps()
        return state.delivered_steps + max(0, state.start_steps - position)

    def _choose(self, held: list[int]) -> int:
        """Return the pump to deliver next: the one in turn unless only the other holds something."""
        active = self.state.active
        return 1 - active if held[active] == 0 and held[1 - active] > 0 else active

    async def _fill(self, index: int, held: int, steps: int, rate_ul_min: float) -> float:
        """Start filling a syringe that holds `held`, its valve to `O` afterwards; returns the expected duration [s]."""
        pump = self.pumps[index]
        return await pump.fill_to(pump.volume_ul(steps), rate_ul_min, "O", held_steps=held)

    async def _settle_both(self, pace: Pace) -> None:
        """Stop what an interrupted run left moving, so that positions can be relied on."""
        for pump in self.pumps:
            if await pump.is_busy():
                await pump.stop()
                await settle(pump, pace, every_s=_LOOK_S)

    async def _confirm(self, index: int, steps: int) -> None:
        position = await self.pumps[index].plunger_steps()
        if position != steps:
            name = self.pumps[index].name
            raise InstrumentError(
                name, f"plunger at {position} micro-steps where its stroke should have ended at {steps}; initialize it"
            )

    def _patience_s(self, aspirate_rate_ul_min: float) -> float:
        """Return the longest filling [s] with some slack."""
        return self.pumps[0].syringe_ul / aspirate_rate_ul_min * 60.0 + 4 * VALVE_TURN_S + 10.0
