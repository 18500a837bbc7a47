# SPDX-License-Identifier: Apache-2.0
"""Syringe pumps and selector valves that speak Cavro/Tecan DT (XLP 6000 and its valve).

Moves go on inside the device after the call has returned; `is_busy()` (or `pacing.settle`) tells the end.
Pumps run in micro-step mode N2:
positions in 1/48,000 of the stroke and speeds in micro-steps per second, so one micro-step is syringe_ul /
48,000.
Source: Cavro XLP 6000 Operating Manual 734237-C, chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .wire.cavro_line import NOT_INITIALIZED, PLUNGER_OVERLOAD, VALVE_OVERLOAD, VALVE_TURN_S, DtDevice
from .wire.exchange import check_range
from .wire.link import GarbledReply, InstrumentError, Link
from .wire.pacing import Pace, settle

STROKE_STEPS = 48_000
MIN_SPEED_STEPS_S, MAX_SPEED_STEPS_S = 5, 48_000
INITIALIZE_S = 5.0
"""Longest initialization [s]: a full stroke up at the default speed and two turns of the valve."""
_COUNTER_MAX = 2**32 - 1

PumpValve = Literal["I", "O", "B"]


@dataclass(frozen=True)
class TransferPlan:
    """A transfer as the pump was told to do it; JSON-able by `dataclasses.asdict`, for a checkpoint.

    `volume_ul` is what will be delivered (whole micro-steps); `duration_s` the expected time, valve turns
    included.
    """

    volume_ul: float
    duration_s: float
    held_steps: int
    first_steps: int
    strokes: int
    last_steps: int
    moves_before: int


@dataclass(frozen=True)
class TransferProgress:
    """What a transfer has done so far: delivered to `O`, drawn from `I`, and still in the syringe [uL]."""

    delivered_ul: float
    drawn_ul: float
    plunger_ul: float


class CavroPump(DtDevice):
    """One syringe pump; valve `I` leads to the source, `O` to the destination, `B` past the syringe.

    Args:
        syringe_ul: volume of the full stroke [uL].
    """

    def __init__(self, link: Link, address: int, syringe_ul: float, name: str) -> None:
        super().__init__(link, address, name)
        self.syringe_ul = syringe_ul
        self._steps_per_ul = STROKE_STEPS / syringe_ul

    # units ----------------------------------------------------------------------------------------
    def steps(self, volume_ul: float) -> int:
        """Return a volume in whole micro-steps."""
        return round(volume_ul * self._steps_per_ul)

    def volume_ul(self, steps: int) -> float:
        """Return the volume [uL] of a number of micro-steps."""
        return steps / self._steps_per_ul

    def speed_steps_s(self, flow_rate_ul_min: float, field: str = "flow_rate_ul_min") -> int:
        """Return the plunger speed for a flow rate, in whole micro-steps a second; raises OutOfRange."""
        low, high = (self.rate_ul_min(speed) for speed in (MIN_SPEED_STEPS_S, MAX_SPEED_STEPS_S))
        check_range(self.name, field, flow_rate_ul_min, low, high, "uL/min")
        return round(flow_rate_ul_min / 60.0 * self._steps_per_ul)

    def rate_ul_min(self, speed_steps_s: int) -> float:
        """Return the flow rate [uL/min] of a plunger speed; what `speed_steps_s` rounds to is what flows."""
        return self.volume_ul(speed_steps_s) * 60.0

    # state ----------------------------------------------------------------------------------------
    async def plunger_steps(self) -> int:
        """Return the plunger position [micro-steps]; 0 is empty."""
        return await self._report_int("?", 0, STROKE_STEPS)

    async def plunger_ul(self) -> float:
        """Return the volume in the syringe [uL]."""
        return self.volume_ul(await self.plunger_steps())

    async def valve(self) -> PumpValve:
        """Return where the pump's valve stands."""
        text = (await self._report_text("?6")).upper()
        if text == "I":
            return "I"
        if text == "O":
            return "O"
        if text == "B":
            return "B"
        raise GarbledReply(self.name, f"valve position {text!r}; expected i, o or b")

    # acts -----------------------------------------------------------------------------------------
    async def initialize(self) -> bool:
        """Start the initialization when the pump needs one (power-up, overload) and tell whether it was
        started.

        Initialization empties the syringe to `O` and takes up to INITIALIZE_S. Micro-step mode is set either
        way, unless the pump is moving.
        """
        status = await self.status()
        if status.error_code in (NOT_INITIALIZED, PLUNGER_OVERLOAD, VALVE_OVERLOAD):
            await self._start("ZN2")
            return True
        if status.ready:
            await self._start("N2")
        return False

    async def set_valve(self, valve: PumpValve) -> None:
        """Start turning the pump's valve; nothing moves when it stands there."""
        await self._start(valve)

    async def fill_to(
        self,
        volume_ul: float,
        aspirate_rate_ul_min: float,
        then_valve: PumpValve | None = None,
        *,
        held_steps: int | None = None,
    ) -> float:
        """Start drawing from `I` until the syringe holds `volume_ul`; optionally turn the valve afterwards.

        Repeating is harmless (absolute move). `held_steps` is where the plunger stands, for whoever has just asked.
        Returns the expected duration [s].
        """
        target = self.steps(check_range(self.name, "volume_ul", volume_ul, 0.0, self.syringe_ul, "uL"))
        speed = self.speed_steps_s(aspirate_rate_ul_min, "aspirate_rate_ul_min")
        missing = target - (await self.plunger_steps() if held_steps is None else held_steps)
        if missing < 0:
            raise InstrumentError(self.name, f"holds more than the {volume_ul:g} uL to fill to; empty it first")
        await self._start(f"IV{speed}A{target}{then_valve or ''}")
        return missing / speed + VALVE_TURN_S * (2 if then_valve else 1)

    async def empty_to(self, volume_ul: float, flow_rate_ul_min: float, *, held_steps: int | None = None) -> float:
        """Start delivering to `O` until the syringe holds `volume_ul`.

        Repeating is harmless. `held_steps` is where the plunger stands, for whoever has just asked. Returns the
        expected duration [s].
        """
        target = self.steps(check_range(self.name, "volume_ul", volume_ul, 0.0, self.syringe_ul, "uL"))
        speed = self.speed_steps_s(flow_rate_ul_min)
        surplus = (await self.plunger_steps() if held_steps is None else held_steps) - target
        if surplus < 0:
            raise InstrumentError(self.name, f"holds less than the {volume_ul:g} uL to empty to; fill it first")
        await self._start(f"OV{speed}A{target}")
        return surplus / speed + VALVE_TURN_S

    async def aspirate(self, volume_ul: float, rate_ul_min: float) -> float:
        """Start drawing `volume_ul` more from `I`.

        Returns the expected duration [s]. Use `fill_to` where it may be repeated.
        """
        return await self.fill_to(await self.plunger_ul() + volume_ul, rate_ul_min)

    async def dispense(self, volume_ul: float, rate_ul_min: float) -> float:
        """Start delivering `volume_ul` to `O`.

        Returns the expected duration [s]. Use `empty_to` where it may be repeated.
        """
        return await self.empty_to(await self.plunger_ul() - volume_ul, rate_ul_min)

    async def mix(self, volume_ul: float, flow_rate_ul_min: float) -> float:
        """Start drawing `volume_ul` from `I` into the empty syringe and delivering it to `O`, in one command string.

        Repeating is harmless where both valves lead to one vessel. Returns the expected duration [s].
        """
        target = self.steps(check_range(self.name, "volume_ul", volume_ul, 0.0, self.syringe_ul, "uL"))
        speed = self.speed_steps_s(flow_rate_ul_min)
        await self._start(f"IV{speed}A{target}OA0")
        return 2.0 * (target / speed + VALVE_TURN_S)

    async def start_transfer(
        self, volume_ul: float, flow_rate_ul_min: float, aspirate_rate_ul_min: float
    ) -> TransferPlan:
        """Start moving `volume_ul` from `I` to `O`; the pump runs all strokes by itself.

        What the syringe already holds is delivered first and counts. Both rates are plunger speeds while the
        liquid moves; the mean flow is lower
        by the time of filling. After a stop, call again with what `transferred` says is missing.

        Raises:
            OutOfRange: volume or rate not possible with this syringe.
        """
        longest_ul = self.volume_ul(STROKE_STEPS) * 40_000
        check_range(self.name, "volume_ul", volume_ul, self.volume_ul(1), longest_ul, "uL")
        out, back = (
            self.speed_steps_s(flow_rate_ul_min),
            self.speed_steps_s(aspirate_rate_ul_min, "aspirate_rate_ul_min"),
        )
        total = self.steps(volume_ul)
        held = await self.plunger_steps()
        moves_before = await self._moves()
        first = min(held, total)
        strokes, last = divmod(total - first, STROKE_STEPS)
        commands = f"OV{out}A{held - first}" if first else ""
        if strokes:
            commands += f"gIV{back}A{STROKE_STEPS}OV{out}A0G{strokes}"
        if last:
            commands += f"IV{back}A{last}OV{out}A0"
        turns = (1 if first else 0) + 2 * (strokes + (1 if last else 0))
        duration_s = total / out + (total - first) / back + turns * VALVE_TURN_S
        plan = TransferPlan(self.volume_ul(total), duration_s, held, first, strokes, last, moves_before)

        async def begun() -> bool:
            return await self._moves() != moves_before

        await self._start(commands, begun)
        return plan

    async def transferred(self, plan: TransferPlan, *, at_rest: bool = False) -> TransferProgress:
        """Tell exactly how far a transfer is: running, stopped or done, also after a restart of this program.

        `at_rest` tells that the pump was seen ready: nothing moves between the answers then.

        Raises:
            InstrumentError: the pump has made other moves since the transfer was started.
        """
        moves = await self._moves() - plan.moves_before
        position = await self.plunger_steps()
        if not at_rest and moves != await self._moves() - plan.moves_before:  # a stroke ended between the two answers
            moves, position = await self._moves() - plan.moves_before, await self.plunger_steps()
        delivered = _delivered_steps(plan, moves, position)
        if delivered is None:
            raise InstrumentError(
                self.name,
                f"{moves} plunger moves since the start do not fit the transfer; weigh the vessels to know what moved",
            )
        drawn = delivered + position - plan.held_steps
        return TransferProgress(self.volume_ul(delivered), self.volume_ul(drawn), self.volume_ul(position))

    async def _moves(self) -> int:
        """Return the pump's own count of plunger movements (?16), kept over a power cut."""
        return await self._report_int("?16", 0, _COUNTER_MAX)


