# SPDX-License-Identifier: Apache-2.0
"""Error codes of the fluidics module."""

from enum import IntEnum


class FluidicsCode(IntEnum):
    """Why a fluidics phase was aborted."""

    NOT_REACHABLE = 110
    """A vessel is not on the valve that the phase needs."""
    NOT_ENOUGH = 111
    """The source holds less than the phase needs."""
    NO_ROOM = 112
    """The destination has less room than the phase needs."""
    NOT_WEIGHED = 113
    """The phase needs a scale that this module does not have."""
