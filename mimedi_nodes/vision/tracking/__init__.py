# SPDX-License-Identifier: Apache-2.0
"""Cells through time: flow, links, smoothing, counting lines."""
