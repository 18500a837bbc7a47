# SPDX-License-Identifier: Apache-2.0
"""What the verification of a record found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["intact", "altered", "unverifiable"]

MAX_ROWS_NAMED = 20
"""Altered rows that are named one by one; the rest are counted."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was written.

    Args:
        code: what kind of finding.
        message: what is wrong, and where.
        row: number of the row concerned, 0 when it concerns none.
    """

    code: str
    message: str
    row: int = 0


@dataclass
class VerifyReport:
    """What the verification of one run found."""

    batch_id: str
    rows: int = 0
    heads: int = 0
    attachments: int = 0
    signatures: int = 0
    head_hash: str = ""
    head_wall_time: str = ""
    key_id: str = ""
    findings: list[Finding] = field(default_factory=list)
    """What was altered; empty when nothing was."""
    missing: list[str] = field(default_factory=list)
    """What is needed to tell and is not there."""
    notes: list[str] = field(default_factory=list)
    """What is worth knowing and no alteration."""

    @property
    def verdict(self) -> Verdict:
        """`altered` when anything was found, `unverifiable` when something to compare with is missing."""
        if self.findings:
            return "altered"
        return "unverifiable" if self.missing else "intact"

    def find(self, code: str, message: str, row: int = 0) -> None:
        """Add a finding."""
        self.findings.append(Finding(code, message, row))

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-able values."""
        return {"verdict": self.verdict, **vars(self), "findings": [vars(finding) for finding in self.findings]}
