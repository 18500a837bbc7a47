# SPDX-License-Identifier: Apache-2.0
"""`ros2 lifecycle get|set`: the state of a lifecycle node, and its transitions by hand."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

HELP = 'Various lifecycle related sub-commands'
ANSWER_TIMEOUT_S = 10.0  # discovery now and then takes 3 s

Call = Callable[[Any, str, Any], Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    verbs = parser.add_subparsers(title='Commands', metavar='Verb', dest='verb', required=True)
    get = verbs.add_parser('get', help='Get lifecycle state for a node')
    get.add_argument('node_name', help='Name of the ROS node')
    change = verbs.add_parser('set', help='Trigger lifecycle state transition')
    change.add_argument('node_name', help='Name of the ROS node')
    change.add_argument('transition', help='The lifecycle transition, by label or id')


def main(args: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        RuntimeError: no such node, or it does not answer.
    """
    import rclpy

    node_name = args.node_name if args.node_name.startswith('/') else f'/{args.node_name}'
    rclpy.init(args=[])
    node = rclpy.create_node(f'ros2_lifecycle_{os.getpid()}', start_parameter_services=False, enable_rosout=False)

    def call(kind: Any, service: str, request: Any) -> Any:
        client = node.create_client(kind, f'{node_name}/{service}')
        if not client.wait_for_service(ANSWER_TIMEOUT_S):
            raise RuntimeError('Node not found')
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=ANSWER_TIMEOUT_S)
        if not future.done():
            raise RuntimeError(f"'{node_name}/{service}' did not answer within {ANSWER_TIMEOUT_S:g} s")
        return future.result()

    try:
        return _get(call) if args.verb == 'get' else _set(call, args.transition)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _get(call: Call) -> int:
    from lifecycle_msgs.srv import GetState

    state = call(GetState, 'get_state', GetState.Request()).current_state
    print(f'{state.label} [{state.id}]')
    return 0


def _set(call: Call, wanted: str) -> int:
    from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions

    # Asked first: an rclpy node dies of a transition that its state does not have.
    answer = call(GetAvailableTransitions, 'get_available_transitions', GetAvailableTransitions.Request())
    available = [description.transition for description in answer.available_transitions]
    chosen = [transition for transition in available if wanted in (transition.label, str(transition.id))]
    if not chosen:
        listed = ''.join(f'\n- {transition.label} [{transition.id}]' for transition in available)
        print(f'Unknown transition requested, available ones are:{listed}', file=sys.stderr)
        return 1
    if not call(ChangeState, 'change_state', ChangeState.Request(transition=chosen[0])).success:
        print('Transitioning failed', file=sys.stderr)
        return 1
    print('Transitioning successful')
    return 0
