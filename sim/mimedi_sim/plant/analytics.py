# SPDX-License-Identifier: Apache-2.0
"""What the analytical instruments find in the sample that reached them.

Every result is a pure function of seed, instrument, number of the measurement and the sample's content.
Source: PHYSICS §9 (force curves), §10 (sensorgrams); Poisson partition of droplets (Hindson et al. 2011, Anal. Chem.
83:8604); four-parameter logistic of immunoassays (Rodbard 1974); moduli, stains and secretion are calibrations [C].
"""

from __future__ import annotations

import copy
import io
import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import flowio
import numpy as np

from mimedi_sim.firmware.analytics import Cantilever, Droplets, FloatArray
from mimedi_sim.firmware.scpi import ScpiError
from mimedi_sim.models import afm, spr
from mimedi_sim.plant.analyser_faults import BUBBLE_S, SINCE
from mimedi_sim.plant.faults import Values
from mimedi_sim.plant.ledger import DEAD, INDEX, VIABLE, VOLUME
from mimedi_sim.random_streams import stream

Content = Callable[[float], FloatArray]
"""Process time [s] to the amounts in the assay cell, as a row of the ledger."""

Faults = Mapping[str, Values]
"""Faults of the analysers that are in, by name (plant.analyser_faults)."""
SOUND: Faults = {}

IL2_PG_PER_IU = 61.0
IFN_GAMMA_PG_PER_CAR_CELL = 0.01
"""Secreted per CAR+ cell against its target in the potency assay: 50 ng/mL at 5e6/mL [C]."""
CELLS_ON_DISH = 200
NO_SAMPLE = ScpiError(-241, "Hardware missing")
_CHANNELS = ("FSC-A", "SSC-A", "7-AAD-A", "CD45-A", "CD3-A", "CD14-A", "CAR-A", "Time")
_MOLAR_MASS = {"IL2": spr.MOLAR_MASS_DA["il2"], "IFNG": spr.MOLAR_MASS_DA["ifn_gamma"]}


@dataclass(frozen=True)
class Sample:
    """Cells and cytokines of a sample, from its amounts."""

    row: FloatArray

    def amount(self, *names: str) -> float:
        """Return a sum of amounts."""
        return float(sum(self.row[INDEX[name]] for name in names))

    @property
    def volume_ml(self) -> float:
        """Volume [mL]."""
        return float(self.row[VOLUME]) * 1e-3

    @property
    def cells(self) -> float:
        """Nucleated cells, live and dead."""
        return self.amount(*VIABLE, *DEAD)

    def cytokine_pg_ml(self, analyte: str) -> float:
        """Return a cytokine's concentration [pg/mL]."""
        if self.volume_ml <= 0.0:
            return 0.0
        if analyte == "IL2":
            return self.amount("il2_iu") * IL2_PG_PER_IU / self.volume_ml
        return self.amount("car_expressed") * IFN_GAMMA_PG_PER_CAR_CELL / self.volume_ml

    def molar(self, analyte: str) -> float:
        """Return a cytokine's concentration [mol/L]."""
        return self.cytokine_pg_ml(analyte) * 1e-9 / _MOLAR_MASS[analyte]


