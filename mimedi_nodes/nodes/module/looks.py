# SPDX-License-Identifier: Apache-2.0
"""What a module's node looks at by itself, whether a phase runs or not: its watch and its telemetry."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from ...instruments.wire.link import InstrumentError, LinkLost, ReplyTimeout
from ...modules.module import Watch
from ...modules.service.service import ModuleService
from .voice import ModuleVoice

SILENT_LOOKS = 2
"""After so many looks in a row that an instrument did not answer, its module's running phase is held."""


async def keep_watch(
    watch: Watch,
    service: ModuleService,
    period_s: float,
    voice: ModuleVoice,
    changed: Callable[[str, str, bool], None],
) -> None:
    """Look at what the module watches; tell again and again what stands, so that late comers hear of it.

    Args:
        watch: what to look at.
        service: has the instruments.
        period_s: steady time between two looks [s].
        voice: tells what stands.
        changed: hears of each alarm that has come or gone: alarm, what is seen, whether it stands.
    """
    standing: dict[str, str] | None = None
    while True:
        try:
            found = dict(await watch.look(service.instruments))
        except InstrumentError:
            await asyncio.sleep(period_s)  # alarmed by whoever reads the values to be shown
            continue
        for alarm_id in watch.alarms:
            active = alarm_id in found
            if standing is None or active != (alarm_id in standing):
                if active or standing is not None:
                    changed(alarm_id, found.get(alarm_id, ""), active)
                else:
                    voice.tell_alarm(alarm_id, "", False)  # what an earlier life has told may have gone since
            elif active:
                voice.tell_alarm(alarm_id, found[alarm_id], True)
        standing = found
        await asyncio.sleep(period_s)


async def read_telemetry(name: str, service: ModuleService, period_s: float, voice: ModuleVoice) -> None:
    """Read the values to be shown; alarm an instrument that fails, hold the running phase when its line is silent.

    Args:
        name: name of the module.
        service: has the instruments.
        period_s: steady time between two readings [s].
        voice: tells the values and the alarms.
    """
    failing, silent_looks = "", 0
    while True:
        try:
            values = await service.instruments.telemetry()
            voice.telemetry({key: (value, unit, math.nan, math.nan) for key, (value, unit) in values.items()})
            if failing:
                voice.alarm(failing, "", False)
            failing, silent_looks = "", 0
        except InstrumentError as error:
            # A running phase may look at its instruments once in half an hour, and an idle module does not at all.
            if not failing:
                failing = f"{name}.{error.instrument}_fault"
                voice.alarm(failing, str(error), True)
            silent_looks = silent_looks + 1 if isinstance(error, LinkLost | ReplyTimeout) else 0
            if silent_looks >= SILENT_LOOKS:
                await service.line_silent(error)
        await asyncio.sleep(period_s)
