# SPDX-License-Identifier: Apache-2.0
"""The nine states of an alarm, moved by one table.

Source: ANSI/ISA-18.2-2016, state transition diagram; letters A to I there are the values 0 to 8 here.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import WorkcellError
from .table import AlarmEntry


class AlarmError(WorkcellError):
    """An act on an alarm that its state does not allow; says what is allowed."""


class AlarmState(enum.IntEnum):
    """States of an alarm, numbered as in mimedi_msgs/Alarm."""

    NORMAL = 0
    UNACKNOWLEDGED = 1
    ACKNOWLEDGED = 2
    RETURNED_UNACKNOWLEDGED = 3
    LATCHED_UNACKNOWLEDGED = 4
    LATCHED_ACKNOWLEDGED = 5
    SHELVED = 6
    SUPPRESSED_BY_DESIGN = 7
    OUT_OF_SERVICE = 8


ACKNOWLEDGEABLE = frozenset(
    {AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED, AlarmState.LATCHED_UNACKNOWLEDGED}
)
"""States that wait for a person."""


class AlarmAct(enum.Enum):
    """What moves an alarm: the process raises and clears, people and design do the rest."""

    RAISE = "raise"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    REMOVE = "remove"
    RESTORE = "restore"


_S, _A = AlarmState, AlarmAct

TRANSITIONS: Mapping[tuple[AlarmState, AlarmAct], tuple[AlarmState, AlarmState]] = {
    (_S.NORMAL, _A.RAISE): (_S.UNACKNOWLEDGED, _S.UNACKNOWLEDGED),
    (_S.NORMAL, _A.CLEAR): (_S.NORMAL, _S.NORMAL),
    (_S.UNACKNOWLEDGED, _A.RAISE): (_S.UNACKNOWLEDGED, _S.UNACKNOWLEDGED),
    (_S.UNACKNOWLEDGED, _A.CLEAR): (_S.RETURNED_UNACKNOWLEDGED, _S.LATCHED_UNACKNOWLEDGED),
    (_S.UNACKNOWLEDGED, _A.ACKNOWLEDGE): (_S.ACKNOWLEDGED, _S.ACKNOWLEDGED),
    (_S.ACKNOWLEDGED, _A.RAISE): (_S.ACKNOWLEDGED, _S.ACKNOWLEDGED),
    (_S.ACKNOWLEDGED, _A.CLEAR): (_S.NORMAL, _S.LATCHED_ACKNOWLEDGED),
    (_S.RETURNED_UNACKNOWLEDGED, _A.RAISE): (_S.UNACKNOWLEDGED, _S.UNACKNOWLEDGED),
    (_S.RETURNED_UNACKNOWLEDGED, _A.CLEAR): (_S.RETURNED_UNACKNOWLEDGED, _S.RETURNED_UNACKNOWLEDGED),
    (_S.RETURNED_UNACKNOWLEDGED, _A.ACKNOWLEDGE): (_S.NORMAL, _S.NORMAL),
    (_S.LATCHED_UNACKNOWLEDGED, _A.RAISE): (_S.UNACKNOWLEDGED, _S.UNACKNOWLEDGED),
    (_S.LATCHED_UNACKNOWLEDGED, _A.CLEAR): (_S.LATCHED_UNACKNOWLEDGED, _S.LATCHED_UNACKNOWLEDGED),
    (_S.LATCHED_UNACKNOWLEDGED, _A.ACKNOWLEDGE): (_S.LATCHED_ACKNOWLEDGED, _S.LATCHED_ACKNOWLEDGED),
    (_S.LATCHED_ACKNOWLEDGED, _A.RAISE): (_S.UNACKNOWLEDGED, _S.UNACKNOWLEDGED),
    (_S.LATCHED_ACKNOWLEDGED, _A.CLEAR): (_S.LATCHED_ACKNOWLEDGED, _S.LATCHED_ACKNOWLEDGED),
    (_S.LATCHED_ACKNOWLEDGED, _A.RESET): (_S.NORMAL, _S.NORMAL),
}
"""State and act → next state of an alarm that does not latch, and of one that does; the visible six states."""

HIDING: Mapping[AlarmAct, tuple[AlarmAct, AlarmState]] = {
    AlarmAct.SHELVE: (AlarmAct.UNSHELVE, AlarmState.SHELVED),
    AlarmAct.SUPPRESS: (AlarmAct.UNSUPPRESS, AlarmState.SUPPRESSED_BY_DESIGN),
    AlarmAct.REMOVE: (AlarmAct.RESTORE, AlarmState.OUT_OF_SERVICE),
}
"""Act that hides an alarm → act that shows it again, state meanwhile.

A hidden alarm goes on moving underneath, so that what happened is seen when it comes back.
"""

CAUSE_STANDS = (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED)

HIDDEN = {state: (hide, show) for hide, (show, state) in HIDING.items()}


def next_state(state: AlarmState, act: AlarmAct, latched: bool) -> AlarmState:
    """Return the next of the six visible states; raises AlarmError naming the acts that are allowed."""
    try:
        return TRANSITIONS[state, act][int(latched)]
    except KeyError:
        allowed = sorted(a.value for s, a in TRANSITIONS if s == state and a not in (AlarmAct.RAISE, AlarmAct.CLEAR))
        allowed += [hide.value for hide in HIDING]
        raise AlarmError(f"an alarm that is {state.name} cannot {act.value}; allowed: {', '.join(allowed)}") from None


@dataclass
class Alarm:
    """One alarm of one source.

    Args:
        alarm_id: key of the rationalised table.
        source: module or component that raised it.
        entry: its entry in the table.
        state: ISA-18.2 state.
        message: what was seen last, with value and limit.
        changed_s: process time of the last change of state [s]; NaN when it was not known.
        beneath: state that it has while it is hidden; the same as `state` otherwise.
        until_s: process time at which a shelved alarm comes back [s]; infinite when it is not shelved.
    """

    alarm_id: str
    source: str
    entry: AlarmEntry
    state: AlarmState = AlarmState.NORMAL
    message: str = ""
    changed_s: float = math.nan
    beneath: AlarmState = AlarmState.NORMAL
    until_s: float = math.inf

    def act(self, act: AlarmAct, time_s: float) -> bool:
        """Carry an act out at process time `time_s` [s]; return whether the state shown changed.

        Raises:
            AlarmError: the state does not allow it.
        """
        before = self.state
        if act in HIDING:
            self._hide(act)
        elif self.state in HIDDEN:
            self._act_hidden(act)
        else:
            self.state = self.beneath = next_state(self.state, act, self.entry.latched)
        if self.state != before:
            self.changed_s = time_s
        return self.state != before

    def _hide(self, act: AlarmAct) -> None:
        if self.state in HIDDEN:
            raise AlarmError(
                f"an alarm that is {self.state.name} cannot {act.value}; allowed: {HIDDEN[self.state][1].value}"
            )
        self.state = HIDING[act][1]

    def _act_hidden(self, act: AlarmAct) -> None:
        show = HIDDEN[self.state][1]
        if act == show:
            self.state = self.beneath
            self.until_s = math.inf
        elif act in (AlarmAct.RAISE, AlarmAct.CLEAR):
            self.beneath = next_state(self.beneath, act, self.entry.latched)
        else:
            raise AlarmError(f"an alarm that is {self.state.name} cannot {act.value}; allowed: {show.value}")
