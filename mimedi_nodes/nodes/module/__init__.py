# SPDX-License-Identifier: Apache-2.0
"""A module's node: the one ROS shell of all modules."""