class ForceBench:
    """Cells on a dish under the microscope's tip."""

    DISH_PA, NOWHERE_M = 1.0e8, 1.0
    GEL, GEL_PA, GEL_CV = 0, 1000.0, 0.04
    """The reference gel's number among the cells, its certified modulus [Pa], and how true the certificate is [C]."""
    REACH_M = 3.0e-4
    """Side of the square that the tip reaches [calibration]."""

    def __init__(self, seed: int, content: Content, faults: Faults = SOUND) -> None:
        self._seed, self._content, self._faults = seed, content, faults
        self._off = stream(seed, "afm", "off cell")
        self._kind, self._modulus = stream(seed, "afm", "kind"), stream(seed, "afm", "modulus")
        self._place = stream(seed, "afm", "place")
        self._gel_pa = stream(seed, "afm", "gel").lognormal(0, self.GEL_PA, self.GEL_CV)
        calibration = stream(seed, "afm", "cantilever")
        self._probe = afm.Probe(
            sensitivity_error=calibration.normal(0, 0.0, 0.03), spring_error=calibration.normal(1, 0.0, 0.10)
        )

    def cells(self, now_s: float) -> int:
        """Return how many cells lie on the dish."""
        return int(min(float(CELLS_ON_DISH), Sample(self._content(now_s)).cells))

    def place_m(self, cell: int) -> tuple[float, float]:
        """Return where a cell lies [m]: anywhere in the square that the tip reaches."""
        x, y = (self._place.uniform(2 * cell + k) - 0.5 for k in (0, 1))
        return self.REACH_M * x, self.REACH_M * y

    def modulus_pa(self, cell: int, now_s: float) -> float:
        """Return the true modulus of a cell [Pa]."""
        sample = Sample(self._content(now_s))
        kinds = {
            "activated": sample.amount("t_act_neg", "t_act_pos"),
            "resting": sample.amount("t_free", "t_bead", "lymphocyte", "monocyte"),
            "late_dead": sample.amount(*DEAD),
        }
        edges = np.cumsum(list(kinds.values()))
        at = int(np.searchsorted(edges, self._kind.uniform(cell) * edges[-1]))
        kind = list(kinds)[min(at, len(kinds) - 1)]
        return afm.MEDIAN_MODULUS_PA[kind] * math.exp(afm.MODULUS_SIGMA_LN * self._modulus.normal(cell))

    def curve(self, run: int, cell: int, points: int, speed_m_s: float, now_s: float) -> tuple[FloatArray, FloatArray]:
        """Return tip positions [m] and forces [N] of an approach on a cell, or on the reference gel (0)."""
        probe, on_gel = self._probe, cell == self.GEL
        modulus_pa = self._gel_pa if on_gel else self.modulus_pa(cell, now_s)
        if (dirt := self._faults.get("afm_tip_contaminated")) is not None:
            probe = replace(probe, radius_m=probe.radius_m * float(dirt["radius_factor"]))
        beside = None if on_gel else self._faults.get("afm_off_cell")
        if beside is not None and self._off.uniform(run) < float(beside["share"]):
            modulus_pa = self.DISH_PA
        contact_m = self.NOWHERE_M if "afm_cantilever_lost" in self._faults else 0.0
        found = probe.curve(
            modulus_pa, seed=self._seed, name=f"curve {run}", points=points, speed_m_s=speed_m_s, contact_m=contact_m
        )
        return found.position_m, found.force_n

    def cantilever(self) -> Cantilever:
        """Return what the microscope believes of its cantilever."""
        return Cantilever(self._probe.spring_n_m, self._probe.radius_m)

    def gel_pa(self) -> float:
        """Return what the reference gel's certificate says [Pa]."""
        return self.GEL_PA


