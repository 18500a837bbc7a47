# SPDX-License-Identifier: Apache-2.0
"""IfCondition, UnlessCondition and the texts they accept."""

from typing import TYPE_CHECKING

from .condition import Condition
from .some_substitutions_type import SomeSubstitutionsType
from .utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from .launch_context import LaunchContext

TRUE_TEXTS = ('true', '1')
FALSE_TEXTS = ('false', '0')


class InvalidConditionExpressionError(RuntimeError):
    """Raised when a condition's text is neither true nor false."""


def evaluate_condition_expression(context: 'LaunchContext', expression: SomeSubstitutionsType) -> bool:
    """Return the truth of a text: 'true' or '1', 'false' or '0', in any case.

    Raises:
        InvalidConditionExpressionError: for any other text.
    """
    text = perform_substitutions(context, normalize_to_list_of_substitutions(expression))
    if text.strip().lower() in TRUE_TEXTS:
        return True
    if text.strip().lower() in FALSE_TEXTS:
        return False
    raise InvalidConditionExpressionError(
        f"invalid condition expression, expected one of {[*TRUE_TEXTS, *FALSE_TEXTS]} but got '{text}'"
    )


class IfCondition(Condition):
    """True when the text says true."""

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        """Take the text, usually a LaunchConfiguration."""
        self._expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(predicate=lambda context: evaluate_condition_expression(context, self._expression))


class UnlessCondition(Condition):
    """True when the text says false."""

    def __init__(self, predicate_expression: SomeSubstitutionsType) -> None:
        """Take the text, usually a LaunchConfiguration."""
        self._expression = normalize_to_list_of_substitutions(predicate_expression)
        super().__init__(
            predicate=lambda context: not evaluate_condition_expression(context, self._expression)
        )


__all__ = ['IfCondition', 'InvalidConditionExpressionError', 'UnlessCondition', 'evaluate_condition_expression']
