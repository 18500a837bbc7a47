# SPDX-License-Identifier: Apache-2.0
"""The bench of the instruments' contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from instrument_bench import Bench


@pytest.fixture(params=["memory", "pty"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(request.param, tmp_path / "ports")
    yield made
    made.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Ports of real instruments, for test_instrument_ports.py."""
    parser.addoption(
        "--instrument-port", action="append", default=[], metavar="NAME=PATH[@BAUD]",
        help="hold a real instrument to its contract, e.g. photon_counter=/dev/ttyUSB0@115200",
    )
