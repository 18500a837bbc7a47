# SPDX-License-Identifier: Apache-2.0
"""A decontamination run by its generator: dry, condition, hold, aerate; phases end at exact times.

Source: PHYSICS §7; the order of phases is that of ISO 22441:2022 (low temperature vaporized hydrogen peroxide).
"""

from __future__ import annotations

import math
from dataclasses import replace

from mimedi_nodes.instruments.enclosure_map import VhpFault, VhpPhase
from mimedi_sim.models.decontamination import EXPOSURE_LIMIT_PPM, DecontaminationCycle

ROOM_HUMIDITY = 0.45
DRY_AIR_HUMIDITY, DRYING_TIME_S = 0.10, 900.0
"""What the dryer would reach, and how slowly [C]."""
REACHED = 0.90
"""Share of the target from which the hold time counts."""
CONDITIONING_LIMIT_S = 7200.0
DOSING_G_PER_S, RESERVOIR_G = 0.03, 1000.0
_DOSING = (VhpPhase.CONDITION, VhpPhase.HOLD)


class VhpCycle:
    """One generator and the vapour in the enclosure.

    `output` is the share of the commanded concentration that the generator can reach: below 0.9 it never gets there.
    """

    def __init__(self, start_s: float) -> None:
        self.phase = VhpPhase.IDLE
        self.since_s = start_s
        self.faults = VhpFault(0)
        self.output = 1.0
        self._vapour = DecontaminationCycle(time_s=start_s, aerating=True)
        self._target_ppm = self._hold_s = self._dry_to = self._residue_ppm = 0.0
        self._humidity_start, self._next_s = ROOM_HUMIDITY, math.inf
        self._reservoir_g = RESERVOIR_G
        self._aborted = False

    @property
    def running(self) -> bool:
        """Whether a cycle is going on."""
        return VhpPhase.DEHUMIDIFY <= self.phase <= VhpPhase.AERATE

    def peroxide_ppm(self, now_s: float) -> float:
        """Return the concentration; changes nothing."""
        return self._ahead(now_s).air_ppm

    def log_reduction(self, now_s: float) -> float:
        """Return the true log reduction of this cycle so far (what biological indicators would show)."""
        return self._ahead(now_s).reduction

    def vapour_present(self, now_s: float) -> bool:
        """Whether there is too much vapour to open."""
        return self.running or self.peroxide_ppm(now_s) > EXPOSURE_LIMIT_PPM

    def relative_humidity(self, now_s: float, fresh_air_s: float) -> float:
        """Return the relative humidity; fresh_air_s is the time constant of the fresh air [s]."""
        gone = now_s - self.since_s
        if self.phase is VhpPhase.DEHUMIDIFY:
            return DRY_AIR_HUMIDITY + (self._humidity_start - DRY_AIR_HUMIDITY) * math.exp(-gone / DRYING_TIME_S)
        if self.phase in _DOSING:
            return self._humidity_start
        return ROOM_HUMIDITY + (self._humidity_start - ROOM_HUMIDITY) * math.exp(-gone / fresh_air_s)

    def reservoir_g(self, now_s: float) -> float:
        """Return the peroxide solution left [g]."""
        used = DOSING_G_PER_S * (now_s - self.since_s) if self.phase in _DOSING else 0.0
        return max(0.0, self._reservoir_g - used)

    def start(
        self, now_s: float, target_ppm: float, hold_s: float, dry_to: float, residue_ppm: float, fresh_air_s: float
    ) -> bool:
        """Start a cycle. Return False when the reservoir does not hold enough for it."""
        needed_s = hold_s + 3.0 * self._vapour.rise_time_s
        if self.reservoir_g(now_s) < DOSING_G_PER_S * needed_s:
            self.faults |= VhpFault.RESERVOIR_EMPTY
            return False
        humidity = self.relative_humidity(now_s, fresh_air_s)
        self._target_ppm, self._hold_s, self._dry_to, self._residue_ppm = target_ppm, hold_s, dry_to, residue_ppm
        self.faults = VhpFault(0)
        self._enter(VhpPhase.DEHUMIDIFY, now_s, humidity)
        wait = DRYING_TIME_S * math.log((humidity - DRY_AIR_HUMIDITY) / (dry_to - DRY_AIR_HUMIDITY))
        self._next_s = now_s + max(0.0, wait)
        return True

    def stop(self, now_s: float, fault: VhpFault | None = None) -> None:
        """Stop dosing and aerate; harmless when nothing is dosed."""
        self.faults |= fault or VhpFault(0)
        if VhpPhase.DEHUMIDIFY <= self.phase <= VhpPhase.HOLD:
            self._aborted = True
            self._aerate(now_s)

    def refill(self) -> None:
        """Fill the reservoir."""
        self._reservoir_g = RESERVOIR_G

    def next_event(self) -> float:
        """Return when the present phase ends [s]; inf when none does."""
        return self._next_s

    def carry_out(self) -> None:
        """End the present phase at its time."""
        now_s = self._next_s
        if self.phase is VhpPhase.DEHUMIDIFY:
            self._condition(now_s)
        elif self.phase is VhpPhase.CONDITION:
            if now_s - self.since_s >= CONDITIONING_LIMIT_S - 1e-6:
                self.stop(now_s, VhpFault.LOW_CONCENTRATION)
                return
            self._enter(VhpPhase.HOLD, now_s, self._humidity_start)
            self._next_s = now_s + self._hold_s
        elif self.phase is VhpPhase.HOLD:
            self._aborted = False
            self._aerate(now_s)
        else:
            self._vapour = self._ahead(now_s)
            self._enter(VhpPhase.ABORTED if self._aborted else VhpPhase.COMPLETE, now_s, ROOM_HUMIDITY)

    def _condition(self, now_s: float) -> None:
        before = self._ahead(now_s)
        highest = self._target_ppm * self.output
        self._vapour = DecontaminationCycle(
            highest_ppm=highest, relative_humidity=self._dry_to, time_s=now_s, air_ppm=min(before.air_ppm, highest),
        )
        self._enter(VhpPhase.CONDITION, now_s, self._dry_to)
        if self.output > REACHED:
            self._next_s = now_s - self._vapour.rise_time_s * math.log1p(-REACHED / self.output)
        else:
            self._next_s = now_s + CONDITIONING_LIMIT_S

    def _aerate(self, now_s: float) -> None:
        humidity = self.relative_humidity(now_s, 1.0)
        self._vapour = self._ahead(now_s)
        self._vapour.aerating = True
        self._enter(VhpPhase.AERATE, now_s, humidity)
        self._next_s = self._vapour.next_event(self._residue_ppm)

    def _enter(self, phase: VhpPhase, now_s: float, humidity: float) -> None:
        self._reservoir_g = self.reservoir_g(now_s)
        self.phase, self.since_s, self._humidity_start, self._next_s = phase, now_s, humidity, math.inf

    def _ahead(self, now_s: float) -> DecontaminationCycle:
        vapour = replace(self._vapour)
        vapour.advance_to(max(now_s, vapour.time_s))
        return vapour
