# SPDX-License-Identifier: Apache-2.0
"""Count what pytest's JUnit reports say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True)
class Tally:
    """Numbers of tests by outcome, and the names of those skipped with their reasons."""

    passed: int = 0
    failed: int = 0
    skipped: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """All of them."""
        return self.passed + self.failed + len(self.skipped)

    def __add__(self, other: Tally) -> Tally:
        """The sum of both."""
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def read_report(path: Path) -> Tally:
    """The outcome of one run; an expected failure counts as passed, an error in a fixture as failed.

    Raises:
        xml.etree.ElementTree.ParseError: the file is no XML, as when pytest was killed while writing it.
    """
    passed = failed = 0
    skipped = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is not None and skip.get("type") != "pytest.xfail":
            skipped.append(f"{case.get('name')} ({skip.get('message', '')})")
        else:
            passed += 1
    return Tally(passed, failed, tuple(skipped))
