# SPDX-License-Identifier: Apache-2.0
"""Error codes of the transfer."""

from enum import IntEnum


class TransferCode(IntEnum):
    """Why a phase of the transfer was aborted."""

    DOCK = 810
    """There is no such dock, or source and destination are the same."""
    LABEL = 811
    """The label that was read is not the expected one, or none was there."""
    OCCUPIED = 812
    """A cassette already stands at the destination, or the gripper holds one."""
    PATH = 813
    """The way would collide or leave the limits; nothing was moved."""
    CALIBRATION = 814
    """The camera's place could not be told, with too large a residual, or it has expired."""
