# SPDX-License-Identifier: Apache-2.0
"""A schedule as a Gantt chart: on the terminal, as a picture, as a page."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...process.units.schedule_solver import Planned
from ...process.units.scheduling import Figures, Job, Schedule

if TYPE_CHECKING:
    from rich.console import Console

DAY_S = 86400.0
WIDTH = 64
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red", "bright_cyan", "bright_magenta")
SHADES = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf")
NAMES = {"planned": "planned", "first_come_first_served": "first come, first served"}


def print_gantt(
    console: Console, jobs: Sequence[Job], planned: Planned, served: Schedule, compared: Mapping[str, Figures]
) -> None:
    """Print a row for each unit, and the figures beside first-come-first-served."""
    from rich.table import Table
    from rich.text import Text

    schedule = planned.schedule
    end_s = max(schedule.end_s(job) for job in jobs)
    scale = WIDTH / end_s
    letters = Text("batches  ")
    for index, job in enumerate(jobs):
        letters.append(f"{_letter(index)} {job.name}  ", style=COLOURS[index % len(COLOURS)])
    console.print(letters)
    for unit in _units(jobs, schedule):
        row = [(" ", "")] * WIDTH
        for index, job in enumerate(jobs):
            for held, from_s, to_s in schedule.held(job):
                if held == unit:
                    for at in range(int(from_s * scale), max(int(from_s * scale) + 1, int(to_s * scale))):
                        row[min(at, WIDTH - 1)] = (_letter(index), COLOURS[index % len(COLOURS)])
        line = Text(f"{unit:>12.12} │")
        for letter, style in row:
            line.append(letter, style=style)
        console.print(line)
    ticks = "".join(f"{f'{int(k * end_s / DAY_S / 6)} d':<{WIDTH // 6}}" for k in range(6))
    console.print(f"{'':>12} └{ticks}", highlight=False)
    table = Table(title="per batch [days]", title_justify="left")
    for column in ("batch", "recipe", "arrival", "begin", "end", "first come, first served"):
        table.add_column(column, justify="left" if column in ("batch", "recipe") else "right")
    for job in jobs:
        days = [f"{time_s / DAY_S:.2f}" for time_s in (job.arrival_s, schedule.begin_s(job), schedule.end_s(job))]
        without = f"{served.begin_s(job) / DAY_S:.2f} – {served.end_s(job) / DAY_S:.2f}"
        table.add_row(job.name, job.recipe, *days, without)
    console.print(table, highlight=False)
    figures = Table()
    for column in ("", "makespan", "vein to vein, mean", "waiting, mean"):
        figures.add_column(column, justify="right")
    for name, found in compared.items():
        values = (found.makespan_d, found.vein_to_vein_d, found.waiting_d)
        figures.add_row(NAMES[name], *(f"{value:.2f} d" for value in values))
    console.print(figures, highlight=False)
    sure = "There is no better one" if planned.optimal else f"Within {planned.bound_gap:.1%} of the best possible"
    console.print(f"{sure}, by durations that are means; the engine itself waits for what is late.", highlight=False)


def write_files(
    folder: Path, jobs: Sequence[Job], schedule: Schedule, served: Schedule, compared: Mapping[str, Figures]
) -> None:
    """Write schedule.png and schedule.html, which holds the picture too."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "schedule.png"
    _draw(picture, jobs, {"planned": schedule, "first_come_first_served": served})
    rows = "".join(
        f"<tr><td>{html.escape(job.name)}</td><td>{html.escape(job.recipe)}</td>"
        + "".join(
            f"<td>{value / DAY_S:.2f}</td>" for value in (job.arrival_s, schedule.begin_s(job), schedule.end_s(job))
        )
        + "</tr>"
        for job in jobs
    )
    totals = "".join(
        f"<tr><td>{NAMES[name]}</td><td>{f.makespan_d:.2f}</td><td>{f.vein_to_vein_d:.2f}</td>"
        f"<td>{f.waiting_d:.2f}</td></tr>"
        for name, f in compared.items()
    )
    image = base64.b64encode(picture.read_bytes()).decode("ascii")
    (folder / "schedule.html").write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Schedule</title>"
        "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:right}"
        "td:first-child{text-align:left}</style><h1>Schedule</h1>"
        f"<img alt='Gantt chart' style='max-width:100%' src='data:image/png;base64,{image}'>"
        "<h2>Batches [days]</h2><table><tr><th>batch</th><th>recipe</th><th>arrival</th><th>begin</th><th>end</th></tr>"
        f"{rows}</table><h2>Figures [days]</h2><table><tr><th></th><th>makespan</th><th>vein to vein, mean</th>"
        f"<th>waiting, mean</th></tr>{totals}</table></html>\n",
        encoding="utf-8",
    )


def _draw(path: Path, jobs: Sequence[Job], schedules: Mapping[str, Schedule]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(len(schedules), 1, sharex=True)
    for axis, (name, schedule) in zip(axes, schedules.items(), strict=True):
        units = _units(jobs, schedule)
        for index, job in enumerate(jobs):
            shade = SHADES[index % len(SHADES)]
            for unit, from_s, to_s in schedule.held(job):
                axis.barh(units.index(unit), (to_s - from_s) / DAY_S, left=from_s / DAY_S, color=shade, height=0.7)
            axis.plot([], [], color=shade, linewidth=6, label=job.name)
        axis.set_yticks(range(len(units)), units)
        axis.invert_yaxis()
        axis.set_title(NAMES[name], loc="left", fontsize=10)
        axis.grid(axis="x", alpha=0.3)
    axes[-1].set_xlabel("days")
    axes[0].legend(ncols=min(len(jobs), 8), fontsize=8, loc="upper right")
    figure.savefig(path, dpi=120)


def _units(jobs: Sequence[Job], schedule: Schedule) -> list[str]:
    return list(dict.fromkeys(unit for job in jobs for unit, _, _ in schedule.held(job)))


def _letter(index: int) -> str:
    return chr(ord("A") + index % 26)