class BindingBench:
    """A flow cell with a ligand channel for each analyte; readings count seconds from the start."""

    CONTROL_M = 5.0e-9
    """The control solution: a second lot of the analyte in buffer [C]."""
    REST_S = 7200.0
    """Not used for so long, the reader had rested: it zeroes its channels when it is used again [C]."""
    LEAD_S = 600.0
    """How long before the first use after a rest it zeroes them and lets buffer flow [C]."""

    def __init__(self, seed: int, start_s: float, content: Content, faults: Faults = SOUND) -> None:
        self._start_s, self._content, self._faults = start_s, content, faults
        self._channels = {
            analyte: [spr.SprChannel(spr.Binding(), seed, f"spr {analyte}")] for analyte in _MOLAR_MASS
        }

    def turn(self, now_s: float, valve: str, analyte: str) -> None:
        """Let buffer, sample or regeneration solution flow over all channels."""
        at = now_s - self._start_s
        self._wake(at)
        for name, history in self._channels.items():
            channel = copy.copy(history[-1])
            left = self._faults.get("spr_chip_exhausted", {"capacity": 1.0})["capacity"]
            channel.advance_to(at)
            channel.capacity_kept = min(channel.capacity_kept, float(left))
            channel.bound_ru = min(channel.bound_ru, channel.binding.capacity_ru * channel.capacity_kept)
            if valve == "SAMPle":
                sample = Sample(self._content(now_s))
                if sample.volume_ml <= 0.0:
                    raise NO_SAMPLE
                channel.inject(at, sample.molar(name), bulk_ru=20.0, protein_mg_ml=1.0)
            elif valve == "CONTrol":
                channel.inject(at, self.CONTROL_M)
            elif valve == "REGenerate":
                channel.regenerate(at, float(self._faults.get("spr_regeneration_weak", {"removed": 1.0})["removed"]))
            else:
                channel.wash(at)
            history.append(channel)

    def _wake(self, at_s: float) -> None:
        """Let a reader that rested begin a run."""
        for history in self._channels.values():
            if at_s - history[-1].time_s > self.REST_S:
                history.append(copy.copy(history[-1]))
                # Buffer flows before the first injection: its readings are the baseline, and drift as the run does.
                history[-1].begin_run(max(history[-1].time_s, at_s - self.LEAD_S))

    def second(self, now_s: float) -> int:
        """Return the number of the last whole second."""
        return int(now_s - self._start_s + 1e-9)

    def readings(self, analyte: str, first: int, count: int) -> list[tuple[float, float]]:
        """Return (ligand, reference) [RU] of seconds from `first` on."""
        self._wake(float(first))
        history = self._channels[analyte]
        begins = [channel.time_s for channel in history]
        found = []
        for second in range(first, first + count):
            channel = history[max(0, bisect_right(begins, float(second)) - 1)]
            spike = self._bubble_ru(second)
            ligand, reference = channel.reading_ru(second)
            found.append((ligand + spike, reference + 0.5 * spike))
        return found

    def _bubble_ru(self, second: int) -> float:
        bubble = self._faults.get("spr_bubble")
        if bubble is None:
            return 0.0
        after_s = second - (float(bubble[SINCE]) - self._start_s)
        return float(bubble["height_ru"]) if 0.0 <= after_s < BUBBLE_S else 0.0

    def kinetics(self, analyte: str) -> tuple[float, float, float]:
        """Return k_a [1/M/s], k_d [1/s], R_max [RU] of the fresh surface."""
        binding = self._channels[analyte][0].binding
        return binding.association_per_m_s, binding.dissociation_per_s, binding.capacity_ru

    def control_m(self, analyte: str) -> float:
        """Return the concentration of the control solution [mol/L]."""
        return self.CONTROL_M


