# SPDX-License-Identifier: Apache-2.0
"""The interfaces of mimedi_msgs, read from their files without ROS."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .context import PhaseHeader
from .goals import FieldProblem, Goal, GoalError, blank_result, build_goal, check_result, is_unknown
from .interface_grammar import Field, InterfaceError, Range, parse_constant, parse_field

__all__ = [
    "Action",
    "Field",
    "FieldProblem",
    "Goal",
    "GoalError",
    "InterfaceError",
    "Interfaces",
    "Message",
    "Range",
    "Service",
    "camel_to_snake",
    "default_interfaces",
    "find_interface_folder",
    "is_unknown",
    "snake_to_camel",
]

PACKAGE = "mimedi_msgs"


def camel_to_snake(name: str) -> str:
    """Return `transfer_fluid` for `TransferFluid`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def snake_to_camel(name: str) -> str:
    """Return `TransferFluid` for `transfer_fluid`."""
    return "".join(part.capitalize() for part in name.split("_"))


@dataclass(frozen=True)
class Message:
    """A message: its fields and constants by name."""

    name: str
    fields: Mapping[str, Field]
    constants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """A service: its request and response fields, and the constants of both."""

    name: str
    request: Mapping[str, Field]
    response: Mapping[str, Field]
    constants: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """An action: its goal, result and feedback fields by name."""

    name: str
    goal: Mapping[str, Field]
    result: Mapping[str, Field]
    feedback: Mapping[str, Field]

    @property
    def snake_name(self) -> str:
        """Name as recipes and topics use it."""
        return camel_to_snake(self.name)

    def build_goal(self, values: Mapping[str, Any], header: PhaseHeader | None = None) -> Goal:
        """Return the checked goal with defaults filled in; raises GoalError with every wrong field."""
        return build_goal(self.name, self.goal, values, header)

    def check_result(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the checked result of a phase; raises GoalError with every wrong field."""
        return check_result(self.name, self.result, values)

    def blank_result(self, error_code: int, error_msg: str) -> dict[str, Any]:
        """Return a result of which nothing is known but its error."""
        return blank_result(self.result, error_code, error_msg)


def find_interface_folder() -> Path:
    """Return the folder with msg/, srv/ and action/: next to the package, or the installed share folder.

    Raises:
        InterfaceError: when neither is there, with the places that were looked at.
    """
    places = [Path(__file__).resolve().parents[2] / PACKAGE]
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    places += [Path(prefix) / "share" / PACKAGE for prefix in prefixes if prefix]
    for place in places:
        if (place / "action").is_dir():
            return place
    looked = ", ".join(str(place) for place in places)
    raise InterfaceError(
        f"the interface files of {PACKAGE} were not found (looked at {looked}); "
        "source the workspace's setup file, or run from the source tree"
    )


def read_sections(path: Path) -> tuple[list[dict[str, Field]], dict[str, Any]]:
    """Return the field tables between the `---` lines of a file, and its constants; raises InterfaceError."""
    sections: list[dict[str, Field]] = [{}]
    constants: dict[str, Any] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        where = f"{path.name}:{number}"
        if not text or text.startswith("#"):
            continue
        if text == "---":
            sections.append({})
            continue
        constant = parse_constant(text, where)
        if constant is not None:
            constants[constant[0]] = constant[1]
            continue
        parsed = parse_field(text, where)
        if parsed.name in sections[-1]:
            raise InterfaceError(f"{where}: field {parsed.name} is there twice")
        sections[-1][parsed.name] = parsed
    return sections, constants


class Interfaces:
    """All messages, services and actions of mimedi_msgs.

    Args:
        folder: folder with msg/, srv/ and action/; found by `find_interface_folder` when None.

    Raises:
        InterfaceError: when a file does not follow the grammar.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = find_interface_folder() if folder is None else folder
        messages, services, actions = {}, {}, {}
        for path in sorted(self.folder.glob("msg/*.msg")):
            sections, constants = self._read(path, 1)
            messages[path.stem] = Message(path.stem, sections[0], constants)
        for path in sorted(self.folder.glob("srv/*.srv")):
            sections, constants = self._read(path, 2)
            services[path.stem] = Service(path.stem, sections[0], sections[1], constants)
        for path in sorted(self.folder.glob("action/*.action")):
            sections, _ = self._read(path, 3)
            actions[path.stem] = Action(path.stem, *sections)
        self.messages: Mapping[str, Message] = MappingProxyType(messages)
        self.services: Mapping[str, Service] = MappingProxyType(services)
        self.actions: Mapping[str, Action] = MappingProxyType(actions)

    @staticmethod
    def _read(path: Path, parts: int) -> tuple[list[dict[str, Field]], dict[str, Any]]:
        sections, constants = read_sections(path)
        if len(sections) != parts:
            raise InterfaceError(
                f"{path.name}: has {len(sections)} parts between lines of ---; a {path.suffix} has {parts}"
            )
        return sections, constants

    def action(self, name: str) -> Action:
        """Return an action by its CamelCase or snake_case name; raises InterfaceError."""
        action = self.actions.get(name) or self.actions.get(snake_to_camel(name))
        if action is None:
            raise InterfaceError(f"there is no action {name!r}; there are {', '.join(self.actions)}")
        return action

    def message(self, name: str) -> Message:
        """Return a message by its name; raises InterfaceError with the names there are."""
        if name not in self.messages:
            raise InterfaceError(f"there is no message {name!r}; there are {', '.join(self.messages)}")
        return self.messages[name]

    def service(self, name: str) -> Service:
        """Return a service by its name; raises InterfaceError with the names there are."""
        if name not in self.services:
            raise InterfaceError(f"there is no service {name!r}; there are {', '.join(self.services)}")
        return self.services[name]


@lru_cache(maxsize=1)
def default_interfaces() -> Interfaces:
    """Return the interfaces of this installation, read once."""
    return Interfaces()
