# SPDX-License-Identifier: Apache-2.0
"""The units of the workcell: what holds one batch's material at a time, and is exchanged between two patients.

Source: ISA-88.01 (a unit operates on one batch at a time); EU GMP Part IV 9 (no two donors' material in one place).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..diagnostics import Diagnostic, DiagnosticError
from ..yaml_tree import Reader, Tree

Kind = Literal["shared", "staying"]


@dataclass(frozen=True)
class Unit:
    """One unit.

    Args:
        kind: "shared" units serve a batch for a stretch of steps and then another one; "staying" ones keep its
            material from their first to their last use.
        set: what is exchanged, the product on its label.
        modules: that work on it.
        vessels: that belong to it.
        unit_class: name of the first of the units that can stand for each other; its own where there is one only.
    """

    name: str
    kind: Kind
    set: str
    modules: tuple[str, ...]
    vessels: tuple[str, ...]
    unit_class: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not self.unit_class:
            object.__setattr__(self, "unit_class", self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Modules and vessels, in an order that is the same for all units of a class."""
        return (*self.modules, *self.vessels)


class Units:
    """All units of a workcell; a module in none of them is a shared resource without material of its own."""

    def __init__(self, units: Collection[Unit] = ()) -> None:
        self._units = {unit.name: unit for unit in units}
        self._of_module = {module: unit.name for unit in units for module in unit.modules}
        self._of_vessel = {vessel: unit.name for unit in units for vessel in unit.vessels}

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._units.values())

    def __bool__(self) -> bool:
        return bool(self._units)

    def get(self, name: str) -> Unit | None:
        """Return a unit, None for a module that stands in none."""
        return self._units.get(name)

    def of_class(self, name: str) -> tuple[Unit, ...]:
        """Return the units that can stand for a unit, itself first; none for a module that stands in no unit."""
        return tuple(unit for unit in self._units.values() if unit.unit_class == name)

    def counterparts(self, name: str) -> tuple[str, ...]:
        """Return the modules or vessels that can stand for one of a class's first unit, itself first."""
        owner = self._of_module.get(name) or self._of_vessel.get(name)
        if owner is None or self._units[owner].unit_class != owner:
            return (name,)
        place = self._units[owner].names.index(name)
        return tuple(unit.names[place] for unit in self.of_class(owner))

    def stays(self, name: str) -> bool:
        """Tell whether a resource is a staying unit."""
        unit = self._units.get(name)
        return unit is not None and unit.kind == "staying"

    def of_module(self, module: str) -> str:
        """Return the unit of a module, or the module itself when it stands in none."""
        return self._of_module.get(module, module)

    def of_vessel(self, vessel: str) -> str | None:
        """Return the unit of a vessel, None for supplies and waste that serve all."""
        return self._of_vessel.get(vessel)

    def touched(self, module: str, vessels: Collection[str]) -> frozenset[str]:
        """Return the units that a phase of a module works on when its goal names these vessels."""
        found = {self._of_vessel[vessel] for vessel in vessels if vessel in self._of_vessel}
        if module in self._of_module:
            found.add(self._of_module[module])
        return frozenset(found)


NO_UNITS = Units()
"""A workcell that makes one batch and then is taken apart."""


def units_file(site_file: Path) -> Path:
    """Return where the units of a site stand: config/units/<site file's name>, else config/units.yaml for all."""
    config = site_file.resolve().parent.parent
    own = config / "units" / site_file.name
    return own if own.is_file() else config / "units.yaml"


def read_units(path: Path, modules: Collection[str] = (), vessels: Collection[str] = ()) -> Units:
    """Return the units of a file.

    Args:
        modules: those that may be named, any when empty.
        vessels: likewise.

    Raises:
        DiagnosticError: the file cannot be read or is wrong, with every line that is.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticError([Diagnostic(str(path), 0, "", None, f"cannot be read: {error}")]) from error
    reader = Reader(path.name)
    taken: dict[str, str] = {}
    trees = reader.mapping(reader.load(text), optional=None)
    units = [
        _unit(reader, name, tree, {"modules": modules, "vessels": vessels}, taken)
        for name, tree in trees.items()
    ]
    for unit in units:
        _alike(reader, unit, {other.name: other for other in units}, trees[unit.name])
    reader.finish()
    return Units(units)


def _alike(reader: Reader, unit: Unit, units: Mapping[str, Unit], tree: Tree) -> None:
    """Report a unit that cannot stand for the first one of its class."""
    first = units.get(unit.unit_class)
    if first is None or first.unit_class != first.name:
        heads = ", ".join(sorted(name for name, other in units.items() if other.unit_class == name))
        reader.wrong(tree, f"{unit.name} is of class {unit.unit_class!r}, which is no first unit of a class", heads)
    elif first is not unit:
        same = (len(unit.modules), len(unit.vessels), unit.set) == (len(first.modules), len(first.vessels), first.set)
        if not same or "shared" in (unit.kind, first.kind):
            reader.wrong(
                tree, f"{unit.name} cannot stand for {first.name}",
                "staying units with as many modules and vessels, in the same order, and the same set",
            )


def _unit(
    reader: Reader, name: str, tree: Tree, known: Mapping[str, Collection[str]], taken: dict[str, str]
) -> Unit:
    items = reader.mapping(tree, required=("kind", "set", "modules", "vessels"), optional=("class",))
    named: dict[str, list[str]] = {"modules": [], "vessels": []}
    for key, found in named.items():
        for item in reader.items(items.get(key), at_least=1):
            text = reader.text(item)
            if known[key] and text not in known[key]:
                reader.wrong(item, f"there is no such {key[:-1]}", ", ".join(sorted(known[key])))
            elif taken.setdefault(f"{key} {text}", name) != name or text in found:
                reader.wrong(item, f"{text} belongs to unit {taken[f'{key} {text}']}", "each in one unit")
            else:
                found.append(text)
    kind: Kind = "staying" if reader.text(items.get("kind"), ("shared", "staying"), "shared") == "staying" else "shared"
    return Unit(
        name, kind, reader.text(items.get("set")), tuple(named["modules"]), tuple(named["vessels"]),
        unit_class=reader.text(items["class"]) if "class" in items else name,
    )  # fmt: skip
