# SPDX-License-Identifier: Apache-2.0
"""Something that happened, or that is asked for."""


class Event:
    """Base of all launch events; handlers match on class and content."""

    name = 'launch.Event'
