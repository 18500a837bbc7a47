# SPDX-License-Identifier: Apache-2.0
"""Logic on texts that mean true or false; results are 'true' and 'false'."""

import math
from typing import TYPE_CHECKING, Any

from ..conditions import InvalidConditionExpressionError, evaluate_condition_expression
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution, SubstitutionFailure
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .lookups import describe_all

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

SomeValue = SomeSubstitutionsType | bool | int | float | None


def _normalize(value: Any) -> list[Substitution]:
    if value is None:
        return []
    if isinstance(value, bool):
        return normalize_to_list_of_substitutions(str(value).lower())
    if isinstance(value, (int, float)):
        return normalize_to_list_of_substitutions(str(value))
    return normalize_to_list_of_substitutions(value)


def _text(value: bool) -> str:
    return 'true' if value else 'false'


def _truth(context: 'LaunchContext', value: list[Substitution]) -> bool:
    try:
        return evaluate_condition_expression(context, value)
    except InvalidConditionExpressionError as error:
        raise SubstitutionFailure(str(error)) from error


class _OnValues(Substitution):
    """A substitution computed from some values."""

    def __init__(self, *values: Any) -> None:
        self._values = [_normalize(value) for value in values]

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return f'{type(self).__name__}(' + ', '.join(describe_all(value) for value in self._values) + ')'


class BooleanSubstitution(_OnValues):
    """A text checked to be boolean."""

    def __init__(self, value: SomeSubstitutionsType) -> None:
        """Take the text."""
        super().__init__(value)

    def perform(self, context: 'LaunchContext') -> str:
        """Return 'true' or 'false'."""
        return _text(_truth(context, self._values[0]))


class NotSubstitution(_OnValues):
    """Logical not."""

    def __init__(self, value: SomeSubstitutionsType) -> None:
        """Take the text to negate."""
        super().__init__(value)

    def perform(self, context: 'LaunchContext') -> str:
        """Return 'true' or 'false'."""
        return _text(not _truth(context, self._values[0]))


class AndSubstitution(_OnValues):
    """Logical and of two texts."""

    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        """Take both texts."""
        super().__init__(left, right)

    def perform(self, context: 'LaunchContext') -> str:
        """Return 'true' or 'false'."""
        return _text(_truth(context, self._values[0]) and _truth(context, self._values[1]))


class OrSubstitution(_OnValues):
    """Logical or of two texts."""

    def __init__(self, left: SomeSubstitutionsType, right: SomeSubstitutionsType) -> None:
        """Take both texts."""
        super().__init__(left, right)

    def perform(self, context: 'LaunchContext') -> str:
        """Return 'true' or 'false'."""
        return _text(_truth(context, self._values[0]) or _truth(context, self._values[1]))


class EqualsSubstitution(_OnValues):
    """Equality of two texts; as numbers where both are numbers."""

    def __init__(self, left: SomeValue, right: SomeValue) -> None:
        """Take both values."""
        super().__init__(left, right)

    def perform(self, context: 'LaunchContext') -> str:
        """Return 'true' or 'false'."""
        return _text(self._equal(context))

    def _equal(self, context: 'LaunchContext') -> bool:
        left, right = (perform_substitutions(context, value) for value in self._values)
        if left == right:
            return True
        try:
            return math.isclose(float(left), float(right))
        except ValueError:
            return False


class NotEqualsSubstitution(EqualsSubstitution):
    """Inequality of two texts; as numbers where both are numbers."""

    def perform(self, context: 'LaunchContext') -> str:
        """Return 'true' or 'false'."""
        return _text(not self._equal(context))


class IfElseSubstitution(_OnValues):
    """One of two texts, chosen by a third."""

    def __init__(
        self,
        condition: SomeSubstitutionsType,
        if_value: SomeSubstitutionsType = '',
        else_value: SomeSubstitutionsType | None = '',
    ) -> None:
        """Take the condition's text and the two values.

        Raises:
            RuntimeError: if both values are empty.
        """
        super().__init__(condition, if_value, else_value)
        if if_value == '' and else_value == '':
            raise RuntimeError('One of if_value and else_value must be specified')

    def perform(self, context: 'LaunchContext') -> str:
        """Return the chosen text."""
        chosen = self._values[1] if _truth(context, self._values[0]) else self._values[2]
        return perform_substitutions(context, chosen)
