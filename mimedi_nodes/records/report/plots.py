# SPDX-License-Identifier: Apache-2.0
"""Plots of the report as SVG text: values with units, intervals and the limits that they are judged by."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from ..analysis_files import files
from ..events import RecordEvent
from ..facts import Facts, is_number, step_name
from ..review import number_text
from ..stiffness_map import SUFFIX, from_csv

DAY_S = 86400.0
BLUE, ORANGE, GREEN, RED, GREY, LIGHT = "#20639b", "#d1711f", "#2f8f5b", "#b3261e", "#6b7280", "#e5e7eb"
SERIES = (BLUE, ORANGE, GREEN, "#7b5ea7", "#8a6d3b", GREY)
UNENDED = "not ended"
MAX_POINTS = 800
"""Points drawn of one line: more cannot be told apart on paper."""

_STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": "#374151",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#eef0f3",
    "xtick.color": "#4b5563",
    "ytick.color": "#4b5563",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "mimedi",  # the same record gives the same bytes
}


def plot_growth(facts: Facts) -> str:
    """Viable cells over process days, logarithmic, with the harvest threshold; empty when nothing was measured."""
    points = [point for point in _points(facts, "viable_cells") if point[1] > 0.0]
    if not points:
        return ""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure("Viable cells", "process day [d]", "viable cells [cells]")
        _line(axes, points, BLUE, "measured")
        target = facts.values["parameter"].get("target_viable_cells")
        if is_number(target):
            label = f"harvest at {number_text(target)} cells"
            axes.axhline(target, color=RED, linewidth=1.0, linestyle="--", label=label)
        axes.set_yscale("log")
        axes.set_ylim(10 ** math.floor(math.log10(min(value for _, value in points))))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower right")
        return _svg(figure)


def plot_metabolites(facts: Facts) -> str:
    """Glucose and lactate over process days; empty when neither was measured."""
    series = [(name, _points(facts, f"{name}_mm")) for name in ("glucose", "lactate")]
    if not any(points for _, points in series):
        return ""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure("Glucose and lactate", "process day [d]", "concentration [mmol/L]")
        for (name, points), colour in zip(series, (BLUE, ORANGE), strict=True):
            if points:
                _line(axes, points, colour, name)
        axes.set_ylim(bottom=0.0)
        axes.legend(loc="best", ncols=2)
        return _svg(figure)


def plot_temperature(facts: Facts, low_c: float | None, high_c: float | None) -> str:
    """Liquid temperature over process days with its limits [degC]; empty when it was not measured."""
    points = facts.series("liquid_temperature_c") or _points(facts, "temperature_mean_c")
    if not points:
        return ""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure("Liquid temperature", "process day [d]", "temperature [°C]")
        if low_c is not None and high_c is not None:
            label = f"limits of the mean, {low_c:g} to {high_c:g} °C"
            axes.axhspan(low_c, high_c, color=GREEN, alpha=0.10, linewidth=0, label=label)
        _line(axes, points, ORANGE, "measured")
        values = [value for _, value in points]
        axes.set_ylim(min([*values, low_c or 36.5]) - 0.5, max([*values, high_c or 37.5]) + 0.5)
        axes.legend(loc="best")
        return _svg(figure)


def plot_volumes(facts: Facts) -> str:
    """Volumes of the sorter's steps, from where and to where; empty without such steps."""
    fields = (
        ("volume_sample_ul", "sample in"),
        ("volume_source_ul", "cells in"),
        ("volume_buffer_ul", "buffer in"),
        ("volume_exchange_ul", "new liquid in"),
        ("volume_target_ul", "target out"),
        ("volume_destination_ul", "concentrate out"),
        ("volume_waste_ul", "waste out"),
    )
    bars: list[tuple[str, float, str]] = []
    for event in facts.of_kind("phase_ended"):
        if event.data.get("action") in ("SortCells", "ConcentrateCells"):
            result = event.data.get("result") or {}
            for name, label in fields:
                if is_number(result.get(name)):
                    step = step_name(str(event.data.get("phase_id", "")))
                    colour = BLUE if label.endswith(" in") else GREEN if "waste" not in label else GREY
                    bars.append((f"{step}: {label}", result[name] / 1000.0, colour))
    if not bars:
        return ""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure("Acoustic sorter, volumes", "volume [mL]", "", height=0.9 + 0.19 * len(bars))
        places = range(len(bars))
        axes.barh(list(places), [bar[1] for bar in bars], color=[bar[2] for bar in bars], height=0.65)
        axes.set_yticks(list(places), [bar[0] for bar in bars])
        for place, bar in zip(places, bars, strict=True):
            axes.text(bar[1], place, f" {bar[1]:.4g}", va="center", fontsize=7.5, color="#374151")
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.12)
        return _svg(figure)


