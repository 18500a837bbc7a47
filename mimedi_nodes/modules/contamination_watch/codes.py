# SPDX-License-Identifier: Apache-2.0
"""Error codes of the contamination watch."""

from enum import IntEnum


class WatchCode(IntEnum):
    """Why a phase of the contamination watch was aborted."""

    DETECTOR = 710
    """The detector's dark counts are not those of a sound detector."""
    BACKGROUND = 711
    """The blank is too bright or too dark for a reagent in order."""
