# SPDX-License-Identifier: Apache-2.0
"""The process, without ROS: recipes, the engine, people, identity, alarms, release."""
