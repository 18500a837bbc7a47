# SPDX-License-Identifier: Apache-2.0
"""The ways in which a launch file may write a text."""

from collections.abc import Iterable
from pathlib import Path

from .substitution import Substitution

SomeSubstitutionsType = str | Path | Substitution | Iterable[str | Path | Substitution]
