# SPDX-License-Identifier: Apache-2.0
"""Files of a campaign: every batch as CSV, the distributions as CSV and JSON, a plot and an HTML page."""

from __future__ import annotations

import base64
import csv
import html
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimedi_sim.population.campaign import BatchRow
from mimedi_sim.population.references import ANCHORS, FAILURE_ANCHOR, REFERENCES
from mimedi_sim.population.statistics import Distribution

BATCHES_FILE, TABLE_FILE, JSON_FILE = "batches.csv", "distributions.csv", "distributions.json"
PLOT_FILE, PAGE_FILE = "distributions.png", "report.html"
_PASSING = ("meets_provisionally", "meets")
_COLUMNS = 4
_MEASURED_PREFIX = "measured."


_FIGURE = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)")
"""A number that stands alone: those in names and units stay."""


def summary_of(rows: Sequence[BatchRow]) -> dict[str, Any]:
    """Return how the batches ended: numbers by end and verdict, share that meets its specification, causes."""
    meets = sum(row.verdict in _PASSING and row.ended == "completed" for row in rows)
    return {
        "batches": len(rows),
        "ended": dict(sorted(Counter(row.ended for row in rows).items())),
        "verdicts": dict(sorted(Counter(row.verdict for row in rows if row.verdict).items())),
        "meets": meets,
        "meets_share": meets / len(rows) if rows else None,
        "causes": dict(Counter(_cause(row) for row in rows if row.reason or row.error).most_common()),
        "wall_s_per_batch": sum(row.wall_s for row in rows) / len(rows) if rows else None,
    }


def _cause(row: BatchRow) -> str:
    """The mechanism that a reason names: its words, equal for all batches that differ in figures only."""
    return row.error or _FIGURE.sub("…", row.reason)[:200]


def write_report(
    folder: Path, title: str, rows: Sequence[BatchRow], table: Sequence[Distribution], notes: Sequence[str] = ()
) -> list[Path]:
    """Write all files into a folder, which is made; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / name for name in (BATCHES_FILE, TABLE_FILE, JSON_FILE, PLOT_FILE, PAGE_FILE)]
    _write_batches(files[0], rows)
    _write_table(files[1], table)
    content = {"title": title, **summary_of(rows), "distributions": [_plain(d) for d in table]}
    files[2].write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _plot(files[3], title, rows, table)
    files[4].write_text(_page(title, rows, table, notes, files[3]), encoding="utf-8")
    return files


def _write_batches(path: Path, rows: Sequence[BatchRow]) -> None:
    true = sorted({name for row in rows for name in row.true})
    measured = sorted({name for row in rows for name in row.measured})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        heads = ["seed", "ended", "verdict", "reason", "days"]
        writer.writerow([*heads, *true, *(_MEASURED_PREFIX + name for name in measured)])
        for row in rows:
            figures = [row.true.get(name, "") for name in true] + [row.measured.get(name, "") for name in measured]
            writer.writerow([row.seed, row.ended, row.verdict, row.reason or row.error, row.days, *figures])


def _write_table(path: Path, table: Sequence[Distribution]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        keys = list(_plain(table[0])) if table else ["name"]
        writer.writerow(keys)
        writer.writerows([_plain(d)[key] for key in keys] for d in table)


def _plain(d: Distribution) -> dict[str, Any]:
    def known(value: float) -> float | None:
        return value if math.isfinite(value) else None

    r = d.reference
    return {
        "name": d.name, "count": d.count, "low": known(d.low), "median": known(d.median), "high": known(d.high),
        "median_sampling": known(d.median_sampling),
        "reference_low": r.low if r else None, "reference_median": r.median if r else None,
        "reference_high": r.high if r else None, "median_error": known(d.median_error),
        "low_error": known(d.low_error), "high_error": known(d.high_error), "agrees_raw": d.agrees_raw,
        "paired_low": known(d.paired_low), "paired": known(d.paired), "paired_high": known(d.paired_high),
        "agrees": d.agrees,
    }


def _plot(path: Path, title: str, rows: Sequence[BatchRow], table: Sequence[Distribution]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [d for d in table if d.name in REFERENCES]
    lines = max(1, math.ceil(len(shown) / _COLUMNS))
    figure = Figure(figsize=(4.0 * _COLUMNS, 2.4 * lines + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    for number, d in enumerate(shown):
        axis = figure.add_subplot(lines, _COLUMNS, number + 1)
        values = [row.true[d.name] for row in rows if d.name in row.true and math.isfinite(row.true[d.name])]
        axis.hist(values, bins=min(40, max(5, round(math.sqrt(len(values)) * 2))), color="#7a9cc6")
        axis.axvline(d.median, color="#1f3a5f", linewidth=1.6)
        if d.reference is not None:
            axis.axvspan(d.reference.low, d.reference.high, color="#f2b134", alpha=0.18)
            axis.axvline(d.reference.median, color="#c77700", linestyle="--", linewidth=1.6)
        for place, anchor in enumerate(ANCHORS.get(d.name, ())):
            height = 0.92 - 0.09 * place
            axis.errorbar(
                [anchor.middle], [height], xerr=[[anchor.middle - anchor.low], [anchor.high - anchor.middle]],
                fmt="D", markersize=4, color="#8c1c13", transform=axis.get_xaxis_transform(),
            )
        axis.set_title(f"{d.name} [{REFERENCES[d.name].unit}]" if REFERENCES[d.name].unit else d.name, fontsize=9)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
    figure.suptitle(
        f"{title}\nblue: batches and their median; orange: PHYSICS §12 median and 95 % range; red: published figures",
        fontsize=10,
    )
    figure.savefig(path, dpi=90, metadata={"Software": None})


def number(value: float) -> str:
    """Return a figure with four significant digits."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.3e}" if value and not 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"


