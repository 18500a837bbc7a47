# SPDX-License-Identifier: Apache-2.0
"""The one thing that everything in a launch description is."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class LaunchDescriptionEntity:
    """Something that a launch description holds and that the launch service visits."""

    def visit(self, context: 'LaunchContext') -> list['LaunchDescriptionEntity'] | None:
        """Do the entity's work and return the entities to visit next, if any."""
        raise NotImplementedError(f'{type(self).__name__} does not implement visit()')

    def get_asyncio_future(self) -> Optional['asyncio.Future[Any]']:
        """Return the future that completes when the entity's work has ended; None: it has."""
        return None

    def describe(self) -> str:
        """Return a short text that names the entity."""
        return f'{type(self).__name__}({hex(id(self))})'

    def describe_sub_entities(self) -> list['LaunchDescriptionEntity']:
        """Return the entities that will be visited after this one."""
        return []

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable['LaunchDescriptionEntity']]]:
        """Return (reason, entities) for those that will be visited only under a condition."""
        return []


SomeEntities = LaunchDescriptionEntity | Iterable[LaunchDescriptionEntity]
EntityFutures = list[tuple[LaunchDescriptionEntity, 'asyncio.Future[Any]']]


def normalize_entities(entities: SomeEntities | None) -> list[LaunchDescriptionEntity]:
    """Return `entities`, which may be one, several, nested lists or None, as a flat list.

    Raises:
        TypeError: for anything that is no entity.
    """
    if entities is None:
        return []
    if isinstance(entities, LaunchDescriptionEntity):
        return [entities]
    if not isinstance(entities, Iterable):
        raise TypeError(f'expected launch entities, got {entities!r} of type {type(entities).__name__}')
    flat: list[LaunchDescriptionEntity] = []
    for entity in entities:
        flat.extend(normalize_entities(entity))
    return flat


def visit_all(entity: LaunchDescriptionEntity, context: 'LaunchContext') -> EntityFutures:
    """Visit `entity` and, depth first, all it returns; collect the futures still to complete."""
    futures: EntityFutures = []
    sub_entities: Sequence[LaunchDescriptionEntity] | None = entity.visit(context)
    for sub_entity in sub_entities or ():
        futures.extend(visit_all(sub_entity, context))
    future = entity.get_asyncio_future()
    if future is not None:
        futures.append((entity, future))
    return futures
