# SPDX-License-Identifier: Apache-2.0
"""The enclosure: air and particles, pressure cascade, doors, decontamination, leak test, emergency stop.

Everything between two events is a closed form, so a reading is the same whatever was asked before. Nothing happens
here unless somebody commands it: an enclosure that is left alone costs nothing.
Source: PHYSICS §7; EU GMP Annex 1 (2022); ISO 10648-2 (hourly leak rate, pressure decay).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from mimedi_nodes.instruments.enclosure_map import CounterFault, Door, EnclosureFault, LeakTestPhase, Refusal, VhpFault
from mimedi_sim.models.enclosure import AirBalance, settling_velocity_m_s
from mimedi_sim.models.pressure_cascade import PressureCascade
from mimedi_sim.plant.enclosure_air import (
    LARGE_UM,
    SAMPLE_FLOW_L_MIN,
    SAMPLE_TIME_S,
    SMALL_UM,
    AirHistory,
    ParticleSampling,
)
from mimedi_sim.plant.vhp_cycle import VhpCycle
from mimedi_sim.random_streams import OrnsteinUhlenbeck, stream

VOLUME_M3, HEIGHT_M, FLOOR_M2 = 0.8, 0.8, 1.0
MIXING = 0.5
"""Share of a unidirectional flow that sweeps (PHYSICS §7: 0.3–0.7) [C]."""
ROOM_PER_M3 = {SMALL_UM: 3_520_000.0, LARGE_UM: 29_300.0}
"""Air of a grade D room at rest: ISO 8."""
SHED_PER_S = {SMALL_UM: 1000.0 / 60.0, LARGE_UM: 1.0 / 60.0}
"""What gantry and cassettes shed (PHYSICS §7: 1e2–1e4 a minute) [C]."""
HEPA_EFFICIENCY = 0.99995
AIR_SPEED_M_S, FRESH_AIR_M3_H, HATCH_AIR_M3_H = 0.45, 33.0, 30.0
CHAMBER_LEAK_M2, HATCH_LEAK_M2, BETWEEN_LEAK_M2, OPEN_DOOR_M2 = 0.0018, 0.003, 0.0004, 0.05
NO_INFLOW_PA, OPEN_INFLOW_M3_S, CLOSED_INFLOW_M3_S = 2.0, 0.05, 0.0005
"""Below this overpressure the room's air comes in, through an open door or the seals [C]."""
FILTER_PA = 120.0
HOURLY_LEAK_RATE_250_PA = 1.0e-3
"""Of a sound enclosure at 250 Pa: class 2 of ISO 10648-2 allows 2.5e-3 /h."""
PRESSURISE_S = 30.0
_ATMOSPHERE_PA, _REFERENCE_PA = 101_325.0, 250.0
_SENSOR_PERIOD_S = 1.0
PRESSURE_NOISE_PA, TEMPERATURE_NOISE_K, HUMIDITY_NOISE = 0.2, 0.02, 0.005
TEMPERATURE_C, TEMPERATURE_DRIFT_K = 21.0, 0.2


