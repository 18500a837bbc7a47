# SPDX-License-Identifier: Apache-2.0
"""Sections of the report on people and materials: signatures, exceptions, genealogy, balance, instruments, pictures."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..analysis_files import KIND, files
from ..attachments import attached_path, file_hash, registered
from ..disposition import Disposition, disposition
from ..errors import RecordError
from ..exceptions import ExceptionItem
from ..facts import Facts, is_number, step_name
from ..genealogy import PRODUCT, trace
from ..review import Review, number_text
from ..signatures import MEANINGS, signatures
from .alarm_figures import TARGET_PER_HOUR, alarm_figures
from .field_text import quantity

DAY_S = 86400.0
MAX_PICTURES = 8
_REFERENCE = re.compile(r"[a-z_]+(?:\.[a-z0-9_]+)+")
MAX_PICTURE_BYTES = 2_000_000
ENVIRONMENT = ("particles", "pressure", "humidity", "air_temperature", "grade", "door")
"""What the name of a measurement of the room begins with."""


def decision(facts: Facts) -> Disposition:
    """Where the decision on the batch stands."""
    return disposition(facts.events)


def signature_rows(facts: Facts) -> list[dict[str, str]]:
    """Signatures with name, time, meaning and what they are bound to (21 CFR 11.50)."""
    rows = []
    for signature in signatures(facts.events):
        said = signature.statement
        about = f" ({said.subject})" if said.subject else ""
        rows.append(
            {
                "meaning": MEANINGS[said.meaning].split(":")[0] + (f", {said.stage}" if said.stage else "") + about,
                "text": MEANINGS[said.meaning].partition(": ")[2],
                "name": said.name,
                "role": said.role.replace("_", " "),
                "when": f"{said.signed_at[:19].replace('T', ' ')} UTC",
                "comment": said.comment,
                "rows": f"1 to {said.count}",
                "hash": said.hash[:16],
                "key": signature.key_id,
            }
        )
    return rows


def exception_rows(items: Sequence[ExceptionItem]) -> list[dict[str, str]]:
    """Exceptions of a review, worst first."""
    return [
        {
            "grade": item.grade,
            "what": item.what,
            "text": item.text,
            "day": "–" if math.isnan(item.time_s) else f"{item.time_s / DAY_S:.2f}",
            "row": str(item.row or "–"),
        }
        for item in items
    ]


def exception_groups(items: Sequence[ExceptionItem]) -> list[dict[str, str]]:
    """Exceptions of one kind on one line, for the first page."""
    groups: dict[tuple[str, str], list[ExceptionItem]] = {}
    for item in items:
        groups.setdefault((item.grade, item.what), []).append(item)
    rows = []
    for (grade, what), members in groups.items():
        one = len(members) == 1
        texts = [item.text if one else item.text.split(":")[0].rsplit(".", 1)[-1].replace("_", " ") for item in members]
        rows.append(
            {
                "grade": grade,
                "what": what if one else f"{what}, {len(members)} times",
                "text": ", ".join(dict.fromkeys(texts)),
            }
        )
    return rows


def computations(review: Review) -> dict[str, str]:
    """How the value of a test follows from several facts, by the test's id: `0.01 * 50000 / 1000 / 70`."""
    texts = {}
    for test in review.specification.get("tests", ()):
        source = str(test.get("source", ""))
        if any(sign in source for sign in "*/+("):
            filled = _REFERENCE.sub(lambda match: _value_text(match[0], review.facts), source)
            texts[str(test.get("id"))] = filled.replace("*", "×")
    return texts


def denominator_texts(facts: Facts) -> list[str]:
    """The vector copy number on both denominators in use: per transduced cell, and per cell of the product."""
    copies, share = facts.values["lab"].get("vcn_per_transduced_cell"), facts.values["lab"].get("car_fraction")
    if not is_number(copies) or not is_number(share):
        return []
    return [
        f"Vector copy number: {number_text(copies)} copies per transduced cell; with {100 * share:.1f} % of the viable "
        f"T cells transduced, {number_text(copies * share)} copies per viable T cell. Limits differ by denominator."
    ]


def _value_text(reference: str, facts: Facts) -> str:
    value: Any = facts.values
    for part in reference.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return number_text(value) if is_number(value) or value is None else reference


def alarm_figure_texts(facts: Facts) -> list[str]:
    """How the alarm system did, against the targets of ISA-18.2."""
    figures = alarm_figures(facts.events)
    if not figures.count:
        return []
    shares = ", ".join(f"{name} {count}" for name, count in sorted(figures.priorities.items()))
    texts = [
        f"{figures.count} alarms, {figures.per_hour:.2f} an hour (target {TARGET_PER_HOUR:g} at most)",
        f"at most {figures.busiest} in ten minutes, {len(figures.floods)} floods",
        f"chattering: {', '.join(f'{name} ({count})' for name, count in figures.chattering) or 'none'}",
        f"standing for more than a day: {', '.join(figures.stale) or 'none'}",
        f"by priority: {shares}",
    ]
    return texts if figures.is_within_targets else [*texts, "outside the targets"]


