# SPDX-License-Identifier: Apache-2.0
"""Looks at a running ROS graph from outside: `TOPIC NODE PARAMETER…`."""

import itertools
import statistics
import sys
import time

import rclpy
from rcl_interfaces.srv import GetParameters
from std_msgs.msg import String


def call(node, kind, name, request):
    """Return a service's response."""
    client = node.create_client(kind, name)
    assert client.wait_for_service(10.0), f'no service {name}'
    future = client.call_async(request)
    rclpy.spin_until_future_complete(node, future, timeout_sec=10.0)
    assert future.done(), f'no answer from {name}'
    return future.result()


def look(node, topic, name, *parameters):
    """Print the rate of a topic [Hz] over six messages, and parameters of a node, one a line."""
    times = []
    node.create_subscription(String, topic, lambda _message: times.append(time.monotonic()), 10)
    request = GetParameters.Request(names=parameters)
    values = call(node, GetParameters, f'{name}/get_parameters', request).values
    deadline = time.monotonic() + 10.0
    while len(times) < 6 and time.monotonic() < deadline:
        rclpy.spin_once(node, timeout_sec=1.0)
    assert len(times) >= 6, f'only {len(times)} messages on {topic}'
    # The median: what had waited in the queue comes all at once.
    print(round(1.0 / statistics.median(after - before for before, after in itertools.pairwise(times)), 3))
    for value in values:
        print(value.string_value or value.double_value)


rclpy.init()
probe = rclpy.create_node('probe')
look(probe, *sys.argv[1:])
rclpy.try_shutdown()