class Enclosure:
    """The enclosure of one workcell.

    Args:
        seed: of every noise; start_s: process time [s] at which it stands ready, clean and with its fans on.
    """

    def __init__(self, seed: int, start_s: float, device: str = "enclosure") -> None:
        self._now_s = start_s
        self._noise = {n: stream(seed, device, n) for n in ("chamber", "hatch", "temperature", "humidity", "peroxide")}
        self._drift = OrnsteinUhlenbeck(
            stream(seed, device, "temperature_drift"), TEMPERATURE_DRIFT_K, 21_600.0, 600.0, start_at_zero=True
        )
        self._start_s = start_s
        self.air = (AIR_SPEED_M_S, FRESH_AIR_M3_H)
        self.unlocked = Door(0)
        self.doors_open = Door(0)
        self.leak_test_pa, self._leak_since_s = 0.0, start_s
        self.vhp = VhpCycle(start_s)
        self.chain_closed, self.button_pressed, self._trips = True, False, 0
        self._on_trip: list[Callable[[float], None]] = []
        self._on_reset: list[Callable[[float], None]] = []
        self._on_door: list[Callable[[float], None]] = []
        self.fan_works, self.counter_flow_works = True, True
        self._efficiency = HEPA_EFFICIENCY
        self._shed = dict(SHED_PER_S)
        self._hourly_leak_rate = HOURLY_LEAK_RATE_250_PA
        self._settling = {
            size: FLOOR_M2 * settling_velocity_m_s(size * 1e-6, 1000.0, 295.15) for size in (SMALL_UM, LARGE_UM)
        }
        self._pressures = self._solved()
        self._history = AirHistory(start_s, self._balances())
        self._sampling = ParticleSampling(seed, "particle_counter", self._history)

    # -- time -------------------------------------------------------------------------------------------

    def next_event(self) -> float:
        """Return when a phase of the decontamination ends [s]; inf when nothing goes on."""
        return self.vhp.next_event()

    def advance_to(self, time_s: float) -> None:
        """Carry the decontamination on."""
        while self.vhp.next_event() <= time_s:
            self.vhp.carry_out()
        self._now_s = max(self._now_s, time_s)

    def _changed(self, now_s: float, added: dict[float, float] | None = None) -> None:
        self._pressures = self._solved()
        self._history.change(now_s, self._balances(), added)

    # -- air and pressure -------------------------------------------------------------------------------

    def _moving_air(self) -> tuple[float, float]:
        """Return the true air speed [m/s] and fresh air [m³/h]."""
        if self.leak_test_pa > 0.0:
            return 0.0, 0.0
        return (self.air[0] if self.fan_works else 0.0), (self.air[1] if self.fan_works else 0.0)

    def _solved(self) -> dict[str, float]:
        _, fresh = self._moving_air()
        cascade = PressureCascade()
        opened = self.doors_open
        cascade.connect("seals", "chamber", "outside", CHAMBER_LEAK_M2 + OPEN_DOOR_M2 * bool(opened & Door.MAIN))
        cascade.connect("outer", "hatch", "outside", HATCH_LEAK_M2 + OPEN_DOOR_M2 * bool(opened & Door.HATCH_OUTER))
        cascade.connect("inner", "chamber", "hatch", BETWEEN_LEAK_M2 + OPEN_DOOR_M2 * bool(opened & Door.HATCH_INNER))
        hatch = HATCH_AIR_M3_H if fresh > 0.0 else 0.0
        return cascade.pressures_pa({"chamber": fresh / 3600.0, "hatch": hatch / 3600.0})

    def _inflow_m3_s(self) -> float:
        if self.leak_test_pa > 0.0 or self._pressures["chamber"] >= NO_INFLOW_PA:
            return 0.0
        through = bool(self.doors_open & Door.MAIN) or self.doors_open & Door.HATCH_INNER == Door.HATCH_INNER
        return OPEN_INFLOW_M3_S if through else CLOSED_INFLOW_M3_S

    def _balances(self) -> dict[float, AirBalance]:
        speed, fresh = self._moving_air()
        recirculated = MIXING * VOLUME_M3 * speed / HEIGHT_M
        return {
            size: AirBalance(
                VOLUME_M3,
                # The fresh air passes the filter too: what the filter lets through comes as a source.
                source_per_s=self._shed[size] + fresh / 3600.0 * (1.0 - self._efficiency) * ROOM_PER_M3[size],
                recirculated_m3_s=recirculated, efficiency=self._efficiency, leak_m3_s=self._inflow_m3_s(),
                room_per_m3=ROOM_PER_M3[size], settling_m3_s=self._settling[size],
            )
            for size in (SMALL_UM, LARGE_UM)
        }

    def particles_per_m3(self, now_s: float) -> dict[float, float]:
        """Return the true concentrations by size [um]."""
        return {size: self._history.at(size, now_s) for size in (SMALL_UM, LARGE_UM)}

    def pressure_pa(self, now_s: float) -> float:
        """Return the chamber's true overpressure against the room [Pa]."""
        if self.leak_test_pa <= 0.0:
            return self._pressures["chamber"]
        if self.doors_open & (Door.MAIN | Door.HATCH_INNER):
            return 0.0
        gone = now_s - self._leak_since_s
        if gone < PRESSURISE_S:
            return self.leak_test_pa * gone / PRESSURISE_S
        # An orifice: dp/dt = -P R_h sqrt(p/250 Pa), so the root of the pressure falls linearly.
        slope = _ATMOSPHERE_PA * self._hourly_leak_rate / 3600.0 / math.sqrt(_REFERENCE_PA)
        root = math.sqrt(self.leak_test_pa) - 0.5 * slope * (gone - PRESSURISE_S)
        return max(0.0, root) ** 2

    # -- what the devices do (mimedi_sim.firmware.modbus_enclosure.EnclosureProcess) -----------------------

    @property
    def sampling(self) -> tuple[bool, int]:
        """Whether the counter samples, and over how many samples it rolls."""
        return self._sampling.since_s is not None, self._sampling.rolling_samples

    def set_sampling(self, now_s: float, on: bool, rolling_samples: int) -> None:
        """Switch the particle counter's pump; set its rolling volume."""
        self.advance_to(now_s)
        self._sampling.switch(now_s, on)
        self._sampling.rolling_samples = rolling_samples

    def counter_readings(self, now_s: float) -> Mapping[str, float]:
        """Return what the particle counter has counted."""
        self.advance_to(now_s)
        complete = self._sampling.complete(now_s)
        samples, small, large = self._sampling.rolling(now_s)
        last = self._sampling.counts(complete - 1) if complete else (0, 0)
        works = self.counter_flow_works
        return {
            "sampling": float(self._sampling.since_s is not None),
            "sample_flow_l_min": SAMPLE_FLOW_L_MIN if works else 0.0,
            "sample_time_s": SAMPLE_TIME_S, "samples": float(complete),
            "last_05": last[0] * works, "last_5": last[1] * works,
            "rolling_samples": float(samples), "rolling_05": small * works, "rolling_5": large * works,
            "rolling_volume_l": samples * SAMPLE_FLOW_L_MIN * SAMPLE_TIME_S / 60.0 * works,
            "faults": float(0 if works else CounterFault.FLOW),
        }

    def set_air(self, now_s: float, air_speed_m_s: float, fresh_air_m3_h: float) -> Refusal:
        """Set the circulation and the fresh air."""
        self.advance_to(now_s)
        wanted = (air_speed_m_s, fresh_air_m3_h)
        if wanted == self.air:
            return Refusal.NONE
        if self.vhp.running or self.leak_test_pa > 0.0:
            return Refusal.RUNNING
        self.air = wanted
        self._changed(now_s)
        return Refusal.NONE

    def set_unlocked(self, now_s: float, doors: Door) -> Refusal:
        """Unlock these doors, lock the others."""
        self.advance_to(now_s)
        hatch = Door.HATCH_INNER | Door.HATCH_OUTER
        newly = doors & ~self.unlocked
        if self.doors_open & ~doors:
            return Refusal.DOOR_OPEN
        if doors & hatch == hatch:
            return Refusal.DOOR_UNLOCKED
        if newly and self.vhp.vapour_present(now_s):
            return Refusal.VAPOUR
        if newly and self.leak_test_pa > 0.0:
            return Refusal.RUNNING
        self.unlocked = doors
        return Refusal.NONE

    def set_leak_test(self, now_s: float, pressure_pa: float) -> Refusal:
        """Begin (pressure above 0) or end a pressure decay test."""
        self.advance_to(now_s)
        if pressure_pa == self.leak_test_pa:
            return Refusal.NONE
        if pressure_pa > 0.0 and (refusal := self._not_tight(now_s)) is not Refusal.NONE:
            return refusal
        if pressure_pa > 0.0 and self.leak_test_pa > 0.0:
            return Refusal.RUNNING
        self.leak_test_pa, self._leak_since_s = pressure_pa, now_s
        self._changed(now_s)
        return Refusal.NONE

    def _not_tight(self, now_s: float) -> Refusal:
        """Return what stands against closing the enclosure for a test or a decontamination."""
        if not self.chain_closed:
            return Refusal.EMERGENCY_STOP
        if self.doors_open:
            return Refusal.DOOR_OPEN
        if self.unlocked:
            return Refusal.DOOR_UNLOCKED
        if self.vhp.running:
            return Refusal.RUNNING
        return Refusal.NONE

    def climate_readings(self, now_s: float) -> Mapping[str, float]:
        """Return pressures, climate, doors and the leak test."""
        self.advance_to(now_s)
        since = now_s - self._start_s
        index = int(since / _SENSOR_PERIOD_S + 1e-9)
        speed, fresh = self._moving_air()
        noise = {name: source.normal(index) for name, source in self._noise.items() if name != "peroxide"}
        phase = LeakTestPhase.OFF
        elapsed = now_s - self._leak_since_s
        if self.leak_test_pa > 0.0:
            phase = LeakTestPhase.PRESSURISE if elapsed < PRESSURISE_S else LeakTestPhase.DECAY
            elapsed -= PRESSURISE_S if phase is LeakTestPhase.DECAY else 0.0
        humidity = self.vhp.relative_humidity(now_s, self._fresh_air_s(fresh))
        return {
            "chamber_pressure_pa": self.pressure_pa(now_s) + PRESSURE_NOISE_PA * noise["chamber"],
            "hatch_pressure_pa": self._pressures["hatch"] + PRESSURE_NOISE_PA * noise["hatch"],
            "filter_pressure_pa": FILTER_PA * speed / AIR_SPEED_M_S,
            "temperature_c": TEMPERATURE_C + self._drift.at_time(since) + TEMPERATURE_NOISE_K * noise["temperature"],
            "relative_humidity": min(1.0, max(0.0, humidity + HUMIDITY_NOISE * noise["humidity"])),
            "air_speed_m_s": speed,
            "doors_open": float(self.doors_open), "doors_unlocked": float(self.unlocked),
            "faults": float(0 if self.fan_works else EnclosureFault.FAN),
            "leak_phase": float(phase), "leak_elapsed_s": elapsed if self.leak_test_pa > 0.0 else 0.0,
        }

    @staticmethod
    def _fresh_air_s(fresh_m3_h: float) -> float:
        return 3600.0 * VOLUME_M3 / max(fresh_m3_h, 0.1)

    def vhp_readings(self, now_s: float) -> Mapping[str, float]:
        """Return the peroxide generator's phase and readings."""
        self.advance_to(now_s)
        noise = self._noise["peroxide"].normal(int((now_s - self._start_s) / _SENSOR_PERIOD_S + 1e-9))
        ppm = self.vhp.peroxide_ppm(now_s)
        return {
            "phase": float(self.vhp.phase), "phase_elapsed_s": now_s - self.vhp.since_s,
            "peroxide_ppm": max(0.0, ppm * (1.0 + 0.01 * noise)),
            "relative_humidity": self.vhp.relative_humidity(now_s, self._fresh_air_s(self._moving_air()[1])),
            "reservoir_g": self.vhp.reservoir_g(now_s), "faults": float(self.vhp.faults),
        }

    def start_vhp(
        self, now_s: float, target_ppm: float, hold_s: float, dry_to_humidity: float, residue_ppm: float
    ) -> Refusal:
        """Start a decontamination."""
        self.advance_to(now_s)
        if (refusal := self._not_tight(now_s)) is not Refusal.NONE:
            return refusal
        if self.leak_test_pa > 0.0:
            return Refusal.RUNNING
        fresh_s = self._fresh_air_s(self._moving_air()[1])
        ready = self.vhp.start(now_s, target_ppm, hold_s, dry_to_humidity, residue_ppm, fresh_s)
        return Refusal.NONE if ready else Refusal.RESERVOIR_EMPTY

    def stop_vhp(self, now_s: float) -> Refusal:
        """Stop dosing; what is in the air is aerated."""
        self.advance_to(now_s)
        self.vhp.stop(now_s)
        return Refusal.NONE

    def safety_readings(self, now_s: float) -> Mapping[str, float]:
        """Return the emergency stop chain's state."""
        self.advance_to(now_s)
        return {
            "chain_closed": float(self.chain_closed), "button_pressed": float(self.button_pressed),
            "reset_required": float(not self.chain_closed), "trips": float(self._trips),
        }

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power: dosing, counting and a leak test end; set points, locks and the chain stay."""
        self.advance_to(now_s)
        self._sampling.switch(now_s, False)
        self.vhp.stop(now_s, VhpFault.INTERLOCK if self.vhp.running else None)
        if self.leak_test_pa > 0.0:
            self.leak_test_pa = 0.0
            self._changed(now_s)

    def trip(self, now_s: float) -> None:
        """Open the emergency stop chain: no vapour, no motion; the air goes on."""
        self.advance_to(now_s)
        if not self.chain_closed:
            return
        self.chain_closed = False
        self._trips += 1
        self.vhp.stop(now_s, VhpFault.INTERLOCK if self.vhp.running else None)
        if self.leak_test_pa > 0.0:
            self.leak_test_pa = 0.0
            self._changed(now_s)
        for told in self._on_trip:
            told(now_s)

    def reset_chain(self, now_s: float) -> Refusal:
        """Close the emergency stop chain."""
        self.advance_to(now_s)
        if self.button_pressed:
            return Refusal.BUTTON_PRESSED
        if not self.chain_closed:
            self.chain_closed = True
            for told in self._on_reset:
                told(now_s)
        return Refusal.NONE

    def on_trip(self, told: Callable[[float], None]) -> None:
        """Have `told` called with the process time whenever the chain opens."""
        self._on_trip.append(told)

    def on_reset(self, told: Callable[[float], None]) -> None:
        """Have `told` called with the process time whenever the chain closes again."""
        self._on_reset.append(told)

    def on_door(self, told: Callable[[float], None]) -> None:
        """Have `told` called with the process time whenever a door was opened or closed."""
        self._on_door.append(told)

    # -- what people and faults do ------------------------------------------------------------------------

    def open_door(self, now_s: float, door: Door, *, force: bool = False) -> bool:
        """Open a door; a locked one stays shut (unless forced). Return whether it is open."""
        self.advance_to(now_s)
        if not (door & self.unlocked or force):
            return False
        self.doors_open |= door
        if self.vhp.running:
            self.vhp.stop(now_s, VhpFault.INTERLOCK)
        self._changed(now_s)
        for told in self._on_door:
            told(now_s)
        return True

    def close_door(self, now_s: float, door: Door) -> None:
        """Close a door; harmless when it is closed."""
        self.advance_to(now_s)
        self.doors_open &= ~door
        self._changed(now_s)
        for told in self._on_door:
            told(now_s)

    def press_button(self, now_s: float) -> None:
        """Press the emergency stop button."""
        self.button_pressed = True
        self.trip(now_s)

    def release_button(self, now_s: float) -> None:
        """Pull the emergency stop button out; the chain stays open until it is reset."""
        self.advance_to(now_s)
        self.button_pressed = False

    def burst(self, now_s: float, small: float, large: float = 0.0) -> None:
        """Let particles free at once: `small` of 0.5 um and more, of which `large` of 5 um and more."""
        self.advance_to(now_s)
        self._changed(now_s, {SMALL_UM: small / VOLUME_M3, LARGE_UM: large / VOLUME_M3})

    def set_shedding(self, now_s: float, small_per_s: float, large_per_s: float) -> None:
        """Let something in the enclosure shed particles from now on."""
        self.advance_to(now_s)
        self._shed = {SMALL_UM: small_per_s, LARGE_UM: large_per_s}
        self._changed(now_s)

    def set_filter(self, now_s: float, efficiency: float = HEPA_EFFICIENCY) -> None:
        """Set the filter's efficiency: a hole, or a sound filter again."""
        self.advance_to(now_s)
        self._efficiency = efficiency
        self._changed(now_s)

    def set_fan(self, now_s: float, works: bool) -> None:
        """Let the fans fail, or work again."""
        self.advance_to(now_s)
        self.fan_works = works
        self._changed(now_s)

    def set_seal(self, now_s: float, hourly_leak_rate: float = HOURLY_LEAK_RATE_250_PA) -> None:
        """Set the tightness: volume lost in an hour at 250 Pa over the volume [1/h]."""
        self.advance_to(now_s)
        self._hourly_leak_rate = hourly_leak_rate
        self._changed(now_s)
