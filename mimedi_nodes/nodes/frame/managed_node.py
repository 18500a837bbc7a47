# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node that all nodes of the workcell are: guarded transitions, managed timers and subscriptions."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.srv import ChangeState
from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from ...instruments.wire.link import InstrumentError
from ...process.errors import WorkcellError
from . import qos
from .bounded_end import PROCESS_END
from .event_loop import LoopThread

_FROM_OUTSIDE = (InstrumentError, WorkcellError, OSError)
"""Errors whose words name what is wrong, where, and what is allowed."""


class ManagedNode(LifecycleNode):
    """A lifecycle node whose transitions never fail silently.

    Subclasses override `configure`, `activate`, `deactivate`, `clean_up`; an exception in any of them is logged with
    its traceback (but for those from outside, which say all by their words), kept in `last_error`, published as
    diagnostics, and the transition fails. Timers and subscriptions made by the `managed_*` methods act only while the
    node is active.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.last_error = ""
        self.active = False
        self.configured = False
        self.loop = LoopThread(name)
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", qos.TELEMETRY)
        for service in self.services:
            if service.srv_type is ChangeState:
                service.callback = self._surviving(service.callback)

    def _surviving(self, change: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Return the callback of `~/change_state` with a refusal where rclpy's own lets the process die.

        That is a transition which the present state does not have (rclpy 7.1).
        """

        def changed(request: ChangeState.Request, reply: ChangeState.Response) -> ChangeState.Response:
            try:
                return change(request, reply)
            except RCLError as error:
                wanted = request.transition.label or request.transition.id
                self.last_error = f"transition {wanted} is not possible in this state"
                self.get_logger().error(f"{self.last_error}: {error}")
                self.publish_diagnostics("lifecycle", DiagnosticStatus.ERROR, self.last_error, {})
                reply.success = False
                return reply

        return changed

    def configure(self) -> None:
        """Open communications and read; move and heat nothing."""

    def activate(self) -> None:
        """Begin to accept work."""

    def deactivate(self) -> None:
        """Make safe; stay readable."""

    def clean_up(self) -> None:
        """Close everything that `configure` opened; called once more when already closed must be harmless."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._guard("configure", self.configure, lambda: super(ManagedNode, self).on_configure(state))
        self.configured = result == TransitionCallbackReturn.SUCCESS
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._guard("activate", self.activate, lambda: super(ManagedNode, self).on_activate(state))
        self.active = result == TransitionCallbackReturn.SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        return self._guard("deactivate", self.deactivate, lambda: super(ManagedNode, self).on_deactivate(state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._guard("clean up", self.clean_up, lambda: super(ManagedNode, self).on_cleanup(state))
        self.configured = result != TransitionCallbackReturn.SUCCESS
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        return self._guard("shut down", self.clean_up, lambda: super(ManagedNode, self).on_shutdown(state))

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        return self._guard("recover", self.clean_up, lambda: super(ManagedNode, self).on_error(state))

    def _guard(
        self, what: str, act: Callable[[], None], then: Callable[[], TransitionCallbackReturn]
    ) -> TransitionCallbackReturn:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, the operator has to see it
            self.last_error = f"{what}: {error}"
            # What says by itself what is wrong, a port that is not there, is no matter of our code's lines.
            where = "" if isinstance(error, _FROM_OUTSIDE) else f"\n{traceback.format_exc()}"
            self.get_logger().error(f"cannot {what}: {error}{where}")
            self.publish_diagnostics("lifecycle", DiagnosticStatus.ERROR, self.last_error, {})
            if what == "configure":
                self._try_clean_up()
            return TransitionCallbackReturn.FAILURE
        return then()

    def _try_clean_up(self) -> None:
        try:
            self.clean_up()
        except Exception as error:  # noqa: BLE001 - the first error is the one that matters; this one is logged
            self.get_logger().error(f"cannot clean up after a failed configure: {error}")

    def managed_timer(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Create a steady-time timer that fires only while the node is active."""
        from rclpy.clock import Clock, ClockType

        def guarded() -> None:
            if self.active:
                callback()

        return self.create_timer(period_s, guarded, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def managed_subscription(
        self, kind: type[Any], topic: str, callback: Callable[[Any], None], profile: QoSProfile, **options: Any
    ) -> Subscription:
        """Create a subscription whose callback runs only while the node is active."""

        def guarded(message: Any) -> None:
            if self.active:
                callback(message)

        return self.create_subscription(kind, topic, guarded, profile, **options)

    def publish_diagnostics(self, component: str, level: bytes, message: str, values: dict[str, str]) -> None:
        """Publish one diagnostic status named /node/component."""
        status = DiagnosticStatus(
            level=level,
            name=f"/{self.get_name()}/{component}",
            message=message,
            hardware_id=self.get_name(),
            values=[KeyValue(key=k, value=v) for k, v in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def destroy_node(self) -> None:
        """Stop the loop's tasks, then destroy the node."""
        self.loop.stop()
        PROCESS_END.only_middleware_left()
        super().destroy_node()
