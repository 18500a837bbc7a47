# SPDX-License-Identifier: Apache-2.0
"""Carries a phase out on the twin while a fault comes: real service, phases, drivers and firmware on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mimedi_nodes.process.service_state import ServiceState
from mimedi_sim.headless.virtual_loop import run_virtual

from .workbench import HEADER, Workbench


@dataclass(frozen=True)
class Drill:
    """How a phase under a fault ended: state, error code and words, alarms that stand, result, the bench itself."""

    state: ServiceState
    code: int
    words: str
    alarms: frozenset[str]
    result: Mapping[str, Any]
    bench: Workbench

    def truth(self, vessel: str) -> float:
        """Return the true volume of a vessel [uL]."""
        return self.bench.volume_ul(vessel)


def drill(
    module: str, action: str, goal: Mapping[str, Any], fault: str, target: str, *, after_s: float = 0.0,
    prepare: Callable[[Workbench], None] = lambda bench: None, until_s: float = 4e5, seed: int = 1,
    start_s: float = 0.0, wait_for: str = "", **parameters: float | str,
) -> Drill:
    """Run a phase, put the fault in after_s later, and return how it ended: done, held, or with the alarm waited for.

    Args: fault "" puts none in. start_s: before `prepare` is called. until_s: process time [s] after which a phase that
    neither ends nor holds is left.
    """

    async def run() -> Drill:
        bench = Workbench(seed)
        service = await bench.service(module)
        await asyncio.sleep(start_s)
        bench.plant.advance_to(bench.clock.now_s())
        prepare(bench)
        task = asyncio.ensure_future(service.run(action, goal, HEADER, "a" * 32))
        if after_s:
            await asyncio.sleep(after_s)
        if fault:
            bench.plant.inject(fault, target, parameters, True, bench.clock.now_s())
        end_s = bench.clock.now_s() + until_s
        while not task.done() and service.state != ServiceState.HELD and bench.clock.now_s() < end_s:
            if wait_for and wait_for in standing(bench):
                break
            await asyncio.sleep(5.0)
        state = service.state
        if task.done():
            outcome = task.result()
            return Drill(state, outcome.error_code, outcome.error_msg, standing(bench), outcome.result or {}, bench)
        words, alarms = service.last_error, standing(bench)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return Drill(state, 0, words, alarms, {}, bench)

    return run_virtual(run())


def standing(bench: Workbench) -> frozenset[str]:
    """Return the alarms that are active."""
    last = {alarm_id: active for alarm_id, _, active in bench.alarms}
    return frozenset(alarm_id for alarm_id, active in last.items() if active)
