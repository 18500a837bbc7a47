# SPDX-License-Identifier: Apache-2.0
"""Batches over the units of a workcell in time: what is to be planned, and what first-come-first-served makes of it.

A job is a chain of segments. A segment holds its shared units while it lasts; a staying unit is held from the begin of
its first segment to the end of its last one, waiting included. Between two batches a unit is changed over.
Times are seconds from the plan's beginning. Source of the segments: `claim_plan`, as the engine claims them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..errors import WorkcellError
from .claim_plan import ClaimPlan

HOUR_S = 3600.0


class ScheduleError(WorkcellError):
    """Batches that cannot be planned; says which and why."""


@dataclass(frozen=True)
class Segment:
    """Part of a batch: how long it takes [s], which shared units it holds, which step it begins with."""

    duration_s: float
    shared: frozenset[str]
    step: str


@dataclass(frozen=True)
class Job:
    """One batch to be planned.

    Args:
        staying: staying unit → numbers of the first and last segment in which it is held.
        arrival_s: when the cells are there.
        due_s: when the batch must have ended, None for no limit.
    """

    name: str
    recipe: str
    segments: tuple[Segment, ...]
    staying: Mapping[str, tuple[int, int]]
    arrival_s: float = 0.0
    due_s: float | None = None

    @property
    def duration_s(self) -> float:
        """How long the batch takes when it waits for nothing."""
        return sum(segment.duration_s for segment in self.segments)

    def holdings(self) -> list[tuple[str, int, int]]:
        """Return what it holds without a break: unit, first and last segment."""
        found = [(unit, first, last) for unit, (first, last) in self.staying.items()]
        for unit in sorted({unit for segment in self.segments for unit in segment.shared}):
            inside = [index for index, segment in enumerate(self.segments) if unit in segment.shared]
            breaks = [k for k, (here, following) in enumerate(pairwise(inside)) if following > here + 1]
            for begin, end in pairwise([-1, *breaks, len(inside) - 1]):
                found.append((unit, inside[begin + 1], inside[end]))
        return found


@dataclass(frozen=True)
class Workshop:
    """What the batches share.

    Args:
        capacity: unit → how many there are, 1 where it is not named.
        changeover_s: how long a unit is exchanged between two batches.
        most_wait_s: how long cells may wait between two segments.
    """

    capacity: Mapping[str, int] = field(default_factory=dict)
    changeover_s: float = HOUR_S
    most_wait_s: float = 12.0 * HOUR_S

    def of(self, unit: str) -> int:
        """Return how many of a unit there are."""
        return self.capacity.get(unit, 1)


@dataclass(frozen=True)
class Schedule:
    """Begin of every segment [s], by batch."""

    begins_s: Mapping[str, tuple[float, ...]]

    def begin_s(self, job: Job) -> float:
        """Return when a batch begins."""
        return self.begins_s[job.name][0]

    def end_s(self, job: Job) -> float:
        """Return when a batch ends."""
        return self.begins_s[job.name][-1] + job.segments[-1].duration_s

    def held(self, job: Job) -> list[tuple[str, float, float]]:
        """Return what a batch holds: unit, from, to [s]."""
        begins = self.begins_s[job.name]
        return [
            (unit, begins[first], begins[last] + job.segments[last].duration_s)
            for unit, first, last in job.holdings()
        ]


@dataclass(frozen=True)
class Figures:
    """What a schedule is worth, in days.

    Args:
        makespan_d: from the beginning of the plan to the last end.
        vein_to_vein_d: mean time from arrival to end, before which the cells wait in the cold.
        waiting_d: mean time from arrival to begin, and between segments.
        late: batches that end after they are due, with the days.
    """

    makespan_d: float
    vein_to_vein_d: float
    waiting_d: float
    late: Mapping[str, float]


def figures(jobs: Sequence[Job], schedule: Schedule) -> Figures:
    """Return the figures of a schedule."""
    day_s = 24.0 * HOUR_S
    ends = {job.name: schedule.end_s(job) for job in jobs}
    stays = [ends[job.name] - job.arrival_s for job in jobs]
    waits = [stay - job.duration_s for stay, job in zip(stays, jobs, strict=True)]
    late = {
        job.name: (ends[job.name] - job.due_s) / day_s
        for job in jobs
        if job.due_s is not None and ends[job.name] > job.due_s + 1.0
    }
    return Figures(
        max(ends.values()) / day_s, sum(stays) / len(jobs) / day_s, sum(waits) / len(jobs) / day_s, late
    )


def job_of(
    name: str, recipe: str, plan: ClaimPlan, durations_s: Mapping[str, float], stays: frozenset[str],
    arrival_s: float = 0.0, due_s: float | None = None,
) -> Job:  # fmt: skip
    """Return the job of a recipe.

    Args:
        plan: its claims.
        durations_s: path of a step of the procedure → how long it takes [s].
        stays: names of the staying units.
    """
    places = {step.path: index for index, step in enumerate(plan.steps)}
    shared = [
        (places[claim.opens], places[claim.closes], claim.units - stays)
        for claim in plan.claims
        if claim.units - stays and claim.opens in places and claim.closes in places
    ]
    cuts = {0, len(plan.steps)}
    for first, last, _ in shared:
        cuts |= {first, last + 1}
    for unit in plan.order:
        first, last = plan.span(unit)
        cuts |= {first, last + 1}
    edges = sorted(cuts)
    segments, starts = [], []
    for begin, end in pairwise(edges):
        length_s = sum(durations_s.get(step.path, 0.0) for step in plan.steps[begin:end])
        units = frozenset[str]().union(*(held for first, last, held in shared if first <= begin <= last))
        segments.append(Segment(length_s, units, plan.steps[begin].path))
        starts.append((begin, end))
    staying = {}
    for unit in plan.order:
        first, last = plan.span(unit)
        inside = [index for index, (begin, end) in enumerate(starts) if begin >= first and end <= last + 1]
        staying[unit] = (inside[0], inside[-1])
    return Job(name, recipe, tuple(segments), staying, arrival_s, due_s)


def check(jobs: Sequence[Job], workshop: Workshop) -> None:
    """Raise ScheduleError naming every batch that could not be in time even if it had the workcell for itself."""
    problems = [] if jobs else ["there is no batch to plan"]
    names = [job.name for job in jobs]
    problems += [f"batch {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    for job in jobs:
        if job.due_s is not None and job.due_s < job.arrival_s + job.duration_s:
            problems.append(
                f"batch {job.name}: due {(job.due_s - job.arrival_s) / 86400.0:.2f} d after its arrival, but "
                f"{job.recipe} takes {job.duration_s / 86400.0:.2f} d when it waits for nothing"
            )
        for unit in (*job.staying, *(u for segment in job.segments for u in segment.shared)):
            if workshop.of(unit) < 1:
                problems.append(f"batch {job.name} needs {unit}, of which there are {workshop.of(unit)}")
    if problems:
        raise ScheduleError("; ".join(dict.fromkeys(problems)))


def first_come_first_served(jobs: Sequence[Job], workshop: Workshop) -> Schedule:
    """Return the schedule that results when each batch begins as soon as it can, in the order of arrival.

    Raises:
        ScheduleError: see `check`.
    """
    check(jobs, workshop)
    taken: dict[str, list[tuple[float, float]]] = {}
    placed: dict[str, tuple[float, ...]] = {}
    earliest_s = 0.0
    for job in sorted(jobs, key=lambda item: item.arrival_s):
        begin_s = max(earliest_s, job.arrival_s)
        while True:
            begins, late_s = _placed(job, begin_s, taken, workshop)
            if begins:
                break
            begin_s += max(late_s, 60.0)
        earliest_s = begins[0]
        placed[job.name] = begins
        for unit, from_s, to_s in Schedule(placed).held(job):
            taken.setdefault(unit, []).append((from_s, to_s + workshop.changeover_s))
    return Schedule(placed)


def _placed(
    job: Job, begin_s: float, taken: Mapping[str, Sequence[tuple[float, float]]], workshop: Workshop
) -> tuple[tuple[float, ...], float]:
    """Return the begins of all segments when a batch begins at a time; none, and by how much it must be later."""
    begins: list[float] = []
    at_s = begin_s
    for index, segment in enumerate(job.segments):
        wanted = set(segment.shared) | {unit for unit, (first, _) in job.staying.items() if first == index}
        free_s = at_s
        while True:
            length_s = segment.duration_s + workshop.changeover_s
            moved_s = max((_free_s(taken.get(u, ()), free_s, length_s, workshop.of(u)) for u in wanted), default=free_s)
            if moved_s <= free_s:
                break
            free_s = moved_s
        if index == 0:
            if free_s > begin_s:
                return (), free_s - begin_s
        elif free_s - at_s > workshop.most_wait_s:
            return (), free_s - at_s - workshop.most_wait_s
        begins.append(free_s)
        at_s = free_s + segment.duration_s
    # A unit must be free for as long as it is held, which is known only now.
    for unit, first, last in job.holdings():
        length_s = begins[last] + job.segments[last].duration_s + workshop.changeover_s - begins[first]
        free_s = _free_s(taken.get(unit, ()), begins[first], length_s, workshop.of(unit))
        if free_s > begins[first]:
            return (), free_s - begins[first]
    return tuple(begins), 0.0


def _free_s(taken: Sequence[tuple[float, float]], from_s: float, length_s: float, capacity: int) -> float:
    """Return the first time from `from_s` on at which a unit is free for a length of time."""
    candidates = [from_s, *(end for _, end in taken if end > from_s)]
    for at_s in sorted(candidates):
        over = [(begin, end) for begin, end in taken if begin < at_s + length_s and end > at_s]
        # Most of them at once, at one of their begins.
        peak = max((sum(b <= t < e for b, e in over) for t in [at_s, *(b for b, _ in over)] if t >= at_s), default=0)
        if peak < capacity:
            return at_s
    raise AssertionError("after the last of them a unit is free")
