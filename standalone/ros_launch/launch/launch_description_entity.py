# SPDX-License-Identifier: Apache-2.0
"""Upstream's module name for the base entity."""

from .entity import LaunchDescriptionEntity

__all__ = ['LaunchDescriptionEntity']
