# SPDX-License-Identifier: Apache-2.0
"""Error codes of the analytics."""

from enum import IntEnum


class AnalyticsCode(IntEnum):
    """Why a phase of the analytics was aborted."""

    ANALYTE = 910
    """The instrument has no channel or kit for that analyte."""
    TOO_FEW = 911
    """Too few cells, events or droplets for a result."""
    NO_FIT = 912
    """The measurement does not follow its model."""
