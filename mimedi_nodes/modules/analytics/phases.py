# SPDX-License-Identifier: Apache-2.0
"""The phases of the analytics: every result with its interval and how it was got.

A measurement that was interrupted is made again: the sample is still there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...instruments.afm import REFERENCE_GEL
from ...instruments.cytometer import Tube
from ...instruments.droplet_reader import Well
from ...instruments.spr_reader import Analyte, Kinetics, Valve
from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ...records.analysis_files import KIND, parts
from ...records.stiffness_map import MEDIA_TYPE, SUFFIX, CellStiffness, to_csv
from .binding import expected_response_ru, fit_sensorgram
from .codes import AnalyticsCode
from .controls import check_gel, check_no_template, check_plate, check_reference, check_stains, check_surface
from .copies import copy_number
from .gating import gate, gating_data
from .immunoassay import fit_standards, sample_concentration
from .instruments import AnalyticsInstruments
from .stiffness import LEAST_CELLS, ModulusFit, fit_force_curve, median_interval, with_gel

BASELINE_S, DISSOCIATION_S, REGENERATION_S = 60.0, 300.0, 30.0
ANALYTES = {"il2": Analyte.IL2, "il-2": Analyte.IL2, "ifn_gamma": Analyte.IFN_GAMMA, "ifng": Analyte.IFN_GAMMA}
MOST_EVENTS = 30_000
CONTROL_S, SETTLE_S, LEVEL_S = 60.0, 30.0, 20
"""Of the control injection [s]: how long it flows, how long buffer flows after the regeneration, and how many readings
at either end tell a level."""
CONTROL_EVENTS = 500
GEL_CURVES, GEL_POINTS = 3, 500
"""Their median is good to 1.6 %."""
MOST_TRIES = 4
"""Cells that are tried for each that is wanted: some curves are of the dish, or of debris, two in three at worst."""


def _attach(ctx: PhaseContext, name: str, content: bytes, media_type: str) -> None:
    """Put a file into the batch record."""
    for data in parts(name, content, media_type):
        ctx.record(KIND, name, "as measured", **data)


def _analyte(text: str) -> Analyte:
    try:
        return ANALYTES[text.lower()]
    except KeyError:
        raise PhaseError(
            AnalyticsCode.ANALYTE, f"analyte {text!r}; there are {', '.join(sorted(ANALYTES))}"
        ) from None


async def measure_stiffness(goal: Any, instruments: AnalyticsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Take force curves until so many cells gave a good one; tell the median modulus and each cell's ratio to it."""
    wanted = int(goal.cells_wanted)
    most = min(MOST_TRIES * wanted, await instruments.microscope.cells())
    cantilever = await instruments.microscope.cantilever()
    gel = await _gel_ratio(instruments, cantilever.radius_m, ctx)
    check_gel(gel, gel)
    fits: dict[int, ModulusFit] = {}
    places: dict[int, tuple[float, float]] = {}
    tried = 0
    while len(fits) < wanted and tried < most:
        cell = tried = tried + 1
        ctx.feedback(len(fits) / wanted, f"cell {cell}, {len(fits)} of {wanted} measured")
        curve = await instruments.microscope.curve(cell, ctx)
        try:
            fit = fit_force_curve(curve.position_m, curve.force_n, cantilever.radius_m)
        except ValueError:
            continue  # no contact: a curve beside the cell, told by the count of cells
        if fit.is_good:
            fits[cell], places[cell] = fit, await instruments.microscope.place(cell)
    least = min(LEAST_CELLS, wanted)
    if len(fits) < least:
        raise PhaseError(AnalyticsCode.TOO_FEW, f"{len(fits)} good curves on {tried} cells; at least {least} needed")
    check_gel(gel, await _gel_ratio(instruments, cantilever.radius_m, ctx))
    fits = {cell: fit.scaled(1.0 / gel) for cell, fit in fits.items()}
    median, low, high = median_interval([fit.modulus_pa for fit in fits.values()])
    low, high = with_gel(median, low, high)
    ctx.measured("gel_ratio", gel, "1")
    ctx.measured("modulus_median_pa", median, "Pa", low, high)
    cells = [
        CellStiffness(
            cell, 1e6 * places[cell][0], 1e6 * places[cell][1], fit.modulus_pa, fit.sd_pa, fit.modulus_pa / median
        )
        for cell, fit in fits.items()
    ]
    # Numbers, not a picture: the report draws it.
    ctx.record("analysis", goal.sample_id, "force curves", cells=len(fits), rejected=tried - len(fits))
    _attach(ctx, f"{goal.sample_id}{SUFFIX}", to_csv(cells), MEDIA_TYPE)
    method = (
        f"AFM, Hertz sphere {1e6 * cantilever.radius_m:.1f} um, {len(fits)} of {tried} cells, by a reference gel that "
        f"read {gel:.2f} of its certificate"
    )
    return {"modulus_median_pa": median, "modulus_low_pa": low, "modulus_high_pa": high, "method": method}


