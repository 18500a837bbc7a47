# SPDX-License-Identifier: Apache-2.0
"""The named QoS profiles of the workcell: no publisher, subscription or action server uses any other."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(reliability: ReliabilityPolicy, durability: DurabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)


STATE = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 1)
"""What is true now, for late joiners too: module state, batch status, alarms, prompts."""

TELEMETRY = _profile(ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE, 5)
"""Values for display; a lost one does not matter."""

QUESTION = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 50)
"""How questions are listened to, which are published as STATE: several batches ask and are answered on one topic."""

EVENT = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE, 100)
"""Things that happen once."""

IMAGE = _profile(ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE, 2)
"""Images: the newest counts."""

CLOCK = _profile(ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE, 1)
"""The `/clock` topic as rclpy subscribes it."""

TIME = _profile(ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 1)
"""Grants of simulated time: the last one reaches a participant that comes late."""

RESULT_TIMEOUT_S = 1_000_000_000
"""Results of actions expire in ROS time, of which a simulated batch spends days in seconds: keep them for good."""

PROFILES = {
    "STATE": STATE, "TELEMETRY": TELEMETRY, "QUESTION": QUESTION, "EVENT": EVENT, "IMAGE": IMAGE, "CLOCK": CLOCK,
    "TIME": TIME,
}  # fmt: skip


def name_of(profile: QoSProfile) -> str:
    """Return the name of one of these profiles; empty for another one."""
    return next((name for name, each in PROFILES.items() if each is profile), "")
