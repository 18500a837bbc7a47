# SPDX-License-Identifier: Apache-2.0
"""The list of what to launch."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .action import Action
from .entity import LaunchDescriptionEntity

if TYPE_CHECKING:
    from .actions.declare_launch_argument import DeclareLaunchArgument
    from .actions.include_launch_description import IncludeLaunchDescription
    from .launch_context import LaunchContext

DeclaredArgument = tuple['DeclareLaunchArgument', list['IncludeLaunchDescription']]


class LaunchDescription(LaunchDescriptionEntity):
    """An ordered list of entities."""

    def __init__(self, initial_entities: Iterable[LaunchDescriptionEntity] | None = None) -> None:
        """Take the first entities."""
        self._entities = list(initial_entities) if initial_entities is not None else []

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities in order."""
        return self._entities

    def add_entity(self, entity: LaunchDescriptionEntity) -> None:
        """Append an entity."""
        self._entities.append(entity)

    def add_action(self, action: Action) -> None:
        """Append an action."""
        self.add_entity(action)

    def visit(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity]:
        """Return the entities, to be visited in order."""
        return self._entities

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities in order."""
        return self._entities

    def get_launch_arguments(self, conditional_inclusion: bool = False) -> list['DeclareLaunchArgument']:
        """Return the arguments that this description and all it includes declare, without repeats."""
        return [
            argument
            for argument, _ in self.get_launch_arguments_with_include_launch_description_actions(
                conditional_inclusion
            )
        ]

    def get_launch_arguments_with_include_launch_description_actions(
        self, conditional_inclusion: bool = False
    ) -> list[DeclaredArgument]:
        """Return each declared argument with the chain of includes that leads to it.

        Args:
            conditional_inclusion: whether this description itself is included only under a condition.
        """
        found: list[DeclaredArgument] = []
        _collect_arguments(self._entities, [], conditional_inclusion, found)
        return found


def _collect_arguments(
    entities: Iterable[LaunchDescriptionEntity],
    includes: list['IncludeLaunchDescription'],
    conditional: bool,
    found: list[DeclaredArgument],
) -> None:
    from .actions.declare_launch_argument import DeclareLaunchArgument
    from .actions.include_launch_description import IncludeLaunchDescription

    for entity in entities:
        is_conditional = conditional or getattr(entity, 'condition', None) is not None
        if isinstance(entity, DeclareLaunchArgument):
            if all(argument.name != entity.name for argument, _ in found):
                entity._conditionally_included = is_conditional
                found.append((entity, list(includes)))
            continue
        if isinstance(entity, IncludeLaunchDescription):
            description = entity.launch_description_source.try_get_launch_description_without_context()
            if description is not None:
                _collect_arguments(description.entities, [*includes, entity], is_conditional, found)
            continue
        _collect_arguments(entity.describe_sub_entities(), includes, is_conditional, found)
        for _, sub_entities in entity.describe_conditional_sub_entities():
            _collect_arguments(sub_entities, includes, True, found)
