# SPDX-License-Identifier: Apache-2.0
"""The report of a batch: one self-contained HTML file that a pharmacist reads, prints and signs."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..attachments import registered
from ..errors import RecordError
from ..exceptions import exceptions
from ..facts import is_number
from ..heads import Head
from ..review import ReleaseRow, Review, number_text, unit_text
from ..summary import summarize
from . import plots
from .rows import (
    alarm_rows,
    cause_rows,
    decision_rows,
    exception_texts,
    figure_rows,
    identity_rows,
    laboratory_rows,
    prompt_rows,
    retuning_rows,
    step_rows,
    tuning_rows,
)
from .sections import (
    alarm_figure_texts,
    calibration_rows,
    computations,
    decision,
    denominator_texts,
    dose_parts,
    environment_rows,
    exception_groups,
    exception_rows,
    grade_rows,
    lot_rows,
    move_rows,
    picture_rows,
    sample_rows,
    signature_rows,
)

REPORT_FILE = "report.html"
MANY = 2
"""From more tests without a result on, the first page counts them."""
_PAGE_LINES, _MOST_EXCEPTIONS, _MOST_CAUSES, _CAUSE_LETTERS = 17, 7, 5, 105
"""What the first page has room for beside its head and the fields to sign: lines in all, of them exceptions at most,
causes at most, and a cause's letters in a line."""
_TONES = {"meets": "good", "meets_provisionally": "good", "rejected": "bad"}


def render_report(review: Review, head: Head | None, folder: Path | None = None) -> str:
    """Return the report of a reviewed batch as HTML without any outside reference.

    Args:
        review: the reviewed batch.
        head: last signed head of its record; None when the record is not kept.
        folder: run folder, whose attached pictures are shown; None without.
    """
    facts = review.facts
    summary = summarize(review, head)
    started = facts.values["batch"]
    found = exceptions(review)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number_text
    environment.filters["unit"] = unit_text
    environment.filters["path"] = _breakable
    here = resources.files(__package__)
    template = environment.from_string(here.joinpath("report.html.j2").read_text(encoding="utf-8"))
    drawn = [
        plots.plot_growth(facts),
        plots.plot_metabolites(facts),
        plots.plot_temperature(
            facts, _limit(review, "extremes.temperature_mean_c.min"), _limit(review, "extremes.temperature_mean_c.max")
        ),
        plots.plot_viability(facts, _limit(review, "measured.final_viability")),
        plots.plot_diameters(facts),
        plots.plot_volumes(facts),
    ]
    causes = cause_rows(review)
    release = [row for row in review.rows if row.group != "in_process"]
    passed, lines = _first_page(release, _early(review), causes)
    return template.render(
        css=Markup(here.joinpath("report.css").read_text(encoding="utf-8")),
        title=review.specification.get("title") or summary["product"],
        summary=summary,
        head=head,
        tone=_TONES.get(review.verdict, "wait"),
        pending=_pending(review),
        simulated=_simulated(started, facts.of_kind("prompt_answered")),
        identity=identity_rows(summary, started),
        figures=figure_rows(review, summary),
        causes=causes,
        most_causes=_MOST_CAUSES,
        release=release,
        early=_early(review),
        controls=[row for row in review.rows if row.group == "in_process"],
        specification={name: review.specification.get(name, "") for name in ("product", "version", "status")},
        decided=decision(facts).text,
        computed=computations(review),
        denominators=denominator_texts(facts),
        signed=signature_rows(facts),
        groups=exception_groups(found),
        passed=passed,
        lines=lines,
        exceptions=exception_rows(found),
        counts=exception_texts(review),
        grades=grade_rows(facts),
        environment=environment_rows(facts),
        pictures=picture_rows(facts, folder),
        lots=lot_rows(facts),
        parts=dose_parts(facts),
        moves=move_rows(facts),
        samples=sample_rows(facts),
        calibrations=calibration_rows(facts),
        timeline=plots.plot_timeline(facts),
        plots=[plot for plot in drawn if plot],
        stiffness=plots.plot_stiffness(facts),
        tuning=tuning_rows(facts),
        retunings=retuning_rows(facts),
        steps=step_rows(facts),
        alarms=alarm_rows(facts),
        alarm_figures=alarm_figure_texts(facts),
        decisions=decision_rows(facts),
        prompts=prompt_rows(facts),
        laboratory=laboratory_rows(facts),
        unavailable=[
            {"what": event.data.get("step") or event.what, "why": event.why or event.data.get("reason", "")}
            for event in facts.of_kind("step_not_available")
        ],
        attachments=list(registered(facts.events).values()),
    )


def write_report(folder: Path, content: str | bytes, name: str = REPORT_FILE) -> Path:
    """Write a report into the run folder, whole or not at all, and return its path.

    Raises:
        RecordError: the disk is full or the folder cannot be written.
    """
    path = folder / name
    draft = path.with_name(f".{name}.draft")
    try:
        draft.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.replace(draft, path)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; free space, then ask for the report again") from error
    return path


def _early(review: Review) -> int:
    """How many release tests a batch that ended early has no result of; 0 where each is worth a line of its own."""
    unknown = sum(row.group != "in_process" and row.verdict == "unknown" for row in review.rows)
    return unknown if unknown > MANY and review.facts.of_kind("batch_ended") else 0


def _first_page(release: Sequence[ReleaseRow], early: int, causes: Sequence[str]) -> tuple[int, int]:
    """What the first page has room for, so that who decides signs on it.

    Returns:
        Release tests that passed and are only counted there, and kinds of exceptions that are shown, 2 at least.
    """
    shown = causes[:_MOST_CAUSES]
    why = 2 + sum(math.ceil(len(cause) / _CAUSE_LETTERS) for cause in shown) if shown else 0
    why += len(causes) > _MOST_CAUSES
    tests = len(release) - early
    passed = sum(row.verdict == "pass" for row in release)
    counted = passed if passed > MANY and tests + why + 2 > _PAGE_LINES else 0
    room = _PAGE_LINES - why - (tests - counted + (counted > 0) + (early > 0))
    return counted, max(2, min(_MOST_EXCEPTIONS, room))


def _breakable(path: str) -> Markup:
    """Let a long path break after its dots and underscores, not within a word."""
    return Markup(re.sub(r"([._])", r"\1<wbr>", str(Markup.escape(path))))


def _limit(review: Review, source: str) -> float | None:
    """Return the one number that the specification's test of `source` compares with, None without such a test."""
    for test in review.specification.get("tests", ()):
        if test.get("source") == source:
            for limit in test.get("criterion", {}).values():
                if is_number(limit):
                    return float(limit)
    return None


def _pending(review: Review) -> list[str]:
    """Tests that a provisional verdict waits for."""
    if review.verdict != "meets_provisionally":
        return []
    return [row.title.split(",")[0].lower() for row in review.rows if row.verdict == "pending"]


def _simulated(started: Mapping[str, Any], answers: list[Any]) -> str:
    scripted = any(event.data.get("simulated") for event in answers)
    if not started.get("simulated") and "seed" not in started and not scripted:
        return ""
    shown = (("donor", "donor_profile"), ("scenario", "scenario"), ("seed", "seed"))
    named = [f"{name} {started[key]}" for name, key in shown if started.get(key) is not None]
    return f"Made on the simulated plant ({', '.join(named)})." if named else "Operator answers were given by a script."
