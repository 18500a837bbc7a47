# SPDX-License-Identifier: Apache-2.0
"""A bioreactor of the plant: chamber heat and gas, the culture in it, perfusion, evaporation.

State is stored at events only (commands, transfers, full hours; every ten minutes while something changes
fast); a reading between two events is computed from the last one, so that polling changes nothing.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mimedi_nodes.instruments.bioreactor_map import BioreactorFault
from mimedi_sim.models.beads import DEPLETION_UNBINDING_TIME_S
from mimedi_sim.models.donors import Donor
from mimedi_sim.models.humidity import evaporated_ml
from mimedi_sim.models.medium_chemistry import medium_ph
from mimedi_sim.models.tcell import (
    OXYGEN_SATURATION_MM,
    CultureConditions,
    CultureState,
    TCellCulture,
    TCellParameters,
)
from mimedi_sim.models.transduction import vector_viability_factor
from mimedi_sim.plant import biology, osteoculture, syringe
from mimedi_sim.plant.climate import ROOM_C, STORE_EVERY_S, Climate
from mimedi_sim.plant.contaminant import DENSE_PER_ML, Contaminant
from mimedi_sim.plant.fault_effects import ReactorFaults
from mimedi_sim.plant.ledger import (
    INDEX,
    LOST,
    QUANTITIES,
    SOLUTES,
    T_ACTIVATED,
    VOLUME,
    WITH_ACTIVATED_T,
    FloatArray,
    Ledger,
)
from mimedi_sim.plant.oxygen import NEAR_MM, Oxygen, resting_mm
from mimedi_sim.plant.still_contact import StillContact

HUMIDITY = 0.99
"""Relative humidity of the chamber: 0.1 % of the volume evaporates a day, the least of PHYSICS §6 [calibration]."""
ACTIVATION_FROM_C = 30.0
"""Liquid temperature from which beads and IL-2 stimulate [calibration]."""
ACTIVATION_IL2_IU_ML = 5.0
STIRRED_FROM_RPM = 20.0
STIRRED_TRANSFER_PER_H = 5.0
"""kLa at 60 rpm, in proportion to the stirring (PHYSICS §5: 5/h, of which day 10 needs 1.3) [calibration]."""
SURFACE_TRANSFER_PER_H = 0.3
"""kLa of an unstirred vessel, by its surface only [calibration]."""

_HOUR_S = 3600.0
_CONTACT_S = 1800.0
_MIXED_BY_FLOW = [INDEX[name] for name in SOLUTES if name not in ("glucose_mmol", "lactate_mmol", "il2_iu")]
_GLUCOSE, _LACTATE, _IL2 = INDEX["glucose_mmol"], INDEX["lactate_mmol"], INDEX["il2_iu"]
_SYRINGE, _VECTOR = INDEX["syringe_cfu"], INDEX["vector_tu"]
_BEADS = (("bead_bound", "bead_free"), ("selection_bound", "selection_free"))
"""Of either kind: on cells, and off them."""
_WATCHED = [INDEX["t_bead"], INDEX["t_free"], _VECTOR, _SYRINGE, INDEX["cfu"], VOLUME]


class SetPoints(NamedTuple):
    """What the controller of a bioreactor was told last."""

    temperature_c: float = ROOM_C
    co2_fraction: float = 0.0
    stirring_rpm: float = 0.0
    perfusion_ul_min: float = 0.0


@dataclass(frozen=True)
class ReactorState:
    """True values of a bioreactor at an instant; NaN where there is nothing to measure."""

    air_c: float
    liquid_c: float
    heater_w: float
    co2_fraction: float
    volume_ul: float
    viable_per_ml: float
    viability: float
    glucose_mm: float
    lactate_mm: float
    il2_iu_ml: float
    ph: float
    oxygen_saturation: float
    stirring_rpm: float
    perfusion_ul_min: float


class Reactor:
    """One bioreactor vessel with its chamber."""

    def __init__(self, vessel: str, medium: str, waste: str, donor: Donor, time_s: float, seed: int = 0,
                 dividing_only: bool = False) -> None:
        self.vessel, self._medium, self._waste = vessel, medium, waste
        self._donor = donor
        self._dividing_only = dividing_only
        """Whether the vector integrates in dividing cells only (retroviral)."""
        self._parameters = donor.culture_parameters(TCellParameters())
        self.set_points = SetPoints()
        self.climate = Climate(time_s)
        self.culture: TCellCulture | None = None
        self.faults = ReactorFaults()
        self._perfused_ul = 0.0
        self._time_s = time_s
        self._vector_seen_tu = 0.0
        self._still: StillContact | None = None
        self._growth_per_h = 0.0
        self.oxygen = Oxygen(time_s / _HOUR_S)
        self._seed = seed
        self._contaminant = Contaminant(seed, vessel)

    def copy(self) -> Reactor:
        """Return an independent copy, to look ahead with."""
        twin = copy.copy(self)
        twin.climate, twin.culture = self.climate.copy(), copy.copy(self.culture)
        twin._contaminant = self._contaminant.copy()
        if self._still is not None:
            twin._still = replace(self._still, mixed=replace(self._still.mixed))
        return twin

    def connect(self, medium: str, waste: str) -> None:
        """Perfuse from and into these accounts from now on, the committed time."""
        self._medium, self._waste = medium, waste

    def exchanged(self, donor: Donor, dividing_only: bool, ledger: Ledger) -> None:
        """Take in another vessel, empty or filled by what the ledger says, at the committed time; the chamber stays."""
        self._donor, self._dividing_only = donor, dividing_only
        self._parameters = donor.culture_parameters(TCellParameters())
        self.culture, self._still, self._vector_seen_tu = None, None, 0.0
        self._contaminant = Contaminant(self._seed, self.vessel)
        self._contaminant.organism = self.faults.organism
        self.refresh(ledger)

    # -- commands ---------------------------------------------------------------------------------------

    @property
    def stirring_rpm(self) -> float:
        """How fast the vessel is really stirred."""
        return self.set_points.stirring_rpm if self.faults.stirrer_works else 0.0

    @property
    def faults_seen(self) -> BioreactorFault:
        """What the controller itself notices of its faults."""
        return self.faults.seen | (BioreactorFault.HEATER if self.climate.cut_out_tripped else BioreactorFault(0))

    @property
    def perfusion_ul_min(self) -> float:
        """How fast medium is really perfused."""
        return self.set_points.perfusion_ul_min if self.faults.perfusion_works else 0.0

    def command(self, time_s: float, wanted: SetPoints) -> None:
        """Take new set points at a committed time_s."""
        if wanted.temperature_c != self.set_points.temperature_c:
            self.climate.set_temperature(time_s, wanted.temperature_c)
        if wanted.co2_fraction != self.set_points.co2_fraction:
            self.climate.set_co2(time_s, wanted.co2_fraction)
        self.set_points = wanted

    def set_faults(self, time_s: float, faults: ReactorFaults) -> None:
        """Behave as the faults say from a committed time_s on; the defaults are a sound reactor."""
        if faults != self.faults:
            self.faults = faults
            self._contaminant.organism = faults.organism
            self.climate.set_faults(time_s, faults)

    # -- time -------------------------------------------------------------------------------------------

    def next_event(self, ledger: Ledger) -> float:
        """Return when the reactor's state must be stored next [s]; inf while it is empty."""
        row = ledger.row(self.vessel)
        if row[VOLUME] <= 0.0:
            return math.inf if self.climate.settled else self._next_on(STORE_EVERY_S)
        bead, free, vector_tu, syringe_cfu, cfu, volume_ul = row[_WATCHED].tolist()
        resting = bead + free
        living = resting + biology.t_activated(row)
        unsteady = (living > 0.0 and not self.climate.settled) or self.oxygen.moving
        contact = vector_tu > 0.01 * living or syringe_cfu > 0.0
        shearing = self.stirring_rpm >= biology.BEAD_SHEAR_RPM
        turbid = cfu + syringe_cfu > DENSE_PER_ML * volume_ul * 1e-3
        fast = unsteady or resting >= 1.0 or shearing or turbid  # less than a cell is rounding
        return self._next_on(STORE_EVERY_S if fast else _CONTACT_S if contact else _HOUR_S)

    def _next_on(self, grid_s: float) -> float:
        return (math.floor(self._time_s / grid_s + 1e-9) + 1.0) * grid_s

    def commit(self, time_s: float, ledger: Ledger) -> None:
        """Let biology, perfusion and evaporation act up to time_s and store the outcome."""
        duration_s = time_s - self._time_s
        if duration_s <= 0.0:
            return
        row = ledger.row(self.vessel)
        self.climate.commit(time_s)
        if row[VOLUME] > 0.0:
            self._advance_content(time_s, duration_s, row, ledger)
        self._time_s = time_s
        self.refresh(ledger)

    def _advance_content(self, time_s: float, duration_s: float, row: FloatArray, ledger: Ledger) -> None:
        hours = duration_s / _HOUR_S
        self._grow(time_s, row, ledger)
        react = ledger.react
        start_h, end_h = self._time_s / _HOUR_S, time_s / _HOUR_S
        if row[_VECTOR] > 0.0:
            donor = self._donor
            if self._dividing_only:
                donor = replace(donor, susceptibility=donor.susceptibility * self._dividing_share())
            react(self.vessel, biology.vector_uptake(row, donor, self.climate.liquid_c, start_h, end_h, self._still))
        react(self.vessel, biology.bystander_death(row, hours))
        for bound, free in _BEADS:
            if row[INDEX[bound]] > 0.0:
                share = biology.release_share(self.stirring_rpm, duration_s, DEPLETION_UNBINDING_TIME_S)
                ledger.convert(self.vessel, bound, free, float(row[INDEX[bound]]) * share)
        if osteoculture.cells(row) > 0.0:
            react(self.vessel, osteoculture.change(row, hours / 24.0, self.climate.liquid_c, self.stirring_rpm))
        if (shows := biology.expression(row, hours)) != 0.0:
            shown = np.zeros(len(QUANTITIES))
            shown[INDEX["car_expressed"]] = shows
            react(self.vessel, shown)
        if row[INDEX["cfu"]] > 0.0:
            react(self.vessel, self._contaminant.changes(row, start_h, end_h, self.climate.liquid_c))
        if row[_SYRINGE] > 0.0:
            react(self.vessel, syringe.changes(
                row, self._donor, self._seed, self.vessel, start_h, end_h, self.climate.liquid_c,
                self._dividing_share()))
        water = np.zeros(len(QUANTITIES))
        water[VOLUME] = evaporated_ml(row[VOLUME] * 1e-3, HUMIDITY, duration_s) * 1e3
        ledger.transfer(self.vessel, LOST, water)
        self._stimulate(time_s, row, ledger)

    def _dividing_share(self) -> float:
        """Return the share of the activated cells that go through mitosis while the vector holds: those in cycle."""
        if self.culture is None:
            return 0.0
        return min(1.0, self.culture.state.growth_per_h / self._parameters.growth_per_h)

    def _grow(self, time_s: float, row: FloatArray, ledger: Ledger) -> None:
        """Carry culture and perfusion to time_s: what came in, went out, was made and used up."""
        turned_over = self._turned_over_ul(time_s, ledger)
        self._perfused_ul += turned_over
        start = row.copy()
        inflow = ledger.row(self._medium) * (turned_over / max(ledger.volume_ul(self._medium), 1e-30))
        after = start.copy()
        kept = math.exp(-turned_over / row[VOLUME])
        after[_MIXED_BY_FLOW] = start[_MIXED_BY_FLOW] * kept
        if turned_over > 0.0:
            after[_MIXED_BY_FLOW] += inflow[_MIXED_BY_FLOW] * (row[VOLUME] / turned_over) * (1.0 - kept)
        out = np.zeros(len(QUANTITIES))
        out[_MIXED_BY_FLOW] = start[_MIXED_BY_FLOW] + inflow[_MIXED_BY_FLOW] - after[_MIXED_BY_FLOW]
        out[VOLUME] = turned_over
        if self.culture is not None:
            old = self.culture.state
            new = self.culture.commit(time_s / _HOUR_S)
            self._book_culture(old, new, start, after, time_s)
            out[_GLUCOSE] = new.glucose_out_mmol - old.glucose_out_mmol
            out[_LACTATE] = new.lactate_out_mmol - old.lactate_out_mmol
            decay = self._parameters.il2_decay_per_h * (new.time_h - old.time_h)
            dilution = turned_over / row[VOLUME]
            gone = start[_IL2] + inflow[_IL2] - after[_IL2]
            out[_IL2] = gone * dilution / (dilution + decay) if dilution > 0.0 else 0.0
        elif turned_over > 0.0:
            for k in (_GLUCOSE, _LACTATE, _IL2):
                after[k] = start[k] * kept + inflow[k] * (row[VOLUME] / turned_over) * (1.0 - kept)
                out[k] = start[k] + inflow[k] - after[k]
        if turned_over > 0.0:
            ledger.transfer(self._medium, self.vessel, inflow)
            ledger.transfer(self.vessel, self._waste, out)
        ledger.react(self.vessel, after - (start + inflow - out))

    def _book_culture(
        self, old: CultureState, new: CultureState, start: FloatArray, after: FloatArray, time_s: float
    ) -> None:
        growth = new.viable_cells / old.viable_cells if old.viable_cells > 0.0 else 1.0
        for name in (*T_ACTIVATED, *WITH_ACTIVATED_T):
            after[INDEX[name]] = start[INDEX[name]] * growth
        # What bacteria brought is not copied when a cell divides.
        after[INDEX["delivered_signal"]] = start[INDEX["delivered_signal"]] * min(1.0, growth)
        lysis = math.exp(-self._parameters.lysis_per_h * (time_s - self._time_s) / _HOUR_S)
        after[INDEX["dead_bead"]] = start[INDEX["dead_bead"]] * lysis
        after[INDEX["dead"]] = max(0.0, new.dead_cells - after[INDEX["dead_bead"]])
        after[_GLUCOSE], after[_LACTATE], after[_IL2] = new.glucose_mmol, new.lactate_mmol, new.il2_iu

    def _stimulate(self, time_s: float, row: FloatArray, ledger: Ledger) -> None:
        """Activate resting T cells that meet beads and IL-2 in warm liquid."""
        resting = row[INDEX["t_bead"]] + row[INDEX["t_free"]]
        beads = row[INDEX["bead_bound"]] + row[INDEX["bead_free"]]
        if resting <= 0.0 or beads <= 0.0 or self.climate.liquid_c < ACTIVATION_FROM_C:
            return
        if row[_IL2] / (row[VOLUME] * 1e-3) < ACTIVATION_IL2_IU_ML:
            return
        surviving = min(1.0, self._donor.seed_viability / self._donor.incoming_viability)
        ledger.react(self.vessel, biology.activation(row, time_s / _HOUR_S, surviving))

    def refresh(self, ledger: Ledger) -> None:
        """Adopt the vessel's content after a transfer, at the committed time; kills by fresh vector."""
        row = ledger.row(self.vessel)
        self.climate.holds(self._time_s, float(row[VOLUME]))
        arrived = float(row[INDEX["vector_tu"]]) - self._vector_seen_tu
        cells = biology.t_viable(row)
        if arrived > 1e3 and cells > 0.0:
            ledger.react(self.vessel, biology.death_of_t(row, vector_viability_factor(arrived / cells)))
        self._vector_seen_tu = float(row[INDEX["vector_tu"]])
        self._adopt_contact(row, arrived > 1e3)
        cells = biology.t_activated(row)
        if cells < 1.0 or row[VOLUME] < 1.0:
            self.culture = None
            self._breathe(row)
            return
        self._breathe(row)
        conditions = self._conditions(row, ledger)
        before = None if self.culture is None else self.culture.state
        state = CultureState(
            self._time_s / _HOUR_S, float(row[VOLUME]) * 1e-3, cells, biology.dead_cells(row),
            max(0.0, float(row[_GLUCOSE])), max(0.0, float(row[_LACTATE])), max(0.0, float(row[_IL2])),
            conditions.oxygen_mm, before.growth_per_h if before else 0.0, before.death_per_h if before else 0.0,
        )
        self.culture = TCellCulture(state, self._parameters, conditions, biology.activation_h(row))

    def _adopt_contact(self, row: FloatArray, fresh_vector: bool) -> None:
        """Begin a still contact when vector comes into a still vessel, or its stirrer stops; end it when stirred."""
        if self.stirring_rpm >= STIRRED_FROM_RPM or row[INDEX["vector_tu"]] <= 0.0:
            self._still = None
        elif self._still is None or fresh_vector:
            time_h = self._time_s / _HOUR_S
            contact = biology.vector_contact(row, self._donor, self.climate.liquid_c, time_h)
            self._still = StillContact(time_h, contact)

    @property
    def _transfer_per_h(self) -> float:
        """Oxygen transfer kLa at the present stirring [1/h]."""
        return max(SURFACE_TRANSFER_PER_H, STIRRED_TRANSFER_PER_H * self.stirring_rpm / 60.0)

    def _breathe(self, row: FloatArray) -> None:
        """Adopt what transfer and uptake make of the dissolved oxygen from the committed time on."""
        time_h = self._time_s / _HOUR_S
        if self.culture is None:
            self.oxygen = Oxygen(time_h)
            return
        state, half = self.culture.state, self._parameters.oxygen_half_mm
        if state.oxygen_mm > 0.0:  # what growth would be with oxygen in plenty; without any, as it was last
            self._growth_per_h = state.growth_per_h * (half + state.oxygen_mm) / state.oxygen_mm
        cells_per_ml = biology.t_activated(row) / (float(row[VOLUME]) * 1e-3)
        floor = self.culture.oxygen_uptake_mmol_cell_h(0.0)
        growing = self.culture.oxygen_uptake_mmol_cell_h(self._growth_per_h) - floor
        rest = resting_mm(self._transfer_per_h, floor * cells_per_ml * 1e3, growing * cells_per_ml * 1e3, half)
        now = self.oxygen.at(time_h)
        if abs(now - rest) <= NEAR_MM:
            now = rest
        self.oxygen = Oxygen(time_h, now, rest, self._transfer_per_h,
                             self.culture.oxygen_uptake_mmol_cell_h(state.growth_per_h), cells_per_ml)

    def _conditions(self, row: FloatArray, ledger: Ledger) -> CultureConditions:
        medium = ledger.row(self._medium)
        volume_ml = max(float(medium[VOLUME]) * 1e-3, 1e-9)
        perfusing = medium[VOLUME] > 0.0
        return CultureConditions(
            temperature_c=round(self.climate.liquid_c / 0.05) * 0.05,
            oxygen_mm=self.oxygen.start_mm,
            pco2_mmhg=self.climate.pco2_mmhg(self._time_s),
            perfusion_vvd=self.perfusion_ul_min * 1440.0 / float(row[VOLUME]) if perfusing else 0.0,
            feed_glucose_mm=float(medium[_GLUCOSE]) / volume_ml * 1e3 if perfusing else 0.0,
            feed_lactate_mm=float(medium[_LACTATE]) / volume_ml * 1e3 if perfusing else 0.0,
            feed_il2_iu_ml=float(medium[_IL2]) / volume_ml if perfusing else 0.0,
            strong_ion_difference_mm=float(row[INDEX["base_mmol"]]) / float(row[VOLUME]) * 1e6,
        )

    # -- readings ---------------------------------------------------------------------------------------

    def _turned_over_ul(self, time_s: float, ledger: Ledger) -> float:
        if ledger.volume_ul(self.vessel) <= 0.0:
            return 0.0
        wanted = self.perfusion_ul_min / 60.0 * max(0.0, time_s - self._time_s)
        return min(wanted, ledger.volume_ul(self._medium))

    def perfused_ul(self, time_s: float, ledger: Ledger) -> float:
        """Return the medium perfused since the start."""
        return self._perfused_ul + self._turned_over_ul(time_s, ledger)

    def perfused_since_stored(self, vessel: str, time_s: float, ledger: Ledger) -> float:
        """Return by how much perfusion changed a vessel's volume since the last event [uL]."""
        if vessel == self._waste:
            return self._turned_over_ul(time_s, ledger)
        return -self._turned_over_ul(time_s, ledger) if vessel == self._medium else 0.0

    def state_at(self, time_s: float, volume_ul: float, ledger: Ledger) -> ReactorState:
        """Return the true values at time_s (>= the last event) for the volume then in the vessel."""
        row = ledger.row(self.vessel)
        nodes, co2 = self.climate.temperatures(time_s), self.climate.co2(time_s)
        nan = math.nan
        viable = viability = glucose = lactate = il2 = ph = nan
        oxygen = self.oxygen.at(time_s / _HOUR_S)
        if row[VOLUME] > 1.0:
            millilitres = float(row[VOLUME]) * 1e-3
            others = float(row[INDEX["lymphocyte"]] + row[INDEX["monocyte"]]) + osteoculture.cells(row)
            if self.culture is not None:
                now = copy.copy(self.culture).at(time_s / _HOUR_S)  # what is booked runs from the stored state on
                cells, dead = now.viable_cells + others, now.dead_cells
                glucose, lactate, il2 = now.glucose_mm, now.lactate_mm, now.il2_iu_ml
            else:
                cells, dead = biology.t_viable(row) + others, biology.dead_cells(row)
                glucose, lactate = float(row[_GLUCOSE]) / millilitres * 1e3, float(row[_LACTATE]) / millilitres * 1e3
                il2 = float(row[_IL2]) / millilitres
            viable = cells / millilitres
            viability = cells / (cells + dead) if cells + dead > 0.0 else nan
            base = float(row[INDEX["base_mmol"]]) / millilitres * 1e3
            ph = medium_ph(base, lactate, self.climate.pco2_mmhg(time_s, co2))
        return ReactorState(
            air_c=nodes.air_c, liquid_c=nodes.liquid_c, heater_w=self.climate.heater_w,
            co2_fraction=co2, volume_ul=volume_ul, viable_per_ml=viable, viability=viability,
            glucose_mm=glucose, lactate_mm=lactate, il2_iu_ml=il2, ph=ph,
            oxygen_saturation=oxygen / OXYGEN_SATURATION_MM,
            stirring_rpm=self.stirring_rpm, perfusion_ul_min=self.perfusion_ul_min,
        )
