# SPDX-License-Identifier: Apache-2.0
"""Bringing lifecycle nodes up in order and down in reverse, by what is observed rather than by what is replied.

Free of ROS: the nodes are `Peer`s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Unanswered(Exception):
    """A node's service is not offered or did not answer in time."""


class Gone(Unanswered):
    """A node's service is not offered by anybody: its process is not there."""


class TransitionFailed(Exception):
    """A node did not get to where a transition leads; the text says what was observed."""


class BringUpFailed(Exception):
    """The workcell could not be brought up and has been taken down again.

    Args:
        node: the node that failed.
        reason: why.
        leftovers: nodes that could not be taken down, each with why.
    """

    def __init__(self, node: str, reason: str, leftovers: Sequence[str]) -> None:
        text = f"{node}: {reason}"
        if leftovers:
            text += f"; could not be taken down: {'; '.join(leftovers)}"
        super().__init__(text)
        self.node = node
        self.reason = reason


class Peer(Protocol):
    """A managed node as seen from the supervisor."""

    name: str

    async def found(self, timeout_s: float) -> None:
        """Return when its services are there; raises Unanswered after `timeout_s` [s]."""
        ...

    async def get_state(self, timeout_s: float) -> str:
        """Return the label of its lifecycle state; raises Unanswered after `timeout_s` [s]."""
        ...

    async def change_state(self, transition: str, timeout_s: float) -> bool:
        """Request a transition by its label; return whether it succeeded; raises Unanswered after `timeout_s` [s]."""
        ...

    def last_error(self) -> str:
        """Return what the node last said about a failed transition; empty when nothing."""
        ...


GONE, SILENT = "gone", "silent"
"""What is seen in place of a state: no process, no answer."""
FIRST_LOOKS = 10
"""How often a node is asked before it counts as silent: first replies of a service just discovered may be lost."""


@dataclass(frozen=True)
class Step:
    """A lifecycle transition: its label, the state that it leaves, the states in which it is done."""

    transition: str
    start: str
    done: tuple[str, ...]


CONFIGURE = Step("configure", "unconfigured", ("inactive", "active"))
ACTIVATE = Step("activate", "inactive", ("active",))
DEACTIVATE = Step("deactivate", "active", ("inactive", "unconfigured", "finalized"))
CLEAN_UP = Step("cleanup", "inactive", ("unconfigured", "finalized"))


@dataclass(frozen=True)
class Deadlines:
    """Longest waits in steady time [s].

    Args:
        discovery_s: for a node's services to appear.
        configure_s, activate_s, deactivate_s, cleanup_s: for each transition.
        answer_s: for the answer to a question about the state.
    """

    discovery_s: float = 60.0
    configure_s: float = 60.0
    activate_s: float = 30.0
    deactivate_s: float = 30.0
    cleanup_s: float = 15.0
    answer_s: float = 2.0

    def of(self, step: Step) -> float:
        """Return the deadline of a transition [s]."""
        return float(getattr(self, f"{step.transition}_s"))


async def change(peer: Peer, step: Step, deadlines: Deadlines) -> bool:
    """Take a node through a transition and verify by its state; False when it was there already.

    A reply that is lost does not matter: while none comes the node is asked for its state, and what is seen there
    counts.

    Raises:
        TransitionFailed: it refused or failed, its state does not allow the transition, or the deadline is over.
    """
    state = await _observe(peer, deadlines, attempts=FIRST_LOOKS)
    if state in step.done:
        return False
    if state != step.start:
        raise TransitionFailed(
            f"cannot {step.transition}: it {_seen(state)}, expected {step.start}; "
            + ("start its process again" if state == "finalized" else "see its log")
        )
    deadline_s = deadlines.of(step)
    end_s = asyncio.get_running_loop().time() + deadline_s
    request = asyncio.ensure_future(peer.change_state(step.transition, deadline_s))
    try:
        while not request.done() and asyncio.get_running_loop().time() < end_s:
            await asyncio.wait({request}, timeout=deadlines.answer_s)
            if not request.done() and (state := await _observe(peer, deadlines)) in (*step.done, GONE):
                break
        accepted = _accepted(request)
    finally:
        request.cancel()
    state = await _observe(peer, deadlines)
    if state in step.done:
        return True
    if accepted is None:
        within = "" if state == GONE else f" within {deadline_s:g} s"
        raise TransitionFailed(f"did not {step.transition}{within}: it {_seen(state)}")
    what = "said that it could" if accepted else "refused or failed to"
    raise TransitionFailed(f"{what} {step.transition} and {_seen(state)}: {peer.last_error() or 'see its log'}")


