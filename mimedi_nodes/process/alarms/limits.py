# SPDX-License-Identifier: Apache-2.0
"""Alarm limits with a deadband: a value that hovers at its limit raises one alarm, not a hundred.

Source: ANSI/ISA-18.2-2016, deadband: the limit at which an alarm clears lies within the one at which it is raised.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Limits:
    """Which of a source's limits are exceeded now.

    Args:
        exceeded: their names; the list is kept and changed, so that it can be part of a checkpoint.
    """

    exceeded: list[str] = field(default_factory=list)

    def high(self, name: str, value: float, limit: float, deadband: float) -> bool:
        """Return whether the alarm stands: raised above `limit`, cleared at `limit - deadband` and below.

        An unknown value (NaN) changes nothing: it is another alarm's matter. Raises ValueError for a negative deadband.
        """
        return self._take(name, value > limit, value <= limit - _checked(deadband))

    def low(self, name: str, value: float, limit: float, deadband: float) -> bool:
        """Return whether the alarm stands: raised below `limit`, cleared at `limit + deadband` and above."""
        return self._take(name, value < limit, value >= limit + _checked(deadband))

    def _take(self, name: str, raises: bool, clears: bool) -> bool:
        if raises and name not in self.exceeded:
            self.exceeded.append(name)
        elif clears and name in self.exceeded:
            self.exceeded.remove(name)
        return name in self.exceeded


def _checked(deadband: float) -> float:
    if not deadband >= 0.0:
        raise ValueError(f"deadband is {deadband}; allowed: 0 and above")
    return deadband
