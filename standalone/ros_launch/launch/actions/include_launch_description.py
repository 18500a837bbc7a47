# SPDX-License-Identifier: Apache-2.0
"""A launch description inside another."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..entity import LaunchDescriptionEntity
from ..launch_description_source import LaunchDescriptionSource
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import perform
from .configuration import SetLaunchConfiguration
from .simple import OpaqueFunction

if TYPE_CHECKING:
    from ..launch_context import LaunchContext
    from ..launch_description import LaunchDescription

PLACE = ('current_launch_file_path', 'current_launch_file_directory')


class IncludeLaunchDescription(Action):
    """Visits the description of a source; its configurations stay set, as without an include."""

    def __init__(
        self,
        launch_description_source: LaunchDescriptionSource | SomeSubstitutionsType,
        *,
        launch_arguments: Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the source (or the path of a Python launch file) and the arguments for it."""
        super().__init__(**kwargs)
        if not isinstance(launch_description_source, LaunchDescriptionSource):
            from ..launch_description_sources import AnyLaunchDescriptionSource

            launch_description_source = AnyLaunchDescriptionSource(launch_description_source)
        self._source = launch_description_source
        self._arguments = tuple(launch_arguments) if launch_arguments is not None else ()

    @property
    def launch_description_source(self) -> LaunchDescriptionSource:
        """Return the source."""
        return self._source

    @property
    def launch_arguments(self) -> tuple[tuple[SomeSubstitutionsType, SomeSubstitutionsType], ...]:
        """Return the arguments."""
        return self._arguments

    def describe(self) -> str:
        """Return the location of the source."""
        return f'IncludeLaunchDescription({self._source.location})'

    def execute(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity]:
        """Load the description and return it between setting its arguments and leaving its place.

        Raises:
            RuntimeError: if an argument without default is not given.
        """
        description = self._source.get_launch_description(context)
        self._check_arguments(description, context)
        before = {name: context.get_locals_as_dict().get(name) for name in PLACE}
        path = self._source.location or None  # a description made in a script has no place
        context.extend_locals({PLACE[0]: path, PLACE[1]: self._source.directory if path else None})
        set_arguments = [SetLaunchConfiguration(name, value) for name, value in self._arguments]
        return [*set_arguments, description, OpaqueFunction(function=lambda ctx: ctx.extend_locals(before))]

    def _check_arguments(self, description: 'LaunchDescription', context: 'LaunchContext') -> None:
        given = [perform(context, name) for name, _ in self._arguments]
        for argument, includes in description.get_launch_arguments_with_include_launch_description_actions():
            if argument._conditionally_included or argument.default_value is not None:
                continue
            known = list(given)
            for include in includes:
                known.extend(name for name, _ in include.launch_arguments if isinstance(name, str))
            if argument.name not in known:
                raise RuntimeError(
                    f"Included launch description missing required argument '{argument.name}' "
                    f"(description: '{argument.description}'), given: [{', '.join(known)}]"
                )
