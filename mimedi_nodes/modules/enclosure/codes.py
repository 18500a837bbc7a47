# SPDX-License-Identifier: Apache-2.0
"""Error codes of the enclosure."""

from enum import IntEnum


class EnclosureCode(IntEnum):
    """Why a phase of the enclosure was aborted."""

    GOAL = 610
    """Values of the goal that do not go together, or that the instruments cannot do."""
    LOG_REDUCTION = 611
    """The decontamination ended with less than the wanted log reduction."""
    RESIDUE = 612
    """Peroxide stays above the allowed residue."""
    PRESSURE = 613
    """The test pressure was not reached."""
