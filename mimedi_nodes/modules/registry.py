# SPDX-License-Identifier: Apache-2.0
"""Which modules there are: one line of config each, `name: package.file:OBJECT`.

One with `only_with` belongs to sites that have that instrument line: a second unit of an equipment class, say.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

from ..process.errors import WorkcellError
from ..records.yaml_text import load
from .module import Module
from .site import Site


class RegistryError(WorkcellError):
    """A module is not known or cannot be loaded."""


def config_folder() -> Path:
    """Return the project's config folder: next to the package, or in the installed share folder."""
    places = [Path(__file__).resolve().parents[2] / "config"]
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    places += [Path(prefix) / "share" / "mimedi_workcell" / "config" for prefix in prefixes if prefix]
    for place in places:
        if (place / "modules.yaml").is_file():
            return place
    raise RegistryError(f"config/modules.yaml was not found; looked at {', '.join(map(str, places))}")


@lru_cache(maxsize=1)
def _tables() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return module → place of all modules, and module → instrument line of those that not every site has."""
    table = load((config_folder() / "modules.yaml").read_text(encoding="utf-8"))
    places, lines = {}, {}
    for name, entry in table.items():
        if isinstance(entry, Mapping):
            if set(entry) != {"module", "only_with"}:
                raise RegistryError(f"config/modules.yaml: {name} has {', '.join(entry)}; allowed: module, only_with")
            places[str(name)], lines[str(name)] = str(entry["module"]), str(entry["only_with"])
        else:
            places[str(name)] = str(entry)
    return places, lines


def known_modules() -> Mapping[str, str]:
    """Return module name → `package.file:OBJECT` of all modules that a site may have, in the order of bring-up."""
    return _tables()[0]


@lru_cache(maxsize=1)
def module_table() -> Mapping[str, str]:
    """Return module name → `package.file:OBJECT` of the modules of every site, in the order of bring-up."""
    places, lines = _tables()
    return {name: place for name, place in places.items() if name not in lines}


def modules_of(site: Site) -> tuple[str, ...]:
    """Return the modules of a site, in the order of bring-up."""
    places, lines = _tables()
    return tuple(name for name in places if name not in lines or lines[name] in site.instruments)


@cache
def load_module(name: str) -> Module:
    """Return a module by its name; raises RegistryError with the names there are."""
    table = known_modules()
    if name not in table:
        raise RegistryError(f"there is no module {name!r} in config/modules.yaml; there are {', '.join(table)}")
    package, _, attribute = table[name].partition(":")
    module = getattr(importlib.import_module(package), attribute)
    if not isinstance(module, Module) or module.name != name:
        raise RegistryError(f"config/modules.yaml: {table[name]} is not a module named {name}")
    return module


def manifests() -> dict[str, frozenset[str]]:
    """Return module name → its actions (CamelCase): what a recipe may ask of each."""
    return {name: frozenset(p.action for p in load_module(name).phases) for name in module_table()}
