# SPDX-License-Identifier: Apache-2.0
"""Which rules of in-process control a recipe can use: what each is given, its limits, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RuleNeeds:
    """The names of a rule.

    Args:
        fields: what it is given, name → unit.
        limits: name → whether it is a range [low, high]; otherwise a number.
        results: what it gives, name → unit.
    """

    fields: Mapping[str, str]
    limits: Mapping[str, bool]
    results: Mapping[str, str]


RULES: Mapping[str, RuleNeeds] = {
    "culture": RuleNeeds(
        {
            "start_cells": "cells", "start_h": "h", "hours": "h", "viable_cells": "cells", "volume_ul": "uL",
            "perfusion_vvd": "1/d",
        },
        {
            "perfusion_vvd": True, "target_viable_cells": False, "least_viable_cells": False, "not_before_day": False,
            "latest_day": False,
        },
        {
            "perfusion_vvd": "1/d", "harvest": "1", "forecast_cells": "cells", "forecast_low": "cells",
            "forecast_high": "cells", "harvest_day": "d", "risk": "1",
        },
    ),
    "moi": RuleNeeds(
        {"wanted_fraction": "1", "dividing_share": "1", "moi": "TU/cell"}, {"moi": True}, {"moi": "TU/cell"}
    ),
}  # fmt: skip
"""Rules by name."""
