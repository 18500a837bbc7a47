# SPDX-License-Identifier: Apache-2.0
"""Where a launch description comes from."""

import os
from typing import TYPE_CHECKING

from .some_substitutions_type import SomeSubstitutionsType
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from .launch_context import LaunchContext
    from .launch_description import LaunchDescription


class LaunchDescriptionSource:
    """Gives a launch description, loaded from a place at most once."""

    def __init__(
        self,
        launch_description: 'LaunchDescription | None' = None,
        location: SomeSubstitutionsType = '',
        method: str = 'unspecified mechanism from a script',
    ) -> None:
        """Take the description, or the place to load it from."""
        self._description = launch_description
        self._location = normalize_to_list_of_substitutions(location)
        self._expanded_location: str | None = None
        self.method = method

    @property
    def location(self) -> str:
        """Return the place: a path once loaded, before that the expression for it."""
        if self._expanded_location is not None:
            return self._expanded_location
        return ' + '.join(substitution.describe() for substitution in self._location)

    @property
    def directory(self) -> str:
        """Return the folder of the place."""
        return os.path.dirname(os.path.abspath(self._expanded_location or ''))

    def get_launch_description(self, context: 'LaunchContext') -> 'LaunchDescription':
        """Return the description, loading it if need be."""
        if self._expanded_location is None:
            self._expanded_location = perform_substitutions(context, self._location)
        if self._description is None:
            self._description = self._load(self._expanded_location)
        return self._description

    def try_get_launch_description_without_context(self) -> 'LaunchDescription | None':
        """Return the description if it can be had before the launch runs, else None."""
        from .launch_context import LaunchContext
        from .logging import get_logger

        if self._description is None:
            try:
                self.get_launch_description(LaunchContext())
            except Exception as error:  # noqa: BLE001 - a launch file is user code; it is reported when run
                self._expanded_location = None
                get_logger('launch').debug(f'{self.location} cannot be loaded before the launch: {error}')
        return self._description

    def _load(self, location: str) -> 'LaunchDescription':
        raise NotImplementedError(f'{type(self).__name__} does not implement _load()')
