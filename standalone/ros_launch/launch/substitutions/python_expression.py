# SPDX-License-Identifier: Apache-2.0
"""The value of a Python expression written in the launch file."""

import importlib
from typing import TYPE_CHECKING, Any

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution, SubstitutionFailure
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .lookups import describe_all

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class PythonExpression(Substitution):
    """The text of an expression's value; a launch file is trusted code, as is every Python file."""

    def __init__(
        self, expression: SomeSubstitutionsType, python_modules: SomeSubstitutionsType = ('math',)
    ) -> None:
        """Take the expression and the modules whose names it may use."""
        self._expression = normalize_to_list_of_substitutions(expression)
        self._modules = normalize_to_list_of_substitutions(python_modules)

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return f'PythonExpr({describe_all(self._expression)})'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the value as text.

        Raises:
            SubstitutionFailure: if the expression cannot be evaluated.
        """
        names: dict[str, Any] = {}
        for substitution in self._modules:
            name = context.perform_substitution(substitution)
            module = importlib.import_module(name)
            names[name.partition('.')[0]] = importlib.import_module(name.partition('.')[0])
            if name == 'math':
                names.update(vars(module))
        text = perform_substitutions(context, self._expression)
        try:
            return str(eval(text, {}, names))
        except Exception as error:
            raise SubstitutionFailure(f"cannot evaluate the Python expression '{text}': {error}") from error
