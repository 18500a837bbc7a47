# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch`, `ros2 run` and `ros2 lifecycle get|set` for machines without a ROS 2 distribution."""
