# SPDX-License-Identifier: Apache-2.0
"""What the tests of one run gave."""

import time
import unittest
from dataclasses import dataclass, field
from typing import Any


@dataclass
class CaseResult:
    """How one test ended."""

    class_name: str
    name: str
    duration_s: float
    outcome: str  # passed | failed | error | skipped
    message: str = ''


class RecordingResult(unittest.TextTestResult):
    """Prints as unittest does, and keeps each test's outcome and duration."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what unittest gives."""
        super().__init__(*args, **kwargs)
        self.cases: list[CaseResult] = []
        self._start_s = time.monotonic()

    def startTest(self, test: unittest.TestCase) -> None:
        """Start the clock."""
        self._start_s = time.monotonic()
        super().startTest(test)

    def _text(self, test: Any, err: Any) -> str:
        # unittest has the last words of a failure and of an error as text already.
        return next((text for known, text in reversed(self.failures + self.errors) if known is test), str(err[1]))

    def _keep(self, test: Any, outcome: str, message: str = '') -> None:
        self.cases.append(
            CaseResult(
                f'{type(test).__module__}.{type(test).__qualname__}',
                getattr(test, '_testMethodName', str(test)),
                time.monotonic() - self._start_s,
                outcome,
                message,
            )
        )

    def addSuccess(self, test: unittest.TestCase) -> None:
        """Keep a success."""
        super().addSuccess(test)
        self._keep(test, 'passed')

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Keep a failure."""
        super().addFailure(test, err)
        self._keep(test, 'failed', self._text(test, err))

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """Keep an error."""
        super().addError(test, err)
        self._keep(test, 'error', self._text(test, err))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """Keep a skip."""
        super().addSkip(test, reason)
        self._keep(test, 'skipped', reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Keep a failure that was expected."""
        super().addExpectedFailure(test, err)
        self._keep(test, 'passed')

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """Keep a success that was not expected."""
        super().addUnexpectedSuccess(test)
        self._keep(test, 'failed', 'unexpected success')

    def addSubTest(self, test: Any, subtest: Any, err: Any | None) -> None:
        """Keep a failed subtest."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._keep(test, 'failed', f'{subtest.id()}\n{self._text(subtest, err)}')


@dataclass
class RunResult:
    """How one run ended."""

    name: str
    cases: list[CaseResult] = field(default_factory=list)
    problem: str = ''  # of the run itself: the system did not come up, or ended early
    skipped: str = ''

    @property
    def ok(self) -> bool:
        """Return whether the run and all its tests succeeded."""
        return not self.problem and all(case.outcome in ('passed', 'skipped') for case in self.cases)

    def report(self) -> str:
        """Return what failed, as text."""
        parts = [f'{self.name}: {self.problem}'] if self.problem else []
        parts += [
            f'{case.class_name}.{case.name}: {case.outcome}\n{case.message}'
            for case in self.cases
            if case.outcome in ('failed', 'error')
        ]
        return '\n'.join(parts)
