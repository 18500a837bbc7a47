# SPDX-License-Identifier: Apache-2.0
"""The enclosure's devices over Modbus RTU: particle counter, climate and doors, peroxide generator, safety relay."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TypeVar

from .enclosure_map import (
    ENCLOSURE_CONTROLLER,
    PARTICLE_COUNTER,
    SAFETY_RELAY,
    VHP_GENERATOR,
    CounterFault,
    Door,
    EnclosureFault,
    LeakTestPhase,
    Refusal,
    SafetyOrder,
    VhpFault,
    VhpOrder,
    VhpPhase,
)
from .wire.exchange import check_range
from .wire.link import GarbledReply, InstrumentRefused, Link
from .wire.mapped_device import MappedDevice

_Kind = TypeVar("_Kind", bound=enum.IntEnum)

_WORDS = {
    Refusal.DOOR_OPEN: "a door is open; close it",
    Refusal.DOOR_UNLOCKED: "a door is unlocked; lock it",
    Refusal.VAPOUR: "hydrogen peroxide is in the enclosure; aerate first",
    Refusal.EMERGENCY_STOP: "the emergency stop has tripped; reset it",
    Refusal.RUNNING: "another run or test is going on; stop it first",
    Refusal.RESERVOIR_EMPTY: "the peroxide reservoir is too low; fill it",
    Refusal.BUTTON_PRESSED: "the emergency stop button is still pressed; pull it out",
    Refusal.NOT_RUNNING: "nothing is running",
}


class InterlockedDevice(MappedDevice):
    """A device that tells why it refused."""

    async def _told(self, name: str, value: float, *, is_order: bool = False) -> None:
        try:
            await (self.order(name, value) if is_order else self.ensure(name, value))
        except InstrumentRefused as error:
            reason = (await self.readings()).get("last_refusal", math.nan)
            words = _WORDS.get(_member(Refusal, reason, self.name), str(error)) if math.isfinite(reason) else str(error)
            raise InstrumentRefused(self.name, f"{name} = {value:g} refused: {words}") from error


def _member(kind: type[_Kind], value: float, name: str) -> _Kind:
    """Return a member of an enumeration. Raises GarbledReply for a value that it does not have."""
    try:
        return kind(int(value))
    except ValueError as error:
        raise GarbledReply(name, f"{kind.__name__} {value:g} is not known") from error


@dataclass(frozen=True)
class ParticleState:
    """What the particle counter has counted; counts are of particles of 0.5 um and more, and of 5 um and more."""

    sampling: bool
    sample_flow_l_min: float
    sample_time_s: float
    samples: int
    """Complete samples since sampling was switched on."""
    last_05: int
    last_5: int
    rolling_samples: int
    """Samples in the rolling volume now."""
    rolling_05: int
    rolling_5: int
    rolling_volume_l: float
    faults: CounterFault

    def per_m3(self, counts: int) -> float:
        """Return the concentration [1/m3] that rolling counts mean; NaN before the first sample."""
        return counts / (self.rolling_volume_l * 1e-3) if self.rolling_volume_l > 0.0 else math.nan


class ParticleCounter(MappedDevice):
    """An airborne particle counter with two channels."""

    def __init__(self, link: Link, address: int, name: str) -> None:
        super().__init__(link, address, name, PARTICLE_COUNTER)

    async def ensure_sampling(self, *, rolling_samples: int) -> None:
        """Have it sample continuously with a rolling volume of so many samples."""
        await self.ensure("rolling_samples", rolling_samples)
        await self.ensure("sampling", 1)

    async def stop(self) -> None:
        """Stop the sampling pump; what was counted is forgotten at the next start."""
        await self.ensure("sampling", 0)

    async def state(self) -> ParticleState:
        """Return what was counted. Raises GarbledReply when the counter does not know."""
        values = await self.readings()
        unknown = sorted(name for name, value in values.items() if math.isnan(value))
        if unknown:
            raise GarbledReply(self.name, f"does not know {', '.join(unknown)}")
        return ParticleState(
            sampling=bool(values["sampling"]),
            sample_flow_l_min=values["sample_flow_l_min"],
            sample_time_s=values["sample_time_s"],
            samples=int(values["samples"]),
            last_05=int(values["last_05"]),
            last_5=int(values["last_5"]),
            rolling_samples=int(values["rolling_samples"]),
            rolling_05=int(values["rolling_05"]),
            rolling_5=int(values["rolling_5"]),
            rolling_volume_l=values["rolling_volume_l"],
            faults=CounterFault(int(values["faults"])),
        )


@dataclass(frozen=True)
class EnclosureState:
    """Climate, pressures and doors; NaN is "not known". Pressures are against the room [Pa]."""

    chamber_pressure_pa: float
    hatch_pressure_pa: float
    filter_pressure_pa: float
    temperature_c: float
    relative_humidity: float
    air_speed_m_s: float
    doors_open: Door
    doors_unlocked: Door
    faults: EnclosureFault
    leak_phase: LeakTestPhase
    leak_elapsed_s: float
    """Time since the pressure decay test's present phase began [s]."""