def _accepted(request: asyncio.Future[bool]) -> bool | None:
    """Return what a node replied; None when it has not."""
    try:
        return request.result() if request.done() else None
    except Unanswered:
        return None


async def _observe(peer: Peer, deadlines: Deadlines, attempts: int = 1) -> str:
    """Return a node's state; GONE or SILENT when it tells none."""
    for _ in range(attempts):
        try:
            return await peer.get_state(deadlines.answer_s)
        except Gone:
            return GONE
        except Unanswered:
            continue
    return SILENT


def _seen(state: str) -> str:
    return {GONE: "is gone, its process has ended", SILENT: "does not answer"}.get(state, f"is {state}")


class BringUp:
    """Brings a list of nodes up in order, and down in reverse.

    Args:
        peers: the nodes, first to be brought up first.
        deadlines: longest waits.
        tell: called with node and what happens to it.
        begun_anew: called with a node before it is configured: its process is a new one.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        deadlines: Deadlines,
        tell: Callable[[str, str], None],
        begun_anew: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._begun_anew = begun_anew
        self._peers = tuple(peers)
        self._deadlines = deadlines
        self._tell = tell
        self._raised: set[str] = set()  # nodes that may be up: nothing else has to be taken down

    async def up(self) -> None:
        """Configure all in order, then activate all in order; nodes that are up already are left as they are.

        Raises:
            BringUpFailed: one failed; those that had been moved are down again, in reverse.
        """
        moved: list[Peer] = []
        for step in (CONFIGURE, ACTIVATE):
            for peer in self._peers:
                try:
                    self._tell(peer.name, f"{step.transition} …")
                    if step is CONFIGURE:
                        await peer.found(self._deadlines.discovery_s)
                        if await _observe(peer, self._deadlines, FIRST_LOOKS) == CONFIGURE.start:
                            self._begun_anew(peer.name)
                    self._raised.add(peer.name)
                    if await change(peer, step, self._deadlines) and peer not in moved:
                        moved.append(peer)
                    self._tell(peer.name, step.done[0])
                except (TransitionFailed, Unanswered) as error:
                    # One that hangs may still get there: it is taken down with the others if it answers by then.
                    self._tell(peer.name, f"failed: {error}")
                    taken = [*(p for p in moved if p is not peer), peer]
                    raise BringUpFailed(peer.name, str(error), await self._take_down(taken)) from error

    async def one(self, name: str) -> None:
        """Configure and activate one node alone.

        Raises:
            TransitionFailed: it cannot be.
        """
        peer = next(p for p in self._peers if p.name == name)
        self._begun_anew(name)
        for step in (CONFIGURE, ACTIVATE):
            await change(peer, step, self._deadlines)

    async def down(self) -> list[str]:
        """Deactivate and clean up all in reverse; return what could not be, node and why."""
        return await self._take_down(self._peers)

    async def _take_down(self, peers: Sequence[Peer]) -> list[str]:
        # All are asked at once, so that those that do not answer cost one wait together.
        answers = await asyncio.gather(
            *(peer.get_state(self._deadlines.answer_s) for peer in peers), return_exceptions=True
        )
        there, leftovers = [], []
        for peer, answer in zip(peers, answers, strict=True):
            if answer in ("active", "inactive"):
                there.append(peer)
            elif isinstance(answer, str | Gone):
                self._raised.discard(peer.name)
            elif peer.name in self._raised:
                leftovers.append(f"{peer.name}: {answer}")
        for step in (DEACTIVATE, CLEAN_UP):
            for peer in reversed(there):
                try:
                    if await change(peer, step, self._deadlines):
                        self._tell(peer.name, step.done[0])
                    if step is CLEAN_UP:
                        self._raised.discard(peer.name)
                except TransitionFailed as error:
                    leftovers.append(f"{peer.name}: {error}")
        return leftovers
