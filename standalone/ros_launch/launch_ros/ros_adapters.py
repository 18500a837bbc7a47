# SPDX-License-Identifier: Apache-2.0
"""The launcher's own ROS node, made when the first lifecycle node is launched."""

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext
    from rclpy.node import Node as RclpyNode

_KEY = 'launch_ros.adapter'


class ROSAdapter:
    """An rclpy node in a context and a thread of its own.

    rclpy is imported in that thread: processes are started meanwhile. The thread sleeps in rclpy's wait set.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, argv: list[str]) -> None:
        """Start the thread; `ready` completes, in `loop`, with the node."""
        self._loop = loop
        self._argv = argv
        self.ready: asyncio.Future[Any] = loop.create_future()
        # Nobody awaits the future in a launch without transitions; its failure is logged where used.
        self.ready.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._stop = threading.Event()
        self._ros_context: Any = None
        self._thread = threading.Thread(target=self._run, name='launch-ros', daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            import rclpy
            from rclpy.executors import ExternalShutdownException, ShutdownException
        except BaseException as error:  # noqa: BLE001 - carried to the waiting action
            self._report(self.ready.set_exception, error)
            return
        self._ros_context = context = rclpy.Context()
        try:
            self._spin(context)
        except (ExternalShutdownException, ShutdownException):
            return
        except BaseException as error:  # noqa: BLE001 - carried to the waiting action
            self._report(self.ready.set_exception, error)
        finally:
            context.try_shutdown()

    def _spin(self, context: Any) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        # Signals belong to the launch service, the default context to the launch file or the test.
        rclpy.init(args=self._argv, context=context, signal_handler_options=SignalHandlerOptions.NO)
        if self._stop.is_set():
            return
        node = rclpy.create_node(
            f'launch_ros_{os.getpid()}', context=context, start_parameter_services=False, enable_rosout=False
        )
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        self._report(self.ready.set_result, node)
        try:
            executor.spin()
        finally:
            executor.shutdown()
            node.destroy_node()

    def _report(self, setter: Any, value: Any) -> None:
        def settle() -> None:
            if not self.ready.done():
                setter(value)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(settle)

    async def close(self) -> None:
        """End the thread and wait for it: a process that exits under rclpy's threads may abort."""
        self._stop.set()
        if self._ros_context is not None:
            self._ros_context.try_shutdown()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)


def get_ros_adapter(context: 'LaunchContext') -> ROSAdapter:
    """Return the adapter of the running launch, made on first use."""

    def make() -> ROSAdapter:
        adapter = ROSAdapter(context.asyncio_loop, context.argv)
        context.on_close(adapter.close)
        return adapter

    return context.resource(_KEY, make)


async def get_ros_node(context: 'LaunchContext') -> 'RclpyNode':
    """Return the launcher's node, when it is there."""
    node: RclpyNode = await asyncio.shield(get_ros_adapter(context).ready)
    return node
