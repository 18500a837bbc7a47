# SPDX-License-Identifier: Apache-2.0
"""Actions for launch tests."""

from launch._subset import module_getattr

from .ready import ReadyToTest

__getattr__ = module_getattr(__name__)

__all__ = ['ReadyToTest']
