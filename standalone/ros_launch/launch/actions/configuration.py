# SPDX-License-Identifier: Apache-2.0
"""Actions on launch configurations and on the environment."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class SetLaunchConfiguration(Action):
    """Sets a launch configuration."""

    def __init__(self, name: SomeSubstitutionsType, value: SomeSubstitutionsType, **kwargs: Any) -> None:
        """Take name and value."""
        super().__init__(**kwargs)
        self._name = normalize_to_list_of_substitutions(name)
        self._value = normalize_to_list_of_substitutions(value)

    def execute(self, context: 'LaunchContext') -> None:
        """Set it."""
        name = perform_substitutions(context, self._name)
        context.launch_configurations[name] = perform_substitutions(context, self._value)


class UnsetLaunchConfiguration(Action):
    """Removes a launch configuration."""

    def __init__(self, name: SomeSubstitutionsType, **kwargs: Any) -> None:
        """Take the name."""
        super().__init__(**kwargs)
        self._name = normalize_to_list_of_substitutions(name)

    def execute(self, context: 'LaunchContext') -> None:
        """Remove it if it is there."""
        context.launch_configurations.pop(perform_substitutions(context, self._name), None)


class PushLaunchConfigurations(Action):
    """Opens a scope of launch configurations."""

    def execute(self, context: 'LaunchContext') -> None:
        """Keep the configurations."""
        context.push_launch_configurations()


class PopLaunchConfigurations(Action):
    """Closes a scope of launch configurations."""

    def execute(self, context: 'LaunchContext') -> None:
        """Bring back the configurations."""
        context.pop_launch_configurations()


class ResetLaunchConfigurations(Action):
    """Removes all launch configurations but the given ones."""

    def __init__(
        self,
        launch_configurations: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what to keep or set, by name."""
        super().__init__(**kwargs)
        self._kept = dict(launch_configurations or {})

    def execute(self, context: 'LaunchContext') -> None:
        """Remove all, then set the given ones (their values may refer to the removed)."""
        kept = {perform(context, name): perform(context, value) for name, value in self._kept.items()}
        context.launch_configurations.clear()
        context.launch_configurations.update(kept)


class SetEnvironmentVariable(Action):
    """Sets an environment variable for what is started later."""

    def __init__(self, name: SomeSubstitutionsType, value: SomeSubstitutionsType, **kwargs: Any) -> None:
        """Take name and value."""
        super().__init__(**kwargs)
        self._name = normalize_to_list_of_substitutions(name)
        self._value = normalize_to_list_of_substitutions(value)

    def execute(self, context: 'LaunchContext') -> None:
        """Set it."""
        name = perform_substitutions(context, self._name)
        context.environment[name] = perform_substitutions(context, self._value)


class UnsetEnvironmentVariable(Action):
    """Removes an environment variable for what is started later."""

    def __init__(self, name: SomeSubstitutionsType, **kwargs: Any) -> None:
        """Take the name."""
        super().__init__(**kwargs)
        self._name = normalize_to_list_of_substitutions(name)

    def execute(self, context: 'LaunchContext') -> None:
        """Remove it if it is there."""
        context.environment.pop(perform_substitutions(context, self._name), None)


class AppendEnvironmentVariable(Action):
    """Adds an element to a list in an environment variable."""

    def __init__(
        self,
        name: SomeSubstitutionsType,
        value: SomeSubstitutionsType,
        prepend: bool = False,
        separator: str = os.pathsep,
        **kwargs: Any,
    ) -> None:
        """Take name and value, whether the value goes first, and the separator."""
        super().__init__(**kwargs)
        self._name = normalize_to_list_of_substitutions(name)
        self._value = normalize_to_list_of_substitutions(value)
        self._prepend = prepend
        self._separator = separator

    def execute(self, context: 'LaunchContext') -> None:
        """Add the element."""
        name = perform_substitutions(context, self._name)
        value = perform_substitutions(context, self._value)
        present = context.environment.get(name)
        if present is not None:
            parts = (value, present) if self._prepend else (present, value)
            value = self._separator.join(parts)
        context.environment[name] = value


class PushEnvironment(Action):
    """Opens a scope of environment variables."""

    def execute(self, context: 'LaunchContext') -> None:
        """Keep the environment."""
        context.push_environment()


class PopEnvironment(Action):
    """Closes a scope of environment variables."""

    def execute(self, context: 'LaunchContext') -> None:
        """Bring back the environment."""
        context.pop_environment()
