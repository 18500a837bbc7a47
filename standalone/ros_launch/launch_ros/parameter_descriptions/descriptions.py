# SPDX-License-Identifier: Apache-2.0
"""ParameterValue and ParameterFile."""

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import yaml
from launch.conditions import evaluate_condition_expression
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution, SubstitutionFailure
from launch.substitutions import EnvironmentVariable, LaunchConfiguration
from launch.utilities import normalize_to_list_of_substitutions, perform

from ..substitutions import FindPackageShare

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

SCALARS = (bool, int, float, str)


def _coerce(value: Any, scalar: type) -> Any:
    if scalar is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) != (scalar is bool) or not isinstance(value, scalar):
        raise ValueError(f"parameter value '{value}' cannot be taken as {scalar.__name__}")
    return value


class ParameterValue:
    """A parameter's value, of a given type where `value_type` says so."""

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        """Take the value and its type: bool, int, float, str, a List of one of them, or None (as YAML)."""
        self._value = value
        self._type = value_type

    @property
    def value(self) -> Any:
        """Return the value as given."""
        return self._value

    @property
    def value_type(self) -> Any:
        """Return the wanted type."""
        return self._type

    def evaluate(self, context: 'LaunchContext') -> Any:
        """Return the value for this context.

        Raises:
            ValueError: if it is not of the wanted type.
        """
        value = self._value
        is_text = isinstance(value, (str, Substitution)) or (
            isinstance(value, (list, tuple)) and any(isinstance(part, Substitution) for part in value)
        )
        if is_text:
            text = perform(context, value)
            if self._type is str:
                return text
            value = yaml.safe_load(text)
        if self._type is None:
            return value
        if self._type is str:
            return str(value)
        if get_origin(self._type) is list:
            (scalar,) = get_args(self._type)
            if not isinstance(value, (list, tuple)):
                raise ValueError(f"parameter value '{value}' is not a list of {scalar.__name__}")
            if scalar is str:
                return [str(item) for item in value]
            return [_coerce(item, scalar) for item in value]
        if self._type not in SCALARS:
            raise ValueError(f'value_type must be bool, int, float, str or a List of one, got {self._type!r}')
        return _coerce(value, self._type)


class ParameterFile:
    """A parameter file, with `$(...)` substitutions in it where allowed."""

    def __init__(
        self,
        param_file: SomeSubstitutionsType,
        *,
        allow_substs: bool | SomeSubstitutionsType = False,
    ) -> None:
        """Take the path, and whether to replace $(var NAME), $(env NAME) and $(find-pkg-share NAME)."""
        self._path = normalize_to_list_of_substitutions(param_file)
        self._allow = allow_substs
        self._temporary: Path | None = None

    @property
    def param_file(self) -> Path | list[Substitution]:
        """Return the path as given."""
        return self._path

    def evaluate(self, context: 'LaunchContext') -> Path:
        """Return the path of the file to give to the node."""
        path = Path(os.path.abspath(perform(context, self._path)))
        allow = self._allow
        if not (allow if isinstance(allow, bool) else evaluate_condition_expression(context, allow)):
            return path
        text = replace_substitutions(path.read_text(encoding='utf-8'), context)
        yaml.safe_load(text)  # a broken replacement is reported here, not by the node
        with tempfile.NamedTemporaryFile(
            mode='w', prefix='launch_params_', delete=False, encoding='utf-8'
        ) as file:
            file.write(text)
        self._temporary = Path(file.name)
        context.on_close(self.cleanup)
        return self._temporary

    def cleanup(self) -> None:
        """Remove the temporary file."""
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None


_SUBSTITUTION = re.compile(r'\$\(([a-z-]+)((?: +[^$()]*)?)\)')


def replace_substitutions(text: str, context: 'LaunchContext') -> str:
    """Replace the known `$(...)` forms in `text`, innermost first.

    Raises:
        SubstitutionFailure: for an unknown form.
    """

    def replace(match: re.Match[str]) -> str:
        kind, words = match[1], match[2].split()
        substitution: Substitution
        if kind == 'var' and len(words) in (1, 2):
            substitution = LaunchConfiguration(words[0], default=words[1] if len(words) == 2 else None)
        elif kind == 'env' and len(words) in (1, 2):
            substitution = EnvironmentVariable(words[0], default_value=words[1] if len(words) == 2 else None)
        elif kind == 'find-pkg-share' and len(words) == 1:
            substitution = FindPackageShare(words[0])
        elif kind == 'dirname' and not words:
            from launch.substitutions import ThisLaunchFileDir

            substitution = ThisLaunchFileDir()
        else:
            raise SubstitutionFailure(
                f"'{match[0]}' in a parameter file is outside the stand-alone launch subset, which knows "
                'var, env, find-pkg-share and dirname'
            )
        return substitution.perform(context)

    previous = None
    while previous != text:
        previous, text = text, _SUBSTITUTION.sub(replace, text)
    return text


__all__ = ['ParameterFile', 'ParameterValue', 'replace_substitutions']
