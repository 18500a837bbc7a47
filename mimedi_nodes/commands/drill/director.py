# SPDX-License-Identifier: Apache-2.0
"""The drill: what a person does at the simulated workcell while two patients' batches are made and things go wrong.

A script stands for the person: it answers questions, exchanges the sets on the twin, offers the wrong cassette once,
and restarts a held batch when the cause is gone. Every answer is recorded as simulated. Time runs from one look
of that person to the next and stands meanwhile: she takes no longer on a slow machine.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...process.batch import Batch
from ...process.engine.unit_claims import Changeover, changeover_of
from ...process.errors import WorkcellError
from ...process.gateway import Question
from ...process.identity.identity import make_label
from ...process.people.operator import ScriptedOperator
from ..parts.batch_options import default_script

if TYPE_CHECKING:
    from ...nodes.clients.plant_client import PlantClient
    from ...nodes.clients.workcell_client import WorkcellClient

WHO = "drill operator"
POWER_LIMIT_S = 240.0
"""Longest steady time of a power cut [s]: every node asks its silent instruments, and time waits for each answer."""
STEP_S = 600.0
"""Process time [s] between two looks of the person."""
STEP_LIMIT_S = 0.5
"""Steady time [s] after which she looks although time has not come so far: everybody may be waiting for her."""
POWER_CUT_S = 480.0
"""How long the power is away [s]: as long as the liquid is declared to stay at 37 ± 0.5 °C without it."""
NOTICE_LIMIT_S = 60.0
"""Longest steady time [s] until the workcell has noticed the cut: silent instruments are asked again and again."""
FINE_STEP_S = 120.0
SEE_AFTER_S = 1800.0
"""How long the cells are looked at after the power has come back [s]: they are coldest a little later."""
LEAK_ALARM = "incubator.balance_gap"
CASSETTE_UNIT = "fluid_path"


class DrillError(WorkcellError):
    """The drill could not be carried out; says at which act."""


@dataclass
class Acts:
    """What was done and seen, for the report."""

    told: list[str] = field(default_factory=list)
    wrong_offered: bool = False
    restarts: list[tuple[str, str]] = field(default_factory=list)
    power_cut: bool = False
    coldest_c: float = math.nan


class Director:
    """Acts for the person of a drill; `look` is called again and again from one thread.

    Args:
        client, plant: listen to and ask the workcell and the simulated plant; `client.seen` must be live.
        first, second: the two batches; the first one's cassette is offered to the second.
        power_from_s: process time [s] from which the power may go, while the second batch is in step `power_in`.
        donors: batch → donor and seed of its new set.
        power_of: what the power is taken from: the whole workcell, or one line.
        vessel: of the second batch's culture.
        tell: shows what is done.
    """

    def __init__(
        self, client: WorkcellClient, plant: PlantClient, first: Batch, second: Batch, power_from_s: float,
        power_in: str, donors: Mapping[str, tuple[str, int]], tell: Callable[[str], None] = lambda text: None,
        power_of: str = "workcell", vessel: str = "culture_vessel",
    ) -> None:
        self.acts = Acts()
        self._client, self._plant = client, plant
        self._first, self._second = first, second
        self._power_from_s, self._power_in, self._donors, self._tell = power_from_s, power_in, donors, tell
        self._power_of, self._vessel = power_of, vessel
        self._power, self._power_back = (math.inf, math.inf), False
        self._script = ScriptedOperator(default_script())
        self._prompts: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answered: set[tuple[str, str]] = set()

    def heard(self, what: str) -> None:
        """Note a message; called in the client's ROS thread."""
        if what == "prompt" and self._client.seen.prompt is not None:
            self._prompts.put(self._client.seen.prompt)

    def step(self) -> None:
        """Let time pass until the next look, then do what is to be done."""
        now_s = self._plant.time(10.0).time_s
        if not self.acts.power_cut and now_s >= self._power_from_s and self._is_power_to_go():
            self._cut_power(now_s)
            now_s = self._plant.time(10.0).time_s
        until_s = now_s + STEP_S
        if self.acts.power_cut and now_s < self._power[1] + SEE_AFTER_S:
            self._see_cells()
            until_s = now_s + FINE_STEP_S
        self._plant.set_clock(speed=math.inf, run_until_s=until_s)
        self._plant.wait_time(until_s, STEP_LIMIT_S)
        self.look()

    def _is_power_to_go(self) -> bool:
        status = self._client.seen.batches.get(self._second.batch_id)
        return status is not None and status.state == "running" and self._power_in in status.phase_id

    def _cut_power(self, now_s: float) -> None:
        """Take the power away; return when the batch is held, the power is back and the batch restarted."""
        told = self._plant.set_fault("power_loss", self._power_of, {}, active=True)
        if not told.accepted:
            raise DrillError(f"the power cannot be cut: {told.message}")
        self.acts.power_cut = True
        self._power = (now_s, now_s + POWER_CUT_S)
        self._say("the power goes")
        # As in the world: instruments are asked every few seconds, not once in the hours that pass here in between.
        self._plant.set_clock(speed=1.0, run_until_s=self._power[1])
        batch_id = self._second.batch_id
        if not self._client.wait_seen(lambda seen: seen.batches[batch_id].state == "held", NOTICE_LIMIT_S):
            raise DrillError(f"nobody noticed within {NOTICE_LIMIT_S:g} s that the power is away")
        self.look()

    def wait_heard(self, batch_id: str, timeout_s: float) -> bool:
        """Return whether a batch has been heard of within timeout_s [s]."""
        return self._client.wait_seen(lambda seen: batch_id in seen.batches, timeout_s)

    def look(self) -> None:
        """Do what is to be done now; raises DrillError when it cannot be done."""
        while not self._prompts.empty():
            self._take(self._prompts.get())
        for status in list(self._client.seen.batches.values()):
            if status.state == "held":
                self._held(status)

    def _take(self, prompt: Any) -> None:
        key = (prompt.batch_id, prompt.prompt_id)
        if not prompt.open or key in self._answered:
            return
        self._answered.add(key)
        asked = changeover_of(prompt.question)
        if asked is not None:
            answer, why = self._change_over(prompt, asked)
        else:
            question = Question(prompt.prompt_id, prompt.batch_id, prompt.question, tuple(prompt.answers))
            scripted = asyncio.run(self._script.ask(question))
            answer, why = scripted.answer, scripted.why
        told = self._client.answer(prompt.prompt_id, answer, WHO, why, prompt.batch_id, simulated=True)
        if not told.accepted:
            raise DrillError(f"answer {answer!r} to {prompt.prompt_id} of {prompt.batch_id}: {told.message}")

    def _change_over(self, prompt: Any, asked: Changeover) -> tuple[str, str]:
        batch_id, unit = prompt.batch_id, asked.unit
        product = prompt.question.partition("scan the label of ")[2].split()[0]
        if unit == CASSETTE_UNIT and batch_id == self._second.batch_id and not self.acts.wrong_offered:
            self.acts.wrong_offered = True
            self._say(f"{self._first.batch_id}'s cassette is offered to {batch_id}")
            return make_label(self._first.patient_id, product).text, "taken from the wrong shelf"
        # The set of a batch before the drill's went with the plant that it was in: this one came up with a new set.
        if asked.old in (self._first.batch_id, self._second.batch_id):
            donor, seed = self._donors[batch_id]
            told = self._plant.exchange_set(unit, batch_id, donor=donor, seed=seed)
            if not told.accepted:
                raise DrillError(f"the {product} of {batch_id} cannot be put into {unit}: {told.message}")
        self._say(f"{unit}: the {product} of {batch_id} is put in")
        patient = next(b.patient_id for b in (self._first, self._second) if b.batch_id == batch_id)
        return make_label(patient, product).text, "exchanged and scanned"

    def _held(self, status: Any) -> None:
        """Find out why a batch is held, mend it, restart it."""
        now_s = self._plant.time(10.0).time_s
        reason = str(status.hold_reason)
        if self.acts.power_cut and not self._power_back:
            self._wait_for_power(status.batch_id)
            reason = "the power is back"
        elif "wrong cassette" in reason:
            reason = "the right cassette has been brought"
        elif "nobody moved liquid" in reason:
            acknowledged = self._client.act_on_alarm(LEAK_ALARM, "acknowledge", WHO, "the line was tightened")
            reason = "the line was tightened" if acknowledged.accepted else f"tightened; {acknowledged.message}"
        elif self._power_back and now_s < self._power[1] + 3600.0:
            reason = "the power is back"
        else:
            raise DrillError(f"{status.batch_id} is held for a reason that is not part of the drill: {reason}")
        told = self._client.command("restart", WHO, reason, status.batch_id)
        if told.accepted:
            self.acts.restarts.append((status.batch_id, reason))
            self._say(f"{status.batch_id} is restarted: {reason}")
        self._client.wait_seen(lambda seen: seen.batches[status.batch_id].state != "held", 2.0)

    def _wait_for_power(self, batch_id: str) -> None:
        noticed_s = self._plant.time(10.0).time_s - self._power[0]
        self._say(f"{batch_id} is held {noticed_s:.0f} s after the power went; {POWER_CUT_S:.0f} s are declared")
        self._plant.set_clock(speed=math.inf, run_until_s=self._power[1] + 1.0)
        end_s = time.monotonic() + POWER_LIMIT_S
        while self._plant.time(10.0).time_s < self._power[1] + 1.0:
            self._see_cells()
            if time.monotonic() > end_s:
                raise DrillError("process time does not pass while the power is away")
        self._see_cells()
        self._plant.set_fault("power_loss", self._power_of, {}, active=False)
        self._power_back = True

    def _see_cells(self) -> None:
        self._plant.truth = None
        reactor = self._plant.read_truth(10.0)["reactors"][self._vessel]
        self.acts.coldest_c = min(reactor["liquid_c"], self.acts.coldest_c, key=lambda c: (math.isnan(c), c))

    def _say(self, text: str) -> None:
        day = self._plant.time(10.0).time_s / 86400.0
        self.acts.told.append(f"day {day:.2f}: {text}")
        self._tell(self.acts.told[-1])


