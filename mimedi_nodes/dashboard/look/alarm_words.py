# SPDX-License-Identifier: Apache-2.0
"""What the alarm table says, in the windows' language: config/alarms_fr.yaml beside config/alarms.yaml.

The texts of the table travel in messages too; a text that is none of the table's is shown as it came.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

from ...modules.registry import config_folder
from ...process.alarms.table import AlarmEntry, AlarmTable, read_alarm_table
from ...process.yaml_tree import read_document
from . import language

TEXTS = ("cause", "consequence", "response")
"""The texts of an entry."""


def origin(entry: AlarmEntry) -> str:
    """Return what names the English texts of an entry: the first eight digits of their SHA-256."""
    whole = "\n".join(getattr(entry, name) for name in TEXTS)
    return hashlib.sha256(whole.encode()).hexdigest()[:8]


def translations(table: AlarmTable, path: Path) -> dict[str, str]:
    """Return the French text of each English one, without those whose English has changed since.

    Raises:
        DiagnosticError: the file cannot be read or is wrong.
    """
    known = {entry.alarm_id: entry for entry in table.entries}
    reader, root = read_document(path, required=("alarms",))
    said = {}
    for alarm_id, tree in reader.mapping(root.get("alarms"), optional=None).items():
        items = reader.mapping(tree, required=("of", *TEXTS))
        given = {name: reader.text(items.get(name)) for name in ("of", *TEXTS)}
        entry = known.get(alarm_id)
        if entry is None:
            reader.wrong(tree, "no alarm of the alarm table", value=alarm_id)
        elif given["of"] == origin(entry):
            said |= {getattr(entry, name): given[name] for name in TEXTS}
    reader.finish()
    return said


@functools.cache
def _french() -> Mapping[str, str]:
    folder = config_folder()
    return translations(read_alarm_table(folder / "alarms.yaml"), folder / "alarms_fr.yaml")


def said(text: str) -> str:
    """Return a text of the alarm table in the windows' language, any other as it is."""
    return _french().get(text, text) if language.chosen() == "fr" else text


def make_ready() -> None:
    """Read what `said` needs, before the first alarm waits for it.

    Raises:
        DiagnosticError: a table is wrong.
    """
    said("")
