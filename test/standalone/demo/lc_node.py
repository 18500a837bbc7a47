# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that talks at parameter `rate` [Hz] while active and says what it was given."""

import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_msgs.msg import String


class LcNode(LifecycleNode):
    """Publishes its parameters on `chatter`."""

    def __init__(self):
        """Declare the parameters."""
        super().__init__('unnamed')
        self.declare_parameter('rate', 1.0)
        self.declare_parameter('label', 'none')

    def on_configure(self, state):
        """Create publisher and timer."""
        self.talk = self.create_lifecycle_publisher(String, 'chatter', 10)
        rate_hz = self.get_parameter('rate').value
        self.timer = self.create_timer(1.0 / rate_hz, self.say)
        print(f'configured rate={rate_hz} label={self.get_parameter("label").value}', flush=True)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state):
        """Tell that it is active."""
        self.get_logger().info('activated')
        return super().on_activate(state)

    def say(self):
        """Publish."""
        self.talk.publish(String(data='hello'))


def main():
    """Spin until asked to end."""
    try:
        rclpy.init()
        node = LcNode()
        print('created', sys.argv[1:], flush=True)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except rclpy_implementation.RCLError:
        # Told to end while it answered a request: the answer cannot be sent any more.
        if rclpy.ok():
            raise
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