class Order(threading.Thread):
    """One batch, ordered and followed to its end in a thread of its own; `error` says why there is no summary."""

    def __init__(self, namespace: str, modules: tuple[str, ...], recipe: str, batch: Batch) -> None:
        super().__init__(name=batch.batch_id, daemon=True)
        from ...nodes.clients.batch_client import BatchClient

        self.batch, self.summary, self.error = batch, {}, ""  # type: ignore[var-annotated]
        self._recipe = recipe
        tail = batch.batch_id.rpartition("-")[2].lower()
        self._client = BatchClient(namespace, modules, f"batch_client_{tail}")

    def run(self) -> None:
        """Order the batch; wait for its summary."""
        from ...nodes.clients.batch_client import ClientError

        try:
            self.summary = self._client.produce(self._recipe, self.batch, {}, lambda seen: None)
        except (ClientError, WorkcellError, OSError, ValueError) as error:
            self.error = str(error)
        finally:
            self._client.close()


def carry_out(
    director: Director, orders: tuple[Order, Order], still_running: Callable[[], bool], limit_s: float
) -> None:
    """Order both batches and act until both have ended.

    Raises:
        DrillError: a batch could not be run, or they have not ended within `limit_s` [s] of steady time.
    """
    end_s = time.monotonic() + limit_s
    for order in orders:
        order.start()
        # In this order: the second one is to be the one that waits.
        if not director.wait_heard(order.batch.batch_id, 60.0):
            raise DrillError(order.error or f"the coordinator says nothing of batch {order.batch.batch_id}")
    while any(order.is_alive() for order in orders):
        director.step()
        if not still_running():
            raise DrillError("the workcell ended before its batches")
        if time.monotonic() > end_s:
            raise DrillError(f"the batches have not ended within {limit_s:g} s")
    if failed := [order.error for order in orders if order.error]:
        raise DrillError("; ".join(failed))
