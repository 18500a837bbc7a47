# SPDX-License-Identifier: Apache-2.0
"""Substitutions that know packages."""

from launch._subset import module_getattr

from .packages import ExecutableInPackage, FindPackage, FindPackagePrefix, FindPackageShare

__getattr__ = module_getattr(__name__)

__all__ = ['ExecutableInPackage', 'FindPackage', 'FindPackagePrefix', 'FindPackageShare']
