# SPDX-License-Identifier: Apache-2.0
"""The sorter chip with its transducer: what reaches the centre outlet, and how warm the chip gets.

How a module commands the chip
------------------------------
The sample inlets feed the two side layers, the buffer inlet the stream in the middle. Which way the chip works
follows from which of the two carries more liquid, as the flow profiles do; there is no mode switch on the wire.

* **Sorting** (buffer flow > sample flow): thin sample layers at the walls, centre outlet behind the split line at
  120 µm: it takes the fixed 46 % of the flow. Nominal: sample 510, total 3,200 µL/min, 5.3 Vpp.
* **Concentrating** (sample flow >= buffer flow): the cells run at the full chip flow F; the concentrate outlet
  takes a stream exactly as wide as the stream that the buffer inlet lays into the middle, so the concentrate
  leaves at the buffer flow F_b, and everything else goes to waste. Command F_b = F / concentration_factor: the
  concentrate is then V / concentration_factor, and the new liquid is one concentrate volume
  (exchange_volumes = 1). Without buffer flow the concentrate outlet's restrictor takes a tenth, in the old liquid.

One flow alone (a pump of a pair that refills) keeps the way of working of the last time both flowed.

The chip's flow path is longer in concentrating: the side layers pass the sound field four times (a meander that
the narrow centre stream needs), calibrated so that activated T cells arrive with .97–.99 at 10 Vpp. Old liquid in
the concentrate: exp(-3.5 exchange volumes) = 3 %, diffusion between the streams. Cells that stick to the chip: 1 %.
All four numbers are calibration; forces, speeds and profiles are PHYSICS §1–§2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from mimedi_sim.models import species as kinds
from mimedi_sim.models.acoustics import hindered_mobility_factor
from mimedi_sim.models.beads import bead_count_distribution
from mimedi_sim.models.constants import UL_PER_MIN_IN_M3_S
from mimedi_sim.models.fluidics import band_flow_fraction
from mimedi_sim.models.piezo import TransducerModel, warmed_temperature_c
from mimedi_sim.models.sorter import SorterGeometry, species_recovery
from mimedi_sim.plant.ledger import INDEX, QUANTITIES, SOLUTES, VOLUME, WITH_ACTIVATED_T, FloatArray

SOUND_FIELD_PASSES = 4
"""Passes through the sound field when concentrating [calibration]."""
RESIDUAL_EXPONENT = 3.5
"""Old liquid in the concentrate is exp(-RESIDUAL_EXPONENT) per exchange volume [calibration]."""
SORT_CARRY_OVER = 0.02
"""Sample liquid that diffuses into the centre stream when sorting [calibration]."""
PASSIVE_CONCENTRATE_SHARE = 0.1
"""Centre outlet's share when concentrating without buffer [calibration]."""
ADHESION_LOSS = 0.01
"""Cells that stay on the chip's walls [calibration]."""
AMBIENT_C = 25.0
"""The chip stands on a block at 25 °C (PHYSICS §12)."""

_BOUND, _CARRIERS = INDEX["bead_bound"], [INDEX["t_bead"], INDEX["dead_bead"]]
_SMALL = [INDEX[name] for name in ("t_free", "t_bead", "lymphocyte", "dead", "dead_bead", "rbc")]
_LARGE = [INDEX[name] for name in ("t_act_neg", "t_act_pos", "monocyte")]
_CELL_VOLUME_UL = {"small": 2.0e-7, "large": 6.5e-7}  # 200 and 650 µm³
_TEMPERATURE_STEP_K = 0.1  # the recovery is computed anew when the chip warmed by this
_POWER_STEP_K = 0.02  # the power is computed anew when the chip warmed by this
_FLOW_STEP = 0.005


class Drive(NamedTuple):
    """What the generator gives to the transducer."""

    frequency_hz: float = 0.0
    amplitude_vpp: float = 0.0

    @property
    def on(self) -> bool:
        """Whether there is any sound."""
        return self.amplitude_vpp > 0.0 and self.frequency_hz > 0.0


@dataclass(frozen=True)
class ChipRun:
    """What flows through the chip from an instant on: the sample (amounts) and both flows [uL/s]."""

    sample: FloatArray
    sample_ul_s: float
    buffer_ul_s: float


@dataclass(frozen=True)
class ChannelStreams:
    """What carries and drives particles through one channel up to its outlets.

    Args: geometry of the present way of working. channel_ul_s, sample_ul_s: flow of one channel, and the sample's
    part of it. energy_j_m3, residence_s: of the sound. mobility_factor: of crowding.
    """

    geometry: SorterGeometry
    channel_ul_s: float
    sample_ul_s: float
    energy_j_m3: float
    residence_s: float
    mobility_factor: float


