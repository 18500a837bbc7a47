# SPDX-License-Identifier: Apache-2.0
"""The drill on batches of hours: two patients, a leak, the wrong cassette, a power cut; one page by exception.

On the site with two culture vessels: both patients' cells grow at once, each in the unit that its batch was given.
"""

from __future__ import annotations

import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from run_checks import InOrder, headless, new_folder, of_kind, record_of
from workcell_client import BATCH_S, PATIENT, Client, Steps, workcell

from launch import LaunchDescription
from mimedi_nodes.commands.drill.director import Director, Order, carry_out
from mimedi_nodes.commands.drill.report import condensed, page_of, write_page
from mimedi_nodes.modules.registry import module_table
from mimedi_nodes.nodes.clients.plant_client import PlantClient
from mimedi_nodes.nodes.clients.workcell_client import WorkcellClient
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.units.units import read_units, units_file

A = Batch("D-A", PATIENT, PATIENT, 70.0)
OTHER = make_identifier("F1234", 26, 7)
B = Batch("D-B", OTHER, OTHER, 70.0)
SITE = "two_vessels.yaml"
POWER_FROM_S = 4.0 * 3600.0
SUPPLY = "culture_controller_2"
"""Without power everywhere every node asks its silent instruments for half a minute; `demo --drill` has that."""
COOLING_K = 2.0
"""35 mL cool faster than the litre of a dose, which stays within half a kelvin."""


@pytest.mark.launch_test
def generate_test_description():
    folder = new_folder()
    shipped = workcell(
        folder / "runs", config=str(folder / "config"), operator="ask", scenario="short_drill", speed="1",
        record="false", site=str(folder / "config" / "site" / SITE),
    )
    return LaunchDescription([shipped, launch_testing.actions.ReadyToTest()]), {"folder": folder}


class TestDrill(Steps):
    def test_a_both_are_made(self):
        client = Client()
        self.addCleanup(client.close)
        client.wait_up()
        modules = tuple(module_table())
        listening = WorkcellClient("", modules, "drill", on_change=lambda what: director.heard(what))
        plant = PlantClient("")
        self.addCleanup(plant.close)
        donors = {A.batch_id: ("nominal", 1), B.batch_id: ("nominal", 2)}
        director = Director(listening, plant, A, B, POWER_FROM_S, ".expand", donors, print, SUPPLY, "culture_vessel_2")
        listening.start()
        self.addCleanup(listening.close)
        orders = (Order("", modules, "short", A), Order("", modules, "short", B))
        carry_out(director, orders, lambda: True, 3.0 * BATCH_S)
        type(self).acts = director.acts
        assert [order.summary["ended"]["state"] for order in orders] == ["completed", "completed"]
        assert director.acts.wrong_offered
        assert director.acts.power_cut

    def test_b_everything_is_on_the_page(self, folder):
        config, names = folder / "config", [A.batch_id, B.batch_id]
        units = read_units(units_file(config / "site" / SITE))
        page = page_of(folder / "runs", names, config / "products", self.acts, units, COOLING_K)
        assert page.passed, [finding for finding in page.findings if not finding.passed]
        write_page(page, folder / "runs" / "page.html")
        text = (folder / "runs" / "page.html").read_text(encoding="utf-8")
        for word in ("wrong cassette at fluid_path", PATIENT, OTHER, "balance_gap", "--meaning rejected"):
            assert word in text, word
        assert all(len(condensed(batch["exceptions"])) <= 18 for batch in page.batches), "more than a page"

    def test_c_the_records_tell_it(self, folder):
        first, second = record_of(folder, A.batch_id), record_of(folder, B.batch_id)
        refused = next(of_kind(second, "identity_refused"))
        assert PATIENT in refused.data["answer"]
        changed = {e.what: e.data["old"] for e in of_kind(second, "unit_changed_over")}
        assert changed == {"fluid_path": A.batch_id}, changed
        began_s = min(e.process_time_s for e in of_kind(second, "phase_started"))
        changed_s = min(e.process_time_s for e in of_kind(second, "unit_changed_over"))
        assert began_s >= changed_s, f"B's material moved at {began_s} s, before the exchange at {changed_s} s"
        grown = {}
        for name, events in (("A", first), ("B", second)):
            phases = [e for e in of_kind(events, "phase_ended") if e.data["action"] == "ExpandCulture"]
            grown[name] = (phases[0].producer, phases[0].data["started_s"], phases[-1].process_time_s)
        assert (grown["A"][0], grown["B"][0]) == ("incubator", "incubator_2"), grown
        assert grown["B"][1] < grown["A"][2], f"the cultures do not overlap: {grown}"
        for events in (first, second):
            done = [e.data["phase_id"] for e in of_kind(events, "phase_ended") if e.data["status"] == "succeeded"]
            rehearsed = [e.data["phase_id"] for e in of_kind(headless().events, "phase_ended")]
            assert sorted(set(done)) == sorted(set(rehearsed))
        answers = [e for e in of_kind(first + second, "prompt_answered")]
        assert answers
        assert all(e.data["simulated"] for e in answers)


@launch_testing.post_shutdown_test()
class TestShutdown(InOrder, unittest.TestCase):
    """All ended, in order."""
