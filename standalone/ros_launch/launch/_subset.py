# SPDX-License-Identifier: Apache-2.0
"""What happens when a launch file asks for something this subset leaves out."""

from collections.abc import Callable
from typing import Any, NoReturn


class OutsideSubsetError(ImportError):
    """Raised for a part of upstream's launch that the stand-alone subset leaves out."""


def outside(what: str) -> NoReturn:
    """Raise the error that names the missing part and the way out.

    Raises:
        OutsideSubsetError: always.
    """
    raise OutsideSubsetError(
        f'{what} is outside the stand-alone launch subset; '
        'use a ROS 2 distribution, or see standalone/ros_launch/README.md for what is in it'
    )


def module_getattr(module: str) -> Callable[[str], Any]:
    """Return a module-level ``__getattr__`` that explains missing public names of `module`."""

    def __getattr__(name: str) -> Any:
        # Introspection by other tools (doctest, pytest, copy) asks for private names and lower-case
        # submodules: those get the ordinary answer.
        if name.startswith('_') or not name[:1].isupper():
            raise AttributeError(f'module {module!r} has no attribute {name!r}')
        outside(f'{module}.{name}')

    return __getattr__
