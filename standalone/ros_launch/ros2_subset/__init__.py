# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch` and `ros2 run` for machines without a ROS 2 distribution."""
