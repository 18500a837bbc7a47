# SPDX-License-Identifier: Apache-2.0
"""Errors of the process layer: each says what failed and what to do."""

from __future__ import annotations


class WorkcellError(Exception):
    """Base of all errors that the workcell raises on purpose."""


class UnknownValueError(WorkcellError):
    """An expression or decision touched an unknown (NaN, empty, missing) value."""


class PhaseError(WorkcellError):
    """A phase cannot reach its goal: the service aborts it with this code.

    Args:
        code: error code in the module's range, see `docs/architecture.md`.
        message: what failed, with value and limit, and what to do.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = int(code)


class PhaseHold(WorkcellError):
    """A phase must not go on before somebody has looked: the service alarms, makes safe and holds.

    Args:
        alarm_id: key of the rationalised alarm table.
        message: what was seen, with value and limit.
    """

    def __init__(self, alarm_id: str, message: str) -> None:
        super().__init__(message)
        self.alarm_id = alarm_id
