# SPDX-License-Identifier: Apache-2.0
"""What a machine without a ROS 2 distribution lacks; a ROS 2 host never imports it."""
