# SPDX-License-Identifier: Apache-2.0
"""Faults of the stations beside the liquid path: what each does to enclosure and screening when it comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from mimedi_nodes.instruments.enclosure_map import Door
from mimedi_sim.plant.analyser_faults import ANALYSERS
from mimedi_sim.plant.analyser_faults import change as change_analyser
from mimedi_sim.plant.faults import Values
from mimedi_sim.plant.gantry_faults import CHANGES as GANTRY_CHANGES

if TYPE_CHECKING:
    from mimedi_sim.plant.stations import Stations

Change = Callable[["Stations", float, Values, bool], None]
"""Stations, process time [s], parameters, and whether the fault comes (True) or goes."""


def _number(values: Values, name: str) -> float:
    return float(values[name])


def _burst(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    if active:
        stations.enclosure.burst(now_s, _number(values, "particles"), _number(values, "large"))


def _filter(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    if active:
        stations.enclosure.set_filter(now_s, _number(values, "efficiency"))
    else:
        stations.enclosure.set_filter(now_s)


def _fan(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    stations.enclosure.set_fan(now_s, not active)


def _seal(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    if active:
        stations.enclosure.set_seal(now_s, _number(values, "hourly_leak_rate"))
    else:
        stations.enclosure.set_seal(now_s)


def _door(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    if active:
        stations.enclosure.open_door(now_s, Door[str(values["door"]).upper()], force=True)
    else:
        for door in Door:
            stations.enclosure.close_door(now_s, door)


def _emergency_stop(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    if active:
        stations.enclosure.press_button(now_s)
    else:
        stations.enclosure.release_button(now_s)


def _light(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    stations.screening.light_leak(now_s, _number(values, "light_per_s") if active else 0.0)


def _dead(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    stations.screening.detector_dead(now_s, active)


def _dark(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    stations.screening.dark_counts(now_s, _number(values, "dark_per_s") if active else SOUND_DARK_PER_S)


def _analyser(fault: str, stations: Stations, now_s: float, values: Values, active: bool) -> None:
    change_analyser(fault, stations.analyser_faults, now_s, values, active)


SOUND_DARK_PER_S = 200.0
CHANGES: Mapping[str, Change] = {
    "particle_burst": _burst, "hepa_leak": _filter, "fan_stopped": _fan, "seal_leak": _seal, "enclosure_door": _door,
    "emergency_stop": _emergency_stop,
    **GANTRY_CHANGES, **{fault: partial(_analyser, fault) for fault in ANALYSERS},
    "photon_saturated": _light, "photon_dead": _dead, "photon_dark_high": _dark,
}
"""What every fault of a station does."""
