# SPDX-License-Identifier: Apache-2.0
"""Who works on which unit: several batches take turns, none is left waiting for ever, and none meets in one unit.

All of a request's units are granted at once or none is. Requests are granted in the order of their coming; a later one
goes first only where it takes nothing that an earlier one would have as soon as the stretches under way are over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from .claim_plan import ClaimPlan, conflict
from .errors import WorkcellError
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
    units: frozenset[str]
    granted: asyncio.Future[None] = field(repr=False)


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
        for other, member in self._members.items():
            for unit in plan.order:
                if unit not in member.plan.order:
                    continue
                free_s = member.release_s(unit)
                if free_s <= now_s and self.holder(unit) != other:
                    continue
                if member.parked:
                    raise UnitOccupied(f"{unit} is occupied by batch {other}, which is held: end or restart it first")
                late_s = free_s + MARGIN_S - (now_s + need_s[unit])
                if need_s[unit] <= 0.0:
                    late_s = max(late_s - MARGIN_S, 0.0)  # it is waited for where it is needed
                if late_s > found[0]:
                    found = (late_s, f"{unit} is not free in time: batch {other} has it")
        return found

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

    async def acquire(self, batch_id: str, units: Collection[str], tell: Callable[[str], None]) -> None:
        """Return when all units are the batch's.

        Args:
            tell: called with whom it waits for, empty when it waits no longer.

        Raises:
            UnitOccupied: one of them belongs to a batch that has ended as held.
        """
        waiter = _Waiter(batch_id, frozenset(units), asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        self._grant()
        if not waiter.granted.done():
            tell(self._waits_for(waiter))
        try:
            await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                self.release(batch_id, units)
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
            busy = {unit for unit in waiter.units if self.holder(unit) not in (None, waiter.batch_id)}
            wanted = {unit for unit in waiter.units if self.holder(unit) != waiter.batch_id}
            if not busy and not wanted & reserved:
                self._queue.remove(waiter)
                for unit in waiter.units:
                    self._take(waiter.batch_id, unit)
                if not waiter.granted.done():
                    waiter.granted.set_result(None)
                continue
            parked = [unit for unit in busy if self._is_parked(unit)]
            if parked and not waiter.granted.done():
                self._queue.remove(waiter)
                names = ", ".join(f"{unit} by batch {self.holder(unit)}" for unit in sorted(parked))
                said = f"occupied by a held batch: {names}; end or restart it first"
                waiter.granted.set_exception(UnitOccupied(said))
            elif not any(self._units.stays(unit) for unit in busy):
                reserved |= waiter.units

    def _is_parked(self, unit: str) -> bool:
        member = self._members.get(self.holder(unit) or "")
        return member is not None and member.parked

    def _waits_for(self, waiter: _Waiter) -> str:
        busy = [f"{u} (batch {self.holder(u)})" for u in sorted(waiter.units) if self.holder(u) != waiter.batch_id]
        return f"waits for {', '.join(busy)}".replace("(batch None)", "(next in the row)")
