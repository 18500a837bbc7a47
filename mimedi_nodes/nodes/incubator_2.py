# SPDX-License-Identifier: Apache-2.0
"""The node of the second incubator, where a site has two culture vessels."""

import sys

from .module.module_node import run_module


def main() -> None:
    """Run the node."""
    sys.exit(run_module("incubator_2"))