def plot_diameters(facts: Facts) -> str:
    """Histograms of cell diameter at each look, one line a look; empty when nobody looked."""
    looks = _looks(facts)
    looks = [event for event in looks if event.data["result"].get("diameter_counts")]
    if not looks:
        return ""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure("Cell diameter", "diameter [µm]", "share of cells [%]")
        for index, event in enumerate(looks[-len(SERIES) :]):
            result = event.data["result"]
            edges, counts = result["diameter_edges_um"], result["diameter_counts"]
            total = sum(counts)
            if total and len(edges) == len(counts) + 1:
                share = [100.0 * count / total for count in counts]
                axes.stairs(share, edges, color=SERIES[index], linewidth=1.4, label=_look_label(event))
        axes.legend(loc="best")
        return _svg(figure)


def plot_viability(facts: Facts, limit: float | None) -> str:
    """Viability at each look with its 95 % interval and the limit; empty when nobody looked."""
    looks = [event for event in _looks(facts) if is_number(event.data["result"].get("viability"))]
    if not looks:
        return ""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure("Viability by imaging, 95 % intervals", "process day [d]", "viable share [%]")
        for event in looks:
            result = event.data["result"]
            value, low, high = (result.get(name) for name in ("viability", "viability_low", "viability_high"))
            day = event.process_time_s / DAY_S
            if is_number(low) and is_number(high):
                axes.plot([day, day], [100 * low, 100 * high], color=BLUE, linewidth=1.4)
            axes.plot([day], [100 * value], "o", color=BLUE, markersize=4)
        if limit is not None:
            label = f"release limit {100 * limit:g} %"
            axes.axhline(100 * limit, color=RED, linewidth=1.0, linestyle="--", label=label)
            axes.legend(loc="lower left")
        axes.set_ylim(top=101.0)
        return _svg(figure)


def plot_stiffness(facts: Facts) -> str:
    """Map of the moduli over the last measured sample's median, and their histogram; empty when none was measured.

    Raises:
        RecordError: the map is not what the record says it is.
    """
    maps = [content for name, (_, content) in files(facts.events).items() if name.endswith(SUFFIX)]
    ended = [e.data["result"] for e in facts.of_kind("phase_ended") if e.data.get("action") == "MeasureStiffness"]
    cells = from_csv(maps[-1]) if maps else []
    if not cells:
        return ""
    relative = [cell.relative for cell in cells]
    moduli = [cell.modulus_pa for cell in cells]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.4, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        x_um, y_um = [cell.x_um for cell in cells], [cell.y_um for cell in cells]
        folds = [math.log2(value) for value in relative]
        drawn = left.scatter(x_um, y_um, c=folds, s=45, cmap="coolwarm", vmin=-2, vmax=2, edgecolors=GREY)
        bar = figure.colorbar(drawn, ax=left, ticks=[-2, -1, 0, 1, 2], label="modulus over the median")
        bar.ax.set_yticklabels(["1/4", "1/2", "1", "2", "4"])
        left.set(title=f"Stiffness of {len(cells)} cells", xlabel="x [µm]", ylabel="y [µm]", aspect="equal")
        low, high = math.log10(0.9 * min(moduli)), math.log10(1.1 * max(moduli))
        right.hist(moduli, [10 ** (low + k * (high - low) / 10) for k in range(11)], color=LIGHT, edgecolor=GREY)
        result = (ended[-1] if ended else None) or {}
        median, below, above = (result.get(f"modulus_{name}_pa") for name in ("median", "low", "high"))
        if is_number(median):
            right.axvline(median, color=RED, label=f"median {median:.0f} Pa")
        if is_number(below) and is_number(above):
            right.axvspan(below, above, color=RED, alpha=0.15, label="95 % interval")
        right.set(title="Their moduli", xscale="log", xlabel="Young's modulus [Pa]", ylabel="cells")
        ticks = [62.5 * 2**k for k in range(11) if 10**low <= 62.5 * 2**k <= 10**high]
        right.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
        right.xaxis.set_minor_formatter(NullFormatter())
        right.yaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (left, right):
            axes.set_axisbelow(True)
        if right.get_legend_handles_labels()[0]:  # a measurement that was broken off has a map and no result
            right.legend()
        return _svg(figure)


