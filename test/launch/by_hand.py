# SPDX-License-Identifier: Apache-2.0
"""Steps of a test on a launched workcell: the emergency stop in the middle of a batch, then maintenance by hand."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
from pathlib import Path

from run_checks import of_kind, processes, record_of
from workcell_client import Client, Steps

from mimedi_nodes.commands import maintenance
from mimedi_nodes.commands.parts.people import Place, registry
from mimedi_nodes.modules.enclosure.emergency_stop import EMERGENCY_STOP
from mimedi_nodes.nodes.coordination.order_check import CoordinatorCode
from mimedi_nodes.process.alarms.board import AlarmState
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState

FULL = "recorder.storage_failed"
PASSWORD = "a phrase that is long"


class ByHand(Steps):
    """Mixed into a test whose workcell is up; comes after its own steps."""

    client: Client

    def test_w_the_emergency_stop_holds_without_the_coordinator(self, folder: Path):
        """Every module holds by itself; a reset needs the button out and a person, and starts nothing."""
        self.client.set_clock(speed=10.0)
        type(self).stopped = self.client.order("E1")
        self.client.wait(lambda: self.state("fluidics") == ServiceState.EXECUTE, 60.0, "fluidics is at work")
        self.client.fault("emergency_stop", "enclosure", active=True)
        self.client.wait(lambda: EMERGENCY_STOP in self.client.alarms, 30.0, "the chain is alarmed")
        self.client.wait(lambda: self.state("fluidics") == ServiceState.HELD, 30.0, "fluidics is held")
        self.client.wait_batch(lambda b: b.state == "held", 30.0, "the batch is held")
        refused = self.client.command("restart", "an attempt")
        assert not refused.accepted
        assert f"interlocked by {EMERGENCY_STOP}" in refused.message, refused.message
        assert self.maintain(folder, "reset", "enclosure", "emergency_stop", "--who", "tester") == 1
        assert "still pressed" in self.told, self.told
        self.client.fault("emergency_stop", "enclosure", active=False)
        assert self.maintain(folder, "reset", "enclosure", "emergency_stop", "--who", "tester") == 0, self.told
        self.client.wait(
            lambda: self.client.modules["fluidics"].commands_enabled & ServiceCommand.UNHOLD, 30.0, "no interlock"
        )
        assert self.state("fluidics") == ServiceState.HELD
        self.client.restart("nobody in danger")
        self.client.wait_batch(lambda b: b.state == "running", 60.0, "the batch runs again")
        self.full_disk()
        assert self.client.command("stop", "enough for a test").accepted
        self.stopped.result(60.0)
        events = record_of(folder, "E1")
        held = [e.why for e in of_kind(events, "command", "command_given") if e.who == "interlock"]
        assert any(FULL in why for why in held), held
        assert EMERGENCY_STOP in {e.data["alarm_id"] for e in of_kind(events, "alarm_raised")}

    def full_disk(self):
        """A recorder that cannot write holds the batch; with room again its record is whole and the batch goes on."""
        pid = next(pid for pid, command in processes().items() if "/recorder" in command.split()[1])
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
        self.client.wait_batch(
            lambda b: b.state == "held" and FULL in b.hold_reason, 60.0, "the batch is held for its record"
        )
        refused = self.client.command("restart", "an attempt")
        assert not refused.accepted
        assert FULL in refused.message, refused.message
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        gone = (AlarmState.RETURNED_UNACKNOWLEDGED, AlarmState.LATCHED_UNACKNOWLEDGED)
        self.client.wait(lambda: self.client.alarm_states.get(FULL) in gone, 60.0, "there is room again")
        self.client.restart("there is room again")
        self.client.wait_batch(lambda b: b.state == "running", 60.0, "the batch runs again")

    def test_x_maintenance_by_hand(self, folder: Path):
        """Signed at both ends, in between a jog and a calibration that outlives the node; no batch meanwhile."""
        self.client.set_clock(speed=120.0)  # four deliveries take eleven minutes
        users = registry(Place(folder / "runs"))
        users.add("ada", "Ada Sun", ["administrator", "maintenance"], PASSWORD, None)
        jog = ("jog", "fluidics", "pump", "--set", "volume_ul=1000", *self.as_ada(folder))
        assert self.maintain(folder, *jog) == 1
        assert "is in production" in self.told, self.told
        assert self.maintain(folder, "begin", "fluidics", *self.as_ada(folder)) == 0, self.told
        assert self.maintain(folder, *jog) == 0, self.told
        wrong = ("jog", "fluidics", "pump", "--set", "volume_ul=1e9", *self.as_ada(folder))
        assert self.maintain(folder, *wrong) == 1
        assert "10 to 50000" in self.told, self.told
        large = ("--set", "repeats=3", "--set", "volume_ul=25000")  # or the load cells' noise may refuse a sound pump
        calibrate = ("calibrate", "fluidics", "pump", *large, *self.as_ada(folder))
        assert self.maintain(folder, *calibrate) == 0, self.told
        kept = json.loads((folder / "runs/.state/workcell/calibrations/fluidics.json").read_text())
        assert [(c["instrument"], c["by"]) for c in kept] == [("fluidics_pumps", "ada")]
        assert abs(kept[0]["left"]) < 0.01
        refused = self.client.order("E2").result(20.0)
        assert refused.error_code == CoordinatorCode.MAINTENANCE, refused.error_msg
        assert self.maintain(folder, "end", "fluidics", *self.as_ada(folder)) == 0, self.told

    def state(self, module: str) -> int:
        """Return a module's MTP state as last heard; 0 when nothing was."""
        heard = self.client.modules.get(module)
        return int(heard.state) if heard is not None else 0

    def as_ada(self, folder: Path) -> tuple[str, ...]:
        """Return the options that say who acts."""
        file = folder / "password"
        file.write_text(PASSWORD)
        os.chmod(file, 0o600)
        return "--user", "ada", "--password-file", str(file)

    def maintain(self, folder: Path, *argv: str) -> int:
        """Run the command as a person does; what it said of errors is in `told`."""
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            status = maintenance.main([*argv, "--why", "a test", "--runs", str(folder / "runs")])
        self.told = errors.getvalue()
        return status
