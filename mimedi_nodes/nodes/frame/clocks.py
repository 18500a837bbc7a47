# SPDX-License-Identifier: Apache-2.0
"""Process time in a node: the system's ROS time on hardware, the plant's grants in simulation."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import time
import uuid
from collections.abc import Callable

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from mimedi_msgs.msg import TimeGrant, TimeRequest

from ...process.clock_watch import ClockWatch
from . import qos
from .event_loop import LoopThread

KEEPALIVE_S = 1.0
"""Steady time [s] between signs of life of a participant that has long work to do at one instant."""
CATCH_UP_S = 1.0
"""Longest steady time [s] that a message waits for the grant that came before it."""
STAMP_S = 1e-6
"""Process time [s] by which a stamp may lie after the time it was made of: it counts nanoseconds, and is rounded."""


class NodeClock:
    """A ProcessClock in a node's loop thread, that also counts messages between participants.

    On hardware the counting does nothing.
    """

    def now_s(self) -> float:
        """Return the process time [s]."""
        raise NotImplementedError

    async def sleep_until(self, time_s: float) -> None:
        """Return once process time has reached `time_s` [s]."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Return when process time is valid."""

    async def catch_up(self, time_s: float) -> None:
        """Return when a time [s] has come that somebody else has seen already, or after a second of steady time."""

    async def settle(self) -> None:
        """Return when `now_s` is what it is for everybody: before acting on what came from outside simulated time.

        A node that waits has let time pass; a newer time may be on its way while a person's command is already here.
        """

    def owe(self, receiver: str, what: str) -> None:
        """Tell that a message to `receiver` is under way."""

    def take(self, sender: str, what: str) -> None:
        """Tell that a message from `sender` has been taken."""

    def ask(self, what: str) -> None:
        """Tell that a person is asked: time that is as fast as possible waits for the answer."""

    def answered(self, what: str) -> None:
        """Tell that a person has answered, or is asked no more."""

    def declare_held(self, held: bool) -> None:
        """Tell that the batch is held, so that time need not wait for lost participants."""

    def hold(self) -> None:
        """Work outside the loop has begun: time must not pass (called in the loop)."""

    def release(self) -> None:
        """Work outside the loop has ended (called in the loop)."""

    def jumped_s(self) -> float:
        """Return by how much process time was set since the last call [s]; 0 where nobody can set it."""
        return 0.0

    def close(self) -> None:
        """Leave; time no longer waits for this participant."""


class SystemClock(NodeClock):
    """Process time on hardware: ROS system time, slept in slices so that a step of the system clock is followed."""

    SLICE_S = 10.0

    def __init__(self) -> None:
        self._clock = Clock(clock_type=ClockType.SYSTEM_TIME)
        self._watch = ClockWatch()

    def now_s(self) -> float:
        return self._clock.now().nanoseconds * 1e-9

    def jumped_s(self) -> float:
        return self._watch.look(self.now_s(), time.monotonic())

    async def sleep_until(self, time_s: float) -> None:
        while (left_s := time_s - self.now_s()) > 0.0:  # noqa: ASYNC110 - the system clock may step, no event tells
            await asyncio.sleep(min(left_s, self.SLICE_S))


PERSON = "person"
"""Receiver of a question, as the keeper of simulated time knows it."""


