# SPDX-License-Identifier: Apache-2.0
"""The doors of the engine: modules, laboratory and operator, whatever carries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from .context import PhaseHeader

PhaseStatus = Literal["unknown", "running", "held", "succeeded", "canceled", "aborted", "interrupted"]


@dataclass(frozen=True)
class PhaseOutcome:
    """How a phase ended: its status and the fields of its result."""

    status: PhaseStatus
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def error_code(self) -> int:
        """Error code of the result, 0 for none."""
        return int(self.result.get("error_code", 0))

    @property
    def error_msg(self) -> str:
        """Error text of the result."""
        return str(self.result.get("error_msg", ""))


@dataclass(frozen=True)
class PhaseRecall:
    """What a module remembers of a goal (the fields of `RecallPhase`)."""

    status: PhaseStatus
    action: str = ""
    goal: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    started_s: float = float("nan")
    ended_s: float = float("nan")


class ModuleUnavailable(Exception):
    """A module does not answer; says which and since when."""


@dataclass(frozen=True)
class CommandReply:
    """Answer of a service to an MTP command: taken or not, MTP state code after it, reason."""

    accepted: bool
    state: int
    message: str = ""


class ModuleGateway(Protocol):
    """Runs phases in modules."""

    async def run_phase(
        self,
        module: str,
        action: str,
        goal: Mapping[str, Any],
        header: PhaseHeader,
        goal_id: str,
        on_feedback: Callable[[float, str], None],
    ) -> PhaseOutcome:
        """Start `action` (CamelCase interface name) with a chosen 32-digit hexadecimal goal UUID; wait for its end.

        The module's service is reset first when it is not Idle for lack of a RESET. Returns also when the service
        refuses the goal (status "aborted", code `n01`). Raises ModuleUnavailable when the module is not there or dies
        meanwhile.
        """
        ...

    async def await_phase(
        self, module: str, goal_id: str, on_feedback: Callable[[float, str], None]
    ) -> PhaseOutcome:
        """Wait for the end of a goal that was started in an earlier life of the coordinator."""
        ...

    async def recall_phase(self, module: str, goal_id: str) -> PhaseRecall:
        """Return what the module remembers of a goal; raises ModuleUnavailable."""
        ...

    async def command(self, module: str, command: int, who: str, why: str) -> CommandReply:
        """Send an MTP command code to the module's service; raises ModuleUnavailable."""
        ...


@dataclass(frozen=True)
class Question:
    """A question to the operator."""

    prompt_id: str
    batch_id: str
    question: str
    answers: Sequence[str] = ()


@dataclass(frozen=True)
class Answer:
    """An operator's answer."""

    answer: str
    who: str
    why: str = ""
    simulated: bool = False


class OperatorGateway(Protocol):
    """Asks people, or a script that stands for them."""

    async def ask(self, question: Question) -> Answer:
        """Return the answer; waits as long as it takes."""
        ...


class LaboratoryGateway(Protocol):
    """Orders tests at the external laboratory; results come back signed, later."""

    async def order(self, batch_id: str, sample_id: str, tests: Sequence[str]) -> None:
        """Order `tests` on a sample; raises WorkcellError when the laboratory refuses."""
        ...
