# SPDX-License-Identifier: Apache-2.0
"""Node parameters as data: one table with type, default, bounds and unit; declared once, checked by rclpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node.

    Args:
        name: its name.
        default: default, which also fixes its type.
        description: what it does, with the unit in brackets.
        low, high: bounds of a number, both or neither.
        choices: allowed texts.
    """

    name: str
    default: bool | int | float | str | list[str]
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        """Return the ROS descriptor; all parameters are read-only: a change needs a restart and is thus on record."""
        text = self.description + (f"; one of {', '.join(self.choices)}" if self.choices else "")
        descriptor = ParameterDescriptor(description=text, read_only=True)
        if self.low is not None and self.high is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [FloatingPointRange(from_value=self.low, to_value=self.high)]
            else:
                descriptor.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high))]
        return descriptor


class ParameterError(ValueError):
    """A parameter is wrong; names it, its value and what is allowed."""


COMMON = (
    Parameter("site", "", "path of the site file"),
    Parameter("state_dir", "", "folder for what must survive the process: goals, outbox, journal"),
    Parameter("port_dir", "/dev/serial/by-id", "folder that relative ports of the site file are taken from"),
    Parameter("state_period_s", 1.0, "steady time between two state messages [s]", 0.1, 10.0),
    Parameter("telemetry_period_s", 2.0, "steady time between two telemetry messages [s], 0 for none", 0.0, 60.0),
    Parameter("users_dir", "", "folder of the accounts; empty: none, names are taken as they are given"),
    Parameter("watch_period_s", 1.0, "steady time between two looks at what the module watches always [s]", 0.1, 10.0),
    Parameter("capture", False, "write the traffic of the serial lines to state_dir"),
)


def declare(node: Node, table: tuple[Parameter, ...]) -> dict[str, Any]:
    """Declare the parameters of a table and return their values.

    Raises:
        ParameterError: a value is outside its choices (rclpy itself refuses wrong types and bounds).
    """
    values = {}
    for parameter in table:
        value = node.declare_parameter(parameter.name, parameter.default, parameter.descriptor()).value
        if parameter.choices and value not in parameter.choices:
            raise ParameterError(
                f"{node.get_name()}: parameter {parameter.name} is {value!r}; allowed: {', '.join(parameter.choices)}"
            )
        values[parameter.name] = value
    return values
