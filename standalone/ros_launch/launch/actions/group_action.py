# SPDX-License-Identifier: Apache-2.0
"""Actions that share a scope."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..entity import LaunchDescriptionEntity
from ..some_substitutions_type import SomeSubstitutionsType
from .configuration import (
    PopEnvironment,
    PopLaunchConfigurations,
    PushEnvironment,
    PushLaunchConfigurations,
    ResetLaunchConfigurations,
    SetLaunchConfiguration,
)

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class GroupAction(Action):
    """Visits actions in a scope of their own, so that what they set ends with the group."""

    def __init__(
        self,
        actions: Iterable[LaunchDescriptionEntity],
        *,
        scoped: bool = True,
        forwarding: bool = True,
        launch_configurations: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        **left_over_kwargs: Any,
    ) -> None:
        """Take the actions.

        Args:
            actions: visited in order.
            scoped: whether configurations and environment are restored after the group.
            forwarding: whether the configurations set outside are seen inside.
            launch_configurations: set inside the group.
        """
        super().__init__(**left_over_kwargs)
        self._actions = list(actions)
        self._scoped = scoped
        self._forwarding = forwarding
        self._configurations = dict(launch_configurations or {})

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the actions with those that open and close the scope."""
        configured: list[LaunchDescriptionEntity]
        if self._forwarding or not self._scoped:
            configured = [SetLaunchConfiguration(name, value) for name, value in self._configurations.items()]
        else:
            configured = [ResetLaunchConfigurations(self._configurations)]
        if not self._scoped:
            return [*configured, *self._actions]
        return [
            PushLaunchConfigurations(),
            PushEnvironment(),
            *configured,
            *self._actions,
            PopEnvironment(),
            PopLaunchConfigurations(),
        ]

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the actions."""
        return self._actions if self._condition is None else []

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return the actions if they depend on a condition."""
        return [] if self._condition is None else [('condition of the group', self._actions)]

    def execute(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity]:
        """Return what to visit."""
        return self.get_sub_entities()
