# SPDX-License-Identifier: Apache-2.0
"""The one exception that the command turns into a message and exit status 2."""


class SetupError(Exception):
    """The machine or the clone cannot do what was asked; the text says what to do about it."""
