# SPDX-License-Identifier: Apache-2.0
"""Brings the lifecycle node up to active."""

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    GroupAction,
    LogInfo,
    RegisterEventHandler,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

from launch import LaunchDescription


def generate_launch_description():
    """Return the node with the handlers that configure and activate it."""
    node = LifecycleNode(
        package='up_demo',
        executable='lc_node',
        name='lc_node',
        namespace=LaunchConfiguration('ns'),
        output='screen',
        parameters=[
            PathJoinSubstitution([FindPackageShare('up_demo'), 'config', 'params.yaml']),
            {'rate': LaunchConfiguration('rate')},
        ],
        remappings=[('chatter', 'talk')],
    )

    def change(transition_id):
        return EmitEvent(
            event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition_id)
        )

    bring_up = GroupAction(
        [
            RegisterEventHandler(
                OnProcessStart(target_action=node, on_start=[change(Transition.TRANSITION_CONFIGURE)])
            ),
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=node,
                    start_state='configuring',
                    goal_state='inactive',
                    entities=[LogInfo(msg='now inactive'), change(Transition.TRANSITION_ACTIVATE)],
                )
            ),
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=node,
                    start_state='activating',
                    goal_state='active',
                    entities=[LogInfo(msg='now active')],
                )
            ),
        ],
        condition=IfCondition(LaunchConfiguration('auto')),
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument('rate', default_value='50.0', description='publishing rate [Hz]'),
            DeclareLaunchArgument('ns', default_value=''),
            DeclareLaunchArgument(
                'auto', default_value='true', choices=['true', 'false'], description='activate by itself'
            ),
            bring_up,
            node,
        ]
    )
