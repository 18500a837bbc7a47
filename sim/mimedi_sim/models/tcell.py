# SPDX-License-Identifier: Apache-2.0
"""T-cell activation and expansion: a well-mixed culture with death, glucose, lactate, IL-2, oxygen, perfusion.

State is carried as amounts (cells, mmol, IU) and a volume, so that transfers balance. Culture units: mL, h, mM,
IU/mL, cells/mL. The solution advances by midpoint-exponential steps on a fixed 10-min grid of process time;
a reading between grid points is computed from the last point without storing it, so results do not depend on
how often the culture is read. Every change of conditions makes its instant a point of the grid.
Source: PHYSICS §5; all growth parameters are calibrated there against Zhu et al. 2018 (Cytotherapy 20:394).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mimedi_sim.models.growth import T_OPT_C, culture_ph_factor, temperature_factor
from mimedi_sim.models.medium_chemistry import (
    NOMINAL_PCO2_MMHG,
    STRONG_ION_DIFFERENCE_MM,
    dissolved_oxygen_mm,
    medium_ph,
)
from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive

STEPS_PER_H = 6
_GRID_TOLERANCE_H = 1e-9
OXYGEN_SATURATION_MM = 0.20
CONTROLLED_OXYGEN_MM = 0.10
OXYGEN_UPTAKE_FLOOR_MMOL = 12e-12
OXYGEN_UPTAKE_GROWTH_MMOL = 30e-12
HEAT_KILL_PER_H = 0.02
HEAT_KILL_ABOVE_C = 40.0


@dataclass(frozen=True)
class TCellParameters:
    """Growth, death and metabolism of one donor's T cells (PHYSICS §5; all calibrated).

    cold_death_per_h is the extra death of cells that stand still in the cold; it makes a day-5 culture with its
    heater off keep 44 % of its viable cells after 24 h and 85 % after 8 h (PROCESS.md: 44 % and 80 %).
    """

    growth_per_h: float = 0.050
    lag_rate_per_h: float = 0.15
    lag_h: float = 30.0
    residual_stimulus: float = 0.25
    stimulus_half_time_h: float = 144.0
    stimulus_exponent: float = 4.0
    glucose_half_mm: float = 0.5
    lactate_inhibition_mm: float = 20.0
    lactate_exponent: float = 2.0
    il2_half_iu_ml: float = 20.0
    oxygen_half_mm: float = 0.01
    death_per_h: float = 0.0025
    stress_death_per_h: float = 0.02
    cold_death_per_h: float = 0.018
    lysis_per_h: float = 0.01
    capacity_per_ml: float = 2.0e7
    yield_cells_per_mmol: float = 4.2e8
    maintenance_mmol_cell_h: float = 8.0e-12
    lactate_per_glucose: float = 1.7
    il2_decay_per_h: float = math.log(2.0) / 48.0

    def stimulus(self, time_h: float) -> float:
        """Return the activation strength s(t) at a time in h since activation."""
        rest = (1.0 - self.residual_stimulus) / (1.0 + (time_h / self.stimulus_half_time_h) ** self.stimulus_exponent)
        return self.residual_stimulus + rest

    def lag_factor(self, time_h: float) -> float:
        """Return the Baranyi lag factor alpha(t), 0..1."""
        return 1.0 / (1.0 + math.exp(-self.lag_rate_per_h * time_h) * math.expm1(self.lag_rate_per_h * self.lag_h))


@dataclass(frozen=True)
class CultureConditions:
    """What the bioreactor imposes on the culture from one instant to the next change.

    transfer_per_h is kLa; None means that a controller holds the oxygen at oxygen_mm. ph None: the pH follows
    from lactate and CO2; a number: held there. ph_factor None: from the pH; a number: imposed.
    """

    temperature_c: float = 37.0
    pco2_mmhg: float = NOMINAL_PCO2_MMHG
    perfusion_vvd: float = 0.0
    feed_glucose_mm: float = 11.0
    feed_lactate_mm: float = 0.0
    feed_il2_iu_ml: float = 100.0
    transfer_per_h: float | None = None
    oxygen_mm: float = CONTROLLED_OXYGEN_MM
    oxygen_saturation_mm: float = OXYGEN_SATURATION_MM
    strong_ion_difference_mm: float = STRONG_ION_DIFFERENCE_MM
    ph: float | None = None
    ph_factor: float | None = None
    temperature_factor: float | None = None

    def __post_init__(self) -> None:
        require_positive(pco2_mmhg=self.pco2_mmhg)
        require_not_negative(perfusion_vvd=self.perfusion_vvd, feed_glucose_mm=self.feed_glucose_mm,
                             feed_il2_iu_ml=self.feed_il2_iu_ml, oxygen_mm=self.oxygen_mm)


@dataclass
class CultureState:
    """Amounts in the vessel at one instant, and the running accounts that close its balances."""

    time_h: float
    volume_ml: float
    viable_cells: float
    dead_cells: float
    glucose_mmol: float
    lactate_mmol: float
    il2_iu: float
    oxygen_mm: float = CONTROLLED_OXYGEN_MM
    growth_per_h: float = 0.0
    death_per_h: float = 0.0
    cells_born: float = 0.0
    cells_died: float = 0.0
    cells_lysed: float = 0.0
    glucose_in_mmol: float = 0.0
    glucose_out_mmol: float = 0.0
    glucose_consumed_mmol: float = 0.0
    lactate_out_mmol: float = 0.0
    medium_perfused_ml: float = 0.0

    @property
    def viable_per_ml(self) -> float:
        """Viable cells per mL."""
        return self.viable_cells / self.volume_ml

    @property
    def viability(self) -> float:
        """Viable over all intact cells, NaN without cells."""
        total = self.viable_cells + self.dead_cells
        return self.viable_cells / total if total > 0.0 else math.nan

    @property
    def glucose_mm(self) -> float:
        """Glucose in mM."""
        return self.glucose_mmol / self.volume_ml * 1e3

    @property
    def lactate_mm(self) -> float:
        """Lactate in mM."""
        return self.lactate_mmol / self.volume_ml * 1e3

    @property
    def il2_iu_ml(self) -> float:
        """Interleukin-2 in IU/mL."""
        return self.il2_iu / self.volume_ml


@dataclass
class TCellCulture:
    """A T-cell culture; times are process hours, `activated_h` is when the stimulus was given."""

    state: CultureState
    parameters: TCellParameters = field(default_factory=TCellParameters)
    conditions: CultureConditions = field(default_factory=CultureConditions)
    activated_h: float = 0.0

    @classmethod
    def seeded(
        cls, viable_cells: float, dead_cells: float, volume_ml: float, *, time_h: float = 0.0,
        glucose_mm: float = 11.0, lactate_mm: float = 0.0, il2_iu_ml: float = 100.0,
        parameters: TCellParameters | None = None, conditions: CultureConditions | None = None,
    ) -> TCellCulture:
        """Return a culture seeded and activated at time_h."""
        require_not_negative(viable_cells=viable_cells, dead_cells=dead_cells)
        require_positive(volume_ml=volume_ml)
        chosen = conditions or CultureConditions()
        state = CultureState(time_h, volume_ml, viable_cells, dead_cells, glucose_mm * volume_ml * 1e-3,
                             lactate_mm * volume_ml * 1e-3, il2_iu_ml * volume_ml, oxygen_mm=chosen.oxygen_mm)
        return cls(state, parameters or TCellParameters(), chosen, activated_h=time_h)

    # -- time -------------------------------------------------------------------------------------------

    def advance_to(self, time_h: float) -> None:
        """Store the grid points up to time_h; raises ValueError if time_h lies before the stored state.

        The stored state stops at the last grid point: read the instant itself with `at`.
        """
        if time_h < self.state.time_h - _GRID_TOLERANCE_H:
            raise ValueError(f"time_h is {time_h}, before the culture's time {self.state.time_h}")
        first = math.floor(self.state.time_h * STEPS_PER_H + _GRID_TOLERANCE_H) + 1
        last = math.floor(time_h * STEPS_PER_H + _GRID_TOLERANCE_H)
        if first <= last:
            self.state = self._stepped([index / STEPS_PER_H for index in range(first, last + 1)])

    def at(self, time_h: float) -> CultureState:
        """Return the state at time_h (>= the last event); storing nothing beyond the grid."""
        self.advance_to(time_h)
        if time_h - self.state.time_h <= _GRID_TOLERANCE_H:
            return self.state
        return self._stepped([time_h])

    def commit(self, time_h: float) -> CultureState:
        """Make time_h a point of the grid and return its state: the start of every change."""
        self.state = self.at(time_h)
        return self.state

    def next_grid_time_h(self, time_h: float) -> float:
        """Return the first grid point after time_h: when a plant should renew slowly varying conditions."""
        return (math.floor(time_h * STEPS_PER_H + _GRID_TOLERANCE_H) + 1) / STEPS_PER_H

    # -- changes ----------------------------------------------------------------------------------------

    def set_conditions(self, time_h: float, **changes: float | None) -> None:
        """Change bioreactor conditions (fields of CultureConditions) from time_h on."""
        changed = replace(self.conditions, **changes)  # type: ignore[arg-type]
        if changed == self.conditions:
            return
        self.commit(time_h)
        self.conditions = changed
        if changed.transfer_per_h is None:
            self.state = replace(self.state, oxygen_mm=changed.oxygen_mm)

    def add_medium(self, time_h: float, volume_ml: float, glucose_mm: float = 11.0, lactate_mm: float = 0.0,
                   il2_iu_ml: float = 100.0) -> None:
        """Add medium (dilution, feeding) at time_h."""
        require_not_negative(volume_ml=volume_ml, glucose_mm=glucose_mm, lactate_mm=lactate_mm, il2_iu_ml=il2_iu_ml)
        now = self.commit(time_h)
        self.state = replace(
            now, volume_ml=now.volume_ml + volume_ml,
            glucose_mmol=now.glucose_mmol + glucose_mm * volume_ml * 1e-3,
            lactate_mmol=now.lactate_mmol + lactate_mm * volume_ml * 1e-3,
            il2_iu=now.il2_iu + il2_iu_ml * volume_ml,
            glucose_in_mmol=now.glucose_in_mmol + glucose_mm * volume_ml * 1e-3,
        )

    def exchange_medium(
        self, time_h: float, share: float, glucose_mm: float = 11.0, lactate_mm: float = 0.0, il2_iu_ml: float = 100.0
    ) -> None:
        """Put fresh medium in the place of a share (0..1) of the liquid at time_h and keep all cells: a wash."""
        require_fraction(share=share)
        require_not_negative(glucose_mm=glucose_mm, lactate_mm=lactate_mm, il2_iu_ml=il2_iu_ml)
        now = self.commit(time_h)
        if share == 0.0:
            return
        fresh_ml, left = share * now.volume_ml, 1.0 - share
        self.state = replace(
            now, glucose_mmol=now.glucose_mmol * left + glucose_mm * fresh_ml * 1e-3,
            lactate_mmol=now.lactate_mmol * left + lactate_mm * fresh_ml * 1e-3,
            il2_iu=now.il2_iu * left + il2_iu_ml * fresh_ml,
            glucose_in_mmol=now.glucose_in_mmol + glucose_mm * fresh_ml * 1e-3,
            glucose_out_mmol=now.glucose_out_mmol + now.glucose_mmol * share,
            lactate_out_mmol=now.lactate_out_mmol + now.lactate_mmol * share - lactate_mm * fresh_ml * 1e-3,
        )

    def add_il2(self, time_h: float, amount_iu: float) -> None:
        """Add interleukin-2 in IU at time_h."""
        require_not_negative(amount_iu=amount_iu)
        now = self.commit(time_h)
        self.state = replace(now, il2_iu=now.il2_iu + amount_iu)

    def withdraw(self, time_h: float, volume_ml: float) -> CultureState:
        """Take a well-mixed volume out at time_h and return what left (a sample, a harvest, a leak).

        Raises: ValueError if more is asked than there is.
        """
        now = self.commit(time_h)
        if not 0.0 <= volume_ml <= now.volume_ml:
            raise ValueError(f"volume_ml is {volume_ml}; allowed: 0..{now.volume_ml} (what the vessel holds)")
        share = volume_ml / now.volume_ml
        taken = CultureState(now.time_h, volume_ml, now.viable_cells * share, now.dead_cells * share,
                             now.glucose_mmol * share, now.lactate_mmol * share, now.il2_iu * share, now.oxygen_mm)
        self.state = replace(
            now, volume_ml=now.volume_ml - volume_ml, viable_cells=now.viable_cells - taken.viable_cells,
            dead_cells=now.dead_cells - taken.dead_cells, glucose_mmol=now.glucose_mmol - taken.glucose_mmol,
            lactate_mmol=now.lactate_mmol - taken.lactate_mmol, il2_iu=now.il2_iu - taken.il2_iu,
            glucose_out_mmol=now.glucose_out_mmol + taken.glucose_mmol,
            lactate_out_mmol=now.lactate_out_mmol + taken.lactate_mmol,
        )
        return taken

    def kill(self, time_h: float, surviving_fraction: float) -> None:
        """Let a share of the viable cells die at once at time_h (vector toxicity, shear, freezing)."""
        require_fraction(surviving_fraction=surviving_fraction)
        now = self.commit(time_h)
        survivors = now.viable_cells * surviving_fraction
        lost = now.viable_cells - survivors
        self.state = replace(now, viable_cells=survivors, dead_cells=now.dead_cells + lost,
                             cells_died=now.cells_died + lost)

    # -- readings ---------------------------------------------------------------------------------------

    def ph_of(self, state: CultureState) -> float:
        """Return the pH of a state under the present conditions."""
        if self.conditions.ph is not None:
            return self.conditions.ph
        return medium_ph(self.conditions.strong_ion_difference_mm, state.lactate_mm, self.conditions.pco2_mmhg)

    def oxygen_uptake_mmol_cell_h(self, growth_per_h: float) -> float:
        """Return the oxygen uptake of one cell in mmol/h at a growth rate in 1/h."""
        return OXYGEN_UPTAKE_FLOOR_MMOL + OXYGEN_UPTAKE_GROWTH_MMOL * growth_per_h / self.parameters.growth_per_h

    # -- the step ---------------------------------------------------------------------------------------

    def _stepped(self, ends_h: list[float]) -> CultureState:
        """Return the state after midpoint-exponential steps that end at the ascending times ends_h.

        Rates are taken at the middle of each step; X by exp, glucose as a linear ODE with rate q X + D,
        lactate from the glucose consumed, IL-2 exactly. One loop over plain floats: the culture is the model
        that a simulated batch spends most of its time in.
        """
        s, p, c = self.state, self.parameters, self.conditions
        exp, expm1 = math.exp, math.expm1
        v = s.volume_ml
        start = s.time_h
        mmol = v * 1e-3
        # Amounts are carried from step to step: a state stored in between changes no bit of the result.
        cells, dead, g_mmol, lac_mmol, il2_iu, oxy = (
            s.viable_cells, s.dead_cells, s.glucose_mmol, s.lactate_mmol, s.il2_iu, s.oxygen_mm,
        )
        born, died, lysed, perfused = s.cells_born, s.cells_died, s.cells_lysed, s.medium_perfused_ml
        g_in, g_out, g_used, lac_out = (
            s.glucose_in_mmol, s.glucose_out_mmol, s.glucose_consumed_mmol, s.lactate_out_mmol,
        )
        growth, death = s.growth_per_h, s.death_per_h
        d = c.perfusion_vvd / 24.0
        feed_g, feed_lac = c.feed_glucose_mm, c.feed_lactate_mm
        g_half, per_cell, upkeep = p.glucose_half_mm, 1e3 / p.yield_cells_per_mmol, 1e3 * p.maintenance_mmol_cell_h
        il2_loss = p.il2_decay_per_h + d
        il2_final = d * c.feed_il2_iu_ml / il2_loss if il2_loss > 0.0 else 0.0
        controlled = c.transfer_per_h is None
        rates = self._rate_function()
        for end in ends_h:
            step = end - start
            half = 0.5 * step
            x, g, lac, il2 = cells / v, g_mmol / mmol, lac_mmol / mmol, il2_iu / v
            # Half step to the midpoint with the rates of the start.
            growth, death = rates(start, x, g, lac, il2, oxy)
            x_mid = x * exp((growth - death) * half)
            uptake = (per_cell * growth + upkeep) * x / (g_half + g)
            g_mid, used = _fed(g, feed_g, uptake, d, half)
            lac_mid = _diluted(lac, feed_lac, p.lactate_per_glucose * used / half, d, half)
            il2_mid = il2_final + (il2 - il2_final) * exp(-il2_loss * half)
            oxy_mid = oxy if controlled else self._oxygen(oxy, growth, x, half)
            # Full step with the rates of the midpoint.
            growth, death = rates(start + half, x_mid, g_mid, lac_mid, il2_mid, oxy_mid)
            net = (growth - death) * step
            exposure = cells * (expm1(net) / net if net != 0.0 else 1.0) * step
            new_dead = death * exposure
            keep = exp(-p.lysis_per_h * step)
            dead_end = dead * keep + new_dead * math.sqrt(keep)
            uptake = (per_cell * growth + upkeep) * x_mid / (g_half + g_mid)
            g_end, used = _fed(g, feed_g, uptake, d, step)
            produced = p.lactate_per_glucose * used
            lac_end = _diluted(lac, feed_lac, produced / step, d, step)
            if not controlled:
                oxy = self._oxygen(oxy, growth, x_mid, step)
            # The accounts, each the remainder of its balance.
            born += growth * exposure
            died += new_dead
            lysed += dead + new_dead - dead_end
            turned_over = d * step
            g_in += feed_g * turned_over * mmol
            g_out += (g + feed_g * turned_over - used - g_end) * mmol
            g_used += used * mmol
            lac_out += (lac + feed_lac * turned_over + produced - lac_end) * mmol
            perfused += turned_over * v
            cells *= exp(net)
            dead, g_mmol, lac_mmol = dead_end, g_end * mmol, lac_end * mmol
            il2_iu = (il2_final + (il2 - il2_final) * exp(-il2_loss * step)) * v
            start = end
        return CultureState(
            start, v, cells, dead, g_mmol, lac_mmol, il2_iu, oxy, growth, death, born, died, lysed,
            g_in, g_out, g_used, lac_out, perfused,
        )

    def _rate_function(self) -> Callable[[float, float, float, float, float, float], tuple[float, float]]:
        """Return (growth, death) per h as a function of time, cells/mL, glucose, lactate, IL-2 and oxygen."""
        p, c = self.parameters, self.conditions
        exp = math.exp
        activated = self.activated_h
        lag_weight = math.expm1(p.lag_rate_per_h * p.lag_h)
        lag_rate, floor, half_time, power = (
            p.lag_rate_per_h, p.residual_stimulus, p.stimulus_half_time_h, p.stimulus_exponent,
        )
        g_half, lac_limit, lac_power = p.glucose_half_mm, p.lactate_inhibition_mm, p.lactate_exponent
        il2_half, oxy_half = p.il2_half_iu_ml, p.oxygen_half_mm
        peak, capacity, basal, stress = p.growth_per_h, p.capacity_per_ml, p.death_per_h, p.stress_death_per_h
        warm = temperature_factor(c.temperature_c) if c.temperature_factor is None else c.temperature_factor
        if c.temperature_c < T_OPT_C:
            basal += p.cold_death_per_h * (1.0 - warm) ** 2
        if c.temperature_c > HEAT_KILL_ABOVE_C:
            basal += HEAT_KILL_PER_H * 2.0 ** (c.temperature_c - HEAT_KILL_ABOVE_C)
        fixed = warm
        follow_ph = False
        if c.ph_factor is not None:
            fixed *= c.ph_factor
        elif c.ph is not None:
            fixed *= culture_ph_factor(c.ph)
        else:
            follow_ph = True
        ions, pco2 = c.strong_ion_difference_mm, c.pco2_mmhg

        def rates(
            time_h: float, viable: float, glucose: float, lactate: float, il2: float, oxygen: float
        ) -> tuple[float, float]:
            age = max(0.0, time_h - activated)
            environment = (
                fixed * glucose / (g_half + glucose) / (1.0 + (lactate / lac_limit) ** lac_power)
                * il2 / (il2_half + il2) * oxygen / (oxy_half + oxygen)
            )
            if follow_ph:
                environment *= culture_ph_factor(medium_ph(ions, lactate, pco2))
            strength = floor + (1.0 - floor) / (1.0 + (age / half_time) ** power)
            room = 1.0 - viable / capacity
            growth = 0.0
            if room > 0.0:
                growth = peak * environment * strength * room / (1.0 + exp(-lag_rate * age) * lag_weight)
            return growth, basal + stress * (1.0 - environment) ** 4

        return rates

    def _oxygen(self, start_mm: float, growth: float, viable_per_ml: float, step: float) -> float:
        c = self.conditions
        assert c.transfer_per_h is not None
        uptake = self.oxygen_uptake_mmol_cell_h(growth)
        return dissolved_oxygen_mm(c.transfer_per_h, c.oxygen_saturation_mm, uptake, viable_per_ml, start_mm, step)


def _fed(start_mm: float, feed_mm: float, uptake_per_h: float, dilution: float, step: float) -> tuple[float, float]:
    """Solve dG = D (feed - G) - uptake G over one step; return (end, consumed) in mM."""
    loss = uptake_per_h + dilution
    if loss == 0.0:
        return start_mm, 0.0
    final = dilution * feed_mm / loss
    fallen = -math.expm1(-loss * step)
    end = start_mm + (final - start_mm) * fallen
    return end, uptake_per_h * (final * step + (start_mm - final) * fallen / loss)


def _diluted(start_mm: float, feed_mm: float, production_mm_h: float, dilution: float, step: float) -> float:
    """Solve dL = production + dilution (feed - L) over one step."""
    if dilution == 0.0:
        return start_mm + production_mm_h * step
    final = feed_mm + production_mm_h / dilution
    return final + (start_mm - final) * math.exp(-dilution * step)
