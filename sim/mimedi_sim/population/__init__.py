# SPDX-License-Identifier: Apache-2.0
"""Many headless batches: what each step gives over donors, beside the published figures."""

from .campaign import BatchRow, Campaign, run_campaign
from .references import ANCHORS, REFERENCES, Anchor, Reference
from .statistics import Distribution, distributions

__all__ = [
    "ANCHORS", "REFERENCES", "Anchor", "BatchRow", "Campaign", "Distribution", "Reference", "distributions",
    "run_campaign",
]
