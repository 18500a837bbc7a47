# SPDX-License-Identifier: Apache-2.0
"""Substitutions: values worked out while launching."""

from .._subset import module_getattr
from ..substitution import SubstitutionFailure
from .boolean import (
    AndSubstitution,
    BooleanSubstitution,
    EqualsSubstitution,
    IfElseSubstitution,
    NotEqualsSubstitution,
    NotSubstitution,
    OrSubstitution,
)
from .command import Command
from .lookups import (
    EnvironmentVariable,
    FindExecutable,
    LaunchConfiguration,
    PathJoinSubstitution,
    ThisLaunchFile,
    ThisLaunchFileDir,
)
from .python_expression import PythonExpression
from .text_substitution import TextSubstitution

__getattr__ = module_getattr(__name__)

__all__ = [
    'AndSubstitution',
    'BooleanSubstitution',
    'Command',
    'EnvironmentVariable',
    'EqualsSubstitution',
    'FindExecutable',
    'IfElseSubstitution',
    'LaunchConfiguration',
    'NotEqualsSubstitution',
    'NotSubstitution',
    'OrSubstitution',
    'PathJoinSubstitution',
    'PythonExpression',
    'SubstitutionFailure',
    'TextSubstitution',
    'ThisLaunchFile',
    'ThisLaunchFileDir',
]
