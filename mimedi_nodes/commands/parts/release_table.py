# SPDX-License-Identifier: Apache-2.0
"""The release table on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from ...records.review import VERDICTS, number_text

_STYLE = {"pass": "green", "fail": "bold red", "pending": "yellow", "unknown": "bold yellow"}


def print_release(summary: Mapping[str, Any], console: Console) -> None:
    """Print test, specification, result and verdict of every row, then the verdict of the batch."""
    table = Table(title=f"Release table · {summary.get('batch_id', '')}", title_justify="left")
    for column in ("test", "specification", "result", "verdict"):
        table.add_column(column)
    for row in summary.get("release", ()):
        result = f"{number_text(row['value'])} {row['unit'] if row['unit'] != '1' else ''}".strip()
        verdict = row["verdict"] + (f" ({row['reason']})" if row["reason"] and row["verdict"] != "pass" else "")
        style = _STYLE.get(row["verdict"], "")
        table.add_row(row["title"], row["criterion"], result, verdict, style=style if row["verdict"] != "pass" else "")
    console.print(table)
    verdict = str(summary.get("verdict", "incomplete"))
    good = verdict in ("meets", "meets_provisionally")
    console.print(
        VERDICTS.get(verdict, verdict), style="bold green" if good else "bold red", highlight=False, markup=False
    )
    pending = [row["title"].split(",")[0] for row in summary.get("release", ()) if row["verdict"] == "pending"]
    if verdict == "meets_provisionally" and pending:
        console.print(f"{' and '.join(pending)} pending.", end=" ", highlight=False, markup=False)
    decided = summary.get("disposition_text", "")
    if good and summary.get("disposition", "unsigned") == "unsigned":
        decided = "Awaiting the responsible pharmacist; a person releases"
    if decided:
        console.print(f"{decided}.", highlight=False, markup=False)
