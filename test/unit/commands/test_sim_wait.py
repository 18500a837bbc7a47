# SPDX-License-Identifier: Apache-2.0
"""`./workcell sim run-until` says how long it takes before it waits."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from mimedi_nodes.commands.sim import takes_text


@pytest.mark.parametrize(
    ("speed", "time_s", "said"),
    [
        (60.0, 86_400.0, "21.0 min at ×60; this command looks for 600 s; ./workcell sim speed makes it faster"),
        (60.0, 14_400.0, "1.0 min at ×60; ./workcell sim speed makes it faster"),
        (60.0, 10_860.0, ""),
        (math.inf, 86_400.0, ""),
    ],
)
def test_a_long_way_is_told_before_it_is_waited_for(speed: float, time_s: float, said: str) -> None:
    assert takes_text(SimpleNamespace(time_s=10_800.0, speed=speed), time_s, 600.0) == said
