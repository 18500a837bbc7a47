# SPDX-License-Identifier: Apache-2.0
"""Error codes of the acoustic sorter."""

from enum import IntEnum


class SorterCode(IntEnum):
    """Why a phase of the sorter was aborted."""

    DRY_CHANNEL = 210
    """The impedance shows no fluid channel: the chip is dry, blocked by a bubble, or detached."""
    NO_FIT = 211
    """The impedance does not look like a transducer on a channel."""
    NOT_REACHABLE = 212
    """A vessel is not on the valve that the phase needs."""
    FLOW = 213
    """Flows that do not go together."""
    NOT_ENOUGH = 214
    """The source holds less than the phase needs, or its volume is not known."""
