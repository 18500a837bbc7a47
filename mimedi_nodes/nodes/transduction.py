# SPDX-License-Identifier: Apache-2.0
"""The transduction node."""

import sys

from .module.module_node import run_module


def main() -> None:
    """Run the node."""
    sys.exit(run_module("transduction"))
