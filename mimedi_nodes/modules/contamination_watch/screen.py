# SPDX-License-Identifier: Apache-2.0
"""Screening a sample: counted until the evidence decides, or the longest time is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from ...process.context import PhaseContext
from .assay import Background, cfu_of, kit_background, null_rate
from .counting import POLL_S, Counted, count, count_dark, detector_fault
from .instruments import WatchInstruments
from .organisms import Finding, hint
from .sequential import Cusum, ScreeningTest

LONGEST_S = 900.0
"""Of counting. What is not decided then is called by its evidence: above 0 it is suspect."""
MOST_CARRIER_PER_S = 2.0e6
"""Light of delivery bacteria beyond which nothing else can be told: a tenth of the counts are lost to dead time."""
SUSPECT = "contamination_watch.suspect"
INVALID = "contamination_watch.invalid"


def expected_s(goal: Any) -> float:
    """Return the expected duration [s]: dark counts, and a decision in the usual time or the watch after it."""
    return 300.0 + float(goal.watch_s)


async def screen_sample(goal: Any, instruments: WatchInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Test an aliquot that lies before the detector.

    Before each sample the dark is counted: a dead detector, an open cover or a failed cooler make the result invalid,
    never clear. A screening that was interrupted begins anew. A clear aliquot may be watched on (`watch_s`): the CUSUM
    tells light that comes later, of microbes that wake and grow before the detector.

    While bacteria that deliver a gene are in the culture (`carrier_cfu_per_ml` above 0: a mask window) their light is
    part of the null hypothesis. The verdict is then never clear but masked, with the threshold below which nothing is
    known; more light than they explain is suspect in a mask window too.
    """
    ml = goal.volume_ul * 1e-3
    ctx.feedback(0.0, "dark counts")
    dark = await count_dark(instruments, ctx)
    if fault := detector_fault(dark, await instruments.counter.state()):
        return _invalid(fault, ctx)
    known = instruments.background
    background = kit_background(dark.rate) if known is None else Background(known.blank, dark.rate)
    null = null_rate(background, goal.somatic_cells_per_ml * ml, goal.carrier_cfu_per_ml * ml)
    if null.per_s > MOST_CARRIER_PER_S:
        return _blind(goal, null.per_s, ctx)
    test = ScreeningTest(null, goal.false_alarm_rate)
    longest_s = max(LONGEST_S, float(goal.watch_s))
    cusum = Cusum(test, math.ceil(longest_s / POLL_S), POLL_S)
    ctx.measured("screening_threshold_cfu", test.threshold_cfu, "CFU")
    ctx.measured("screening_detectable_cfu", test.detectable_cfu, "CFU")
    ctx.measured("screening_mean_delay_s", test.mean_time_s(contaminated=True), "s")
    ctx.measured("screening_cusum_delay_s", cusum.mean_delay_s, "s")
    evidence, alarmed, decided, total = 0.0, False, False, Counted()
    # Left early, the counting must be stopped here and now, not when the generator is collected.
    async with aclosing(count(longest_s, instruments, ctx, shutter_open=True)) as counting:
        async for total, news in counting:
            gained = test.evidence(news.counts, news.live_s)
            evidence += 0.0 if decided else gained
            decided |= evidence <= test.lower
            alarmed = cusum.take(gained)
            said = f"evidence {evidence:+.1f}, CUSUM {cusum.value:.1f} of {cusum.threshold:.1f}, {total.live_s:.0f} s"
            ctx.feedback(_progress(evidence, test), said)
            if total.saturated or alarmed or evidence >= test.upper or (decided and total.live_s >= goal.watch_s):
                break
            if not decided and total.live_s >= LONGEST_S:
                break
    state = await instruments.counter.state()
    if state.faults or total.live_s == 0.0:
        return _invalid(f"the counter reports {state.faults.name or 'no gates'}", ctx)
    told = _told(goal, test, total, math.inf if total.saturated else evidence, alarmed, instruments, ctx)
    return {**told, "threshold_cfu_per_ml": test.threshold_cfu / ml, "cusum_delay_s": cusum.mean_delay_s}


