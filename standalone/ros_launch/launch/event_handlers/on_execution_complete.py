# SPDX-License-Identifier: Apache-2.0
"""Reaction to the end of an action."""

from typing import Any

from ..events.execution_complete import ExecutionComplete
from .on_action_event import OnActionEventBase, Reaction, Target


class OnExecutionComplete(OnActionEventBase):
    """Reacts when an action has completed."""

    def __init__(self, *, target_action: Target = None, on_completion: Reaction, **kwargs: Any) -> None:
        """Take the action (None: any) and the reaction."""
        super().__init__(
            action_matcher=target_action, on_event=on_completion, target_event_cls=ExecutionComplete, **kwargs
        )
