# SPDX-License-Identifier: Apache-2.0
"""What is said of a batch record at its head and in the list: the people's decision, else what the program found."""

from __future__ import annotations

from collections.abc import Sequence

from . import french_names
from .language import later, named, tr

FINDINGS = {
    "meets_provisionally": later("Meets its specification, provisionally"),
    "meets": later("Meets its specification"),
    "rejected": later("Does not meet its specification"),
    "held": later("Held: a decision is wanted"),
    "incomplete": later("Incomplete: no verdict yet"),
}
"""Verdicts of the review, as `records.review.VERDICTS` says them."""
DECISIONS = {
    "unsigned": later("Nobody has signed yet; awaiting the responsible pharmacist"),
    "performed": later("Performed, to be verified"),
    "verified": later("Verified, to be approved"),
    "approved": later("Approved, awaiting the responsible pharmacist"),
    "released_provisionally": later("Released provisionally"),
    "released": later("Released"),
    "rejected": later("Rejected"),
    "supplied": later("Supplied without certification, out of specification"),
}
"""Where people's decision stands, as `records.disposition.STATES` says it."""
_GRADE_MARK = {"critical": "■", "major": "▲", "minor": "▼"}
_DECIDED = {"released_provisionally", "released", "rejected", "supplied"}
_QUIET = {"released_provisionally", "released"}


def heading(verdict: str, state: str) -> str:
    """Return the one line for a record: what people have decided, before that what the program finds."""
    return tr(DECISIONS[state]) if state in _DECIDED else tr(FINDINGS[verdict])


def beside(verdict: str, state: str, outdated: bool) -> str:
    """Return what stands under the heading: the other of the two, and whether rows came after the signature."""
    other = tr(FINDINGS[verdict]) if state in _DECIDED else tr(DECISIONS[state])
    return f"{other}; {tr('the record has grown since it was signed')}" if outdated else other


def is_quiet(verdict: str, state: str, outdated: bool) -> bool:
    """Return whether nothing about a record strikes the eye: it meets, and nobody has decided otherwise."""
    return verdict.startswith("meets") and (state not in _DECIDED or state in _QUIET) and not outdated


def exception_row(row: Sequence[str]) -> tuple[str, ...]:
    """Return a line of what is not routine as it is shown: grade with its mark, kind, then what is on record."""
    grade, kind, *rest = row
    shown = named(french_names.GRADES, grade, grade)
    return (f"{_GRADE_MARK.get(grade, '')} {shown}", named(french_names.EXCEPTIONS, kind, kind), *rest)


def test_row(row: Sequence[str]) -> tuple[str, ...]:
    """Return a line of the release tests as it is shown: what is on record, then the verdict."""
    *rest, verdict = row
    return (*rest, named(french_names.VERDICTS, verdict, verdict))