def _told(
    goal: Any,
    test: ScreeningTest,
    total: Counted,
    evidence: float,
    alarmed: bool,
    instruments: WatchInstruments,
    ctx: PhaseContext,
) -> Mapping[str, Any]:
    """Return the verdict; alarm and hint at an organism when it is suspect."""
    suspect = evidence > 0.0 or alarmed
    signal_per_s = total.rate.per_s - test.null.per_s
    sd_per_s = math.hypot(total.rate.sd_per_s, test.null.sd_per_s)
    ml = goal.volume_ul * 1e-3
    finding = Finding(ctx.now_s(), max(0.0, cfu_of(signal_per_s)) / ml, cfu_of(sd_per_s) / ml)
    half = 1.96 * sd_per_s
    low, high = (max(0.0, cfu_of(signal_per_s + sign * half)) / ml for sign in (-1.0, 1.0))
    ctx.measured("microbes_cfu_per_ml", finding.cfu_per_ml, "1/mL", low, high)
    before = instruments.findings.get(ctx.header.batch_id)
    organism = ""
    if suspect:
        organism = hint(before, finding) if before is not None else "first screening of this batch: organism not known"
        if alarmed and evidence <= 0.0:
            organism += "; the light came while it was counted"
        ctx.record("organism_hint", goal.sample_id, organism)
        ctx.alarm(SUSPECT, f"{goal.sample_id}: {finding.cfu_per_ml:.0f} CFU/mL above the background; {organism}")
    masked = goal.carrier_cfu_per_ml > 0.0
    if masked:
        ctx.record(
            "mask_window", goal.sample_id, "delivery bacteria are expected in the sample",
            carrier_cfu_per_ml=goal.carrier_cfu_per_ml, blind_below_cfu_per_ml=test.threshold_cfu / ml,
        )
    else:
        # What grows in a mask window is the carrier's: no organism is hinted at by it.
        instruments.remember(ctx.header.batch_id, finding)
    ctx.clear_alarm(INVALID)
    return {
        "outcome": "suspect" if suspect else "masked" if masked else "clear",
        "signal_per_s": signal_per_s,
        # A saturated detector is beyond any evidence; a number is owed all the same.
        "evidence": evidence if math.isfinite(evidence) else 1e6,
        "time_to_decision_s": total.live_s,
        "cfu_per_ml": finding.cfu_per_ml,
        "cfu_low_per_ml": low,
        "cfu_high_per_ml": high,
        "organism_hint": organism,
    }


_UNKNOWN = dict.fromkeys(
    ("signal_per_s", "evidence", "time_to_decision_s", "cfu_per_ml", "cfu_low_per_ml", "cfu_high_per_ml",
     "threshold_cfu_per_ml", "cusum_delay_s"), math.nan,
)  # fmt: skip


def _invalid(why: str, ctx: PhaseContext) -> Mapping[str, Any]:
    ctx.alarm(INVALID, f"{why}; nothing is known of the sample")
    return {"outcome": "invalid", **_UNKNOWN, "organism_hint": ""}


def _blind(goal: Any, expected_per_s: float, ctx: PhaseContext) -> Mapping[str, Any]:
    """The delivery bacteria alone are beyond the detector: nothing is counted, nothing is known."""
    ctx.record(
        "mask_window", goal.sample_id, f"delivery bacteria alone give {expected_per_s:.1e} counts/s: not screened",
        carrier_cfu_per_ml=goal.carrier_cfu_per_ml, blind_below_cfu_per_ml=None,
    )
    return {"outcome": "masked", **_UNKNOWN, "organism_hint": ""}


def _progress(evidence: float, test: ScreeningTest) -> float:
    bound = test.upper if evidence > 0.0 else test.lower
    return min(1.0, max(0.0, evidence / bound))
