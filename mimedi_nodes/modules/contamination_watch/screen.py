# SPDX-License-Identifier: Apache-2.0
"""Screening a sample: counted until the evidence decides, or the longest time is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from ...process.context import PhaseContext
from .assay import Background, cfu_of, kit_background, null_rate
from .counting import Counted, count, count_dark, detector_fault
from .instruments import WatchInstruments
from .organisms import Finding, hint
from .sequential import ScreeningTest

LONGEST_S = 900.0
"""Of counting. What is not decided then is called by its evidence: above 0 it is suspect."""
SUSPECT = "contamination_watch.suspect"
INVALID = "contamination_watch.invalid"


def expected_s(goal: Any) -> float:
    """Return the expected duration [s]: dark counts, and a decision in the usual time."""
    return 300.0


async def screen_sample(goal: Any, instruments: WatchInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Test an aliquot that lies before the detector.

    Before each sample the dark is counted: a dead detector, an open cover or a failed cooler make the result invalid,
    never clear. A screening that was interrupted begins anew.
    """
    cells = goal.somatic_cells_per_ml * goal.volume_ul * 1e-3
    ctx.feedback(0.0, "dark counts")
    dark = await count_dark(instruments, ctx)
    if fault := detector_fault(dark, await instruments.counter.state()):
        return _invalid(fault, ctx)
    known = instruments.background
    background = kit_background(dark.rate) if known is None else Background(known.blank, dark.rate)
    test = ScreeningTest(null_rate(background, cells), goal.false_alarm_rate)
    ctx.measured("screening_threshold_cfu", test.threshold_cfu, "CFU")
    ctx.measured("screening_detectable_cfu", test.detectable_cfu, "CFU")
    ctx.measured("screening_mean_delay_s", test.mean_time_s(contaminated=True), "s")
    evidence, total = 0.0, Counted()
    # Left early, the counting must be stopped here and now, not when the generator is collected.
    async with aclosing(count(LONGEST_S, instruments, ctx, shutter_open=True)) as counting:
        async for total, news in counting:
            evidence += test.evidence(news.counts, news.live_s)
            ctx.feedback(_progress(evidence, test), f"evidence {evidence:+.1f}, {total.live_s:.0f} s")
            if total.saturated or not test.lower < evidence < test.upper:
                break
    state = await instruments.counter.state()
    if state.faults or total.live_s == 0.0:
        return _invalid(f"the counter reports {state.faults.name or 'no gates'}", ctx)
    return _told(goal, test, total, math.inf if total.saturated else evidence, instruments, ctx)


def _told(
    goal: Any, test: ScreeningTest, total: Counted, evidence: float, instruments: WatchInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Return the verdict; alarm and hint at an organism when it is suspect."""
    suspect = evidence > 0.0
    signal_per_s = total.rate.per_s - test.null.per_s
    sd_per_s = math.hypot(total.rate.sd_per_s, test.null.sd_per_s)
    ml = goal.volume_ul * 1e-3
    finding = Finding(ctx.now_s(), max(0.0, cfu_of(signal_per_s)) / ml, cfu_of(sd_per_s) / ml)
    half = 1.96 * sd_per_s
    ctx.measured(
        "microbes_cfu_per_ml", finding.cfu_per_ml, "1/mL", max(0.0, cfu_of(signal_per_s - half)) / ml,
        max(0.0, cfu_of(signal_per_s + half)) / ml,
    )
    before = instruments.findings.get(ctx.header.batch_id)
    if suspect:
        organism = hint(before, finding) if before is not None else "first screening of this batch: organism not known"
        ctx.record("organism_hint", goal.sample_id, organism)
        ctx.alarm(SUSPECT, f"{goal.sample_id}: {finding.cfu_per_ml:.0f} CFU/mL above the background; {organism}")
    instruments.findings[ctx.header.batch_id] = finding
    ctx.clear_alarm(INVALID)
    return {
        "outcome": "suspect" if suspect else "clear",
        "signal_per_s": signal_per_s,
        # A saturated detector is beyond any evidence; a number is owed all the same.
        "evidence": evidence if math.isfinite(evidence) else 1e6,
        "time_to_decision_s": total.live_s,
    }


def _invalid(why: str, ctx: PhaseContext) -> Mapping[str, Any]:
    ctx.alarm(INVALID, f"{why}; nothing is known of the sample")
    return {"outcome": "invalid", "signal_per_s": math.nan, "evidence": math.nan, "time_to_decision_s": math.nan}


def _progress(evidence: float, test: ScreeningTest) -> float:
    bound = test.upper if evidence > 0.0 else test.lower
    return min(1.0, max(0.0, evidence / bound))