def lot_rows(facts: Facts) -> list[dict[str, Any]]:
    """Lots with where each one has gone, and whether it is in the dose."""
    found = trace(facts.events)
    # A bag that nothing was filled into is no dose.
    in_dose = {id(lot) for lot in found.lots_in(PRODUCT)} if found.made_of(PRODUCT) else set()
    samples = {event.what for event in facts.of_kind("sample_taken")}
    rows = []
    for lot in found.lots:
        went = sorted(found.went_to(lot.container) - samples)
        sampled = len(found.went_to(lot.container) & samples)
        went += [f"{sampled} samples"] if sampled else []
        rows.append(
            {
                "material": lot.material,
                "lot": lot.lot,
                "expires": lot.expires or "–",
                "container": lot.container,
                "in_dose": id(lot) in in_dose,
                "went": ", ".join(went) or "–",
            }
        )
    return rows


def dose_parts(facts: Facts) -> list[str]:
    """Containers whose material is in the dose."""
    return sorted(trace(facts.events).made_of(PRODUCT))


def move_rows(facts: Facts) -> list[dict[str, Any]]:
    """Every move of liquid with its balance on measured weights."""
    rows = []
    for move in trace(facts.events).balances:
        rows.append(
            {
                "day": f"{move.time_s / DAY_S:.2f}" if is_number(move.time_s) else "–",
                "step": step_name(move.step).replace("_", " "),
                "way": move.way,
                "volume": _ml(move.volume_ul),
                "left": _ml(move.left_ul),
                "arrived": _ml(move.arrived_ul),
                "gap": move.lacking if move.gap_ul is None else f"{move.gap_ul / 1000.0:+.2f}",
                "closed": move.is_closed,
            }
        )
    return rows


def sample_rows(facts: Facts) -> list[dict[str, str]]:
    """Samples with where they were drawn, and why."""
    return [
        {
            "day": f"{event.process_time_s / DAY_S:.2f}" if is_number(event.process_time_s) else "–",
            "sample": event.what,
            "from": str(event.data.get("container") or "–"),
            "to": str(event.data.get("destination") or "–"),
            "point": str(event.data.get("test_point") or "").replace("_", " "),
            "volume": _ml(event.data.get("volume_ul") if is_number(event.data.get("volume_ul")) else None),
        }
        for event in facts.of_kind("sample_taken")
    ]


def calibration_rows(facts: Facts) -> list[dict[str, str]]:
    """Instruments and until when their calibration holds."""
    return [{"name": e.what, "due": str(e.data.get("due") or "–")} for e in facts.of_kind("calibration")]


def grade_rows(facts: Facts) -> list[dict[str, str]]:
    """What the steps required of the room."""
    asked: dict[str, list[str]] = {}
    for event in facts.of_kind("phase_intended"):
        wanted = event.data.get("requires")
        if isinstance(wanted, dict) and wanted.get("grade"):
            text = f"grade {wanted['grade']}, {wanted.get('processing') or 'unstated'} processing"
            asked.setdefault(text, []).append(step_name(str(event.data.get("phase_id") or event.what)))
    return [
        {"required": text, "steps": ", ".join(name.replace("_", " ") for name in dict.fromkeys(steps))}
        for text, steps in asked.items()
    ]


def environment_rows(facts: Facts) -> list[dict[str, str]]:
    """Lowest, mean and highest value of each quantity of the room; empty when the room was not measured."""
    series: dict[tuple[str, str], list[float]] = {}
    for event in facts.of_kind("measurement"):
        name = str(event.data.get("name", event.what))
        of_culture = event.producer.startswith("incubator")
        if event.producer == "enclosure" or (name.startswith(ENVIRONMENT) and not of_culture):
            value: Any = event.data.get("value")
            if is_number(value):
                series.setdefault((name, str(event.data.get("unit") or "")), []).append(float(value))
    return [
        {
            "name": quantity(name)[0],
            "unit": unit,
            "count": str(len(values)),
            "low": number_text(min(values)),
            "mean": number_text(sum(values) / len(values)),
            "high": number_text(max(values)),
        }
        for (name, unit), values in series.items()
    ]


def picture_rows(facts: Facts, folder: Path | None) -> list[dict[str, str]]:
    """Pictures as data: attached ones, only while they are the files that were attached, and those in the record."""
    rows: list[dict[str, str]] = []
    for path, data in registered(facts.events).items():
        if folder is None or data.get("media_type") != "image/png" or len(rows) == MAX_PICTURES:
            continue
        try:
            file = attached_path(folder, path)
            sha256, size = file_hash(file)
        except RecordError as error:
            rows.append({"path": path, "source": "", "text": str(error)})
            continue
        if sha256 != data.get("sha256") or size > MAX_PICTURE_BYTES:
            rows.append({"path": path, "source": "", "text": "not the file that was attached, or too large to print"})
            continue
        encoded = base64.b64encode(file.read_bytes()).decode()
        rows.append({"path": path, "source": f"data:image/png;base64,{encoded}", "text": str(data.get("title") or "")})
    try:
        measured = files(facts.events)
    except RecordError as error:
        return [*rows, {"path": KIND, "source": "", "text": str(error)}]
    for path, (media_type, content) in measured.items():
        if media_type == "image/png" and len(rows) < MAX_PICTURES:
            encoded = base64.b64encode(content).decode()
            rows.append({"path": path, "source": f"data:image/png;base64,{encoded}", "text": "as measured"})
    return rows


def _ml(volume_ul: float | None) -> str:
    return "–" if volume_ul is None else f"{volume_ul / 1000.0:.2f}"
