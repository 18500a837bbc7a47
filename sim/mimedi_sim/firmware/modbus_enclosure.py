# SPDX-License-Identifier: Apache-2.0
"""The enclosure's four Modbus devices: particle counter, climate and doors, peroxide generator, safety relay.

Register maps: mimedi_nodes/instruments/enclosure_map.py. What the registers stand for is done by the plant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mimedi_nodes.instruments.enclosure_map import (
    ENCLOSURE_CONTROLLER,
    PARTICLE_COUNTER,
    SAFETY_RELAY,
    VHP_GENERATOR,
    Door,
    Refusal,
    SafetyOrder,
    VhpOrder,
)
from mimedi_sim.firmware.modbus_server import ACCEPTED, DEVICE_FAILURE, ModbusLine, ModbusUnit


class EnclosureProcess(Protocol):
    """What the devices act on and sense; every call with the process time [s]."""

    def counter_readings(self, now_s: float) -> Mapping[str, float]:
        """Return what the particle counter has counted, by the names of its map."""
        ...

    def set_sampling(self, now_s: float, on: bool, rolling_samples: int) -> None:
        """Switch the particle counter's pump; set its rolling volume."""
        ...

    @property
    def sampling(self) -> tuple[bool, int]:
        """Whether the counter samples, and over how many samples it rolls."""
        ...

    def climate_readings(self, now_s: float) -> Mapping[str, float]:
        """Return pressures, climate, doors and the leak test, by the names of the controller's map."""
        ...

    def set_air(self, now_s: float, air_speed_m_s: float, fresh_air_m3_h: float) -> Refusal:
        """Set the circulation and the fresh air."""
        ...

    @property
    def air(self) -> tuple[float, float]:
        """Commanded air speed [m/s] and fresh air [m3/h]."""
        ...

    def set_unlocked(self, now_s: float, doors: Door) -> Refusal:
        """Unlock these doors, lock the others."""
        ...

    @property
    def unlocked(self) -> Door:
        """Doors that are unlocked."""
        ...

    def set_leak_test(self, now_s: float, pressure_pa: float) -> Refusal:
        """Begin (pressure above 0) or end a pressure decay test."""
        ...

    @property
    def leak_test_pa(self) -> float:
        """Pressure of the decay test that is going on; 0 for none."""
        ...

    def vhp_readings(self, now_s: float) -> Mapping[str, float]:
        """Return the peroxide generator's phase and readings, by the names of its map."""
        ...

    def start_vhp(
        self, now_s: float, target_ppm: float, hold_s: float, dry_to_humidity: float, residue_ppm: float
    ) -> Refusal:
        """Start a decontamination."""
        ...

    def stop_vhp(self, now_s: float) -> Refusal:
        """Stop dosing."""
        ...

    def safety_readings(self, now_s: float) -> Mapping[str, float]:
        """Return the emergency stop chain's state, by the names of the relay's map."""
        ...

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power: what the devices were doing ends, what they hold stays."""
        ...

    def trip(self, now_s: float) -> None:
        """Open the emergency stop chain."""
        ...

    def reset_chain(self, now_s: float) -> Refusal:
        """Close the emergency stop chain."""
        ...


class ParticleCounterUnit(ModbusUnit):
    """Two-channel airborne particle counter."""

    def __init__(self, process: EnclosureProcess) -> None:
        super().__init__(PARTICLE_COUNTER)
        self._process = process

    def readings(self, now_s: float) -> Mapping[str, float]:
        """Return the counts."""
        return self._process.counter_readings(now_s)

    def set_points(self, now_s: float) -> Mapping[str, float]:
        """Return whether it samples and its rolling volume."""
        on, rolling = self._process.sampling
        return {"sampling": float(on), "rolling_samples": float(rolling)}

    def accept(self, values: Mapping[str, float], now_s: float) -> int:
        """Switch the pump, set the rolling volume."""
        on, rolling = self._process.sampling
        self._process.set_sampling(
            now_s, bool(values.get("sampling", on)), int(values.get("rolling_samples", rolling))
        )
        return ACCEPTED


class _RefusingUnit(ModbusUnit):
    """A unit that remembers why it refused last; a refusal is exception 04h."""

    last_refusal = Refusal.NONE

    def _answer(self, *refusals: Refusal) -> int:
        self.last_refusal = next((found for found in refusals if found is not Refusal.NONE), Refusal.NONE)
        return ACCEPTED if self.last_refusal is Refusal.NONE else DEVICE_FAILURE


class EnclosureControllerUnit(_RefusingUnit):
    """Air, pressures, door locks, pressure decay test."""

    def __init__(self, process: EnclosureProcess) -> None:
        super().__init__(ENCLOSURE_CONTROLLER)
        self._process = process

    def readings(self, now_s: float) -> Mapping[str, float]:
        """Return pressures, climate, doors."""
        return {**self._process.climate_readings(now_s), "last_refusal": float(self.last_refusal)}

    def set_points(self, now_s: float) -> Mapping[str, float]:
        """Return what the controller holds."""
        speed, fresh = self._process.air
        return {
            "air_speed_m_s": speed, "fresh_air_m3_h": fresh, "unlock": float(self._process.unlocked),
            "leak_test_pa": self._process.leak_test_pa,
        }

    def accept(self, values: Mapping[str, float], now_s: float) -> int:
        """Carry out what was written; of several values the first that is refused ends it."""
        process = self._process
        refusal = Refusal.NONE
        if "air_speed_m_s" in values or "fresh_air_m3_h" in values:
            speed, fresh = process.air
            refusal = process.set_air(
                now_s, values.get("air_speed_m_s", speed), values.get("fresh_air_m3_h", fresh)
            )
        if refusal is Refusal.NONE and "unlock" in values:
            refusal = process.set_unlocked(now_s, Door(int(values["unlock"])))
        if refusal is Refusal.NONE and "leak_test_pa" in values:
            refusal = process.set_leak_test(now_s, values["leak_test_pa"])
        return self._answer(refusal)


class VhpGeneratorUnit(_RefusingUnit):
    """Hydrogen peroxide generator with its stored cycle."""

    def __init__(self, process: EnclosureProcess) -> None:
        super().__init__(VHP_GENERATOR)
        self._process = process
        self._cycle = {"target_ppm": 700.0, "hold_s": 1800.0, "dry_to_humidity": 0.40, "residue_ppm": 0.1}

    def readings(self, now_s: float) -> Mapping[str, float]:
        """Return phase and concentration."""
        return {**self._process.vhp_readings(now_s), "last_refusal": float(self.last_refusal)}

    def set_points(self, now_s: float) -> Mapping[str, float]:
        """Return the stored cycle."""
        return {**self._cycle, "order": 0.0}

    def accept(self, values: Mapping[str, float], now_s: float) -> int:
        """Store the cycle, carry out an order."""
        cycle = {name: value for name, value in values.items() if name != "order"}
        phase = self._process.vhp_readings(now_s)["phase"]
        if any(self._cycle[name] != value for name, value in cycle.items()) and 1.0 <= phase <= 3.0:
            return self._answer(Refusal.RUNNING)
        self._cycle.update(cycle)
        order = int(values.get("order", 0.0))
        if order == VhpOrder.START:
            return self._answer(self._process.start_vhp(now_s, **self._cycle))
        return self._answer(self._process.stop_vhp(now_s) if order == VhpOrder.STOP else Refusal.NONE)


class SafetyRelayUnit(_RefusingUnit):
    """Emergency stop chain."""

    def __init__(self, process: EnclosureProcess) -> None:
        super().__init__(SAFETY_RELAY)
        self._process = process

    def readings(self, now_s: float) -> Mapping[str, float]:
        """Return the chain's state."""
        return {**self._process.safety_readings(now_s), "last_refusal": float(self.last_refusal)}

    def set_points(self, now_s: float) -> Mapping[str, float]:
        """Orders read 0."""
        return {"order": 0.0}

    def accept(self, values: Mapping[str, float], now_s: float) -> int:
        """Trip or reset."""
        order = int(values.get("order", 0.0))
        if order == SafetyOrder.TRIP:
            self._process.trip(now_s)
        return self._answer(self._process.reset_chain(now_s) if order == SafetyOrder.RESET else Refusal.NONE)


class EnclosureLine(ModbusLine):
    """The enclosure's line: four units on one process.

    Args:
        addresses: unit address of particle_counter, controller, vhp_generator, safety_relay; a device without one is
            not on the line.
    """

    def __init__(self, process: EnclosureProcess, addresses: Mapping[str, int]) -> None:
        kinds: dict[str, type[ParticleCounterUnit | EnclosureControllerUnit | VhpGeneratorUnit | SafetyRelayUnit]] = {
            "particle_counter": ParticleCounterUnit, "controller": EnclosureControllerUnit,
            "vhp_generator": VhpGeneratorUnit, "safety_relay": SafetyRelayUnit,
        }
        unknown = sorted(set(addresses) - set(kinds))
        if unknown:
            raise ValueError(f"enclosure devices {', '.join(unknown)} are unknown; known: {', '.join(kinds)}")
        self._process = process
        super().__init__({address: kinds[name](process) for name, address in addresses.items()})

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power: all four devices on their common supply."""
        self.forget()
        self._process.power_cycle(now_s)


