# SPDX-License-Identifier: Apache-2.0
"""Helpers on substitutions and entities that launch extensions use."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..entity import normalize_entities, visit_all
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


def normalize_to_list_of_substitutions(value: SomeSubstitutionsType) -> list[Substitution]:
    """Return `value` (text, path, substitution or a sequence of them) as a list of substitutions.

    Raises:
        TypeError: for any other type.
    """
    from ..substitutions.text_substitution import TextSubstitution

    if isinstance(value, str):
        return [TextSubstitution(text=value)]
    if isinstance(value, Path):
        return [TextSubstitution(text=str(value))]
    if isinstance(value, Substitution):
        return [value]
    if isinstance(value, Iterable):
        return [part for item in value for part in normalize_to_list_of_substitutions(item)]
    raise TypeError(
        f'expected a text, a Path, a Substitution or a sequence of them, '
        f'got {value!r} of type {type(value).__name__}'
    )


def perform_substitutions(context: 'LaunchContext', substitutions: Iterable[Substitution]) -> str:
    """Return the concatenated texts of `substitutions`."""
    return ''.join(context.perform_substitution(substitution) for substitution in substitutions)


def perform(context: 'LaunchContext', value: SomeSubstitutionsType) -> str:
    """Normalize and perform `value` in one step."""
    return perform_substitutions(context, normalize_to_list_of_substitutions(value))


def is_a(obj: Any, entity_type: type) -> bool:
    """Return whether `obj` is an instance of `entity_type`."""
    return isinstance(obj, entity_type)


def is_a_subclass(obj: Any, entity_type: type) -> bool:
    """Return whether `obj` is a subclass, or an instance of a subclass, of `entity_type`."""
    return isinstance(obj, entity_type) or (isinstance(obj, type) and issubclass(obj, entity_type))


visit_all_entities_and_collect_futures = visit_all

__all__ = [
    'is_a',
    'is_a_subclass',
    'normalize_entities',
    'normalize_to_list_of_substitutions',
    'perform',
    'perform_substitutions',
    'visit_all_entities_and_collect_futures',
]