class GrantClock(NodeClock):
    """Process time granted by the plant.

    Asks for its next wake-up whenever the loop has nothing left to do, so that time cannot pass under running work.
    Work outside the loop (a serial transaction in its worker thread, say) is marked with `hold` and `release`.
    """

    def __init__(self, node: Node, loop: LoopThread, participant: str) -> None:
        self._loop = loop
        self._participant = participant
        self._session = uuid.uuid4().hex
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._grant = 0
        self._now_s = math.nan
        self._holds = 0
        self._owed: list[str] = []
        self._taken: list[str] = []
        self._held = False
        self._sent: tuple[object, ...] = ()
        self._settling: list[asyncio.Future[None]] = []
        self._sequence = 0
        self._valid = asyncio.Event()
        self._keepalive: asyncio.TimerHandle | None = None
        self._publisher = node.create_publisher(TimeRequest, "sim/time_request", qos.EVENT)
        self._subscription = node.create_subscription(
            TimeGrant,
            "sim/time_grant",
            lambda m: loop.call(self._on_grant, m.number, m.time_s, participant in m.lost),
            qos.TIME,
            # A service callback that awaits the phases must not keep time from them.
            callback_group=ReentrantCallbackGroup(),
        )
        loop.set_on_idle(self._on_idle)

    def now_s(self) -> float:
        return self._now_s

    async def ready(self) -> None:
        await self._valid.wait()

    async def sleep_until(self, time_s: float) -> None:
        if not time_s > self._now_s:
            return
        future = self._loop.loop.create_future()
        heapq.heappush(self._sleepers, (time_s, next(self._order), future))
        await future

    async def catch_up(self, time_s: float) -> None:
        # A grant and a message that followed from it come by different ways: the message may be first. It may also
        # be an order to hold, from a life of the plant that is over.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                await self.sleep_until(time_s - STAMP_S)

    async def settle(self) -> None:
        if self._grant == 0:
            return
        heard = self._loop.loop.create_future()
        self._settling.append(heard)
        self.hold()
        try:
            self._publish(busy=True)  # from now on time stands; the plant answers with its last grant
            self._keep_alive()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard, CATCH_UP_S)
        finally:
            self.release()

    def owe(self, receiver: str, what: str) -> None:
        self._owed.append(f"{self._participant}>{receiver}:{what}")

    def take(self, sender: str, what: str) -> None:
        self._taken.append(f"{sender}>{self._participant}:{what}")

    def ask(self, what: str) -> None:
        self._owed.append(self._question(what))

    def answered(self, what: str) -> None:
        self._taken.append(self._question(what))

    def _question(self, what: str) -> str:
        return f"{self._participant}>{PERSON}:{what}"

    def declare_held(self, held: bool) -> None:
        self._held = held

    def hold(self) -> None:
        """Work outside the loop has begun (called in the loop)."""
        self._holds += 1

    def release(self) -> None:
        """Work outside the loop has ended (called in the loop)."""
        self._holds -= 1

    def close(self) -> None:
        self._loop.set_on_idle(None)
        self._publish(leaving=True)

    def _on_grant(self, number: int, time_s: float, lost: bool) -> None:
        if lost and self._grant > 0:
            self._answer_again()
        for heard in self._settling:
            if not heard.done():
                heard.set_result(None)
        self._settling.clear()
        if number <= self._grant:
            return
        self._grant = number
        self._now_s = time_s
        self._valid.set()
        while self._sleepers and self._sleepers[0][0] <= time_s:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
        self._keep_alive()

    def _keep_alive(self) -> None:
        if self._keepalive is None:
            self._keepalive = self._loop.loop.call_later(KEEPALIVE_S, self._show_life)

    def _answer_again(self) -> None:
        """The plant has not heard of this node: what it said may have gone astray while both discovered each other."""
        self._sent = ()
        if self._holds > 0:
            self._publish(busy=True)

    def _show_life(self) -> None:
        self._keepalive = None
        if self._holds > 0:
            self._publish(busy=True)
        if self._sent[:1] != (self._grant,):  # not answered yet: work goes on, or will
            self._keep_alive()

    def _on_idle(self) -> None:
        if self._holds > 0 or self._grant == 0:
            return
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        wake_s = self._sleepers[0][0] if self._sleepers else math.inf
        state = (self._grant, wake_s, self._held)
        if state == self._sent and not self._owed and not self._taken:
            return
        self._sent = state
        self._publish(wake_s=wake_s)

    def _publish(self, wake_s: float = math.inf, busy: bool = False, leaving: bool = False) -> None:
        if busy:
            self._sent = ()  # idle again is news, though nothing else may have changed
        self._sequence += 1
        self._publisher.publish(
            TimeRequest(
                participant=self._participant,
                session=self._session,
                sequence=self._sequence,
                grant=self._grant,
                busy=busy,
                leaving=leaving,
                wake_s=wake_s,
                owed=self._owed,
                taken=self._taken,
                held=self._held,
            )
        )
        self._owed, self._taken = [], []


def make_clock(node: Node, loop: LoopThread, participant: str) -> NodeClock:
    """Return the clock that the node's `use_sim_time` parameter asks for."""
    if node.get_parameter("use_sim_time").value:
        return GrantClock(node, loop, participant)
    return SystemClock()


async def steady_ticks(period_s: float, tick: Callable[[], object]) -> None:
    """Call `tick` every `period_s` [s] of steady time, without drift, until cancelled."""
    next_s = time.monotonic()
    while True:
        tick()
        next_s = max(next_s + period_s, time.monotonic())
        await asyncio.sleep(next_s - time.monotonic())
