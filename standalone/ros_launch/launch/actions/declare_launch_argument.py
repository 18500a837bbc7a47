# SPDX-License-Identifier: Apache-2.0
"""An argument that a launch file takes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext
    from ..substitution import Substitution


class DeclareLaunchArgument(Action):
    """Declares an argument: its value comes from the caller, else from the default."""

    def __init__(
        self,
        name: str,
        *,
        default_value: SomeSubstitutionsType | None = None,
        description: str | None = None,
        choices: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the name, the default (None: the caller must give a value) and the valid values.

        Raises:
            ValueError: if `choices` is empty or a plain text default is not one of them.
        """
        super().__init__(**kwargs)
        self._name = name
        self._description = 'no description given' if description is None else description
        self._choices = None if choices is None else list(choices)
        if self._choices is not None and not self._choices:
            raise ValueError('Choices cannot be an empty list')
        self._default: list[Substitution] | None = None
        if default_value is not None:
            self._default = normalize_to_list_of_substitutions(default_value)
        if isinstance(default_value, str) and self._choices is not None and default_value not in self._choices:
            raise ValueError(
                f'Provided default_value "{default_value}" is not in provided choices "{self._choices}".'
            )
        # Set when it is found below a condition: a missing value is then no error yet.
        self._conditionally_included = False

    @property
    def name(self) -> str:
        """Return the name."""
        return self._name

    @property
    def default_value(self) -> 'list[Substitution] | None':
        """Return the default; None: there is none."""
        return self._default

    @property
    def description(self) -> str:
        """Return what the argument means."""
        return self._description

    @property
    def choices(self) -> list[str] | None:
        """Return the valid values; None: any."""
        return self._choices

    def execute(self, context: 'LaunchContext') -> None:
        """Set the configuration to its default if need be, and check its value.

        Raises:
            RuntimeError: if there is no value, or it is not valid.
        """
        if self._name not in context.launch_configurations:
            if self._default is None:
                raise RuntimeError(
                    f"Required launch argument '{self._name}' "
                    f"(description: '{self._description}') was not provided"
                )
            context.launch_configurations[self._name] = perform_substitutions(context, self._default)
        value = context.launch_configurations[self._name]
        if self._choices is not None and value not in self._choices:
            raise RuntimeError(
                f'Argument "{self._name}" provided value "{value}" is not valid. '
                f'Valid options are: {self._choices}'
            )
