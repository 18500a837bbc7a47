# SPDX-License-Identifier: Apache-2.0
"""Tuning: where the channel resonates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...instruments.impedance import ImpedanceSweep
from ...process.context import PhaseContext
from ...process.errors import PhaseError
from .codes import SorterCode
from .instruments import SorterInstruments
from .transducer_fit import DryChannelError, FitError, TransducerFit, fit_transducer

EXPECTED_CHANNEL_HZ = 2.009e6
"""Half wave of the 375 µm channel in PBS at 25 °C (PHYSICS §2); the start of the fit."""


SHOWN_POINTS = 401
"""Points of a sweep that are put on record at most."""
LEAST_CHANNEL_Q = 60.0
"""A sound channel has about 100; a film of air, a layer that comes off or dirt take from it before it is dry."""
Q_LOW = "acoustic_sorter.q_low"


def watch_quality(fit: TransducerFit, ctx: PhaseContext) -> None:
    """Alarm while the channel's quality is low: the same drive then gives less sound."""
    if fit.channel_q < LEAST_CHANNEL_Q:
        ctx.alarm(
            Q_LOW,
            f"the channel's Q is {fit.channel_q:.0f}, at least {LEAST_CHANNEL_Q:.0f} is sound; look for bubbles",
        )
    else:
        ctx.clear_alarm(Q_LOW)


async def find_resonance(instruments: SorterInstruments, start_hz: float, stop_hz: float, points: int) -> TransducerFit:
    """Sweep with the drive off and fit; raises PhaseError for a dry channel or an impedance that does not fit."""
    return (await sweep_and_fit(instruments, start_hz, stop_hz, points))[1]


async def sweep_and_fit(
    instruments: SorterInstruments, start_hz: float, stop_hz: float, points: int
) -> tuple[ImpedanceSweep, TransducerFit]:
    """Do as `find_resonance`, and return the sweep too."""
    await instruments.generator.output_off()
    sweep = await instruments.analyser.sweep(start_hz, stop_hz, points)
    try:
        return sweep, fit_transducer(sweep.frequency_hz, sweep.impedance_ohm, EXPECTED_CHANNEL_HZ)
    except DryChannelError as error:
        raise PhaseError(SorterCode.DRY_CHANNEL, str(error)) from error
    except FitError as error:
        raise PhaseError(SorterCode.NO_FIT, str(error)) from error


async def tune_transducer(goal: Any, instruments: SorterInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Sweep the impedance and find the channel's resonance."""
    if goal.stop_hz <= goal.start_hz:
        raise PhaseError(SorterCode.NO_FIT, f"stop_hz = {goal.stop_hz:g} must be above start_hz = {goal.start_hz:g}")
    ctx.feedback(0.1, "impedance sweep")
    sweep, fit = await sweep_and_fit(instruments, goal.start_hz, goal.stop_hz, goal.points)
    ctx.record("analysis", "impedance_sweep", "tuning", **sweep_data(sweep, fit))
    watch_quality(fit, ctx)
    half_width_hz = 1.96 * fit.channel_sd_hz
    ctx.measured(
        "channel_resonance_hz", fit.channel_hz, "Hz", fit.channel_hz - half_width_hz, fit.channel_hz + half_width_hz
    )
    ctx.measured("pzt_resonance_hz", fit.pzt_hz, "Hz")
    return {
        "channel_resonance_hz": fit.channel_hz,
        "channel_resonance_sd_hz": fit.channel_sd_hz,
        "channel_q": fit.channel_q,
        "pzt_resonance_hz": fit.pzt_hz,
        "pzt_q": fit.pzt_q,
        "residual": fit.residual,
    }


def sweep_data(sweep: ImpedanceSweep, fit: TransducerFit) -> dict[str, Any]:
    """Return what goes on record of a sweep and its fit: the conductance, of which both resonances are humps."""
    shown = slice(None, None, -(-len(sweep.frequency_hz) // SHOWN_POINTS))
    return {
        "columns": {
            "frequency_hz": [round(float(f), 1) for f in sweep.frequency_hz[shown]],
            "conductance_s": [float(f"{g:.5g}") for g in (1.0 / sweep.impedance_ohm[shown]).real],
            "fit_s": [float(f"{g:.5g}") for g in fit.admittance_s[shown].real],
        },
        "values": {
            "channel_resonance_hz": fit.channel_hz, "channel_resonance_sd_hz": fit.channel_sd_hz,
            "channel_q": fit.channel_q, "pzt_resonance_hz": fit.pzt_hz, "residual": fit.residual,
        },
    }  # fmt: skip
