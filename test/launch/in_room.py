# SPDX-License-Identifier: Apache-2.0
"""Steps of a test on a launched workcell: a lost grade, a contaminated culture and a silent analyser in one batch."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import flowio
from run_checks import of_kind, record_of
from workcell_client import PATIENT, Client, Steps

from mimedi_msgs.msg import Prompt
from mimedi_msgs.srv import AnswerPrompt, InjectFault
from mimedi_nodes.modules.analytics.codes import AnalyticsCode
from mimedi_nodes.process.engine.unit_claims import changeover_of
from mimedi_nodes.process.service_state import ServiceState
from mimedi_nodes.records.analysis_files import files
from mimedi_nodes.records.stiffness_map import SUFFIX, from_csv

BATCH = "ROOM-1"
SETS = {"fluid_path": "cassette", "culture": "culture_vessel"}
"""Units of this batch and what is exchanged in them, when another one was made before."""
STEP_S = 180.0
"""Longest wait [s of steady time] for a step of this batch, on a loaded machine."""
FILL_SPEED = 120.0
"""At which the open fill of 40 minutes takes 20 s: whoever looks finds it going on."""


CONTROLS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("cytometer_stain_missing", "cytometer", {"channel": "CAR-A"}, "CAR-A is above its gate on"),
    ("afm_tip_contaminated", "afm", {"radius_factor": 5.0}, "the reference gel reads"),
    ("spr_regeneration_weak", "spr_reader", {"removed": 0.3}, "left after the regeneration"),
    ("plate_standards_wrong", "plate_reader", {"factor": 0.4}, "the control reads"),
)
"""Faults of the analysers in the order in which the recipe meets them, and what the hold says of each."""


class InRoom(Steps):
    """Mixed into a test whose workcell is up and has no batch; comes after its own steps."""

    client: Client

    def test_r_a_lost_grade_holds_what_is_open(self):
        """A hole in the filter: pumps stop, a restart is refused until the air is back; what was open goes on then."""
        self.client.set_clock(speed=math.inf)
        type(self).room = self.client.order(BATCH, "room", engineering_run=True)
        prompt = self.asked()
        while (change := changeover_of(prompt.question)) is not None:
            self.client.change_over(BATCH, f"={PATIENT}/{SETS[change.unit]}")
            prompt = self.asked(prompt.prompt_id)
        # Room and background are verified by now; while a person is asked, time stands.
        self.client.set_clock(speed=FILL_SPEED)
        answer = AnswerPrompt.Request(
            prompt_id=prompt.prompt_id, batch_id=BATCH, answer="yes", who="tester", why="looked"
        )
        assert self.client.call("answer_prompt", answer).accepted
        self.client.wait(lambda: self.phase("enclosure").endswith("fill.watch#1"), STEP_S, "the open step is watched")
        self.inject("hepa_leak", "enclosure", efficiency=0.3)
        held = self.client.wait_batch(lambda b: b.state == "held", STEP_S, "the batch is held")
        assert "fill.watch#1 (enclosure) is held" in held.hold_reason, held.hold_reason
        self.client.wait(lambda: "enclosure.grade_lost" in self.client.alarms, STEP_S, "the grade is alarmed")
        self.client.wait(lambda: self.state("fluidics") == ServiceState.HELD, STEP_S, "the pumps are held")
        refused = self.client.command("restart", "an attempt")
        assert not refused.accepted
        assert "the room has not recovered" in refused.message, refused.message
        self.inject("contamination", "culture_vessel", cfu=1.0e6)
        self.inject("hepa_leak", "enclosure", active=False)
        # The service keeps telling its last step: whoever looks later sees it too.
        self.client.wait(
            lambda: self.client.modules["enclosure"].step == "grade A is back", STEP_S, "the air has recovered"
        )
        self.client.fault("line_silent", "cytometer", active=True)
        self.restart("the filter is sealed")
        self.client.set_clock(speed=math.inf)

    def test_s_a_contamination_is_detected(self):
        """A million CFU in 45 mL: the screening says so, the batch is held with the cause."""
        held = self.client.wait_batch(
            lambda b: b.state == "held" and "contamination:" in b.hold_reason, STEP_S, "the batch is held for microbes"
        )
        assert "CFU/mL" in held.hold_reason
        self.restart("only a test")

    def test_t_a_silent_analyser_is_a_typed_error(self, folder: Path):
        """No answer: an instrument's fault, held. A control that fails: held. More events than it takes: its code."""
        self.client.wait(lambda: "analytics.cytometer_fault" in self.client.alarms, STEP_S, "the cytometer is alarmed")
        self.client.wait_batch(
            lambda b: b.state == "held" and "analytics" in b.hold_reason, STEP_S, "the batch is held for the analyser"
        )
        for fault, target, values, _ in CONTROLS:
            self.inject(fault, target, **values)
        self.client.fault("line_silent", "cytometer", active=False)
        self.restart("the plug is in")
        # Each control finds its fault and holds; when that is gone the phase measures anew and goes on.
        for fault, target, _, seen in CONTROLS:
            self.client.wait_batch(lambda b, seen=seen: b.state == "held" and seen in b.hold_reason, STEP_S, seen)
            self.inject(fault, target, active=False)
            self.restart(f"{fault} was mended")
        code = f"code {AnalyticsCode.TOO_FEW}"
        self.client.wait_batch(lambda b: b.state == "held" and code in b.hold_reason, STEP_S, "too many events")
        assert self.client.command("stop", "enough for a test").accepted
        self.room.result(STEP_S)
        self.check(record_of(folder, BATCH))

    def check(self, events: list[Any]) -> None:
        """The record holds excursion, recovery, organism hint and codes; the fill is whole."""
        alarms = {event.data["alarm_id"] for event in of_kind(events, "alarm_raised")}
        assert alarms >= {"enclosure.grade_lost", "analytics.cytometer_fault", "analytics.control_failed"}, alarms
        assert [e.data["grade"] for e in of_kind(events, "room_excursion")] == ["A"]
        (recovery_s,) = [e.data["value"] for e in of_kind(events, "measurement") if e.what == "recovery_time_s"]
        assert 60.0 <= recovery_s < 24.0 * 3600.0
        ended = {e.data["phase_id"]: e.data for e in of_kind(events, "phase_ended") if e.data["status"] == "succeeded"}
        assert ended["room.fill.fill"]["result"]["volume_moved_ul"] > 39_000.0
        assert ended["room.fill.fill.watch#1"]["result"]["grade_reached"] == "A"
        assert ended["room.measure.cytometry"]["result"]["viability"] > 0.5
        moduli = ended["room.measure.stiffness"]["result"]
        assert moduli["modulus_low_pa"] < moduli["modulus_median_pa"] < moduli["modulus_high_pa"], moduli
        binding, assay = (ended[f"room.measure.{name}"]["result"] for name in ("binding", "cytokine"))
        # The same interleukin-2 by two principles: 15.5 kDa make 1 nmol/L of 15,500 pg/mL.
        ratio = binding["concentration_nm"] * 15_500.0 / assay["concentration_pg_ml"]
        assert 0.7 < ratio < 1.4, f"SPR over immunoassay {ratio}: {binding}, {assay}"
        self.check_files(events)
        assert ended["room.screen.screen"]["result"]["outcome"] == "suspect"
        assert len(list(of_kind(events, "organism_hint"))) == 1

    def check_files(self, events: list[Any]) -> None:
        """What the analysers measured is in the record itself: events of the cytometer, the map of the moduli."""
        found = files(events)
        (run,) = [content for name, (_, content) in found.items() if name.endswith(".fcs")]
        assert flowio.FlowData(io.BytesIO(run)).event_count == 1000, sorted(found)
        (table,) = [content for name, (_, content) in found.items() if name.endswith(SUFFIX)]
        assert len(from_csv(table)) == 20, table

    def restart(self, why: str) -> None:
        """Let the held batch go on."""
        self.client.restart(why)

    def asked(self, but: str = "") -> Prompt:
        """Return the first question of this batch, other than one that was answered."""

        def found() -> Prompt | None:
            return next((p for p in self.client.prompts if p.batch_id == BATCH and p.open and p.prompt_id != but), None)

        prompt: Prompt = self.client.wait(found, STEP_S, "the batch asks")
        return prompt

    def inject(self, fault: str, target: str, *, active: bool = True, **parameters: Any) -> None:
        """Put a fault with parameters into the plant, or take it away."""
        text = json.dumps(parameters)
        request = InjectFault.Request(fault=fault, target=target, parameters_json=text, active=active)
        reply = self.client.call("inject_fault", request)
        assert reply.accepted, reply.message

    def phase(self, module: str) -> str:
        """Return which phase of the recipe a module carries out, or did last."""
        message = self.client.modules.get(module)
        return str(message.phase_id) if message is not None else ""

    def state(self, module: str) -> int:
        """Return a module's service state."""
        message = self.client.modules.get(module)
        return int(message.state) if message is not None else 0
