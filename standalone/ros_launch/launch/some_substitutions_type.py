# SPDX-License-Identifier: Apache-2.0
"""The ways in which a launch file may write a text."""

from collections.abc import Iterable
from pathlib import Path
from typing import Union

from .substitution import Substitution

SomeSubstitutionsType = Union[str, Path, Substitution, Iterable[Union[str, Path, Substitution]]]
