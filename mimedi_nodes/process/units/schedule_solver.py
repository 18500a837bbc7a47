# SPDX-License-Identifier: Apache-2.0
"""The best schedule that a constraint solver finds: CP-SAT of OR-tools, warm-started with first-come-first-served.

It minimises, in this order: lateness, the sum of the vein-to-vein times, the makespan. So it is never worse than the
schedule that it starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .scheduling import Job, Schedule, ScheduleError, Workshop, figures, first_come_first_served

TICK_S = 60.0
"""Resolution of the solver [s]: it counts in whole numbers."""
LATE_WEIGHT = 10_000
SPAN_SHARE = 100
"""A minute of lateness counts as much as 10,000 of vein-to-vein time; a minute of that as 100 of makespan."""


@dataclass(frozen=True)
class Planned:
    """A schedule and what is known of it: `optimal` says that there is none better within the model."""

    schedule: Schedule
    optimal: bool
    bound_gap: float


def plan(jobs: Sequence[Job], workshop: Workshop, limit_s: float = 10.0, seed: int = 1) -> Planned:
    """Return a schedule that is at least as good as first-come-first-served.

    Args:
        limit_s: processor time that the solver may take [s], deterministic: the same input gives the same schedule.

    Raises:
        ScheduleError: a batch cannot be planned, see `scheduling.check`; batches cannot all be in time; or the solver
            is not installed.
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise ScheduleError(
            "the solver is not installed: ./workcell setup, or on a ROS host: pip install ortools==9.15.6755"
        ) from error
    served = first_come_first_served(jobs, workshop)
    model = cp_model.CpModel()
    horizon = 2 * _ticks(max(served.end_s(job) for job in jobs)) + 1
    begins: dict[str, list[Any]] = {}
    intervals: dict[str, list[Any]] = {}
    late, spans = [], []
    end_of_all = model.new_int_var(0, horizon, "end")
    for job in jobs:
        own = begins[job.name] = [model.new_int_var(_up(job.arrival_s), horizon, f"{job.name} 0")]
        own += [model.new_int_var(0, horizon, f"{job.name} {index}") for index in range(1, len(job.segments))]
        for index, segment in enumerate(job.segments):
            length = _up(segment.duration_s)
            if index + 1 < len(own):
                model.add(own[index + 1] >= own[index] + length)
                model.add(own[index + 1] <= own[index] + length + int(workshop.most_wait_s / TICK_S))
            model.add_hint(own[index], _ticks(served.begins_s[job.name][index]))
        for unit, first, last in job.holdings():
            end = own[last] + _up(job.segments[last].duration_s) + _up(workshop.changeover_s)
            size = model.new_int_var(0, 2 * horizon, f"{job.name} {unit} {first}")
            interval = model.new_interval_var(own[first], size, end, f"{job.name} holds {unit} {first}")
            intervals.setdefault(unit, []).append(interval)
        job_end = own[-1] + _up(job.segments[-1].duration_s)
        model.add(end_of_all >= job_end)
        spans.append(job_end - _up(job.arrival_s))
        if job.due_s is not None:
            lateness = model.new_int_var(0, horizon, f"{job.name} late")
            model.add(lateness >= job_end - int(job.due_s / TICK_S))
            late.append(lateness)
    for unit, using in intervals.items():
        model.add_cumulative(using, [1] * len(using), workshop.of(unit))
    model.minimize(LATE_WEIGHT * SPAN_SHARE * sum(late) + SPAN_SHARE * sum(spans) + end_of_all)
    solver = cp_model.CpSolver()
    solver.parameters.max_deterministic_time = limit_s
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        found, optimal, gap = served, False, float("nan")
    else:
        found = Schedule({name: tuple(solver.value(v) * TICK_S for v in own) for name, own in begins.items()})
        optimal = status == cp_model.OPTIMAL
        gap = abs(solver.objective_value - solver.best_objective_bound) / max(1.0, abs(solver.objective_value))
        if _worth(jobs, served) < _worth(jobs, found):
            found, optimal, gap = served, False, gap  # rounding to ticks, or too little time
    if behind := figures(jobs, found).late:
        told = ", ".join(f"{name} by {days:.2f} d" for name, days in behind.items())
        sure = "" if optimal else " that was found in time"
        raise ScheduleError(
            f"not all batches can be in time: the best schedule{sure} is late with {told}. They are in each other's "
            f"way at {', '.join(_contended(jobs, found, workshop))}: give more of these, or other arrivals or due times"
        )
    return Planned(found, optimal, gap)


def _worth(jobs: Sequence[Job], schedule: Schedule) -> tuple[float, float, float]:
    found = figures(jobs, schedule)
    return round(sum(found.late.values()), 6), round(found.vein_to_vein_d, 6), round(found.makespan_d, 6)


def _contended(jobs: Sequence[Job], schedule: Schedule, workshop: Workshop) -> list[str]:
    """Return units in the order of how long they are held, per piece: the first is the bottleneck."""
    total: dict[str, float] = {}
    for job in jobs:
        for unit, from_s, to_s in schedule.held(job):
            total[unit] = total.get(unit, 0.0) + (to_s - from_s) / workshop.of(unit)
    return sorted(total, key=lambda unit: -total[unit])[:2]


def _ticks(time_s: float) -> int:
    return int(time_s / TICK_S)


def _up(time_s: float) -> int:
    return int(-(-time_s // TICK_S))
