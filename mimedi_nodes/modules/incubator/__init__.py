# SPDX-License-Identifier: Apache-2.0
"""Culture: conditions, expansion, perfusion and harvest in the culture vessel."""

from ..bioreactor.instruments import LIFE_SUPPORT, PERFUSION, builder
from ..bioreactor.manual import ACTS
from ..module import Module, Phase
from .differentiate import differentiate_cells
from .phases import condition_chamber, expand_culture, harvest_culture, perfuse_culture

ERROR_BASE = 400
"""Of all modules of this class: equal equipment tells its errors by the same codes."""


def _incubator(name: str, line: str, vessel: str) -> Module:
    return Module(
        name=name,
        error_base=ERROR_BASE,
        phases=(
            Phase("ConditionChamber", condition_chamber, lambda goal: goal.timeout_h * 3600.0),
            Phase("ExpandCulture", expand_culture, lambda goal: goal.duration_h * 3600.0),
            Phase("PerfuseCulture", perfuse_culture, lambda goal: goal.duration_h * 3600.0),
            Phase("DifferentiateCells", differentiate_cells, lambda goal: goal.duration_d * 86400.0),
            Phase("HarvestCulture", harvest_culture, lambda goal: 600.0),
        ),
        actuators=(*LIFE_SUPPORT, PERFUSION),
        build=builder(name, line, vessel),
        manual=ACTS,
    )


MODULE = _incubator("incubator", "culture_controller", "culture_vessel")
SECOND = _incubator("incubator_2", "culture_controller_2", "culture_vessel_2")
"""Of the same class, where a site has two culture vessels."""
