# SPDX-License-Identifier: Apache-2.0
"""Cells in camera images: found, followed, measured, counted; without ROS."""