class EnclosureController(InterlockedDevice):
    """Air, pressure cascade, door locks and the pressure decay test."""

    def __init__(self, link: Link, address: int, name: str) -> None:
        super().__init__(link, address, name, ENCLOSURE_CONTROLLER)

    async def state(self) -> EnclosureState:
        """Return all measured values."""
        values = await self.readings()
        return EnclosureState(
            chamber_pressure_pa=values["chamber_pressure_pa"],
            hatch_pressure_pa=values["hatch_pressure_pa"],
            filter_pressure_pa=values["filter_pressure_pa"],
            temperature_c=values["temperature_c"],
            relative_humidity=values["relative_humidity"],
            air_speed_m_s=values["air_speed_m_s"],
            doors_open=Door(self.bits(values, "doors_open")),
            doors_unlocked=Door(self.bits(values, "doors_unlocked")),
            faults=EnclosureFault(self.bits(values, "faults")),
            leak_phase=_member(LeakTestPhase, self.bits(values, "leak_phase"), self.name),
            leak_elapsed_s=values["leak_elapsed_s"],
        )

    async def ensure_air(self, air_speed_m_s: float, fresh_air_m3_h: float) -> None:
        """Have the air circulate and be renewed. Life support of the grade: goes on until told otherwise."""
        await self._told("air_speed_m_s", air_speed_m_s)
        await self._told("fresh_air_m3_h", fresh_air_m3_h)

    async def ensure_unlocked(self, doors: Door) -> None:
        """Have just these doors unlocked, all others locked.

        Raises InstrumentRefused: both hatch doors at once, vapour inside, a door open that should be locked.
        """
        await self._told("unlock", int(doors))

    async def start_leak_test(self, pressure_pa: float) -> None:
        """Begin a pressure decay test at a pressure [Pa]; the air stands still until it is stopped."""
        check_range(self.name, "leak_test_pa", pressure_pa, 10.0, 1000.0, "Pa")
        await self._told("leak_test_pa", pressure_pa)

    async def stop_leak_test(self) -> None:
        """End the pressure decay test; the air circulates again. Harmless when none is going on."""
        await self._told("leak_test_pa", 0.0)


@dataclass(frozen=True)
class VhpState:
    """The decontamination as its generator sees it; NaN is "not known"."""

    phase: VhpPhase
    phase_elapsed_s: float
    peroxide_ppm: float
    relative_humidity: float
    reservoir_g: float
    faults: VhpFault


class VhpGenerator(InterlockedDevice):
    """A generator of hydrogen peroxide vapour that runs its cycle by itself: dry, condition, hold, aerate."""

    def __init__(self, link: Link, address: int, name: str) -> None:
        super().__init__(link, address, name, VHP_GENERATOR)

    async def state(self) -> VhpState:
        """Return phase and measured values."""
        values = await self.readings()
        return VhpState(
            phase=_member(VhpPhase, self.bits(values, "phase"), self.name),
            phase_elapsed_s=values["phase_elapsed_s"],
            peroxide_ppm=values["peroxide_ppm"],
            relative_humidity=values["relative_humidity"],
            reservoir_g=values["reservoir_g"],
            faults=VhpFault(self.bits(values, "faults")),
        )

    async def start(self, *, target_ppm: float, hold_s: float, dry_to_humidity: float, residue_ppm: float) -> None:
        """Start a cycle: dry, raise to target_ppm, hold hold_s [s], aerate to residue_ppm.

        Harmless to repeat while that cycle runs with the same values.
        Raises InstrumentRefused: a door is open or unlocked, the emergency stop has tripped, another cycle runs.
        """
        for name, value in (
            ("target_ppm", target_ppm), ("hold_s", hold_s), ("dry_to_humidity", dry_to_humidity),
            ("residue_ppm", residue_ppm),
        ):
            await self._told(name, value)
        if (await self.state()).phase in (VhpPhase.DEHUMIDIFY, VhpPhase.CONDITION, VhpPhase.HOLD):
            return
        await self._told("order", VhpOrder.START, is_order=True)

    async def stop(self) -> None:
        """Stop dosing; what is in the air is aerated. Harmless when nothing is dosed."""
        await self._told("order", VhpOrder.STOP, is_order=True)

    async def is_off(self) -> bool:
        """Tell whether no vapour is being made."""
        return (await self.state()).phase not in (VhpPhase.DEHUMIDIFY, VhpPhase.CONDITION, VhpPhase.HOLD)


@dataclass(frozen=True)
class SafetyState:
    """The emergency stop chain."""

    chain_closed: bool
    """Motion and energy are released."""
    button_pressed: bool
    reset_required: bool
    trips: int
    """Trips since power-up."""


class SafetyRelay(InterlockedDevice):
    """The emergency stop chain: this program may trip it, and reset it once the button is pulled out."""

    def __init__(self, link: Link, address: int, name: str) -> None:
        super().__init__(link, address, name, SAFETY_RELAY)

    async def state(self) -> SafetyState:
        """Return the chain's state."""
        values = await self.readings()
        return SafetyState(
            chain_closed=bool(self.bits(values, "chain_closed")),
            button_pressed=bool(self.bits(values, "button_pressed")),
            reset_required=bool(self.bits(values, "reset_required")),
            trips=self.bits(values, "trips"),
        )

    async def trip(self) -> None:
        """Open the chain; harmless when it is open."""
        await self._told("order", SafetyOrder.TRIP, is_order=True)

    async def reset(self) -> None:
        """Close the chain again; harmless when it is closed. Only on a person's command.

        Raises InstrumentRefused: the button is still pressed.
        """
        await self._told("order", SafetyOrder.RESET, is_order=True)