def plot_timeline(facts: Facts) -> str:
    """Which module worked when, retunings and alarms marked; empty when no step has begun."""
    steps = []
    last_s = max((e.process_time_s for e in facts.events if is_number(e.process_time_s)), default=0.0)
    for event in facts.of_kind("phase_ended"):
        start, end = event.data.get("started_s"), event.data.get("ended_s", event.process_time_s)
        if is_number(start) and is_number(end):
            failed = event.data.get("status") not in ("succeeded", None, "")
            steps.append((str(event.data.get("module", "")), start / DAY_S, end / DAY_S, RED if failed else ""))
    for event in facts.unended():
        steps.append((str(event.data.get("module", "")), event.process_time_s / DAY_S, last_s / DAY_S, UNENDED))
    if not steps:
        return ""
    modules = list(dict.fromkeys(module for module, *_ in steps))
    span = last_s / DAY_S or 1.0
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure("Timeline", "process day [d]", "", height=0.8 + 0.28 * len(modules), width=9.4)
        for module, start, end, colour in steps:
            # A step of minutes would vanish beside days: it keeps a visible width.
            width, row = max(end - start, 0.003 * span), modules.index(module)
            own = SERIES[row % len(SERIES)]
            if colour == UNENDED:
                axes.barh(row, width, left=start, height=0.55, color="white", edgecolor=own, hatch="////", lw=0.6)
            else:
                axes.barh(row, width, left=start, height=0.55, color=colour or own, edgecolor="white", linewidth=0.4)
        retuned = [event for event in facts.of_kind("retuned") if event.producer in modules]
        if retuned:
            days = [event.process_time_s / DAY_S for event in retuned]
            axes.plot(days, [modules.index(e.producer) + 0.42 for e in retuned], "^", color="black", markersize=3.5)
            axes.text(span * 1.01, modules.index(retuned[0].producer) + 0.1, "▲ retuned", fontsize=7.5, va="center")
        alarms = [event.process_time_s / DAY_S for event in facts.of_kind("alarm_raised")]
        if alarms:
            axes.plot(alarms, [-0.75] * len(alarms), "v", color=RED, markersize=5, clip_on=False)
            axes.text(span * 1.01, -0.75, "alarms", color=RED, fontsize=7.5, va="center")
        if any(colour == UNENDED for *_, colour in steps):
            axes.text(span * 1.01, len(modules) - 0.7, "hatched: not ended", fontsize=7.5, va="center")
        axes.set_yticks(range(len(modules)), modules)
        axes.set_ylim(len(modules) - 0.5, -1.0 if alarms else -0.5)
        axes.set_xlim(0.0, 1.005 * span)
        axes.grid(axis="y", visible=False)
        return _svg(figure)


def _looks(facts: Facts) -> list[RecordEvent]:
    ended = facts.of_kind("phase_ended")
    return [event for event in ended if event.data.get("action") == "InspectSample" and event.data.get("result")]


def _look_label(event: RecordEvent) -> str:
    return f"{step_name(str(event.data.get('phase_id', '')))}, day {event.process_time_s / DAY_S:.1f}"


def _points(facts: Facts, name: str) -> list[tuple[float, float]]:
    """Measurements of a quantity, or else what phases reported of it at their end, by process time [s]."""
    points = facts.series(name)
    for event in facts.of_kind("phase_ended") if len(points) < 3 else ():
        value = (event.data.get("result") or {}).get(name)
        if is_number(value):
            points.append((event.process_time_s, value))
    return sorted(point for point in points if point[0] == point[0])


def _line(axes: Axes, points: Sequence[tuple[float, float]], colour: str, label: str) -> None:
    step = max(1, len(points) // MAX_POINTS)
    kept = [*points[::step], points[-1]]
    marker = "o" if len(kept) < 40 else ""
    days = [time_s / DAY_S for time_s, _ in kept]
    axes.plot(days, [value for _, value in kept], color=colour, linewidth=1.4, marker=marker, markersize=3, label=label)


def _figure(title: str, x: str, y: str, height: float = 2.5, width: float = 4.6) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