class PlateBench:
    """An immunoassay: four-parameter logistic, wells with 4 % and a floor of 0.01."""

    TOP, BOTTOM, SLOPE, WELL_CV, WELL_FLOOR = 2.5, 0.05, 1.1, 0.04, 0.01
    MIDDLE_PG_ML = 250.0
    STANDARDS_PG_ML = (2000.0, 1000.0, 500.0, 250.0, 125.0, 62.5, 31.25, 0.0)
    OVERRANGE = 4.0
    CONTROL_PG_ML = 300.0
    """The control in column 5: a lot of its own, whoever made the standards."""
    DILUTIONS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0)

    def __init__(self, seed: int, content: Content, faults: Faults = SOUND) -> None:
        self._content, self._faults = content, faults
        self._noise = stream(seed, "plate_reader", "wells")

    def standards_pg_ml(self, analyte: str) -> Sequence[float]:
        """Return the standards of rows A to H."""
        return self.STANDARDS_PG_ML

    def dilutions(self) -> Sequence[float]:
        """Return the sample's dilutions of rows A to H."""
        return self.DILUTIONS

    def control_pg_ml(self, analyte: str) -> float:
        """Return what the control's certificate says."""
        return self.CONTROL_PG_ML

    def true_absorbance(self, pg_ml: float) -> float:
        """Return D + (A - D)/(1 + (C/C50)^B)."""
        bound = (pg_ml / self.MIDDLE_PG_ML) ** self.SLOPE
        return self.BOTTOM + (self.TOP - self.BOTTOM) * bound / (1.0 + bound)

    def absorbances(self, run: int, analyte: str, now_s: float) -> FloatArray:
        """Return a plate, shape (8, 12)."""
        if "plate_lamp_out" in self._faults:
            return np.full((8, 12), self.OVERRANGE)
        sample_pg_ml = Sample(self._content(now_s)).cytokine_pg_ml(analyte)
        label = float(self._faults.get("plate_standards_wrong", {"factor": 1.0})["factor"])
        true = np.full((8, 12), self.BOTTOM)
        true[:, :2] = [[self.true_absorbance(label * c)] for c in self.STANDARDS_PG_ML]
        true[:, 2:4] = [[self.true_absorbance(sample_pg_ml / d)] for d in self.DILUTIONS]
        true[:, 4] = self.true_absorbance(self.CONTROL_PG_ML)
        noise = self._noise.normals(96 * run, 96).reshape(8, 12)
        return np.asarray(true + noise * np.hypot(self.WELL_CV * true, self.WELL_FLOOR))


class DropletBench:
    """DNA of some cells shared out among droplets."""

    DROPLETS, ACCEPTED, CELLS, REFERENCE_COPIES = 20_000, 0.8, 1500.0, 2.0
    FALSE_POSITIVES = 1.5e-5
    """Share of droplets that light up without any template [C]: 0.24 a well."""

    def __init__(self, seed: int, content: Content, faults: Faults = SOUND) -> None:
        self._content, self._faults = content, faults
        draws = ("accepted", "trans", "ref", "both", "none")
        self._draw = {name: stream(seed, "droplet_reader", name) for name in draws}

    def droplets(self, run: int, now_s: float) -> Droplets:
        """Return what the reader counts in a well."""
        sample = Sample(self._content(now_s))
        cells = sample.cells
        if cells <= 0.0:
            raise NO_SAMPLE
        per_droplet = min(self.CELLS, cells) / self.DROPLETS
        accepted = self._accepted(run)
        with_transgene = -math.expm1(-per_droplet * sample.amount("copies") / cells - self._carried_over)
        with_reference = -math.expm1(-per_droplet * self.REFERENCE_COPIES)
        transgene = self._draw["trans"].binomial(run, accepted, with_transgene)
        both = self._draw["both"].binomial(run, transgene, with_reference)
        reference = both + self._draw["ref"].binomial(run, accepted - transgene, with_reference)
        return Droplets(accepted, transgene, reference, both)


    def no_template(self, run: int) -> Droplets:
        """Return what the reader counts in a well of the same reagents without DNA."""
        accepted = self._accepted(run)
        lit = -math.expm1(-self._carried_over - self.FALSE_POSITIVES)
        return Droplets(accepted, self._draw["trans"].binomial(run, accepted, lit),
                        self._draw["none"].binomial(run, accepted, self.FALSE_POSITIVES), 0)

    def _accepted(self, run: int) -> int:
        share = float(self._faults.get("droplets_merged", {"accepted": self.ACCEPTED})["accepted"])
        return self._draw["accepted"].binomial(run, self.DROPLETS, share)

    @property
    def _carried_over(self) -> float:
        """Copies of the transgene per droplet that are in the reagents."""
        return float(self._faults.get("pcr_carry_over", {"copies_per_droplet": 0.0})["copies_per_droplet"])


