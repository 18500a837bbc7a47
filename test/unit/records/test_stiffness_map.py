# SPDX-License-Identifier: Apache-2.0
"""The map of a stiffness measurement: a file of the record, and what the report draws of it."""

from __future__ import annotations

import pytest

from mimedi_nodes.records.analysis_files import KIND, parts
from mimedi_nodes.records.errors import RecordError
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.facts import gather_facts
from mimedi_nodes.records.report.plots import plot_stiffness
from mimedi_nodes.records.stiffness_map import MEDIA_TYPE, SUFFIX, CellStiffness, from_csv, to_csv

CELLS = [CellStiffness(k, 10.0 * k, -5.0 * k, 100.0 * k, 2.0, k / 3.0) for k in range(1, 7)]


def events(content: bytes) -> list[RecordEvent]:
    data = list(parts(f"S{SUFFIX}", content, MEDIA_TYPE))
    return [RecordEvent("analytics", 1, "B1", 0.0, "2026-11-23T10:00:00Z", KIND, "S", "S", "", each) for each in data]


def test_what_was_written_is_read() -> None:
    found = from_csv(to_csv(CELLS))
    assert [cell.cell for cell in found] == [1, 2, 3, 4, 5, 6]
    assert [cell.relative for cell in found] == pytest.approx([k / 3.0 for k in range(1, 7)], abs=5e-5)


@pytest.mark.parametrize(
    "content",
    [b"", b"cell,x_um\n", to_csv(CELLS) + b"7,0,0,nan,1,1\n", to_csv(CELLS) + b"7,0,0\n", to_csv(CELLS) + b"\xff\n"],
)
def test_a_damaged_map_is_refused(content: bytes) -> None:
    with pytest.raises(RecordError, match="stiffness map"):
        from_csv(content)


def test_the_report_draws_it() -> None:
    drawn = plot_stiffness(gather_facts(events(to_csv(CELLS))))
    assert drawn.startswith("<svg")
    assert "Stiffness of 6 cells" in drawn
    assert plot_stiffness(gather_facts([])) == ""
