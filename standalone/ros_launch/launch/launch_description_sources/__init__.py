# SPDX-License-Identifier: Apache-2.0
"""Launch descriptions from files."""

from .._subset import module_getattr
from .python_launch_file import (
    AnyLaunchDescriptionSource,
    InvalidPythonLaunchFileError,
    PythonLaunchDescriptionSource,
    get_launch_description_from_python_launch_file,
    load_python_launch_file_as_module,
)

__getattr__ = module_getattr(__name__)

__all__ = [
    'AnyLaunchDescriptionSource',
    'InvalidPythonLaunchFileError',
    'PythonLaunchDescriptionSource',
    'get_launch_description_from_python_launch_file',
    'load_python_launch_file_as_module',
]
