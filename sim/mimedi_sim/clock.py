# SPDX-License-Identifier: Apache-2.0
"""Who may let simulated time pass, and how far: conservative time management without ROS.

The rule is that of conservative parallel simulation (Chandy and Misra 1979; the time advance request of IEEE 1516.1):
time goes on to the earliest wake-up that anybody has asked for, and only when nobody is busy and no message between
participants is in flight. Messages are counted by tokens `sender>receiver:what`, owed by the sender and taken by the
receiver.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

LOST_AFTER_S = 8.0
"""Steady time [s] without a sign of life after a grant, from which a participant counts as lost; so long is one waited
for, too, that is expected and has never been heard of when time is first wanted."""

PLANT = "plant"
"""Name of the keeper of time itself as a sender of messages (images, laboratory results)."""

PERSON = "person"
"""Receiver of a question: in flight until it is answered, which counts at full speed only; at any other speed people
live in the time that whoever chose it wants to pass."""

EARLY_TAKEN = 1000
"""Messages remembered as taken whose sender has not spoken yet; more than ever are in flight."""

SLICE_S = 0.5
"""Steady time [s] between grants while time is bound to the wall clock and nobody wants to wake."""


def parse_speed(text: str) -> float:
    """Return a speed: inf for "max", else a positive factor; raises ValueError saying what is allowed."""
    if text == "max":
        return math.inf
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0.0 < factor < math.inf:
        raise ValueError(f"speed is {text!r}; allowed: max, or a factor above 0 such as 1 or 3600")
    return factor


@dataclass(frozen=True)
class Grant:
    """One step of time: its number (from 1) and the process time [s] that is granted."""

    number: int
    time_s: float


@dataclass
class _Participant:
    session: str
    grant: int
    wake_s: float
    heard_s: float
    lost: bool = False
    held: bool = False


def token(sender: str, receiver: str, what: str) -> str:
    """Return the name of a message in flight."""
    return f"{sender}>{receiver}:{what}"


def _ends(name: str) -> tuple[str, str]:
    sender, _, rest = name.partition(">")
    return sender, rest.partition(":")[0]


@dataclass
class TimeKeeper:
    """Decides the next grant from what the participants ask.

    Args:
        start_s: process time [s] at the start.
        speed: largest ratio of process time to steady time; `math.inf` for as fast as possible.
        expected: participants that must have registered before time runs faster than ×1.
    """

    start_s: float = 0.0
    speed: float = math.inf
    expected: frozenset[str] = frozenset()
    paused: bool = False
    run_until_s: float = math.inf
    _participants: dict[str, _Participant] = field(default_factory=dict, init=False)
    _came: set[str] = field(default_factory=set, init=False)
    _owed: dict[str, None] = field(default_factory=dict, init=False)
    _taken: dict[str, None] = field(default_factory=dict, init=False)
    _grant: Grant = field(init=False)
    _anchor_s: float = field(default=math.nan, init=False)
    _granted_s: float = field(default=-math.inf, init=False)
    _awaited_since_s: float = field(default=math.nan, init=False)

    def __post_init__(self) -> None:
        self._grant = Grant(1, self.start_s)

    @property
    def last(self) -> Grant:
        """The last grant."""
        return self._grant

    def lost(self) -> list[str]:
        """Return the participants that have stopped answering, and those expected that never came."""
        return sorted(n for n, p in self._participants.items() if p.lost) + self._missing()

    def _missing(self) -> list[str]:
        return [name for name in sorted(self.expected) if name not in self._participants]

    def waiting_for(self) -> list[str]:
        """Return what holds time now, in words; for people who wonder why it stands."""
        number = self._grant.number
        busy = [f"{n} is busy" for n, p in self._participants.items() if not p.lost and p.grant < number]
        busy += [f"{n} has not come yet" for n in self._missing()]
        return busy + [f"message {t} is in flight" for t in sorted(self._owed)]

    def request(
        self,
        participant: str,
        session: str,
        grant: int,
        wake_s: float,
        now_s: float,
        owed: Iterable[str] = (),
        taken: Iterable[str] = (),
        *,
        busy: bool = False,
        leaving: bool = False,
        held: bool = False,
    ) -> None:
        """Take one TimeRequest, received at steady time `now_s` [s].

        Raises:
            ValueError: `wake_s` is NaN, or the grant is one that was never given.
        """
        if math.isnan(wake_s):
            raise ValueError(f"{participant}: wake_s is NaN; allowed: a process time or inf")
        if grant > self._grant.number:
            raise ValueError(f"{participant}: grant {grant} was never given; last is {self._grant.number}")
        known = self._participants.get(participant)
        if leaving or (known is not None and known.session != session):
            self._forget_tokens(participant)
        if leaving:
            self._participants.pop(participant, None)
            return
        if busy:
            grant = min(grant, self._grant.number - 1)
        self._came.add(participant)
        self._participants[participant] = _Participant(session, grant, wake_s, now_s, held=held)
        for name in owed:
            self._note_owed(name)
        for name in taken:
            self._note_taken(name)

    def _note_owed(self, name: str) -> None:
        if name in self._taken:  # the receiver's request came first
            del self._taken[name]
        else:
            self._owed[name] = None

    def _note_taken(self, name: str) -> None:
        if name in self._owed:
            del self._owed[name]
            return
        self._taken[name] = None
        while len(self._taken) > EARLY_TAKEN:
            del self._taken[next(iter(self._taken))]

    def owe(self, name: str) -> bool:
        """Note a message of the plant itself in flight; False when its receiver is not registered."""
        if _ends(name)[1] not in self._participants:
            return False
        self._note_owed(name)
        return True

    def settle(self, name: str) -> None:
        """Forget a message that was lost or refused."""
        self._owed.pop(name, None)

    def plan(self, now_s: float, plant_event_s: float = math.inf) -> tuple[Grant | None, float]:
        """Return the next grant, or None and the steady delay [s] after which to ask again (inf: after a request).

        Args:
            now_s: steady time [s].
            plant_event_s: process time [s] of the plant's own next event that others must see.
        """
        if math.isnan(self._anchor_s):
            self._anchor_s = now_s
        if self.paused:
            self._anchor_s = now_s
            return None, math.inf
        patience_s = self._mark_lost(now_s)
        wakes_s = [p.wake_s for p in self._participants.values() if not p.lost]
        target_s = min([*wakes_s, plant_event_s], default=math.inf)
        awaited_s = self._await_missing(now_s, wanted=bool(self._owed) or not math.isinf(min(self.speed, target_s)))
        busy = any(not p.lost and p.grant < self._grant.number for p in self._participants.values())
        if busy or awaited_s > 0.0 or self._in_flight():
            # Time that stood for work is not made up for later: at most a tenth of a second is.
            self._anchor_s = max(self._anchor_s, now_s - 0.1)
            return None, min(patience_s, awaited_s or math.inf)
        return self._step(now_s, target_s)

    def _await_missing(self, now_s: float, *, wanted: bool) -> float:
        """Return for how long [s] of steady time those are still waited for who are expected and never came.

        Their first word may be lost while the nodes still discover each other: they are asked for it (`lost`), and
        what is sent to them meanwhile must not see time pass.
        """
        if not wanted or self.expected <= self._came or any(p.held for p in self._participants.values()):
            return 0.0
        if math.isnan(self._awaited_since_s):
            self._awaited_since_s = now_s
        return max(0.0, LOST_AFTER_S - (now_s - self._awaited_since_s))

    def _step(self, now_s: float, target_s: float) -> tuple[Grant | None, float]:
        slow = bool(self.lost()) and not any(p.held for p in self._participants.values())
        speed = min(self.speed, 1.0) if slow else self.speed
        target_s = min(target_s, self.run_until_s)
        if self._grant.time_s >= self.run_until_s:
            self._anchor_s = now_s
            return None, math.inf
        if math.isinf(self.speed) and math.isinf(target_s):
            # As fast as possible to the next event; without one there is nothing to hurry to, and time stands.
            return None, math.inf
        if math.isinf(speed):
            return self._give(target_s, now_s), 0.0
        slice_s = self._grant.time_s + SLICE_S * speed
        if slice_s < target_s:
            target_s = slice_s
        due_s = self._anchor_s + (target_s - self._grant.time_s) / speed
        if now_s < due_s:
            return None, due_s - now_s
        return self._give(target_s, max(due_s, now_s - 0.1)), 0.0

    def _give(self, time_s: float, anchor_s: float) -> Grant:
        self._grant = Grant(self._grant.number + 1, max(time_s, self._grant.time_s))
        self._granted_s = self._anchor_s = anchor_s
        return self._grant

    def _in_flight(self) -> bool:
        known = {name for name, p in self._participants.items() if not p.lost} | {PLANT}
        if math.isinf(self.speed):
            known.add(PERSON)
        return any(receiver in known and sender in known for sender, receiver in map(_ends, self._owed))

    def _mark_lost(self, now_s: float) -> float:
        patience_s = math.inf
        for name, p in self._participants.items():
            if p.lost or p.grant >= self._grant.number:
                continue
            waited_s = now_s - max(p.heard_s, self._granted_s)
            if waited_s >= LOST_AFTER_S:
                p.lost = True
                self._forget_tokens(name)
            else:
                patience_s = min(patience_s, LOST_AFTER_S - waited_s)
        return patience_s

    def _forget_tokens(self, participant: str) -> None:
        for name in [t for t in self._owed if participant in _ends(t)]:
            del self._owed[name]
