# SPDX-License-Identifier: Apache-2.0
"""A launch description as readable text."""

from .entity import LaunchDescriptionEntity
from .launch_description import LaunchDescription

_END, _MIDDLE = '└── ', '├── '


class LaunchIntrospector:
    """Formats a description as a tree, without launching it."""

    def format_launch_description(self, launch_description: LaunchDescription) -> str:
        """Return the tree, one entity a line."""
        lines = [launch_description.describe().partition('(')[0]]
        lines += self._format(launch_description.describe_sub_entities())
        return '\n'.join(lines)

    def _format(self, entities: list[LaunchDescriptionEntity]) -> list[str]:
        lines: list[str] = []
        for index, entity in enumerate(entities):
            last = index == len(entities) - 1
            lines.append((_END if last else _MIDDLE) + entity.describe())
            below = self._format(entity.describe_sub_entities())
            for reason, conditional in entity.describe_conditional_sub_entities():
                below += [_END + reason, *('    ' + line for line in self._format(list(conditional)))]
            lines += [('    ' if last else '│   ') + line for line in below]
        return lines
