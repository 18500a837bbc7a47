# SPDX-License-Identifier: Apache-2.0
"""A live endpoint for Foxglove and Lichtblick: every topic of the workcell as it is, and nothing back.

Source: the Foxglove WebSocket protocol, served by its own library; messages stay CDR, schemas `ros2msg` as in our MCAP.
It offers no services and takes no messages: who acts, acts through the coordinator.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import foxglove
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from ..frame.bounded_end import PROCESS_END
from ..frame.spinning import SpinThread
from ..recording.message_schemas import schema_text
from ..recording.topic_recorder import TopicRecorder

LOOK_S = 1.0


class LiveChannels:
    """Takes what a TopicRecorder hears and hands it to Foxglove's clients; has a recording's methods.

    Args:
        context: Foxglove's context of one server.
        schema_of: returns the `ros2msg` schema of a message type.
    """

    def __init__(self, context: foxglove.Context, schema_of: Callable[[str], str] = schema_text) -> None:
        self._context = context
        self._schema_of = schema_of
        self._numbers: dict[tuple[str, str], int] = {}
        self._channels: list[foxglove.Channel] = []

    def add_topic(self, topic: str, type_name: str, profile: str = "") -> int:
        """Return the channel of a topic; raises SchemaError when the type's definition is not there."""
        key = (topic, type_name)
        if key not in self._numbers:
            schema = foxglove.Schema(name=type_name, encoding="ros2msg", data=self._schema_of(type_name).encode())
            made = foxglove.Channel(topic, schema=schema, message_encoding="cdr", context=self._context)
            self._numbers[key] = len(self._channels)
            self._channels.append(made)
        return self._numbers[key]

    def write(self, channel: int, data: bytes, received_ns: int, published_ns: int) -> None:
        """Send one serialized message; times are of the wall clock [ns]."""
        self._channels[channel].log(data, log_time=received_ns)

    def close(self) -> None:
        """End all channels."""
        for channel in self._channels:
            channel.close()


class FoxgloveEndpoint:
    """Serves the topics of a workcell; use as a context manager.

    Args:
        namespace: the workcell's namespace, empty for none.
        host: address to listen on.
        port: TCP port, 0 for any that is free.
        tls: certificate and key (PEM), None for none.

    Raises:
        RuntimeError: the port cannot be had.
        OSError: certificate or key cannot be read.
    """

    def __init__(self, namespace: str, host: str, port: int, tls: tuple[Path, Path] | None = None) -> None:
        secure: dict[str, Any] = {}
        if tls is not None:
            secure = {"tls_cert": tls[0].read_bytes(), "tls_key": tls[1].read_bytes()}
        self._foxglove = foxglove.Context()
        self._server = foxglove.start_server(
            name=f"workcell {namespace}".strip(), host=host, port=port, context=self._foxglove, **secure
        )
        self.port: int = self._server.port
        self._context = Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(
            "foxglove_endpoint", namespace=namespace or None, context=self._context,
            start_parameter_services=False, enable_rosout=False,
        )  # fmt: skip
        self._channels = LiveChannels(self._foxglove)
        self._topics = TopicRecorder(self._node, self._channels, {}, self._failed)  # type: ignore[arg-type]
        self._node.create_timer(LOOK_S, self._topics.look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._spinning = SpinThread(self._node, self._context, "foxglove-ros")
        self._spinning.start()

    def __enter__(self) -> FoxgloveEndpoint:
        return self

    def __exit__(self, *error: object) -> None:
        self._spinning.stop()
        self._topics.close()
        self._channels.close()
        self._server.stop()
        PROCESS_END.leave(self._node, self._context)

    def _failed(self, error: Exception) -> None:
        self._node.get_logger().error(f"topics are no longer sent: {error}")