_STAINS: dict[str, tuple[float, ...]] = {
    # medians of FSC, SSC, 7-AAD, CD45, CD3, CD14, CAR [C]
    "car_positive": (90e3, 30e3, 3e2, 2e4, 1.5e4, 2e2, 8e3),
    "activated": (90e3, 30e3, 3e2, 2e4, 1.5e4, 2e2, 2.5e2),
    "resting": (50e3, 15e3, 2e2, 2e4, 2e4, 2e2, 2e2),
    "lymphocyte": (50e3, 15e3, 2e2, 2e4, 2e2, 2e2, 2e2),
    "monocyte": (80e3, 50e3, 3e2, 1.5e4, 3e2, 1e4, 3e2),
    "dead": (35e3, 40e3, 3e4, 1e4, 5e3, 4e2, 6e2),
    "bead": (20e3, 150e3, 1e2, 1e2, 1e2, 1e2, 1e2),
    "control": (40e3, 60e3, 3e4, 2e4, 1.5e4, 1e4, 8e3),
}
_RUN = 100_000
"""Indices set aside for one measurement."""
_SPREAD = 0.45
"""Standard deviation of the logarithm of every stain [C]."""


class CytometryBench:
    """A stained sample in the cytometer."""

    UNSTAINED = 2.0e2

    def __init__(self, seed: int, content: Content, faults: Faults = SOUND) -> None:
        self._seed, self._content, self._faults = seed, content, faults

    def fcs(self, run: int, events: int, now_s: float) -> bytes:
        """Return a measurement as an FCS 3.1 file."""
        sample = Sample(self._content(now_s))
        positive = min(sample.amount("car_expressed"), sample.amount("t_act_pos"))
        amounts = {
            "car_positive": positive,
            "activated": sample.amount("t_act_neg", "t_act_pos") - positive,
            "resting": sample.amount("t_free", "t_bead"),
            "lymphocyte": sample.amount("lymphocyte"), "monocyte": sample.amount("monocyte"),
            "dead": sample.amount(*DEAD), "bead": sample.amount("bead_free"),
        }
        total = sum(amounts.values())
        if total <= 0.0:
            raise NO_SAMPLE
        edges = np.cumsum([amount / total for amount in amounts.values()])
        events = self._passing(events)
        drawn = stream(self._seed, "cytometer", "kind").uniforms(run * _RUN, events)
        kinds = np.minimum(np.searchsorted(edges, drawn), len(amounts) - 1)
        return self._file(run, np.array([_STAINS[name] for name in amounts])[kinds])

    def control_fcs(self, run: int, events: int) -> bytes:
        """Return a measurement of control beads that carry every stain of the cocktail as an FCS 3.1 file."""
        return self._file(run, np.tile(_STAINS["control"], (self._passing(events), 1)))

    def _passing(self, events: int) -> int:
        clogged = self._faults.get("cytometer_clogged")
        return events if clogged is None else min(events, int(clogged["events"]))

    def _file(self, run: int, medians: FloatArray) -> bytes:
        """Return events around their medians, shape (events, 7), as a file; a forgotten stain is in none of them."""
        events, start = len(medians), run * _RUN
        if (forgotten := self._faults.get("cytometer_stain_missing")) is not None:
            medians[:, _CHANNELS.index(str(forgotten["channel"]))] = self.UNSTAINED
        spread = np.stack(
            [stream(self._seed, "cytometer", name).normals(start, events) for name in _CHANNELS[:-1]], axis=1
        )
        table = np.empty((events, len(_CHANNELS)), dtype=np.float32)
        table[:, :-1] = medians * np.exp(_SPREAD * spread)
        table[:, -1] = np.arange(events) / 500.0
        out = io.BytesIO()
        flowio.create_fcs(out, table.ravel(), list(_CHANNELS), metadata_dict={"cyt": "MiMedI FC-7"})
        return out.getvalue()
