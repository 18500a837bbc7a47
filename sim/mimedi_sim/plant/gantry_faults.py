# SPDX-License-Identifier: Apache-2.0
"""Faults of the gantry: what there is, and what each does to its mechanics and cassettes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mimedi_sim.plant.faults import FaultKind, Parameter, Values

if TYPE_CHECKING:
    from mimedi_sim.plant.stations import Stations

AXES = ("x", "y", "z")
PLACES = ("gripper", "hatch", "fluidics", "store")
OTHER_LABEL = "CASSETTE-9"
_AXIS = Parameter("y", "-", choices=AXES)

GANTRY: Mapping[str, FaultKind] = {
    "gantry_slip": FaultKind(
        "gantry", "an axis loses `share` of its motor's steps (a loose belt)",
        "position as told, the label camera sees labels beside their places",
        "`transfer.position_lost` or `transfer.grip_failed`, held before anything is gripped; homing sets it right",
        {"axis": _AXIS, "share": Parameter(0.01, "1", 0.0, 1.0)}),
    "gantry_stall": FaultKind(
        "gantry", "an axis is blocked: its motor turns, the carriage stands",
        "as lost steps; homing finds no switch: ALARM:9",
        "`transfer.position_lost`, or `transfer.gantry_fault` from homing, held; the jaws stay closed",
        {"axis": _AXIS}),
    "gantry_limit_switch": FaultKind(
        "gantry", "the limit switch of an axis is pressed", "pin letter in the status; ALARM:1 with the next motion",
        "`transfer.gantry_fault`, held, the jaws stay closed; homed when the restart comes", {"axis": _AXIS}),
    "cassette_lost": FaultKind(
        "gantry", "the cassette in the jaws is gone", "the gripper's sensor opens",
        "`transfer.cassette_lost` after the move under way, held", once=True),
    "cassette_exchanged": FaultKind(
        "gantry", f"the cassette at a place is another one: {OTHER_LABEL}", "its label",
        "MoveCassette aborts with code 811 when it stands at the source; `transfer.wrong_label`, held, when it was put "
        "down",
        {"place": Parameter("hatch", "-", choices=PLACES)}, once=True),
}

Change = Callable[["Stations", float, Values, bool], None]


def _slip(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    stations.gantry.advance_to(now_s)
    stations.mechanics.slip[:] = [0.0, 0.0, 0.0]
    if active:
        stations.mechanics.slip[_axis(values)] = float(values["share"])


def _stall(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    stations.gantry.advance_to(now_s)
    stations.mechanics.blocked.clear()
    if active:
        stations.mechanics.blocked.add(_axis(values))


def _switch(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    stations.gantry.advance_to(now_s)
    stations.mechanics.pressed.clear()
    if active:
        stations.mechanics.pressed.add(_axis(values))
        stations.gantry.limit_switch_closed(now_s)


def _lost(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    held = stations.mechanics.held()
    if active and held is not None:
        stations.mechanics.cassettes[held] = "dropped"


def _exchanged(stations: Stations, now_s: float, values: Values, active: bool) -> None:
    known = next((label for label, at in stations.mechanics.cassettes.items() if at == values.get("place")), None)
    if active and known is not None:
        stations.mechanics.cassettes[OTHER_LABEL] = stations.mechanics.cassettes.pop(known)


def _axis(values: Values) -> int:
    return AXES.index(str(values["axis"]))


CHANGES: Mapping[str, Change] = {
    "gantry_slip": _slip, "gantry_stall": _stall, "gantry_limit_switch": _switch, "cassette_lost": _lost,
    "cassette_exchanged": _exchanged,
}
"""What every fault does."""
