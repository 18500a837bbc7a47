# SPDX-License-Identifier: Apache-2.0
"""Argument checks of the models, worded alike everywhere: field, value, allowed range."""

from __future__ import annotations

import math


def require_positive(**values: float) -> None:
    """Raise ValueError naming the first keyword whose value is not finite and > 0."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError(f"{name} is {value}; allowed: finite and > 0")


def require_not_negative(**values: float) -> None:
    """Raise ValueError naming the first keyword whose value is not finite and >= 0."""
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"{name} is {value}; allowed: finite and >= 0")


def require_fraction(**values: float) -> None:
    """Raise ValueError naming the first keyword whose value is outside 0..1."""
    for name, value in values.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} is {value}; allowed: 0..1")
