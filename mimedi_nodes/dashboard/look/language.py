# SPDX-License-Identifier: Apache-2.0
"""The window's language: English as it is written in the code, French from one table.

Names of standards (states of ISA-88, MTP and ISA-18.2), identifiers and what somebody wrote stay as they are in every
language: they are the same words in the record, on the terminal and in the manual.
"""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping

from .french import FRENCH

LANGUAGES = ("en", "fr")
_chosen = "en"


def preferred() -> str:
    """Return the language of this session's environment: French where it says so, else English."""
    named = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "fr" if (named or (locale.getlocale()[0] or "")).lower().startswith("fr") else "en"


def choose(language: str) -> None:
    """Set the language of all windows that are made from now on.

    Raises:
        ValueError: it is not one of LANGUAGES.
    """
    global _chosen
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r} is not one of {', '.join(LANGUAGES)}")
    _chosen = language


def chosen() -> str:
    """Return the language that was chosen."""
    return _chosen


def later(text: str) -> str:
    """Mark a text of a table for translation; `tr` is called where it is shown."""
    return text


def named(table: Mapping[str, str], identifier: str, english: str) -> str:
    """Return the name of what has this identifier: of a table of french_names in French, else the English one."""
    return table.get(identifier, english) if _chosen == "fr" else english


def tr(text: str, /, **values: object) -> str:
    """Return a text in the chosen language, `{name}` in it replaced by a value."""
    said = FRENCH[text] if _chosen == "fr" else text
    return said.format(**values) if values else said
