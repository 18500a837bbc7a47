# SPDX-License-Identifier: Apache-2.0
"""The phases of the transfer: home, park, scan a label, move a cassette."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError, PhaseHold
from .codes import TransferCode
from .description import RobotModelError
from .instruments import TransferInstruments
from .motion import (
    GRIP_HEIGHT_M,
    PARK,
    POSITION_LOST_M,
    TRAVEL_Z_MM,
    approach,
    displacement_m,
    go,
    look,
    over_label,
    planned,
    ready,
    where,
)
from .planning import dock_plate, transfer_way
from .whereabouts import GRIPPER

HOMING_S, MOVE_S = 40.0, 60.0


async def home_gantry(goal: Any, instruments: TransferInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Find the reference when it is not known, or again when it is forced."""
    begun_s = ctx.now_s()
    await ready(instruments, ctx, force=goal.force)
    return {"duration_s": ctx.now_s() - begun_s}


async def park(goal: Any, instruments: TransferInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Lift, and stand in the middle of the row at travel height; a cassette in the gripper comes along."""
    begun_s = ctx.now_s()
    await ready(instruments, ctx)
    carried = (await instruments.gantry.state()).gripped
    start = await where(instruments)
    park = replace(PARK, wrist_rad=start.wrist_rad)
    moves = planned(
        approach(start, park), instruments, goal.speed_factor, carried=carried,
        cassettes=instruments.whereabouts.docks,
        may_touch=[dock_plate(dock) for dock in instruments.kinematics.model.docks],
    )
    await go(moves, instruments, ctx, carrying=carried)
    return {"duration_s": ctx.now_s() - begun_s}


async def scan_label(goal: Any, instruments: TransferInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Read the label of a container at a dock and compare it."""
    await ready(instruments, ctx)
    if (await instruments.gantry.state()).gripped:
        raise PhaseError(TransferCode.OCCUPIED, "the gripper holds a cassette; put it down first")
    text = await _read(goal.dock, 1.0, instruments, ctx)
    ctx.record("label_scanned", goal.dock, "", label=text, expected=goal.expected)
    return {"label_read": text, "matches": bool(text) and goal.expected in ("", text)}


async def move_cassette(goal: Any, instruments: TransferInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Take a cassette from dock to dock; its label is read at both.

    The checkpoint says how far it is: `carrying` from before the jaws close until after they open. Taken up again, the
    gripper's own sensor decides whether the cassette is in it; homing, when it is needed, keeps it closed.
    """
    _check_docks(goal, instruments)
    kept: dict[str, Any] = {"begun_s": ctx.now_s(), "step": "fetch", **(ctx.restored or {})}
    await ready(instruments, ctx)
    gripped = (await instruments.gantry.state()).gripped
    held = instruments.whereabouts.at(GRIPPER)
    if gripped and kept["step"] == "fetch":
        if held != goal.cassette:
            raise PhaseError(
                TransferCode.OCCUPIED,
                f"the gripper holds {held or 'a cassette that nobody told of'}; bring that one to a dock first",
            )
        # A transfer was ended while it carried this very cassette: it goes on from here.
        ctx.record("material_found", goal.cassette, "the record says that the gripper holds it", place=GRIPPER)
        kept["step"] = "carrying"
    if kept["step"] == "carrying" and not gripped:
        kept["step"] = await _found_again(goal, instruments, ctx)
    if kept["step"] == "fetch":
        await _fetch(goal, kept, instruments, ctx)
    if kept["step"] == "carrying":
        await _deliver(goal, kept, instruments, ctx)
    text = await _read(goal.destination, goal.speed_factor, instruments, ctx)
    if text != goal.cassette:
        raise PhaseHold(
            "transfer.wrong_label",
            f"{goal.destination} shows {text or 'no label'} after {goal.cassette} was put there; look before going on",
        )
    ctx.record("material_moved", goal.cassette, "", source=goal.source, destination=goal.destination, label=text)
    return {"label_read": text, "duration_s": ctx.now_s() - float(kept["begun_s"])}


def _check_docks(goal: Any, instruments: TransferInstruments) -> None:
    for dock in (goal.source, goal.destination):
        try:
            instruments.kinematics.dock_frame(dock)
        except RobotModelError as error:
            raise PhaseError(TransferCode.DOCK, str(error)) from error
    if goal.source == goal.destination:
        raise PhaseError(TransferCode.DOCK, f"source and destination are both {goal.source}")


async def _found_again(goal: Any, instruments: TransferInstruments, ctx: PhaseContext) -> str:
    """The jaws were to hold a cassette and do not: look where it is, and return the step to go on with."""
    instruments.whereabouts.clear(GRIPPER)
    if await _read(goal.destination, goal.speed_factor, instruments, ctx) == goal.cassette:
        return "placed"
    if await _read(goal.source, goal.speed_factor, instruments, ctx) == goal.cassette:
        return "fetch"
    raise PhaseHold(
        "transfer.cassette_lost",
        f"{goal.cassette} is neither in the gripper nor at {goal.source} or {goal.destination}; find it, put it to "
        f"{goal.source}, then restart",
    )


async def _fetch(goal: Any, kept: dict[str, Any], instruments: TransferInstruments, ctx: PhaseContext) -> None:
    """Read both docks, plan everything, take the cassette."""
    ctx.feedback(0.1, f"reading the label at {goal.source}")
    text = await _read(goal.source, goal.speed_factor, instruments, ctx)
    if text != goal.cassette:
        raise PhaseError(TransferCode.LABEL, f"{goal.source} shows {text or 'no label'}, {goal.cassette} is expected")
    there = await _read(goal.destination, goal.speed_factor, instruments, ctx)
    if there:
        raise PhaseError(TransferCode.OCCUPIED, f"{there} stands at {goal.destination}")
    way = transfer_way(goal.source, goal.destination, GRIP_HEIGHT_M, TRAVEL_Z_MM, instruments.kinematics)
    start = await where(instruments)
    others = _others(goal, instruments)
    fetch = planned(
        [*approach(start, way["pick"][0]), way["pick"][1]], instruments, goal.speed_factor, carried=False,
        cassettes=[*others, goal.source],
    )
    _carry_moves(goal, way["carry"], others, instruments)  # nothing is taken that could not be brought
    ctx.feedback(0.3, f"taking {goal.cassette}")
    await instruments.gantry.open_gripper()
    await go(fetch, instruments, ctx, carrying=False)
    instruments.whereabouts.put(GRIPPER, goal.cassette)
    kept["step"] = "carrying"
    await ctx.checkpoint(**kept)
    await instruments.gantry.close_gripper()
    if not (await instruments.gantry.state()).gripped:
        instruments.whereabouts.put(goal.source, goal.cassette)
        kept["step"] = "fetch"
        await ctx.checkpoint(**kept)
        raise PhaseHold("transfer.grip_failed", f"the jaws closed on nothing at {goal.source}; look at the cassette")


def _others(goal: Any, instruments: TransferInstruments) -> list[str]:
    return [dock for dock in instruments.whereabouts.docks if dock not in (goal.source, goal.destination)]


def _carry_moves(goal: Any, poses: Any, others: list[str], instruments: TransferInstruments) -> Any:
    plates = [dock_plate(goal.source), dock_plate(goal.destination)]
    return planned(poses, instruments, goal.speed_factor, carried=True, cassettes=others, may_touch=plates)


async def _deliver(goal: Any, kept: dict[str, Any], instruments: TransferInstruments, ctx: PhaseContext) -> None:
    """Carry the cassette to its destination from wherever the gantry is, put it down and let go."""
    ctx.feedback(0.5, f"carrying {goal.cassette} to {goal.destination}")
    way = transfer_way(goal.source, goal.destination, GRIP_HEIGHT_M, TRAVEL_Z_MM, instruments.kinematics)
    start = await where(instruments)
    others = _others(goal, instruments)
    over, place = way["carry"][-2:]
    await go(_carry_moves(goal, [*approach(start, over), place], others, instruments), instruments, ctx, carrying=True)
    await instruments.gantry.open_gripper()
    leave = planned(
        way["leave"], instruments, goal.speed_factor, carried=False, cassettes=[*others, goal.destination]
    )
    await go(leave, instruments, ctx, carrying=False)
    if (await instruments.gantry.state()).gripped:
        raise PhaseHold("transfer.grip_failed", f"{goal.cassette} stays in the opened jaws; take it out by hand")
    instruments.whereabouts.put(goal.destination, goal.cassette)
    kept["step"] = "placed"
    await ctx.checkpoint(**kept)


async def _read(dock: str, speed_factor: float, instruments: TransferInstruments, ctx: PhaseContext) -> str:
    """Bring the camera over a dock and return the label there; empty when there is none.

    Raises:
        PhaseHold: the label is not where it should be: the gantry has lost steps, or the cassette stands wrong.
    """
    if ctx.now_s() > instruments.hand_eye_file.expires_s:
        raise PhaseError(TransferCode.CALIBRATION, "the calibration of the label camera has expired; calibrate it anew")
    at, label_m = over_label(dock, instruments)
    start = await where(instruments)
    docks = instruments.whereabouts.docks
    moves = planned(approach(start, at), instruments, speed_factor, carried=False, cassettes=docks)
    await go(moves, instruments, ctx, carrying=False)
    code = await look(at, label_m, instruments)
    if code is None:
        instruments.whereabouts.clear(dock)
        return ""
    off_m = displacement_m(code, at, label_m, instruments)
    ctx.measured("label_displacement_mm", 1e3 * off_m, "mm")
    if off_m > POSITION_LOST_M:
        raise PhaseHold(
            "transfer.position_lost",
            f"{code.text} at {dock} is seen {1e3 * off_m:.1f} mm from its place, allowed {1e3 * POSITION_LOST_M:g} mm; "
            "home the gantry, and look how the cassette stands",
        )
    instruments.whereabouts.put(dock, code.text)
    return code.text