class Chip:
    """Transducer, temperature and outlet shares of the sorter chip."""

    def __init__(self, time_s: float, alpha_factor: float = 1.0, lamella_factor: float = 1.0) -> None:
        base = SorterGeometry()
        self._sorter = replace(base, alpha_j_m3_v2=base.alpha_j_m3_v2 * alpha_factor)
        self._lamella_factor = lamella_factor
        self.transducer = TransducerModel()
        self.drive = Drive()
        self.concentrating = False
        self._sample_share = base.lamella_flow_fraction()
        self._way_known = False
        self._time_s = time_s
        self._temperature_c = AMBIENT_C
        self._power_w, self._power_at_c = 0.0, AMBIENT_C
        self._recoveries: dict[tuple[float, ...], FloatArray] = {}

    def exchanged(self, alpha_factor: float, lamella_factor: float) -> None:
        """Take another chip in, at the last committed time."""
        base = SorterGeometry()
        self._sorter = replace(base, alpha_j_m3_v2=base.alpha_j_m3_v2 * alpha_factor)
        self._lamella_factor = lamella_factor
        self._way_known = False
        self._recoveries.clear()

    def set_defects(self, *, channel_filled: bool, bubble: bool, delaminated: bool) -> None:
        """Take the state of channel and plate that holds from the last committed time on."""
        self.transducer = replace(
            self.transducer, channel_filled=channel_filled, bubble=bubble, delaminated=delaminated
        )
        self._power_at_c = math.inf  # another plate takes up another power

    # -- heat -------------------------------------------------------------------------------------------

    def temperature_c(self, time_s: float) -> float:
        """Return the chip temperature in °C at or after the last committed time."""
        return warmed_temperature_c(self._temperature_c, AMBIENT_C, self._power_w, max(0.0, time_s - self._time_s))

    def commit(self, time_s: float, drive: Drive) -> None:
        """Carry the temperature to time_s and take the drive that holds from then on."""
        self._temperature_c = self.temperature_c(time_s)
        self._time_s = time_s
        if drive == self.drive and abs(self._temperature_c - self._power_at_c) < _POWER_STEP_K:
            return
        self.drive, self._power_at_c = drive, self._temperature_c
        self._power_w = (
            self.transducer.at(self._temperature_c).dissipated_power_w(drive.frequency_hz, drive.amplitude_vpp)
            if drive.on else 0.0
        )

    def next_event(self) -> float:
        """Return when the temperature has moved by a tenth of a kelvin: recovery and power change then."""
        final = AMBIENT_C + 8.0 * self._power_w
        gap = abs(final - self._temperature_c)
        if not self.drive.on or gap <= _TEMPERATURE_STEP_K:
            return math.inf
        return self._time_s + 60.0 * math.log(gap / (gap - _TEMPERATURE_STEP_K))

    # -- flow -------------------------------------------------------------------------------------------

    def centre_share(self, sample_ul_s: float, buffer_ul_s: float) -> float:
        """Return the share of the whole flow that leaves by the centre outlet; remembers the way of working."""
        total = sample_ul_s + buffer_ul_s
        if sample_ul_s > 0.0 and buffer_ul_s > 0.0:
            self.concentrating = sample_ul_s >= buffer_ul_s
            self._sample_share, self._way_known = sample_ul_s / total, True
        elif sample_ul_s > 0.0 and not self._way_known:
            self.concentrating, self._sample_share = True, 1.0
        if not self.concentrating:
            return self._sorter.centre_flow_fraction()
        if self._sample_share >= 1.0:
            return PASSIVE_CONCENTRATE_SHARE
        return 1.0 - self._sample_share

    def split(
        self, sample: FloatArray, buffer: FloatArray, sample_ul_s: float, buffer_ul_s: float, time_s: float
    ) -> FloatArray:
        """Return what of sample and buffer (amounts) reaches the centre outlet; the rest goes to waste.

        The volumes are those delivered into the chip during an interval of constant flows.
        """
        total_volume = float(sample[VOLUME] + buffer[VOLUME])
        if total_volume <= 0.0:
            return np.zeros(len(QUANTITIES))
        centre_volume = self.centre_share(sample_ul_s, buffer_ul_s) * total_volume
        centre = np.zeros(len(QUANTITIES))
        # Liquid: the centre is made of buffer with a residue of the sample's liquid.
        from_sample = min(float(sample[VOLUME]), self._old_liquid(centre_volume, float(buffer[VOLUME])))
        from_buffer = centre_volume - from_sample
        if from_buffer > buffer[VOLUME]:
            from_buffer = float(buffer[VOLUME])
            from_sample = centre_volume - from_buffer
        # Particles of the sample go by their recovery, those of the buffer (none, normally) with their liquid.
        if sample[VOLUME] > 0.0:
            shares = self._particle_shares(sample, sample_ul_s, buffer_ul_s, time_s)
            centre += sample * np.where(_IS_LIQUID, from_sample / sample[VOLUME], shares)
        if buffer[VOLUME] > 0.0:
            centre += buffer * (from_buffer / buffer[VOLUME])
        return centre

    def _old_liquid(self, centre_ul: float, buffer_ul: float) -> float:
        if not self.concentrating:
            return SORT_CARRY_OVER * centre_ul
        exchange = buffer_ul / centre_ul if centre_ul > 0.0 else 0.0
        return centre_ul * math.exp(-RESIDUAL_EXPONENT * exchange)

    # -- sound ------------------------------------------------------------------------------------------

    def energy_j_m3(self, time_s: float) -> float:
        """Return the acoustic energy density in the channels [J/m³]."""
        if not self.drive.on or self.transducer.delaminated or not self.transducer.channel_filled:
            return 0.0
        geometry = self._sorter
        if self.transducer.bubble:
            geometry = replace(geometry, quality=geometry.quality / 5.0, alpha_j_m3_v2=geometry.alpha_j_m3_v2 / 25.0)
        return geometry.energy_j_m3(self.drive.amplitude_vpp, self.drive.frequency_hz, self.temperature_c(time_s))

    def impedance_ohm(self, frequency_hz: FloatArray, time_s: float) -> npt.NDArray[np.complex128]:
        """Return the true impedance of the transducer at frequencies [Hz], shape as given."""
        circuit = self.transducer.at(self.temperature_c(time_s))
        return np.asarray(circuit.impedance_ohm(frequency_hz), dtype=np.complex128)

    def _particle_shares(
        self, sample: FloatArray, sample_ul_s: float, buffer_ul_s: float, time_s: float
    ) -> FloatArray:
        energy = self.energy_j_m3(time_s)
        flow = (sample_ul_s + buffer_ul_s) * 60.0
        bound, carriers = float(sample[_BOUND]), sum(sample[_CARRIERS].tolist())
        beads_per_carrier = bound / carriers if carriers > 0.0 else 0.0
        crowding = self._crowding(sample)
        # Computed from the rounded operating point, so that it does not matter who came to it first.
        key = (
            round(energy, 2), round(math.log(max(flow, 1e-9)) / _FLOW_STEP), round(self._sample_share, 3),
            float(self.concentrating), round(beads_per_carrier, 2), round(crowding, 3),
        )
        found = self._recoveries.get(key)
        if found is None:
            found = self._recovery(key[0], math.exp(key[1] * _FLOW_STEP), key[2], key[4], key[5])
            self._recoveries[key] = found
        return found

    def streams(self, sample: FloatArray, sample_ul_s: float, buffer_ul_s: float, time_s: float) -> ChannelStreams:
        """Return the streams in each channel while a sample (amounts) and buffer flow, both rates [uL/s] not zero."""
        self.centre_share(sample_ul_s, buffer_ul_s)  # the way of working follows from the flows
        geometry = self.geometry(self._sample_share)
        total_ul_s = sample_ul_s + buffer_ul_s
        return ChannelStreams(
            geometry, total_ul_s / geometry.channels, sample_ul_s / geometry.channels, self.energy_j_m3(time_s),
            self._residence_s(geometry, total_ul_s * 60.0), self._crowding(sample),
        )

    @staticmethod
    def _crowding(sample: FloatArray) -> float:
        small, large = sum(sample[_SMALL].tolist()), sum(sample[_LARGE].tolist())
        volume = small * _CELL_VOLUME_UL["small"] + large * _CELL_VOLUME_UL["large"]
        return hindered_mobility_factor(volume / float(sample[VOLUME]))

    def geometry(self, sample_share: float) -> SorterGeometry:
        """Return the layers and the split line of the present way of working, for the sample's share of the flow."""
        chip = self._sorter
        if not self.concentrating:
            end = chip.lamella_start_m + self._layer_width(chip.lamella_start_m, sample_share) * self._lamella_factor
            return replace(chip, lamella_end_m=min(end, chip.width_m / 2.0))
        share = 1.0 - sample_share if sample_share < 1.0 else PASSIVE_CONCENTRATE_SHARE
        split = _edge_of_middle_band(chip, share)
        return replace(
            chip, split_m=split, lamella_end_m=split, active_length_m=chip.active_length_m * SOUND_FIELD_PASSES
        )

    def _layer_width(self, start_m: float, sample_share: float) -> float:
        chip = self._sorter
        nominal = chip.lamella_flow_fraction()
        if abs(sample_share / nominal - 1.0) < 0.01:
            return chip.lamella_end_m - start_m
        middle = 1.0 - sample_share - 2.0 * band_flow_fraction(chip.width_m, chip.height_m, 0.0, start_m)
        return _edge_of_middle_band(chip, max(middle, 0.01)) - start_m

    def _residence_s(self, geometry: SorterGeometry, flow_ul_min: float) -> float:
        """Mean time in the sound field [s]: volume of the side layers over the flow in them (0.6 s nominal)."""
        start, end = geometry.lamella_start_m, geometry.lamella_end_m
        in_layers = 2.0 * band_flow_fraction(geometry.width_m, geometry.height_m, start, end)
        volume = geometry.channels * 2.0 * (end - start) * geometry.height_m * geometry.active_length_m
        return volume / (in_layers * flow_ul_min * UL_PER_MIN_IN_M3_S)

    def _recovery(
        self, energy: float, flow_ul_min: float, sample_share: float, beads_per_carrier: float, crowding: float
    ) -> FloatArray:
        geometry = self.geometry(sample_share)
        mean_beads = poisson_mean_of_carriers(beads_per_carrier)
        weights = bead_count_distribution(mean_beads, 1.0) if beads_per_carrier > 0.0 else (1.0,)
        resting, dead, activated = kinds.RESTING_LYMPHOCYTE, kinds.DEAD_CELL, kinds.ACTIVATED_T_CELL
        plain = [resting, kinds.MONOCYTE, dead, kinds.RED_BLOOD_CELL, kinds.BEAD, activated]
        classes = range(len(weights))
        rows = [*plain, *(resting.with_beads(n) for n in classes), *(dead.with_beads(n) for n in classes)]
        time = self._residence_s(geometry, flow_ul_min)
        shares = species_recovery(rows, energy, time, geometry, crowding)
        live, gone = shares[len(plain) : len(plain) + len(weights)], shares[len(plain) + len(weights) :]
        beads = np.array(weights) * np.arange(len(weights))
        by_name = dict(zip(("lymphocyte", "monocyte", "dead", "rbc", "bead_free", "t_act_neg"), shares, strict=False))
        by_name |= {
            "t_free": by_name["lymphocyte"], "t_act_pos": by_name["t_act_neg"],
            "t_bead": float(np.dot(weights, live)), "dead_bead": float(np.dot(weights, gone)),
            "bead_bound": float(np.dot(beads, live) / beads.sum()) if beads.sum() > 0.0 else by_name["t_act_neg"],
        }
        by_name |= dict.fromkeys(WITH_ACTIVATED_T, by_name["t_act_neg"])
        result = np.zeros(len(QUANTITIES))
        for name, share in by_name.items():
            result[INDEX[name]] = share * (1.0 - ADHESION_LOSS) if self.concentrating else share
        return result


_IS_LIQUID = np.array([name in ("volume_ul", *SOLUTES) for name in QUANTITIES])
"""What follows the liquid: solutes, virus and bacteria (below the streaming limit, PHYSICS §2)."""


@lru_cache(maxsize=4096)
def _edge_of_middle_band(chip: SorterGeometry, flow_share: float) -> float:
    """Return the distance from the wall [m] of the symmetric middle band that carries a share of the flow."""
    half = chip.width_m / 2.0

    def gap(edge_m: float) -> float:
        return band_flow_fraction(chip.width_m, chip.height_m, edge_m, chip.width_m - edge_m) - flow_share

    return float(brentq(gap, chip.lamella_start_m, half - 0.2e-6, xtol=1e-9))


def poisson_mean_of_carriers(beads_per_carrier: float) -> float:
    """Return the Poisson mean whose carriers (one bead or more) carry a number of beads on average."""
    if beads_per_carrier <= 1.0:
        return 1e-3 if beads_per_carrier > 0.0 else 0.0
    low, high = 1e-6, beads_per_carrier + 1.0
    return float(brentq(lambda mean: mean / -math.expm1(-mean) - beads_per_carrier, low, high, xtol=1e-9))
