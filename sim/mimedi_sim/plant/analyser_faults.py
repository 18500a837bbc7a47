# SPDX-License-Identifier: Apache-2.0
"""Faults of the analysers: what there is. The benches of plant.analytics look into the table of those that are in.

Source: PHYSICS §9 (tip contamination R + 20 %, stiff substrate, drift), §10 (bubble 500 RU, weak regeneration,
exhausted chip); the others [calibration].
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from mimedi_sim.plant.faults import FaultKind, Parameter, Values

CHANNELS = ("CAR-A", "CD3-A", "CD45-A", "7-AAD-A")
BUBBLE_S = 20.0
"""How long a bubble stands in the flow cell."""
SINCE = "since_s"
"""Among the values of a fault that is in: process time at which it came."""

ANALYSERS: Mapping[str, FaultKind] = {
    "afm_tip_contaminated": FaultKind(
        "afm", "debris on the bead: its radius is `radius_factor` times the calibrated one",
        "all curves are steeper by the root of the factor, those on the reference gel too",
        "MeasureStiffness scales by the gel: the moduli stay right; from about 2.5 times the radius on, or "
        "when the tip changes between the gel before and after the cells, `analytics.control_failed`, held",
        {"radius_factor": Parameter(1.2, "1", 1.0, 10.0)}),
    "afm_off_cell": FaultKind(
        "afm", "the tip comes down beside the cell, on the dish, in `share` of the curves",
        "curves as steep as the cantilever itself: rejected", "MeasureStiffness tells how many of the cells it used; "
        "below the least number it aborts with code 911", {"share": Parameter(1.0, "1", 0.0, 1.0)}),
    "afm_cantilever_lost": FaultKind(
        "afm", "the cantilever has broken off", "noise without contact in every curve",
        "the reference gel gives no contact: `analytics.control_failed`, held"),
    "spr_bubble": FaultKind(
        "spr_reader", "a bubble stands in the flow cell for 20 s", "a spike of `height_ru` in the ligand channel, half "
        "of it in the reference", "MeasureBinding sees the reference channel jump: "
        "`analytics.control_failed`, held",
        {"height_ru": Parameter(500.0, "RU", 1.0, 5000.0)}, once=True),
    "spr_regeneration_weak": FaultKind(
        "spr_reader", "a regeneration takes only `removed` of what is bound", "the baseline creeps up from cycle to "
        "cycle", "MeasureBinding looks at what is left of its control: above a tenth `analytics.control_failed`, held",
        {"removed": Parameter(0.5, "1", 0.0, 1.0)}),
    "spr_chip_exhausted": FaultKind(
        "spr_reader", "`capacity` of the ligand is left", "all responses fall in proportion",
        "MeasureBinding injects a control first and scales by it; below 0.8 of a fresh surface "
        "`analytics.control_failed`, held",
        {"capacity": Parameter(0.2, "1", 0.01, 1.0)}),
    "plate_lamp_out": FaultKind(
        "plate_reader", "the lamp is out: the reader shows its largest absorbance, 4.0, everywhere",
        "96 equal wells", "MeasureCytokine aborts with code 912"),
    "plate_standards_wrong": FaultKind(
        "plate_reader", "the standards hold `factor` of what their label says", "a curve as good as ever, beside its "
        "place", "MeasureCytokine reads a control of another lot: off by more than a fifth `analytics.control_failed`, "
        "held",
        {"factor": Parameter(0.5, "1", 0.05, 20.0)}),
    "droplets_merged": FaultKind(
        "droplet_reader", "droplets have run together: only `accepted` of them are", "few accepted droplets",
        "below 5,000 MeasureCopyNumber aborts with code 911, above it the interval is wider",
        {"accepted": Parameter(0.1, "1", 0.0, 1.0)}),
    "pcr_carry_over": FaultKind(
        "droplet_reader", "copies of an earlier PCR are in the reagents: `copies_per_droplet` more of the transgene",
        "positive droplets without template, too many copies",
        "MeasureCopyNumber counts a well without template first: `analytics.control_failed`, held",
        {"copies_per_droplet": Parameter(0.01, "1", 1e-5, 1.0)}),
    "cytometer_clogged": FaultKind(
        "cytometer", "the nozzle clogs after `events` events", "the file holds fewer events than were asked for",
        "`analytics.cytometer_fault`, held",
        {"events": Parameter(100.0, "count", 0.0, 30_000.0)}),
    "cytometer_stain_missing": FaultKind(
        "cytometer", "one stain of the panel was forgotten", "its channel shows unstained cells only",
        "AnalyzeCytometry looks at control beads in the same cocktail first: `analytics.control_failed`, held",
        {"channel": Parameter("CAR-A", "-", choices=CHANNELS)}),
}


def change(fault: str, table: MutableMapping[str, Values], now_s: float, values: Values, active: bool) -> None:
    """Put a fault into the table of the analysers' faults, with the time of its coming, or take it out."""
    if active:
        table[fault] = {**values, SINCE: now_s}
    elif not ANALYSERS[fault].once:
        table.pop(fault, None)
