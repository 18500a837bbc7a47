# SPDX-License-Identifier: Apache-2.0
"""What holds for all nodes that follow in the scope: namespace, parameters, remaps.

The values live among the launch configurations, so that GroupAction scopes them.
"""

import json
from typing import TYPE_CHECKING, Any

from launch.action import Action
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform, perform_substitutions

from ..names import join_namespaces, make_absolute
from ..parameters import evaluate_value

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

NAMESPACE_KEY = 'ros_namespace'
PARAMETERS_KEY = 'global_params'
REMAPS_KEY = 'ros_remaps'


def scope_namespace(context: 'LaunchContext') -> str | None:
    """Return the pushed namespace; None: there is none."""
    return context.launch_configurations.get(NAMESPACE_KEY)


def _read_pairs(context: 'LaunchContext', key: str) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in json.loads(context.launch_configurations.get(key, '[]'))]


def scope_parameters(context: 'LaunchContext') -> list[tuple[str, Any]]:
    """Return (name, value) of the parameters set for the scope, in order."""
    return _read_pairs(context, PARAMETERS_KEY)


def scope_remaps(context: 'LaunchContext') -> list[tuple[str, str]]:
    """Return (from, to) of the remaps set for the scope, in order."""
    return _read_pairs(context, REMAPS_KEY)


def _append_pair(context: 'LaunchContext', key: str, name: str, value: Any) -> None:
    pairs: list[Any] = [*_read_pairs(context, key), (name, value)]
    context.launch_configurations[key] = json.dumps(pairs)


class PushRosNamespace(Action):
    """Puts the nodes that follow in the scope into a namespace."""

    def __init__(self, namespace: SomeSubstitutionsType, **kwargs: Any) -> None:
        """Take the namespace; a relative one goes inside that of the outer scope."""
        super().__init__(**kwargs)
        self._namespace = normalize_to_list_of_substitutions(namespace)

    @property
    def namespace(self) -> list[Any]:
        """Return the namespace."""
        return self._namespace

    def execute(self, context: 'LaunchContext') -> None:
        """Set the namespace."""
        pushed = perform_substitutions(context, self._namespace)
        namespace = join_namespaces(scope_namespace(context) or '', pushed)
        if namespace:
            context.launch_configurations[NAMESPACE_KEY] = make_absolute(namespace)


class SetParameter(Action):
    """Sets a parameter of all nodes that follow in the scope."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, **kwargs: Any) -> None:
        """Take name and value."""
        super().__init__(**kwargs)
        self._name = normalize_to_list_of_substitutions(name)
        self._value = value

    def execute(self, context: 'LaunchContext') -> None:
        """Set the parameter."""
        name = perform_substitutions(context, self._name)
        _append_pair(context, PARAMETERS_KEY, name, evaluate_value(self._value, context))


class SetRemap(Action):
    """Sets a remapping of all nodes that follow in the scope."""

    def __init__(self, src: SomeSubstitutionsType, dst: SomeSubstitutionsType, **kwargs: Any) -> None:
        """Take the name to replace and its replacement."""
        super().__init__(**kwargs)
        self._src = src
        self._dst = dst

    def execute(self, context: 'LaunchContext') -> None:
        """Set the remapping."""
        _append_pair(context, REMAPS_KEY, perform(context, self._src), perform(context, self._dst))
