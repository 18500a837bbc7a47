# SPDX-License-Identifier: Apache-2.0
"""Boards off-screen for the tests of this folder."""

import pytest

pytest.register_assert_rewrite("dashboard_hand")

from dashboard_hand import application, clock, overview, recorded, runs, show  # noqa: E402

__all__ = ["application", "clock", "overview", "recorded", "runs", "show"]
