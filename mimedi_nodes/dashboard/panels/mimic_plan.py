# SPDX-License-Identifier: Apache-2.0
"""The plan of the mimic diagram as data: where modules, vessels, lines and docks are drawn, and with which values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

WIDTH, HEIGHT = 1280.0, 640.0
"""Extent of the plan; it is drawn as large as there is room."""


@dataclass(frozen=True)
class Vessel:
    """A vessel: `module/quantity` gives its content in microlitres."""

    name: str
    x: float
    y: float
    content: str
    capacity_ul: float
    width: float = 88.0
    height: float = 64.0


@dataclass(frozen=True)
class Station:
    """A module and the values in its box: quantity, digits, unit, factor; those that have no room are left out."""

    name: str
    x: float
    y: float
    width: float
    height: float
    values: tuple[tuple[str, int, str, float], ...] = ()


@dataclass(frozen=True)
class Line:
    """A line through points; drawn strong while the module is at work."""

    module: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Plan:
    """What is drawn."""

    stations: tuple[Station, ...]
    vessels: tuple[Vessel, ...]
    lines: tuple[Line, ...]


_CULTURE_VALUES = (
    ("liquid_temperature_c", 1, "°C", 1.0), ("ph", 2, "pH", 1.0), ("dissolved_oxygen_fraction", 0, "% O₂", 100.0),
    ("glucose_mm", 1, "mM glucose", 1.0), ("lactate_mm", 1, "mM lactate", 1.0), ("co2_fraction", 1, "% CO₂", 100.0),
)  # fmt: skip
_STANDARD = (
    Station("fluidics", 140, 96, 192, 268, (("plunger_ul", 0, "µL in syringe", 1.0),)),
    Station(
        "acoustic_sorter", 476, 96, 226, 142,
        (("channel_resonance_hz", 4, "MHz", 1e-6), ("drive_amplitude_vpp", 1, "Vpp", 1.0)),
    ),
    Station(
        "transduction", 732, 96, 246, 180,
        (("liquid_temperature_c", 1, "°C", 1.0), ("co2_fraction", 1, "% CO₂", 100.0), ("stirring_rpm", 0, "rpm", 1.0)),
    ),
    Station("vision_qc", 476, 286, 226, 122, (("viability", 0, "% viable", 100.0),)),
)  # fmt: skip
_INCUBATOR = Station("incubator", 1008, 96, 256, 250, _CULTURE_VALUES)
_TWO_INCUBATORS = (replace(_INCUBATOR, height=172.0), replace(_INCUBATOR, name="incubator_2", y=276.0, height=172.0))
_GUESTS = (Station("contamination_watch", 732, 292, 246, 112), Station("analytics", 1060, 456, 204, 106))
"""Modules that not every workcell has: drawn once they are heard of."""
_OTHERS = tuple(Station("", 208, y, 132, 92) for y in (384.0, 482.0))
"""Room for modules that this plan does not know."""
_VESSELS = (
    Vessel("apheresis", 16, 96, "fluidics/apheresis_ul", 3e5),
    Vessel("buffer", 16, 192, "fluidics/buffer_ul", 6e6),
    Vessel("medium", 16, 288, "fluidics/medium_ul", 12e6),
    Vessel("bank", 16, 384, "fluidics/bank_ul", 3e5),
    Vessel("waste", 16, 480, "fluidics/waste_ul", 12e6),
    Vessel("sorter_inlet", 366, 96, "acoustic_sorter/sorter_inlet_ul", 6e4),
    Vessel("sorted", 366, 190, "acoustic_sorter/sorted_ul", 6e4),
    Vessel("sorter_waste", 366, 284, "acoustic_sorter/sorter_waste_ul", 2e6),
    Vessel("activation_vessel", 864, 184, "transduction/volume_ul", 2e5),
    Vessel("depleted", 366, 460, "fluidics/depleted_ul", 1.2e6),
    Vessel("harvest", 556, 460, "fluidics/harvest_ul", 3e5),
    Vessel("dose_bag", 746, 460, "fluidics/dose_bag_ul", 1e5),
    Vessel("surplus_bag", 936, 460, "fluidics/surplus_bag_ul", 1e5),
)
_CULTURE_VESSEL = Vessel("culture_vessel", 1162, 226, "incubator/volume_ul", 1.2e6, height=90.0)
_TWO_CULTURE_VESSELS = (
    replace(_CULTURE_VESSEL, y=176.0, height=66.0),
    replace(_CULTURE_VESSEL, name="culture_vessel_2", content="incubator_2/volume_ul", y=356.0, height=66.0),
)
_LINES = (
    Line("fluidics", ((104, 128), (140, 128))),
    Line("fluidics", ((104, 224), (140, 224))),
    Line("fluidics", ((104, 320), (140, 320))),
    Line("fluidics", ((104, 416), (168, 416), (168, 364))),
    Line("fluidics", ((104, 512), (190, 512), (190, 364))),
    Line("fluidics", ((332, 128), (366, 128))),
    Line("acoustic_sorter", ((454, 128), (476, 128))),
    Line("acoustic_sorter", ((476, 220), (454, 220))),
    Line("acoustic_sorter", ((500, 238), (500, 262), (465, 262), (465, 312), (454, 312))),
    Line("fluidics", ((332, 240), (349, 240), (349, 70), (900, 70), (900, 96))),
    Line("fluidics", ((332, 300), (349, 300), (349, 386), (476, 386))),
    Line("fluidics", ((454, 492), (556, 492))),
    Line("fluidics", ((644, 492), (746, 492))),
    Line("fluidics", ((700, 492), (700, 444), (980, 444), (980, 460))),
)
_CULTURE_LINES = (
    Line("fluidics", ((900, 70), (1140, 70), (1140, 96))),
    Line("fluidics", ((1036, 346), (1036, 430), (410, 430), (410, 460))),
)
_TWO_CULTURES_LINES = (
    _CULTURE_LINES[0],
    Line("fluidics", ((987, 70), (987, 380), (1008, 380))),
    Line("fluidics", ((1008, 240), (998, 240), (998, 430), (410, 430), (410, 460))),
    Line("fluidics", ((1008, 420), (998, 420))),
)
DOCKS_MM: Mapping[str, float] = {
    "hatch": -1465.0, "fluidics": -1341.43, "store": -1152.86, "acoustic_sorter": -1002.86, "transduction": -744.29,
    "incubator": -475.71, "vision_qc": -197.14, "contamination_watch": -40.0,
}  # fmt: skip
"""Docks along the gantry's rail [mm]; a test compares them with the site's."""
DOCK_NAMES: Mapping[str, str] = {"acoustic_sorter": "sorter", "vision_qc": "vision QC", "contamination_watch": "watch"}
"""Shorter names where the whole ones would touch."""
RAIL = (262.0, WIDTH - 44.0, HEIGHT - 46.0)
"""The rail in the plan: left, right, height."""


def plan_for(heard: Sequence[str]) -> Plan:
    """Return the plan of a workcell with the standard modules and those that were heard of.

    One that has no place in it gets one of the places that are left; with none left, it stands in the overview only.
    """
    two = "incubator_2" in heard
    guests = tuple(guest for guest in _GUESTS if guest.name in heard)
    stations = (*_STANDARD, *(_TWO_INCUBATORS if two else (_INCUBATOR,)), *guests)
    placed = {station.name for station in stations} | {"enclosure", "transfer"}
    others = sorted(name for name in heard if name not in placed)
    stations += tuple(replace(place, name=name) for place, name in zip(_OTHERS, others, strict=False))
    cultures = _TWO_CULTURE_VESSELS if two else (_CULTURE_VESSEL,)
    return Plan(stations, (*_VESSELS, *cultures), (*_LINES, *(_TWO_CULTURES_LINES if two else _CULTURE_LINES)))


def on_rail(place_mm: float) -> float:
    """Return where a place of the gantry's long axis [mm] is drawn."""
    low, high = min(DOCKS_MM.values()), max(DOCKS_MM.values())
    share = min(max((place_mm - low) / (high - low), 0.0), 1.0)
    return RAIL[0] + 20.0 + (RAIL[1] - RAIL[0] - 40.0) * share
