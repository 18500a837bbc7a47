# SPDX-License-Identifier: Apache-2.0
"""Schedules are feasible by an independent checker, never worse than first come, first served, or refused with why."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_nodes.commands.schedule import main
from mimedi_nodes.process.units.schedule_solver import plan
from mimedi_nodes.process.units.scheduling import (
    Job,
    Schedule,
    ScheduleError,
    Segment,
    Workshop,
    figures,
    first_come_first_served,
)

HOUR_S = 3600.0


def violations(jobs: list[Job], workshop: Workshop, schedule: Schedule) -> list[str]:
    """Return what is wrong with a schedule, by walking through it minute by minute: knows nothing of intervals."""
    found = []
    end_min = int(max(schedule.end_s(job) for job in jobs) / 60.0) + int(workshop.changeover_s / 60.0) + 1
    users: dict[str, list[set[str]]] = {}
    for job in jobs:
        begins = schedule.begins_s[job.name]
        if begins[0] < job.arrival_s - 1e-6:
            found.append(f"{job.name} begins before its cells are there")
        for index, (one, following) in enumerate(pairwise(begins)):
            gap_s = following - one - job.segments[index].duration_s
            if not -60.0 <= gap_s <= workshop.most_wait_s + 60.0:
                found.append(f"{job.name}: {gap_s / HOUR_S:.2f} h between segments {index} and {index + 1}")
        for unit, (first, last) in job.staying.items():
            spans = [(begins[first], begins[last] + job.segments[last].duration_s)]
            _use(users, unit, job.name, spans, end_min)
        for unit in {unit for segment in job.segments for unit in segment.shared}:
            spans = [
                (begin, begin + segment.duration_s)
                for begin, segment in zip(begins, job.segments, strict=True)
                if unit in segment.shared
            ]
            _use(users, unit, job.name, spans, end_min)
    for unit, minutes in users.items():
        pause = int(workshop.changeover_s / 60.0)
        for minute, names in enumerate(minutes):
            if len(names) > workshop.of(unit):
                found.append(f"{unit} has {names} in minute {minute}")
            if workshop.of(unit) == 1 and names:
                later = minutes[minute + 1 : minute + pause]
                others = {name for at in later for name in at} - names
                if others:
                    found.append(f"{unit}: no time for a changeover from {names} to {others} in minute {minute}")
    return found


def _use(
    users: dict[str, list[set[str]]], unit: str, name: str, spans: list[tuple[float, float]], end_min: int
) -> None:
    minutes = users.setdefault(unit, [set() for _ in range(end_min)])
    for from_s, to_s in spans:
        for minute in range(int(from_s / 60.0 + 1e-6), int(to_s / 60.0 + 1e-6)):
            minutes[minute].add(name)


def job(name: str, select_h: int, grow_h: int, finish_h: int, arrival_h: int = 0, due_h: int | None = None) -> Job:
    segments = (
        Segment(select_h * HOUR_S, frozenset({"path"}), "select"),
        Segment(grow_h * HOUR_S, frozenset(), "grow"),
        Segment(finish_h * HOUR_S, frozenset({"path"}), "finish"),
    )
    due_s = None if due_h is None else due_h * HOUR_S
    return Job(name, "r", segments, {"culture": (0, 2)}, arrival_h * HOUR_S, due_s)


JOBS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(2, 60), st.integers(1, 6), st.integers(0, 80)), min_size=1, max_size=5
)


@settings(max_examples=12, deadline=None)
@given(JOBS, st.integers(1, 2), st.integers(0, 2), st.integers(0, 12))
def test_feasible_and_never_worse(
    drawn: list[tuple[int, int, int, int]], cultures: int, changeover_h: int, most_wait_h: int
) -> None:
    jobs = [job(f"P{k}", *values) for k, values in enumerate(drawn)]
    workshop = Workshop({"culture": cultures}, changeover_h * HOUR_S, most_wait_h * HOUR_S)
    served = first_come_first_served(jobs, workshop)
    planned = plan(jobs, workshop, limit_s=0.5)
    for schedule in (served, planned.schedule):
        assert violations(jobs, workshop, schedule) == []
    assert figures(jobs, planned.schedule).vein_to_vein_d <= figures(jobs, served).vein_to_vein_d + 1e-6


def test_the_checker_finds_what_is_wrong() -> None:
    jobs = [job("P0", 2, 10, 2), job("P1", 2, 10, 2, arrival_h=1)]
    workshop = Workshop({}, HOUR_S, HOUR_S)
    good = first_come_first_served(jobs, workshop)
    assert violations(jobs, workshop, good) == []
    at = {name: list(begins) for name, begins in good.begins_s.items()}
    for shift_h, word in ((-1.0, "no time for a changeover"), (-13.0, "has {"), (-16.0, "before its cells")):
        moved = {**at, "P1": [begin + shift_h * HOUR_S for begin in at["P1"]]}
        wrong = Schedule({name: tuple(max(0.0, b) for b in begins) for name, begins in moved.items()})
        assert any(word in text for text in violations(jobs, workshop, wrong)), (shift_h, word)


def test_a_short_batch_goes_before_a_long_one_that_came_a_little_earlier() -> None:
    """Where the solver is better: 100 h of culture would keep three short ones waiting."""
    jobs = [job("P0", 2, 30, 2), job("P1", 2, 100, 2, 1), *(job(f"P{k}", 2, 10, 2, k) for k in (2, 3, 4))]
    workshop = Workshop({}, HOUR_S)
    before, after = (
        figures(jobs, schedule)
        for schedule in (first_come_first_served(jobs, workshop), plan(jobs, workshop, 5.0).schedule)
    )
    assert after.vein_to_vein_d < 0.7 * before.vein_to_vein_d
    assert after.makespan_d <= before.makespan_d + 0.1


def test_due_times_are_kept_where_they_can_be_and_the_bottleneck_is_named_where_not() -> None:
    urgent = [job("P0", 2, 40, 2), job("P1", 2, 10, 2, 1, due_h=20)]
    workshop = Workshop({}, HOUR_S)
    assert figures(urgent, first_come_first_served(urgent, workshop)).late
    assert not figures(urgent, plan(urgent, workshop).schedule).late
    both = [job("P0", 2, 40, 2, 0, due_h=46), job("P1", 2, 40, 2, 0, due_h=46)]
    with pytest.raises(ScheduleError, match=r"late with P[01] by .* d\. They are in each other's way at culture"):
        plan(both, workshop)
    with pytest.raises(ScheduleError, match=r"P0: due 0\.42 d after its arrival, but r takes 1\.83 d"):
        plan([job("P0", 2, 40, 2, 0, due_h=10)], workshop)
    with pytest.raises(ScheduleError, match="P0 is there twice"):
        plan([job("P0", 2, 40, 2), job("P0", 2, 40, 2)], workshop)


def test_the_command_reads_orders_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders = tmp_path / "orders.yaml"
    orders.write_text(
        "- {batch: graft, recipe: osteoblast_graft, arrival_d: 0}\n- {batch: car, arrival_d: 1, due_d: 60}\n",
        encoding="utf-8",
    )
    arguments = ["--orders", str(orders), "--measure", "0", "--out", str(tmp_path / "plan"), "--limit-s", "1"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["batch"]: row["recipe"] for row in found["planned"]} == {
        "graft": "osteoblast_graft", "car": "car_t_cd19",
    }  # fmt: skip
    held = {unit["unit"]: unit for row in found["planned"] for unit in row["units"] if row["batch"] == "car"}
    assert held["culture"]["to_d"] > held["culture"]["from_d"] > 1.0
    better, served = (found["figures"][name]["vein_to_vein_d"] for name in ("planned", "first_come_first_served"))
    assert better <= served + 1e-6
    assert "data:image/png" in (tmp_path / "plan" / "schedule.html").read_text(encoding="utf-8")
    assert main([*arguments[:4], "--limit-s", "1"]) == 0
    assert "first come, first served" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {batch: a, arrival_d: -1}\n", "0 to 3650"),
        ("- {batch: a, arrival_d: 5, due_d: 2}\n", "5 to 3650"),
        ("- {patch: a, arrival_d: 5}\n", "unknown key 'patch'"),
        ("[]\n", "at least 1"),
    ],
)
def test_wrong_orders_are_named(text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders = tmp_path / "orders.yaml"
    orders.write_text(text, encoding="utf-8")
    assert main(["--orders", str(orders), "--measure", "0"]) == 2
    assert told in capsys.readouterr().err


def test_wrong_options_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--units", "oven=2"], ["-n", "0"], ["--every-d", "-1"], ["--changeover-h", "99"]):
        assert main([*arguments, "--measure", "0"]) == 2
        assert "allowed" in capsys.readouterr().err
