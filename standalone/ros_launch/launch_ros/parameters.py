# SPDX-License-Identifier: Apache-2.0
"""From what a launch file gives as parameters to what a node reads."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from launch.substitution import Substitution
from launch.utilities import perform

from .parameter_descriptions import ParameterFile, ParameterValue

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

Evaluated = Path | dict[str, Any]
SomeParameters = Iterable[str | Path | Substitution | Mapping[Any, Any] | ParameterFile | Iterable[Any]]


def normalize_parameters(parameters: SomeParameters) -> list[ParameterFile | Mapping[Any, Any]]:
    """Return `parameters` with each path as a ParameterFile.

    Raises:
        TypeError: if it is not a list, or an entry is neither path nor dictionary.
    """
    if isinstance(parameters, (str, bytes, Mapping)) or not isinstance(parameters, Iterable):
        raise TypeError(f'Expecting list of parameters, got {parameters!r}')
    normalized: list[ParameterFile | Mapping[Any, Any]] = []
    for entry in parameters:
        if isinstance(entry, (Mapping, ParameterFile)):
            normalized.append(entry)
        elif isinstance(entry, (str, Path, Substitution, list, tuple)):
            normalized.append(ParameterFile(entry))
        else:
            raise TypeError(f'expected a parameter file, a dictionary or substitutions, got {entry!r}')
    return normalized


def evaluate_value(value: Any, context: 'LaunchContext') -> Any:
    """Return one parameter's value; text made by substitutions is read as YAML, plain text stays text.

    Raises:
        TypeError: for a value that no ROS parameter can hold.
    """
    if isinstance(value, ParameterValue):
        return value.evaluate(context)
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return list(value)
    if isinstance(value, Substitution):
        return yaml.safe_load(perform(context, value))
    if isinstance(value, Iterable):
        return _evaluate_list(list(value), context)
    raise TypeError(f'{value!r} of type {type(value).__name__} cannot be a parameter value')


def _evaluate_list(items: list[Any], context: 'LaunchContext') -> Any:
    if any(isinstance(item, Substitution) for item in items):
        # Text and substitutions in one list are one text.
        return yaml.safe_load(perform(context, items))
    values = [perform(context, item) if isinstance(item, (list, tuple)) else item for item in items]
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return [float(value) for value in values]
    if len(kinds) > 1 or not kinds <= {bool, int, float, str}:
        raise TypeError(
            f'a parameter list needs values of one type (bool, int, float or str), got {items!r}'
        )
    return values


def evaluate_dictionary(
    parameters: Mapping[Any, Any], context: 'LaunchContext', prefix: str = ''
) -> dict[str, Any]:
    """Return a dictionary with the names of nested ones joined by dots, and values for this context."""
    result: dict[str, Any] = {}
    for key, value in parameters.items():
        name = prefix + perform(context, key)
        if isinstance(value, Mapping):
            result.update(evaluate_dictionary(value, context, name + '.'))
        else:
            result[name] = evaluate_value(value, context)
    return result


def evaluate_parameters(
    context: 'LaunchContext', parameters: Iterable[ParameterFile | Mapping[Any, Any]]
) -> list[Evaluated]:
    """Return, in order, the paths and dictionaries that a node is to read."""
    return [
        entry.evaluate(context) if isinstance(entry, ParameterFile) else evaluate_dictionary(entry, context)
        for entry in parameters
    ]


def write_parameter_file(node: str, parameters: Mapping[str, Any], context: 'LaunchContext') -> str:
    """Write a parameter file for `node` (a full name, or '/**') and return its path.

    The file is removed when the launch has ended; a respawned node still finds it.
    """
    with tempfile.NamedTemporaryFile(
        mode='w', prefix='launch_params_', delete=False, encoding='utf-8'
    ) as file:
        yaml.safe_dump({node: {'ros__parameters': dict(parameters)}}, file, default_flow_style=False)
    path = Path(file.name)
    context.on_close(lambda: path.unlink(missing_ok=True))
    return file.name
