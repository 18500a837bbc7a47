# SPDX-License-Identifier: Apache-2.0
"""Who works on which unit: several batches take turns, none is left waiting for ever, and none meets in one unit.

What is asked for is a class of units that can stand for each other, mostly of one; what is granted is a unit of it.

All of a request's units are granted at once or none is. Requests are granted in the order of their coming; a later one
goes first only where it takes nothing that an earlier one would have as soon as the stretches under way are over.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ..errors import WorkcellError
from .claim_plan import ClaimPlan, conflict
from .units import NO_UNITS, Units

MARGIN_S = 12 * 3600.0
"""A batch begins when it expects to need each staying unit this much later [s] than its holder expects to leave it:
forecasts of cultures are wrong by hours, and the holder's harvest keeps the shared units for half a day."""


class UnitOccupied(WorkcellError):
    """A unit is held by a batch that has ended as held: nobody knows when it will be free."""


@dataclass
class _Member:
    plan: ClaimPlan
    release_s: Callable[[str], float]
    parked: bool = False


@dataclass
class _Waiter:
    batch_id: str
    classes: frozenset[str]
    rank: Callable[[str], int]
    granted: asyncio.Future[dict[str, str]] = field(repr=False)


class Arbiter:
    """Grants units to batches; lives in one asyncio loop.

    Args:
        units: which of them stay with a batch.
    """

    def __init__(self, units: Units = NO_UNITS) -> None:
        self._units = units
        self._members: dict[str, _Member] = {}
        self._holders: dict[str, tuple[str, int]] = {}
        self._queue: list[_Waiter] = []
        self._arrivals: list[str] = []
        self._news = asyncio.Event()
        self.enclosure_turn = asyncio.Lock()
        """Every batch has the room verified when it needs it, which no recipe plans: they take turns."""

    def holder(self, unit: str) -> str | None:
        """Return the batch that a unit is granted to."""
        held = self._holders.get(unit)
        return held[0] if held else None

    def held_by(self, batch_id: str) -> frozenset[str]:
        """Return the units that a batch holds."""
        return frozenset(unit for unit, (holder, _) in self._holders.items() if holder == batch_id)

    # -- batches ----------------------------------------------------------------------------------------

    def arrive(self, batch_id: str) -> None:
        """Put a batch into the row of those that wait for their beginning."""
        if batch_id not in self._arrivals and batch_id not in self._members:
            self._arrivals.append(batch_id)

    def obstacle(self, batch_id: str, plan: ClaimPlan, need_s: Mapping[str, float], now_s: float) -> tuple[float, str]:
        """Return how long [s] a batch must at least not begin yet, and why; (0, "") when it may begin.

        Args:
            need_s: staying unit → in how much process time [s] the batch expects to need it.
            now_s: process time [s].
        """
        if self._arrivals and self._arrivals[0] != batch_id and batch_id in self._arrivals:
            return MARGIN_S, f"batch {self._arrivals[0]} has come before"
        circle = conflict([plan, *(member.plan for member in self._members.values())])
        if circle:
            return MARGIN_S, f"the batches in production would wait for each other: {' → '.join(circle)}"
        found = (0.0, "")
        for name in plan.order:
            late = sorted(self._leaving(batch_id, name, need_s[name], now_s), reverse=True)
            units = self._alike(name)
            if len(late) < len(units):
                continue
            parked = [other for _, other in late if self._members[other].parked]
            if len(parked) >= len(units):
                held = " and ".join(parked)
                raise UnitOccupied(f"{name} is occupied by batch {held}, which is held: end or restart it first")
            # With n units the batch needs all but n - 1 of the others to have left.
            late_s, other = late[len(units) - 1]
            if late_s > found[0]:
                found = (late_s, f"{name} is not free in time: batch {other} has it")
        return found

    def _leaving(self, batch_id: str, name: str, need_s: float, now_s: float) -> Iterable[tuple[float, str]]:
        """Yield by how much [s] each other batch leaves a class's unit after it is needed, and which batch that is."""
        for other, member in self._members.items():
            if other == batch_id or name not in member.plan.order:
                continue
            free_s = member.release_s(name)
            if free_s <= now_s and other not in {self.holder(unit) for unit in self._alike(name)}:
                continue
            late_s = math.inf if member.parked else free_s + MARGIN_S - (now_s + need_s)
            if need_s <= 0.0:
                late_s = max(late_s - MARGIN_S, 0.0)  # it is waited for where it is needed
            yield late_s, other

    def _alike(self, name: str) -> tuple[str, ...]:
        return tuple(unit.name for unit in self._units.of_class(name)) or (name,)

    def admit(self, batch_id: str, plan: ClaimPlan, release_s: Callable[[str], float]) -> None:
        """Take a batch into production.

        Args:
            release_s: tells when [s of process time] it expects to leave a staying unit; the past when it has left it.
        """
        if batch_id in self._arrivals:
            self._arrivals.remove(batch_id)
        self._members[batch_id] = _Member(plan, release_s)
        self._changed()

    def park(self, batch_id: str) -> None:
        """Note that a batch has ended as held: its units stay occupied, and who needs them is told so."""
        if batch_id in self._arrivals:
            self._arrivals.remove(batch_id)
        if batch_id in self._members:
            self._members[batch_id].parked = True
        self._changed()

    def leave(self, batch_id: str) -> None:
        """Give back everything that a batch has: it has ended."""
        if batch_id in self._arrivals:
            self._arrivals.remove(batch_id)
        self._members.pop(batch_id, None)
        for unit in self.held_by(batch_id):
            del self._holders[unit]
        self._changed()

    def tell_news(self) -> None:
        """Have those who wait for their beginning look again."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Return when anything has changed that a waiting batch may want to hear of."""
        await self._news.wait()

    # -- units ------------------------------------------------------------------------------------------

    def restore(self, batch_id: str, units: Collection[str]) -> None:
        """Give units back to the batch that held them when the coordinator died.

        Raises:
            UnitOccupied: two journals claim one unit.
        """
        for unit in units:
            other = self.holder(unit)
            if other not in (None, batch_id):
                raise UnitOccupied(f"{unit} is claimed by batch {other} and by batch {batch_id}; look at the unit")
            self._take(batch_id, unit)

    async def acquire(
        self, batch_id: str, classes: Collection[str], tell: Callable[[str], None],
        rank: Callable[[str], int] = lambda unit: 0,
    ) -> dict[str, str]:
        """Return, when a unit of each class is the batch's, which one: class → unit.

        Args:
            tell: called with whom it waits for, empty when it waits no longer.
            rank: of the free units of a class the one of the lowest rank is taken.

        Raises:
            UnitOccupied: all units of one of them belong to batches that have ended as held.
        """
        granted: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(batch_id, frozenset(classes), rank, granted)
        self._queue.append(waiter)
        self._grant()
        if not granted.done():
            tell(self._waits_for(waiter))
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self.release(batch_id, granted.result().values())
            raise
        finally:
            if waiter in self._queue:
                self._queue.remove(waiter)
            tell("")

    def release(self, batch_id: str, units: Collection[str]) -> None:
        """Give units back; those that the batch holds for another stretch as well stay its own."""
        for unit in units:
            holder, count = self._holders.get(unit, ("", 0))
            if holder != batch_id:
                continue
            if count > 1:
                self._holders[unit] = (batch_id, count - 1)
            else:
                del self._holders[unit]
        self._changed()

    def _take(self, batch_id: str, unit: str) -> None:
        self._holders[unit] = (batch_id, self._holders.get(unit, (batch_id, 0))[1] + 1)

    def _changed(self) -> None:
        self._grant()
        self.tell_news()

    def _grant(self) -> None:
        reserved: set[str] = set()
        for waiter in list(self._queue):
            choice = {name: self._choice(waiter, name) for name in waiter.classes}
            busy = [name for name, unit in choice.items() if unit is None]
            wanted = {name for name, unit in choice.items() if unit is None or self.holder(unit) != waiter.batch_id}
            if not busy and not wanted & reserved:
                self._queue.remove(waiter)
                taken = {name: unit for name, unit in choice.items() if unit is not None}
                for unit in taken.values():
                    self._take(waiter.batch_id, unit)
                if not waiter.granted.done():
                    waiter.granted.set_result(taken)
                continue
            parked = [name for name in busy if all(self._is_parked(unit) for unit in self._alike(name))]
            if parked and not waiter.granted.done():
                self._queue.remove(waiter)
                held = [f"{unit} by batch {self.holder(unit)}" for name in sorted(parked) for unit in self._alike(name)]
                said = f"occupied by a held batch: {', '.join(held)}; end or restart it first"
                waiter.granted.set_exception(UnitOccupied(said))
            elif not any(self._units.stays(name) for name in busy):
                reserved |= waiter.classes

    def _choice(self, waiter: _Waiter, name: str) -> str | None:
        """Return the unit of a class that a waiting batch would get now: its own, then the best free one."""
        alike = self._alike(name)
        own = [unit for unit in alike if self.holder(unit) == waiter.batch_id]
        free = sorted((unit for unit in alike if self.holder(unit) is None), key=waiter.rank)
        return next(iter([*own, *free]), None)

    def _is_parked(self, unit: str) -> bool:
        member = self._members.get(self.holder(unit) or "")
        return member is not None and member.parked

    def _waits_for(self, waiter: _Waiter) -> str:
        busy = [
            f"{name} (batch {' or '.join(str(self.holder(unit)) for unit in self._alike(name))})"
            for name in sorted(waiter.classes)
            if waiter.batch_id not in {self.holder(unit) for unit in self._alike(name)}
        ]
        return f"waits for {', '.join(busy)}".replace("(batch None)", "(next in the row)")
