# SPDX-License-Identifier: Apache-2.0
"""What entries of reference files may say: names and units of each model's inputs and outputs.

The shipped reference file is the dictionary. A name that it does not know and that the model does not read would be
passed over in silence, and a length in millimetres where the model takes metres would be a wrong verdict: both are
told instead. Units are compared where both are understood ("m, mid-height" is a metre); what is prose says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_BASES: Mapping[str, Mapping[str, int]] = {
    "length": {"length": 1}, "volume": {"length": 3}, "time": {"time": 1}, "frequency": {"time": -1},
    "mass": {"mass": 1}, "force": {"mass": 1, "length": 1, "time": -2},
    "pressure": {"mass": 1, "length": -1, "time": -2},
    "energy": {"mass": 1, "length": 2, "time": -2}, "power": {"mass": 1, "length": 2, "time": -3},
    "molarity": {"substance": 1, "length": -3}, "share": {},
}
"""Quantities that are made of others; all the rest stand for themselves."""

_UNITS: Mapping[str, Mapping[str, float]] = {
    "length": {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "nm": 1e-9},
    "volume": {"L": 1e-3, "mL": 1e-6, "ml": 1e-6, "uL": 1e-9, "µL": 1e-9},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0},
    "frequency": {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6},
    "mass": {"kg": 1.0, "g": 1e-3, "mg": 1e-6},
    "force": {"N": 1.0, "mN": 1e-3, "nN": 1e-9, "pN": 1e-12},
    "pressure": {"Pa": 1.0, "hPa": 1e2, "kPa": 1e3, "MPa": 1e6, "mbar": 1e2, "bar": 1e5, "mmHg": 133.322387415},
    "energy": {"J": 1.0}, "power": {"W": 1.0, "mW": 1e-3},
    "voltage": {"V": 1.0, "mV": 1e-3}, "resistance": {"ohm": 1.0, "kohm": 1e3},
    "capacity": {"F": 1.0, "nF": 1e-9, "pF": 1e-12}, "inductance": {"H": 1.0, "mH": 1e-3, "uH": 1e-6},
    "substance": {"mol": 1.0, "mmol": 1e-3}, "molarity": {"M": 1e3, "mM": 1.0, "uM": 1e-3, "nM": 1e-6},
    "molar mass": {"Da": 1.0, "kDa": 1e3}, "angle": {"deg": 1.0, "rad": 57.29577951308232},
    "kelvin": {"K": 1.0}, "celsius": {"degC": 1.0, "°C": 1.0}, "share": {"%": 0.01}, "ppm": {"ppm": 1.0},
    "response": {"RU": 1.0}, "exchange": {"VVD": 1.0},
}
_SCALES = {unit: (quantity, size) for quantity, units in _UNITS.items() for unit, size in units.items()}

_COUNTED = ("cell", "cells", "CFU", "TU", "counts", "particles", "photons", "windows", "window", "spores", "e-", "1")


class ReadInputs(Mapping[str, Any]):
    """The inputs of an entry, that remembers which of them a model has asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Vocabulary:
    """Names and units of every model of a reference file."""

    def __init__(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self.inputs: dict[str, dict[str, str]] = {}
        self.outputs: dict[str, dict[str, str]] = {}
        self._texts: set[tuple[str, str]] = set()
        for entry in entries:
            model, output = entry["model"], entry["output"]
            self.outputs.setdefault(model, {})[output["name"]] = str(output.get("unit", ""))
            names = self.inputs.setdefault(model, {})
            for item in entry["inputs"]:
                names[item["name"]] = str(item.get("unit", ""))
                if isinstance(item["value"], str):
                    self._texts.add((model, item["name"]))

    def fault_of_inputs(self, entry: Mapping[str, Any]) -> str:
        """Return which input is given twice, is no number though one is wanted, or has another unit; "" if none."""
        model, seen = entry["model"], set()
        units = self.inputs.get(model, {})
        for item in entry["inputs"]:
            name, value = item["name"], item["value"]
            if name in seen:
                return f"input {name!r} is given twice"
            seen.add(name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if name in units and not is_number and (model, name) not in self._texts:
                return f"input {name!r} is {value!r}; allowed: a number [{units[name]}]"
            if differs(item.get("unit"), units.get(name, "")):
                return f"input {name!r} is in {item['unit']}; this model takes {units[name]}"
        return ""

    def fault_of_use(self, entry: Mapping[str, Any], asked: set[str], is_scalar: bool) -> str:
        """Return which input the model has passed over, or which output is not what it yields; "" if none."""
        model, output = entry["model"], entry["output"]
        inputs, outputs = self.inputs.get(model, {}), self.outputs.get(model, {})
        for item in entry["inputs"]:
            if item["name"] not in asked and item["name"] not in inputs:
                return f"input {item['name']!r} is unknown to this model; it takes {', '.join(inputs)}"
        if is_scalar and outputs and output["name"] not in outputs:
            return f"output {output['name']!r} is unknown to this model; it yields {', '.join(outputs)}"
        if differs(output.get("unit"), outputs.get(output["name"], "")):
            return f"output {output['name']!r} is in {output['unit']}; this model yields {outputs[output['name']]}"
        return ""


def differs(stated: object, expected: str) -> bool:
    """Tell whether two units, both understood, are of another quantity or size."""
    if not isinstance(stated, str):
        return False
    ours, theirs = _meaning(expected), _meaning(stated)
    if not ours or not theirs:
        return False
    return ours[0] != theirs[0] or abs(ours[1] / theirs[1] - 1.0) > 1e-9


def _meaning(unit: str) -> tuple[dict[str, int], float] | None:
    """Return the quantities with their powers and the size of a unit such as "Pa.s/m3"; None if it is prose."""
    head = re.split(r"[\s,(]", unit.strip(), maxsplit=1)[0]
    if not head:
        return None
    powers: dict[str, int] = {}
    size = 1.0
    for place, part in enumerate(head.split("/")):
        for symbol in part.split("."):
            found = re.fullmatch(r"([^\d^]+)\^?(\d)?", symbol)
            name, power = (found[1], int(found[2] or 1)) if found else (symbol, 1)
            if name in _COUNTED:
                continue
            if name not in _SCALES:
                return None
            quantity, scale = _SCALES[name]
            power = -power if place else power
            size *= scale**power
            for base, times in _BASES.get(quantity, {quantity: 1}).items():
                powers[base] = powers.get(base, 0) + times * power
    return {base: power for base, power in powers.items() if power}, size
