# SPDX-License-Identifier: Apache-2.0
"""One request and its parsed reply, with bounded retries; and the range check at every driver's door."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from .link import FrameEnd, GarbledReply, InstrumentError, Link, ReplyTimeout

Reply = TypeVar("Reply")

QUERY_RETRIES = 2
"""Repetitions of a command that is harmless to repeat (a query, or a set point stated as a value)."""

REPLY_TIMEOUT_S = 1.0
"""Steady time [s] for one reply: ten times the slowest instrument's documented answer at its baud rate."""


class OutOfRange(InstrumentError):
    """A value was refused before anything was sent; says field, value and what is allowed."""


async def exchange(
    link: Link,
    request: bytes,
    reply_end: FrameEnd,
    parse: Callable[[bytes], Reply],
    *,
    instrument: str,
    timeout_s: float = REPLY_TIMEOUT_S,
    retries: int = 0,
) -> Reply:
    """Send `request` and return its parsed reply.

    `retries` > 0 only for requests that may reach the instrument twice without harm. `parse` raises
    GarbledReply for a reply of the wrong form.

    Raises:
        LinkLost: the line is not there; never retried here.
        ReplyTimeout, GarbledReply: of the last of `retries` + 1 attempts.
        InstrumentRefused: as `parse` finds it; never retried.
    """
    for attempt in range(retries + 1):
        try:
            return parse(await link.transact(request, reply_end, timeout_s))
        except ReplyTimeout as error:
            if attempt == retries:
                times = f" ({retries + 1} times)" if retries else ""
                raise ReplyTimeout(
                    instrument,
                    f"no answer within {timeout_s:g} s{times} on line {link.name}; check power, cable and address",
                ) from error
        except GarbledReply:
            if attempt == retries:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def check_range(instrument: str, field: str, value: float, low: float, high: float, unit: str) -> float:
    """Return `value` when it is finite and within [low, high]; raises OutOfRange otherwise."""
    if not (math.isfinite(value) and low <= value <= high):
        raise OutOfRange(instrument, f"{field} = {value:g} {unit} refused; allowed: {low:g} to {high:g} {unit}")
    return value
