# SPDX-License-Identifier: Apache-2.0
"""The analytics node."""

import sys

from .module.module_node import run_module


def main() -> None:
    """Run the node."""
    sys.exit(run_module("analytics"))
