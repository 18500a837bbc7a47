# SPDX-License-Identifier: Apache-2.0
"""Activation and transduction in the activation vessel."""

from ..bioreactor.instruments import LIFE_SUPPORT, PERFUSION, builder
from ..bioreactor.manual import ACTS
from ..module import Module, Phase
from .phases import activate_cells, transduce_cells

ERROR_BASE = 300

MODULE = Module(
    name="transduction",
    error_base=ERROR_BASE,
    phases=(
        Phase("ActivateCells", activate_cells, lambda goal: goal.duration_h * 3600.0),
        Phase("TransduceCells", transduce_cells, lambda goal: goal.contact_h * 3600.0),
    ),
    actuators=(*LIFE_SUPPORT, PERFUSION),
    build=builder("transduction", "activation_controller", "activation_vessel"),
    manual=ACTS,
)