def _delivered_steps(plan: TransferPlan, moves: int, position: int) -> int | None:
    """Return the micro-steps delivered after `moves` moves at `position`.

    None when they do not fit the plan.
    """
    if moves < 0:
        return None
    if plan.first_steps:
        if moves == 0:
            return 0 if position == plan.held_steps else None
        if moves == 1:
            return plan.held_steps - position
        moves -= 1
    ended, delivering = divmod(moves, 2)  # a pair of moves is one stroke: fill, then deliver
    fills = ended + delivering
    if fills > plan.strokes + (1 if plan.last_steps else 0):
        return None
    if delivering or not ended:  # an odd count: the stroke `fills` is being drawn
        return plan.first_steps + ended * STROKE_STEPS
    size = STROKE_STEPS if ended <= plan.strokes else plan.last_steps
    return plan.first_steps + (ended - 1) * STROKE_STEPS + size - position


class CavroValve(DtDevice):
    """A selector valve with up to 16 numbered ports."""

    PORTS = 16

    async def initialize(self) -> bool:
        """Start the initialization when the valve needs one and tell whether it was started.

        It ends at port 1.
        """
        if (await self.status()).error_code in (NOT_INITIALIZED, VALVE_OVERLOAD):
            await self._start("Z")
            return True
        return False

    async def port(self) -> int:
        """Return the port that is open."""
        return await self._report_int("?6", 1, self.PORTS)

    async def set_port(self, port: int) -> None:
        """Start turning to `port`; nothing moves when it is open already. Raises OutOfRange."""
        check_range(self.name, "port", port, 1, self.PORTS, "")
        await self._start(f"I{port}")

    async def ensure_port(self, port: int, pace: Pace) -> None:
        """Turn to `port`, wait and confirm; raises InstrumentError when it is not reached."""
        await self.set_port(port)
        await settle(self, pace, expected_s=VALVE_TURN_S)
        found = await self.port()
        if found != port:
            raise InstrumentError(self.name, f"stands at port {found} after being sent to {port}; initialize it")
