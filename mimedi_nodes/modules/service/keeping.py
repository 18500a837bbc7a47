# SPDX-License-Identifier: Apache-2.0
"""A context that adds a phase's own totals to the checkpoints of a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ...process.context import PhaseContext


class _Keeping:
    def __init__(self, ctx: PhaseContext, kept: Mapping[str, Any]) -> None:
        self._ctx = ctx
        self._kept = dict(kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    async def checkpoint(self, **data: Any) -> None:
        await self._ctx.checkpoint(**{**self._kept, **data})


def keeping(ctx: PhaseContext, **kept: Any) -> PhaseContext:
    """Return `ctx` with `kept` in every checkpoint, so that a part of a phase does not overwrite the whole."""
    return cast(PhaseContext, _Keeping(ctx, kept))
