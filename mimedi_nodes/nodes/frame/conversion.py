# SPDX-License-Identifier: Apache-2.0
"""ROS messages to plain values and back, by the interface definitions."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from builtin_interfaces.msg import Time

from mimedi_msgs.msg import PhaseHeader as PhaseHeaderMsg

from ...process.context import PhaseHeader
from ...process.interfaces import Interfaces, camel_to_snake


def action_class(name: str, interfaces: Interfaces) -> type[Any]:
    """Return the generated class of an action of ours.

    The name is checked against the interface list first: a helper class handed to an ActionClient crashes the process.
    """
    interfaces.action(name)
    return getattr(importlib.import_module("mimedi_msgs.action"), name)  # type: ignore[no-any-return]


def action_topic(module: str, action: str) -> str:
    """Return the relative name of a module's action, e.g. fluidics/transfer_fluid."""
    return f"{module}/{camel_to_snake(action)}"


def plain_value(value: Any) -> Any:
    """Return a message field as a plain Python value (arrays as lists)."""
    if hasattr(value, "get_fields_and_field_types"):
        return message_fields(value)
    if isinstance(value, str | bytes | bool | int | float):
        return value
    return [plain_value(item) for item in value]


def message_fields(message: Any) -> dict[str, Any]:
    """Return all fields of a message as plain values."""
    return {name: plain_value(getattr(message, name)) for name in message.get_fields_and_field_types()}


def fill_message(message: Any, values: Mapping[str, Any]) -> Any:
    """Set the fields of a message from plain values; the types are the message's own."""
    types = message.get_fields_and_field_types()
    for name, value in values.items():
        kind = types[name]
        if kind in ("double", "float"):
            value = float(value)
        elif kind.startswith("sequence<"):
            value = list(value)
        setattr(message, name, value)
    return message


def header_from(message: PhaseHeaderMsg) -> PhaseHeader:
    """Return the plain header of a goal."""
    return PhaseHeader(**message_fields(message))


def header_to(header: PhaseHeader) -> PhaseHeaderMsg:
    """Return the message of a header."""
    return PhaseHeaderMsg(**vars(header))


def ros_time(time_s: float) -> Time:
    """Return process time [s] as a ROS time; 0 when it is not valid (NaN) or before the epoch."""
    if not time_s > 0.0:
        return Time()
    nanoseconds = round(time_s * 1e9)
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def seconds(stamp: Time) -> float:
    """Return a ROS time in seconds."""
    return float(stamp.sec + stamp.nanosec * 1e-9)
