# SPDX-License-Identifier: Apache-2.0
"""`workcell check-physics FILE`: holds the twin's models to a file of reference values."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Print the verdict on every entry; return 0 if all pass, 1 on a miss, 2 if the file cannot be used."""
    from mimedi_sim.check_physics import main as check

    return check(argv)
