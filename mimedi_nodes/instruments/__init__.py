# SPDX-License-Identifier: Apache-2.0
"""Drivers: one kind of instrument a file, over a byte link."""
