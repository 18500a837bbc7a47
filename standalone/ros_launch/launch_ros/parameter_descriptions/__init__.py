# SPDX-License-Identifier: Apache-2.0
"""Parameters with a type, and parameter files."""

from launch._subset import module_getattr

from .descriptions import ParameterFile, ParameterValue

__getattr__ = module_getattr(__name__)

__all__ = ['ParameterFile', 'ParameterValue']
