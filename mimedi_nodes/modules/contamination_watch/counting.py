# SPDX-License-Identifier: Apache-2.0
"""Counting photons over a time: gates, dead time, and whether the detector can be believed."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from ...instruments.photon_counter import CounterState, Gate, corrected_per_s
from ...instruments.wire.photon_frames import GateFlag
from ...process.context import PhaseContext
from .assay import LEAST_DARK_PER_S, MOST_DARK_PER_S, Rate
from .instruments import WatchInstruments
from .sequential import VARIANCE_FACTOR

GATE_S = 1.0
POLL_S = 10.0
DARK_S = 20.0
PATIENCE_S = 60.0


@dataclass
class Counted:
    """Counts so far: corrected for dead time, over a live time [s]; `saturated` when the detector was beyond range."""

    counts: float = 0.0
    live_s: float = 0.0
    saturated: bool = False

    def take(self, gates: list[Gate], dead_time_s: float) -> None:
        """Add complete gates."""
        for gate in gates:
            rate = corrected_per_s(gate.counts, GATE_S, dead_time_s)
            self.saturated |= bool(gate.flags & GateFlag.SATURATED) or math.isinf(rate)
            self.counts += 0.0 if math.isinf(rate) else rate * GATE_S
            self.live_s += GATE_S

    @property
    def rate(self) -> Rate:
        """Mean rate with the uncertainty of its counts."""
        if self.live_s == 0.0:
            return Rate(math.nan, math.nan)
        return Rate(self.counts / self.live_s, math.sqrt(VARIANCE_FACTOR * max(self.counts, 1.0)) / self.live_s)


async def count(
    duration_s: float, instruments: WatchInstruments, ctx: PhaseContext, *, shutter_open: bool
) -> AsyncGenerator[tuple[Counted, Counted], None]:
    """Count for duration_s [s]; yield the total and the news every `POLL_S`. Counting stops when the caller leaves."""
    dead_time_s = (await instruments.counter.state()).dead_time_s
    await instruments.counter.stop()
    gates = max(1, round(duration_s / GATE_S))
    run = await instruments.counter.start(GATE_S, gates, shutter_open=shutter_open)
    total, first = Counted(), 0
    deadline_s = ctx.now_s() + duration_s + PATIENCE_S
    try:
        while first < gates and ctx.now_s() < deadline_s:
            await ctx.sleep(min(POLL_S, (gates - first) * GATE_S))
            found = await instruments.counter.gates(run, first)
            first += len(found)
            news = Counted()
            news.take(found, dead_time_s)
            total.take(found, dead_time_s)
            yield total, news
    finally:
        await instruments.counter.stop()


async def count_dark(instruments: WatchInstruments, ctx: PhaseContext, duration_s: float = DARK_S) -> Counted:
    """Count with the shutter closed."""
    total = Counted()
    async for counted, _ in count(duration_s, instruments, ctx, shutter_open=False):
        total = counted
    return total


def detector_fault(dark: Counted, state: CounterState) -> str:
    """Return why the detector cannot be believed; empty when it can."""
    if state.faults:
        return f"the counter reports {state.faults.name}"
    rate = dark.rate.per_s
    # Written so that NaN is a fault: a dead detector counts nothing and would find every sample clear.
    if not rate >= LEAST_DARK_PER_S:
        return f"{rate:.0f} dark counts/s, a living detector has at least {LEAST_DARK_PER_S:g}"
    if not rate <= MOST_DARK_PER_S or dark.saturated:
        return f"{rate:.0f} dark counts/s, at most {MOST_DARK_PER_S:g} allowed; look at cooler and shutter"
    return ""
