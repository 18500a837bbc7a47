# SPDX-License-Identifier: Apache-2.0
"""Plain text."""

from typing import TYPE_CHECKING

from ..substitution import Substitution

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class TextSubstitution(Substitution):
    """A text that is already known."""

    def __init__(self, *, text: str) -> None:
        """Take the text.

        Raises:
            TypeError: if it is not a str.
        """
        if not isinstance(text, str):
            raise TypeError(f"TextSubstitution expects a str for 'text', got {text!r}")
        self._text = text

    @property
    def text(self) -> str:
        """Return the text."""
        return self._text

    def describe(self) -> str:
        """Return the text in quotes."""
        return f"'{self._text}'"

    def perform(self, context: 'LaunchContext') -> str:
        """Return the text."""
        return self._text
