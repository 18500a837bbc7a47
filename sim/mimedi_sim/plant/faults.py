# SPDX-License-Identifier: Apache-2.0
"""The faults that can be put into the plant: name, what they act on, parameters with unit and default.

Fault injection is checked against this table before anything happens; a wrong name is answered with the names
that exist.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mimedi_nodes.process.errors import WorkcellError


class FaultError(WorkcellError):
    """A fault that the plant does not know or that cannot act there; says what is possible."""


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    Args:
        acts_on: vessel, pump, valve, reactor, line, scale, generator, chip: what the target names.
        signature: what it looks like from outside.
        parameters: name to (default, unit); a NaN default must be given.
    """

    acts_on: str
    signature: str
    parameters: Mapping[str, tuple[float, str]] = field(default_factory=dict)


KNOWN: Mapping[str, FaultKind] = {
    "leak": FaultKind("vessel", "weight falls though nothing was moved",
                      {"volume_ul": (5000.0, "uL"), "flow_rate_ul_min": (500.0, "uL/min")}),
    "empty_bag": FaultKind("vessel", "pumps move, weights do not"),
    "pump_stall": FaultKind("pump", "plunger counts, weights do not"),
    "pump_scale": FaultKind("pump", "all volumes are wrong by a factor", {"factor": (0.95, "1")}),
    "valve_stuck": FaultKind("valve", "liquid goes to or comes from the port where it stuck",
                             {"port": (math.nan, "-")}),
    "scale_offset": FaultKind("vessel", "the scale is wrong by a constant", {"offset_g": (10.0, "g")}),
    "scale_dead": FaultKind("vessel", "the scale answers that it cannot weigh"),
    "line_silent": FaultKind("line", "no answer on the line"),
    "generator_detuned": FaultKind("generator", "recovery of the sort falls by more than half",
                                   {"offset_hz": (-10_000.0, "Hz")}),
    "generator_off": FaultKind("generator", "nothing reaches the centre outlet but what always does"),
    "channel_dry": FaultKind("chip", "the channel's branch is missing in the sweep"),
    "channel_bubble": FaultKind("chip", "the channel's Q is a fifth, hardly any sound"),
    "transducer_delaminated": FaultKind("chip", "the plate's Q doubles, the channel's branch is missing"),
    "heater_limited": FaultKind("reactor", "heater at 100 %, liquid settles below its set point",
                                {"power_w": (16.5, "W")}),
    "heater_failure": FaultKind("reactor", "air and liquid cool towards the room"),
    "heater_stuck": FaultKind("reactor", "temperature rises to the cut-out at 38.5 °C", {"power_w": (60.0, "W")}),
    "temperature_bias": FaultKind("reactor", "the controller's own sensor is wrong by a constant",
                                  {"offset_k": (4.0, "K")}),
    "door_open": FaultKind("reactor", "air cools, CO2 falls"),
    "gas_supply_lost": FaultKind("reactor", "CO2 falls, pH rises"),
    "stirrer_stopped": FaultKind("reactor", "stirring reads 0, cells settle"),
    "perfusion_stopped": FaultKind("reactor", "the perfused volume stands still, lactate rises"),
    "contamination": FaultKind("vessel", "bacteria grow", {"cfu": (10.0, "CFU"), "doubling_h": (0.75, "h")}),
    "vector_weak": FaultKind("vessel", "titre is a fraction of the certificate's", {"factor": (0.1, "1")}),
}

ONE_SHOT = frozenset({"empty_bag", "contamination", "vector_weak"})
"""Faults that happen once: taking them away changes nothing."""


def checked(
    fault: str, target: str, parameters: Mapping[str, Any], targets: Mapping[str, Iterable[str]]
) -> dict[str, float]:
    """Return the complete parameters of a fault; targets maps what faults act on to the names there are.

    Raises: FaultError naming the known faults, targets or parameters.
    """
    kind = KNOWN.get(fault)
    if kind is None:
        raise FaultError(f"fault {fault!r} is unknown; known: {', '.join(sorted(KNOWN))}")
    possible = sorted(targets.get(kind.acts_on, ()))
    if target not in possible:
        raise FaultError(f"fault {fault} acts on a {kind.acts_on}; {target!r} is none; possible: {', '.join(possible)}")
    extra = set(parameters) - set(kind.parameters)
    if extra:
        known = ", ".join(f"{name} [{unit}]" for name, (_, unit) in kind.parameters.items()) or "none"
        raise FaultError(f"fault {fault} has no parameter {', '.join(sorted(extra))}; it takes: {known}")
    values = {}
    for name, (default, unit) in kind.parameters.items():
        value = parameters.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise FaultError(f"fault {fault}: parameter {name} is {value!r}; it must be a finite number [{unit}]")
        values[name] = float(value)
    return values