async def _gel_ratio(instruments: AnalyticsInstruments, radius_m: float, ctx: PhaseContext) -> float:
    """Return the measured over the certified modulus of the reference gel; 0 when the tip finds none."""
    found = []
    for _ in range(GEL_CURVES):
        curve = await instruments.microscope.curve(REFERENCE_GEL, ctx, points=GEL_POINTS)
        try:
            found.append(fit_force_curve(curve.position_m, curve.force_n, radius_m).modulus_pa)
        except ValueError:
            found.append(0.0)  # no contact: told by the ratio
    return float(np.median(found)) / await instruments.microscope.gel_modulus_pa()


async def measure_binding(goal: Any, instruments: AnalyticsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Inject a control and regenerate, inject the sample, wash, fit the sensorgram, regenerate."""
    await instruments.spr.select(_analyte(goal.analyte))
    kinetics = await instruments.spr.kinetics()
    try:
        activity = await _surface_activity(instruments, kinetics, ctx)
        first = await instruments.spr.second()
        ctx.feedback(0.0, "baseline")
        await ctx.sleep(BASELINE_S)
        await instruments.spr.ensure_flow(Valve.SAMPLE)
        injected = await instruments.spr.second()
        ctx.feedback(0.2, "association")
        await ctx.sleep(goal.association_s)
        await instruments.spr.ensure_flow(Valve.BUFFER)
        washed = await instruments.spr.second()
        ctx.feedback(0.6, "dissociation")
        await ctx.sleep(DISSOCIATION_S)
        run = await instruments.spr.sensorgram(first, int(await instruments.spr.second()) - first + 1)
        await instruments.spr.ensure_flow(Valve.REGENERATION)
        await ctx.sleep(REGENERATION_S)
    finally:
        await instruments.spr.ensure_flow(Valve.BUFFER)
    seconds = first + np.arange(len(run.ligand_ru), dtype=np.float64)
    check_reference(seconds, run.reference_ru, (float(first), injected, washed))
    try:
        fit = fit_sensorgram(seconds, run.ligand_ru - run.reference_ru, injected + 0.5, washed + 0.5)
    except ValueError as error:
        raise PhaseError(AnalyticsCode.NO_FIT, str(error)) from error
    capacity_ru = activity * kinetics.capacity_ru
    ctx.measured("surface_activity", activity, "1")
    value_m, sd_m = fit.concentration_m(kinetics.association_per_m_s, capacity_ru)
    kd_nm = 1e9 * fit.dissociation_per_s / kinetics.association_per_m_s
    kd_sd = 1e9 * fit.dissociation_sd / kinetics.association_per_m_s
    low_m, high_m = value_m - 1.96 * sd_m, value_m + 1.96 * sd_m
    ctx.measured("concentration_nm", 1e9 * value_m, "nmol/L", 1e9 * low_m, 1e9 * high_m)
    kd_low, kd_high = max(0.0, kd_nm - 1.96 * kd_sd), kd_nm + 1.96 * kd_sd
    ctx.measured("kd_nm", kd_nm, "nmol/L", kd_low, kd_high)
    limited = fit.is_transport_limited(kinetics.association_per_m_s, capacity_ru)
    surface = f"surface {activity:.2f} of fresh by its control"
    method = f"SPR 1:1, k_d {fit.dissociation_per_s:.1e} /s, residual {fit.residual_ru:.2f} RU, {surface}" + (
        ", transport limited: rates are lower limits" if limited else ""
    )
    return {
        "concentration_nm": 1e9 * value_m, "concentration_low_nm": 1e9 * low_m, "concentration_high_nm": 1e9 * high_m,
        "kd_nm": kd_nm, "kd_low_nm": kd_low, "kd_high_nm": kd_high, "transport_limited": limited, "method": method,
    }


async def _surface_activity(instruments: AnalyticsInstruments, kinetics: Kinetics, ctx: PhaseContext) -> float:
    """Inject the control solution, regenerate, and return how much of a fresh surface's ligand is left."""
    spr = instruments.spr
    turned: list[int] = []
    ctx.feedback(0.0, "control")
    for valve, seconds in (
        (Valve.BUFFER, BASELINE_S), (Valve.CONTROL, CONTROL_S), (Valve.BUFFER, float(LEVEL_S)),
        (Valve.REGENERATION, REGENERATION_S), (Valve.BUFFER, SETTLE_S),
    ):
        await spr.ensure_flow(valve)
        turned.append(await spr.second())
        await ctx.sleep(seconds)
    first, _, _, regenerated, _ = turned
    run = await spr.sensorgram(first, await spr.second() - first + 1)
    check_reference(first + np.arange(len(run.reference_ru), dtype=np.float64), run.reference_ru, turned)
    difference = run.ligand_ru - run.reference_ru
    injected = turned[1] - first

    def level(until: int) -> float:
        """Mean of ligand minus reference over the last readings before one [RU]."""
        return float(difference[until - LEVEL_S : until].mean())

    base = level(injected)
    bound, left = level(regenerated - first) - base, level(len(difference) - 1) - base
    k_a, k_d = kinetics.association_per_m_s, kinetics.dissociation_per_s
    expected = expected_response_ru(k_a, k_d, kinetics.capacity_ru, await spr.control_m(), CONTROL_S)
    return check_surface(bound, expected * math.exp(-0.5 * k_d * LEVEL_S), left)


async def measure_cytokine(goal: Any, instruments: AnalyticsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Read a plate, fit its standards, read the sample's dilutions back."""
    plate = await instruments.plates.read(_analyte(goal.analyte), ctx)
    try:
        curve = fit_standards(np.repeat(plate.standards_pg_ml, 2), plate.absorbance[:, :2].ravel())
    except ValueError as error:
        raise PhaseError(AnalyticsCode.NO_FIT, str(error)) from error
    recovery = check_plate(curve, plate.control, plate.control_pg_ml, plate.blank)
    ctx.measured("control_recovery", recovery, "1")
    value, low, high = sample_concentration(curve, plate.absorbance[:, 2:4].ravel(), np.repeat(plate.dilutions, 2))
    if math.isnan(value):
        raise PhaseError(AnalyticsCode.TOO_FEW, "no dilution of the sample lies on the curve; dilute or concentrate it")
    ctx.measured("concentration_pg_ml", value, "pg/mL", low, high)
    method = f"ELISA, 4PL, C50 {curve.middle:.0f} pg/mL, slope {curve.slope:.2f}, control {recovery:.2f}"
    return {"concentration_pg_ml": value, "low_pg_ml": low, "high_pg_ml": high, "method": method}


async def measure_copy_number(goal: Any, instruments: AnalyticsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Count droplets without template, then the sample's; tell copies per cell, or per cell that has any."""
    check_no_template(await instruments.droplets.count(ctx, Well.NO_TEMPLATE))
    counts = await instruments.droplets.count(ctx)
    try:
        found = copy_number(counts)
    except ValueError as error:
        raise PhaseError(AnalyticsCode.TOO_FEW, str(error)) from error
    if goal.denominator == "transduced_cell":
        found = found.per_transduced_cell()
    ctx.measured("copies", found.copies, "1", found.low, found.high)
    method = f"ddPCR, {counts.accepted} droplets, reference gene 2 per cell" + (
        ", copies Poisson among cells" if goal.denominator == "transduced_cell" else ""
    )
    return {
        "copies": found.copies, "copies_low": found.low, "copies_high": found.high, "denominator": goal.denominator,
        "method": method,
    }


async def analyze_cytometry(goal: Any, instruments: AnalyticsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Look at the stains on control beads, then acquire events and gate them: leukocytes, living, CD3+, CAR+."""
    if goal.events_wanted > MOST_EVENTS:
        raise PhaseError(AnalyticsCode.TOO_FEW, f"events_wanted = {goal.events_wanted}: at most {MOST_EVENTS} a run")
    control = await instruments.cytometer.acquire(CONTROL_EVENTS, ctx, Tube.CONTROL)
    check_stains({name: control.channel(name) for name in control.channels})
    measured = await instruments.cytometer.acquire(int(goal.events_wanted), ctx)
    channels = {name: measured.channel(name) for name in measured.channels}
    try:
        gated = gate(channels)
    except (KeyError, ValueError) as error:
        raise PhaseError(AnalyticsCode.TOO_FEW, str(error)) from error
    _attach(ctx, f"{goal.sample_id}.fcs", measured.fcs, "application/vnd.isac.fcs")
    for name, share in (("viability", gated.viability), ("cd3_fraction", gated.cd3), ("car_fraction", gated.car)):
        ctx.measured(name, share.value, "1", *share.interval)
    ctx.record("analysis", "cytometry", "gates", **gating_data(channels, gated))
    cuts = ", ".join(f"{name} {value:.0f}" for name, value in gated.cuts.items())
    return {
        "cd3_fraction": gated.cd3.value, "car_fraction": gated.car.value, "viability": gated.viability.value,
        "cd3_low": gated.cd3.interval[0], "cd3_high": gated.cd3.interval[1],
        "car_low": gated.car.interval[0], "car_high": gated.car.interval[1],
        "viability_low": gated.viability.interval[0], "viability_high": gated.viability.interval[1],
        "events": gated.events, "method": f"FCS 3.1, gates at {cuts}",
    }