def percent(value: float) -> str:
    """Return a relative deviation in percent."""
    return f"{100.0 * value:+.1f} %" if math.isfinite(value) else "–"


def _page(
    title: str, rows: Sequence[BatchRow], table: Sequence[Distribution], notes: Sequence[str], plot: Path
) -> str:
    summary = summary_of(rows)
    body = [f"<h1>{html.escape(title)}</h1>", "<ul>"]
    body += [f"<li>{html.escape(note)}</li>" for note in notes]
    body.append("<li>low, median, high: deviation from PHYSICS §12 as it stands; same donors: from the idealised chain "
                "with each batch's own donor and the steps of PROCESS (wash on day 2, 40 mL sorted, growth while the "
                "last sample is tested), which is what the verdict is about</li>")
    body.append(f"<li>{summary['meets']} of {len(rows)} batches meet their specification "
                f"(published share that fails: {FAILURE_ANCHOR.low:.0%} to {FAILURE_ANCHOR.high:.0%} in trials, "
                f"{html.escape(FAILURE_ANCHOR.source)})</li>")
    for label in ("ended", "verdicts", "causes"):
        counts: Mapping[str, int] = summary[label]
        text = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none"
        body.append(f"<li>{label}: {html.escape(text)}</li>")
    body.append("</ul>")
    heads = ("figure", "n", "2.5 %", "median", "97.5 %", "§12: 2.5 %", "median", "97.5 %", "low", "median", "high",
             "same donors: low", "median", "high")
    body.append("<table><tr>" + "".join(f"<th>{head}</th>" for head in (*heads, "")) + "</tr>")
    for d in table:
        r = d.reference
        cells = [d.name, str(d.count), number(d.low), number(d.median), number(d.high)]
        cells += [number(r.low), number(r.median), number(r.high)] if r else ["–"] * 3
        cells += [percent(d.low_error), percent(d.median_error), percent(d.high_error)]
        cells += [percent(d.paired_low), percent(d.paired), percent(d.paired_high)]
        cells.append({True: "agrees", False: "deviates", None: ""}[d.agrees])
        body.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    body.append("</table>")
    image = base64.b64encode(plot.read_bytes()).decode("ascii")
    body.append(f'<img alt="distributions" style="max-width:100%" src="data:image/png;base64,{image}">')
    body.append("<h2>Published figures</h2><ul>")
    for name, anchors in ANCHORS.items():
        body += [
            f"<li>{name}: {number(a.middle)} ({number(a.low)} to {number(a.high)}), {html.escape(a.what)}: "
            f"{html.escape(a.source)}</li>" for a in anchors
        ]
    body.append("</ul>")
    style = "body{font:14px sans-serif;margin:2em}td,th{padding:2px 8px;text-align:right}"
    return (f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
            f"<style>{style}</style></head><body>{''.join(body)}</body></html>\n")
