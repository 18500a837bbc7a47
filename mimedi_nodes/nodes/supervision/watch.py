# SPDX-License-Identifier: Apache-2.0
"""Who of the managed nodes is up, who is lost, and who came back: judged from states and heartbeats. Free of ROS."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["up", "lost", "restarted", "off"]
"""up: at work; lost: silent or dead; restarted: there again but not configured; off: put out of work by hand."""

FRESH_S = 2.5
"""Steady time [s] for which a heartbeat, published every second, says enough."""


@dataclass
class Watched:
    """What is known of one node.

    Args:
        name: its name.
        beats: whether it publishes a heartbeat of its own; otherwise its answers count as one.
        heard_s: steady time of its last sign of life [s].
        state: lifecycle state that it last told; empty when it does not answer.
        lost: why it counts as lost; empty when it does not.
    """

    name: str
    beats: bool
    heard_s: float = -math.inf
    state: str = ""
    lost: str = ""


class Watch:
    """Judges the managed nodes.

    Args:
        names: nodes to be watched.
        beating: those that publish a heartbeat.
        silent_after_s: silence [s] of steady time after which a node counts as lost.
    """

    def __init__(self, names: Iterable[str], beating: Iterable[str], silent_after_s: float) -> None:
        beating = frozenset(beating)
        self.nodes = {name: Watched(name, name in beating) for name in names}
        self._silent_after_s = silent_after_s

    def begin(self, name: str, now_s: float) -> None:
        """A node has just been brought up: its silence counts from now."""
        node = self.nodes[name]
        node.heard_s, node.state = now_s, "active"

    def beat(self, name: str, now_s: float) -> None:
        """A heartbeat came."""
        node = self.nodes[name]
        if node.beats:
            node.heard_s = now_s

    def wants_asking(self, name: str, now_s: float) -> bool:
        """Return whether a node's state has to be asked for: no fresh heartbeat says that all is well."""
        node = self.nodes[name]
        return not node.beats or bool(node.lost) or now_s - node.heard_s > FRESH_S

    def judge(self, name: str, state: str | None, now_s: float) -> Verdict:
        """Take a node's answer, None when it gave none, and say how it stands.

        A node that is lost is told once with a reason in `lost`, and stays so until it is up again.
        """
        node = self.nodes[name]
        node.state = state or ""
        if state is not None and not node.beats:
            node.heard_s = now_s
        silent_s = now_s - node.heard_s
        if state == "unconfigured":
            node.lost = node.lost or "its process was started again"
            return "restarted"
        if state == "finalized":
            node.lost = node.lost or "it has shut itself down; start its process again"
            return "lost"
        if state == "inactive":
            # After a loss it is half-way up; otherwise somebody has deactivated it on purpose.
            return "restarted" if node.lost else "off"
        if silent_s > self._silent_after_s:
            what = "no heartbeat" if node.beats else "no answer"
            node.lost = node.lost or f"{what} for {silent_s:.0f} s"
            return "lost"
        if state == "active":
            node.lost = ""
            return "up"
        return "lost" if node.lost else "up"
