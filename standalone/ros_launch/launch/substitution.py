# SPDX-License-Identifier: Apache-2.0
"""A value that is known only when the launch runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Substitution:
    """Text that is worked out while launching."""

    def describe(self) -> str:
        """Return the substitution as a reader of the launch description would write it."""
        return f'{type(self).__name__}()'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the text for this context."""
        raise NotImplementedError(f'{type(self).__name__} does not implement perform()')


class SubstitutionFailure(RuntimeError):
    """Raised when a substitution has no value."""
