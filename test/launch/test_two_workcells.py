# SPDX-License-Identifier: Apache-2.0
"""Two workcells in two namespaces of one domain: each makes its batch and hears only itself, both records are equal."""

from __future__ import annotations

import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
from run_checks import InOrder, assert_same, headless, new_folder, record_of
from workcell_client import NODES, Client, Steps, workcell

from launch import LaunchDescription

CELLS = ("east", "west")


@pytest.mark.launch_test
def generate_test_description():
    folder = new_folder()
    shipped = [
        workcell(folder / cell / "runs", namespace=cell, config=str(folder / "config"), seed="1", record="false")
        for cell in CELLS
    ]
    return LaunchDescription([*shipped, launch_testing.actions.ReadyToTest()]), {"folder": folder}


class TestTwo(Steps):
    @classmethod
    def setUpClass(cls):
        cls.clients = {cell: Client(cell) for cell in CELLS}
        for client in cls.clients.values():
            cls.addClassCleanup(client.close)
        for client in cls.clients.values():
            client.wait_up()

    def test_a_both_make_a_batch_at_once(self):
        orders = {cell: client.order(f"B-{cell}") for cell, client in self.clients.items()}
        for cell, order in orders.items():
            result = order.result()
            assert (result.verdict, result.error_msg) == ("meets", ""), cell

    def test_b_neither_hears_the_other(self, folder):
        for cell, client in self.clients.items():
            assert client.heard_batches - {""} == {f"B-{cell}"}
            runs = {path.name for path in (folder / cell / "runs").iterdir() if not path.name.startswith(".")}
            assert runs == {f"B-{cell}"}
        names = {(namespace, name) for name, namespace in self.clients["east"].node.get_node_names_and_namespaces()}
        for name in (*NODES, "plant", "supervisor"):
            assert {(f"/{cell}", name) for cell in CELLS} <= names
            assert ("/", name) not in names
        strays = [
            topic
            for topic, _ in self.clients["east"].node.get_topic_names_and_types()
            if not topic.startswith(("/east/", "/west/", "/rosout", "/parameter_events"))
        ]
        assert strays == []

    def test_c_one_seed_gives_one_record(self, folder):
        records = [record_of(folder / cell, f"B-{cell}") for cell in CELLS]
        assert_same(*records)
        assert_same(records[0], headless().events)


@launch_testing.post_shutdown_test()
class TestShutdown(InOrder, unittest.TestCase):
    """All ended, in order."""
