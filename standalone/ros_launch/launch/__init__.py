# SPDX-License-Identifier: Apache-2.0
"""A small, clean-room subset of ROS 2's launch, for machines without a ROS 2 distribution.

See standalone/ros_launch/README.md. Never on the path where the real package is.
"""

from . import (
    actions,
    conditions,
    event_handlers,
    events,
    launch_description_sources,
    logging,
    substitutions,
    utilities,
)
from ._subset import OutsideSubsetError, module_getattr
from .action import Action
from .condition import Condition
from .entity import SomeEntities
from .event import Event
from .event_handler import BaseEventHandler, EventHandler
from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .launch_description_entity import LaunchDescriptionEntity
from .launch_description_source import LaunchDescriptionSource
from .launch_introspector import LaunchIntrospector
from .launch_service import LaunchService
from .some_substitutions_type import SomeSubstitutionsType
from .substitution import Substitution

SomeEntitiesType = SomeEntities
SomeActionsType = SomeEntities

__getattr__ = module_getattr(__name__)

__all__ = [
    'Action',
    'BaseEventHandler',
    'Condition',
    'Event',
    'EventHandler',
    'LaunchContext',
    'LaunchDescription',
    'LaunchDescriptionEntity',
    'LaunchDescriptionSource',
    'LaunchIntrospector',
    'LaunchService',
    'OutsideSubsetError',
    'SomeActionsType',
    'SomeEntitiesType',
    'SomeSubstitutionsType',
    'Substitution',
    'actions',
    'conditions',
    'event_handlers',
    'events',
    'launch_description_sources',
    'logging',
    'substitutions',
    'utilities',
]
